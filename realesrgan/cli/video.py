"""Restore videos from the command line: `realesrgan video` and inference_realesrgan_video.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..loading import Setup, prepare_process
from ..words import count
from . import console
from .asking import answering
from .options import VideoOptions, made_from, parse, settings_of

# Torch, PyAV and the like are imported where they are needed, so that --help and usage errors answer at once.
if TYPE_CHECKING:
    from ..machines import Where
    from ..video.request import Request, VideoJob
    from .reporting import VideoReporter

DESCRIPTION = "Restore videos: enlarge the picture and remove noise, blur and compression; keep everything else."
EPILOG = """\
examples:
  %(prog)s -i clip.mp4                          into results/clip_out.mp4
  %(prog)s -i clip.mp4 --start 1:00 --end 1:10  ten seconds, to try out
  %(prog)s -i frames/ --fps 25                  a folder of pictures

An interrupted job goes on where it stopped when the same command is given again.
"""


def main(argv: Sequence[str] | None = None, prog: str = "inference_realesrgan_video.py") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(VideoOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _restore(options), prints_results=options.dry_run)


def _request(options: VideoOptions) -> Request:
    from ..video.request import Request, parse_fps

    return made_from(
        Request,
        options,
        output=Path(options.output),
        ext="auto" if options.ext in ("jpg", "png") else options.ext,
        fps=None if options.fps is None else parse_fps(options.fps),
        start_s=0.0 if options.start is None else _seconds("start", options.start),
        end_s=None if options.end is None else _seconds("end", options.end),
        save_faces=None if options.save_faces is None else Path(options.save_faces),
    )


def _seconds(option: str, time: str) -> float:
    """12.5, 1:02 or 1:00:02.5 → seconds."""
    seconds = 0.0
    try:
        for part in time.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf") or time.count(":") > 2:
        raise UsageError(f"`{option}` {time}: give seconds, as 12.5, or hh:mm:ss, as 0:01:30")
    return seconds


def _restore(options: VideoOptions) -> int:
    prepare_process()
    from ..image import vips
    from ..machines import Where, check_where
    from ..video.request import check_request, find_videos, plan_jobs
    from .reporting import VideoReporter

    vips.prepare_process()
    request = _request(options)
    setup = check_request(request, settings_of(options))
    where = made_from(Where, options)
    check_where(where, options.gpu_id)
    with VideoReporter() as reporter:
        paths = find_videos(options.input, reporter)
        if not paths and not reporter.failed_count:
            raise UsageError(f"`input` {' '.join(options.input)}: there is nothing in it")
        many = len(paths) + reporter.failed_count > 1
        planned = plan_jobs(paths, request, reporter)
        if options.dry_run:
            return _print_plan(planned, setup, options, reporter)
        return _restore_all(planned, request, setup, where, reporter, many=many)


def _restore_all(
    jobs: Sequence[VideoJob], request: Request, setup: Setup, where: Where, reporter: VideoReporter, *, many: bool
) -> int:
    from ..machines import engaged
    from ..outputs import make_folder
    from ..video.job import is_done, restore_all

    make_folder(request.output, "output")
    if request.save_faces is not None:
        make_folder(request.save_faces, "save_faces")
    to_do = []
    for job in jobs:
        if why := is_done(job, request, setup):
            console.say(f"{job.source.path}: {why}")
        else:
            to_do.append(job)
    if to_do:
        if where.ray is not None:
            console.started_up()  # from here on, Ctrl-C must leave the cluster in order
        with engaged(setup, reporter, where, request.output, for_video=True) as machines, answering(machines.lines):
            console.started_up()
            restore_all(to_do, request, setup, machines, reporter)
    before = len(jobs) - len(to_do)
    if many or before:
        parts = [f"{count(reporter.finished_count, 'video')} restored"]
        parts += [f"{reporter.failed_count} failed"] if reporter.failed_count else []
        parts += [f"{before} done before"] if before else []
        console.print_result(", ".join(parts))
    return console.SOME_FAILED if reporter.failed_count else console.DONE


def _print_plan(jobs: Sequence[VideoJob], setup: Setup, options: VideoOptions, reporter: VideoReporter) -> int:
    """Print what would be done, and about how long it would take."""
    from ..arrays import final_size
    from .image import print_estimate

    for job in jobs:
        height, width = final_size(job.source.height, job.source.width, options.outscale)
        frames = count(job.frame_count, "frame") if job.frame_count else "frames"
        console.print_result(
            f"{job.source.path}  {job.source.width}×{job.source.height}, {frames} → {job.target}  {width}×{height}"
        )
        for line in (*job.facts(), *job.plan.warnings):
            console.say(line)
    console.print_result(f"{count(len(jobs), 'video')}, nothing written")
    if jobs:
        print_estimate(setup, sum(job.source.area * job.frame_count for job in jobs))
    return console.SOME_FAILED if reporter.failed_count else console.DONE
