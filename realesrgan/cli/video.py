"""Restore videos from the command line: `realesrgan video` and inference_realesrgan_video.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageFileError, UsageError, VideoFileError
from ..model_zoo import Model
from ..outputs import refuse_overwrites
from . import console, models
from . import video_report as report
from .options import VideoOptions, parse

# Torch, PyAV and the like are imported where they are needed, so that --help and wrong usage answer at once.
if TYPE_CHECKING:
    from ..restorer import FacePair, Restorer
    from ..upsampler import RealESRGANer
    from ..video.pipeline import Excerpt, Tally
    from ..video.segments import Workspace

DEFAULT_MODEL = "realesr-animevideov3"

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
    return console.run(lambda: _restore_all(options))


def _restore_all(options: VideoOptions) -> int:
    from ..image import vips

    model = models.check(options, DEFAULT_MODEL)
    vips.prepare_process()
    if options.num_process_per_gpu is not None:
        models.check_range("--num_process_per_gpu", options.num_process_per_gpu, 1)
    excerpt = _excerpt(options)
    rate = None if options.fps is None else _rate(options.fps)
    paths, failed = _inputs(options.input)
    if not paths and not failed:
        raise UsageError(f"-i {' '.join(options.input)}: there is nothing in it")
    models.make_folder(Path(options.output))
    jobs = list(_planned(paths, rate, options))
    refuse_overwrites((job.source.path, [job.target]) for job in jobs)
    total = len(paths) + failed
    failed = total - len(jobs)
    upsamplers = models.load(options, model, workers_per_device=options.num_process_per_gpu) if jobs else []
    restorers = models.restorers(upsamplers, options, model)
    console.started_up()
    for job in jobs:
        try:
            _restore(job, excerpt, _Workers(upsamplers, restorers), options, model)
        except (VideoFileError, ImageFileError) as error:
            failed += 1
            console.say(f"failed: {error}")
        except _Interrupted as interrupted:
            console.say(f"interrupted: {interrupted}")
            return console.INTERRUPTED
    if total > 1:
        console.announce(f"{total - failed} videos restored" + (f", {failed} failed" if failed else ""))
    return console.SOME_FAILED if failed else console.DONE


@dataclass(frozen=True)
class _Workers:
    """What computes: the loaded models, and the frame → frame functions made of them."""

    upsamplers: Sequence[RealESRGANer]
    restorers: Sequence[Restorer]


class _Interrupted(Exception):
    """Ctrl-C, and what has become of the work."""


def _planned(paths: Sequence[Path], rate: Fraction | None, options: VideoOptions) -> Iterator[report.Job]:
    """Look into every input; one that is no video is reported, and the rest goes on."""
    from ..video.encoding import choose_encoding
    from ..video.output_plan import plan_output
    from ..video.probe import probe

    extension = None if options.ext in ("auto", "jpg", "png") else options.ext
    for path in paths:
        try:
            source = probe(path, rate)
        except (VideoFileError, ImageFileError) as error:
            console.say(f"failed: {error}")
            continue
        encoding = choose_encoding(
            options.codec, options.crf, options.preset, options.pix_fmt, source.depth_bits, source.hdr
        )
        plan = plan_output(source, encoding, extension)
        stem = path.resolve().stem
        name = f"{stem}_{options.suffix}" if options.suffix else stem
        yield report.Job(source, encoding, plan, Path(options.output) / f"{name}.{plan.extension}")


def _excerpt(options: VideoOptions) -> Excerpt:
    from ..video.pipeline import Excerpt

    start_s = 0.0 if options.start is None else _seconds("--start", options.start)
    end_s = None if options.end is None else _seconds("--end", options.end)
    if end_s is not None and end_s <= start_s:
        raise UsageError(f"--end {options.end}: must be after --start")
    return Excerpt(start_s, end_s)


def _seconds(flag: str, words: str) -> float:
    """12.5, 1:02 or 1:00:02.5 → seconds."""
    seconds = 0.0
    try:
        for part in words.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf") or words.count(":") > 2:
        raise UsageError(f"{flag} {words}: say seconds, as 12.5, or hh:mm:ss, as 0:01:30")
    return seconds


def _rate(words: str) -> Fraction:
    """25, 23.976 or 24000/1001 → frames per second."""
    try:
        rate = Fraction(words).limit_denominator(1001)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise UsageError(f"--fps {words}: say frames per second, as 25, 23.976 or 24000/1001")
    return rate


def _inputs(words: Sequence[str]) -> tuple[list[Path], int]:
    """The videos that the words stand for, and how many words are folders that cannot be used."""
    from ..video.inputs import expand

    paths: list[Path] = []
    failed = 0
    for word in words:
        try:
            expanded = expand(Path(word))
        except VideoFileError as error:
            failed += 1
            console.say(f"failed: {error}")
            continue
        for remark in expanded.remarks:
            console.say(remark)
        paths += expanded.videos
    return paths, failed


def _restore(job: report.Job, excerpt: Excerpt, workers: _Workers, options: VideoOptions, model: Model | None) -> None:
    from ..video.segments import Workspace, folder_for
    from ..video.writer import check_target

    check_target(job.target)
    for remark in (*report.facts(job), *job.plan.remarks):
        console.say(remark)
    for warning in job.plan.warnings:
        console.say(f"warning: {job.source.path}: {warning}")
    identity = _identity(job, excerpt, options, model)
    workspace = Workspace(folder_for(job.target), identity)
    with workspace.claim():
        if discarded := workspace.open():
            console.say(f"{workspace.folder} is started anew: {discarded}")
        if workspace.frames_done:
            console.say(f"going on after frame {workspace.frames_done} of an earlier run")
        _restore_in(workspace, job, excerpt, workers, options)


def _restore_in(
    workspace: Workspace,
    job: report.Job,
    excerpt: Excerpt,
    workers: _Workers,
    options: VideoOptions,
) -> None:
    from ..video.writer import assemble

    source, target = job.source, job.target
    progress = report.Progress(source, excerpt, workspace.frames_done)
    try:
        tally = _compute(job, excerpt, workers, options, workspace, progress)
        if not tally.frames:
            workspace.remove()
            raise UsageError(f"{source.path}: --start lies behind its end: there is nothing to restore")
        losses = report.lost(tally, excerpt)
        if losses and options.strict:
            raise VideoFileError(f"{source.path}: {losses} (--strict); the work so far stays in {workspace.folder}")
        copies = assemble(
            target, workspace, source, source.time_base, job.plan, start_s=excerpt.start_s, end_s=excerpt.end_s
        )
    except KeyboardInterrupt as error:
        raise _Interrupted(
            f"{workspace.frames_done} frames are safe in {workspace.folder}; the same command goes on from there"
        ) from error
    finally:
        progress.close()
    for remark in copies.remarks:
        console.say(f"{source.path}: {remark}")
    for warning in copies.warnings:
        console.say(f"warning: {source.path}: {warning}")
    if losses:
        console.say(f"warning: {source.path}: {losses}")
    if tally.losses.deinterlaced and not source.interlaced:  # otherwise it was said at the beginning
        console.say(f"{source.path}: {tally.losses.deinterlaced} frames were interlaced; each became one frame")
    if tally.losses.resized:
        console.say(f"{source.path}: {tally.losses.resized} frames of another size were resized to the first one's")
    if not options.keep_segments:
        workspace.remove()
    console.announce(report.summary(job, tally, workers.upsamplers, progress, copies.count))


def _compute(
    job: report.Job,
    excerpt: Excerpt,
    workers: _Workers,
    options: VideoOptions,
    workspace: Workspace,
    progress: report.Progress,
) -> Tally:
    from ..video.pipeline import restore_frames

    def restored_faces(frame: int, pairs: Sequence[FacePair]) -> None:
        progress.restored_faces(len(pairs))
        if options.save_faces is not None:
            models.save_faces(Path(options.save_faces), f"{job.target.stem}_frame{frame:06d}", pairs)

    spec = workers.upsamplers[0].engine.spec
    return restore_frames(
        job.source,
        excerpt,
        workers.restorers,
        workspace,
        job.encoding,
        multiply_adds_per_frame=job.source.area * (spec.multiply_adds if spec else 1e7),
        on_frame=progress.frame_done,
        on_faces=restored_faces,
    )


def _identity(job: report.Job, excerpt: Excerpt, options: VideoOptions, model: Model | None) -> dict[str, Any]:
    """All that the frames depend on: another value of any of these is another job."""
    faces = models.face_model(options, model)
    weights = None
    if options.model_path is not None:
        weights_stat = Path(options.model_path).stat()
        weights = [str(Path(options.model_path).resolve()), weights_stat.st_size, weights_stat.st_mtime_ns]
    return {
        "version": 3,
        "input": job.source.identity(),
        "excerpt": [excerpt.start_s, excerpt.end_s],
        "model": [model.name if model else None, weights, options.denoise_strength, options.fp32],
        "faces": [faces.name if faces else None, options.face_weight, options.only_center_face],
        "picture": [options.outscale, options.tile, options.tile_pad, options.pre_pad],
        "encoding": [job.encoding.codec, job.encoding.pixel_format, job.encoding.options],
    }
