"""Restore videos from the command line: `realesrgan video` and inference_realesrgan_video.py."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageFileError, UsageError, VideoFileError
from ..model_zoo import Model
from . import console, models
from .options import VideoOptions, parse

# Torch, PyAV and the like are imported where they are needed, so that --help and wrong usage answer at once.
if TYPE_CHECKING:
    from ..upsampler import RealESRGANer
    from ..video.pipeline import Excerpt, Tally
    from ..video.probe import VideoSource

DEFAULT_MODEL = "realesr-animevideov3"
ESTIMATE_AFTER_FRAMES = 3

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
    model = models.check(options, DEFAULT_MODEL)
    models.check_range("--num_process_per_gpu", options.num_process_per_gpu, 1)
    excerpt = _excerpt(options)
    paths = list(_inputs(options.input))
    models.make_folder(Path(options.output))
    upsamplers: list[RealESRGANer] = []
    failed = 0
    for path in paths:
        try:
            source = _probe(path, excerpt)
            if not upsamplers:
                upsamplers = models.load(options, model, workers_per_device=options.num_process_per_gpu)
            _restore(source, excerpt, upsamplers, options, model)
        except VideoFileError as error:
            failed += 1
            console.say(f"failed: {error}")
    if len(paths) > 1:
        console.announce(f"{len(paths) - failed} videos restored" + (f", {failed} failed" if failed else ""))
    return console.SOME_FAILED if failed else console.DONE


def _excerpt(options: VideoOptions) -> Excerpt:
    from ..video.pipeline import Excerpt

    start_s = 0.0 if options.start is None else _seconds("--start", options.start)
    end_s = None if options.end is None else _seconds("--end", options.end)
    if end_s is not None and end_s <= start_s:
        raise UsageError(f"--end {options.end}: must be after --start")
    return Excerpt(start_s, end_s, None if options.fps is None else _rate(options.fps))


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


def _inputs(words: Sequence[str]) -> Iterator[Path]:
    """A folder that holds videos stands for them; one that holds pictures is a video by itself."""
    from ..image import files

    for word in words:
        path = Path(word)
        entries = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else []
        videos = [entry for entry in entries if entry.suffix.lower()[1:] in VIDEO_EXTENSIONS]
        pictures = any(entry.suffix.lower()[1:] in files.PICTURE_EXTENSIONS for entry in entries)
        yield from videos if videos and not pictures else [path]


VIDEO_EXTENSIONS = frozenset(
    ("mp4", "m4v", "mkv", "webm", "mov", "avi", "ts", "m2ts", "mts", "flv", "wmv", "mpg", "mpeg")
)


def _probe(path: Path, excerpt: Excerpt) -> VideoSource:
    from ..video.probe import probe

    return probe(path, excerpt.rate)


def _restore(
    source: VideoSource,
    excerpt: Excerpt,
    upsamplers: Sequence[RealESRGANer],
    options: VideoOptions,
    model: Model | None,
) -> None:
    from ..video.containers import plan_output
    from ..video.encoding import choose_encoding
    from ..video.pipeline import restore_frames
    from ..video.segments import Workspace
    from ..video.writer import assemble

    encoding = choose_encoding(options.codec, options.crf, options.preset, options.pix_fmt, source.depth_bits)
    extension = None if options.ext in ("auto", "jpg", "png") else options.ext
    output = plan_output(source, encoding, extension)
    name = f"{source.path.stem}_{options.suffix}" if options.suffix else source.path.stem
    target = Path(options.output) / f"{name}.{output.extension}"
    if target.resolve() == source.path.resolve():
        raise UsageError(f"{target} is the input and would be overwritten: choose another -o or --suffix")
    for remark in (*_facts(source), *output.remarks):
        console.say(remark)
    identity = _identity(source, excerpt, options, model, encoding.options | {"": encoding.pixel_format})
    workspace = Workspace(target.with_name(f"{target.name}.work"), identity)
    if workspace.open():
        console.say(f"{workspace.folder} was of another job (other options or another input): begun afresh")
    if workspace.frames_done:
        console.say(f"going on after frame {workspace.frames_done} of an earlier run")
    spec = upsamplers[0].engine.spec
    progress = _Progress(source, excerpt, workspace.frames_done)
    try:
        tally = restore_frames(
            source,
            excerpt,
            [models.restorer(upsampler, options) for upsampler in upsamplers],
            workspace,
            encoding,
            multiply_adds_per_frame=source.area * (spec.multiply_adds if spec else 1e7),
            on_frame=progress.frame_done,
        )
    except KeyboardInterrupt:
        progress.close()
        console.say(
            f"{workspace.frames_done} frames are safe in {workspace.folder}; the same command goes on from there"
        )
        raise
    finally:
        progress.close()
    if not tally.frames:
        raise UsageError("--start lies behind the end of the video: there is nothing to restore")
    time_base = source.time_base if excerpt.rate is None or source.pictures else 1 / excerpt.rate
    losses = _lost(tally, excerpt)
    if losses and options.strict:
        raise VideoFileError(f"{source.path}: {losses} (--strict); the work so far stays in {workspace.folder}")
    copies = assemble(target, workspace, source, time_base, output, start_s=excerpt.start_s, end_s=excerpt.end_s)
    for remark in copies.remarks if copies else ():
        console.say(remark)
    if losses:
        console.say(f"warning: {source.path}: {losses}")
    if tally.losses.resized:
        console.say(f"{source.path}: {tally.losses.resized} frames of another size were resized to the first one's")
    if not options.keep_segments:
        workspace.remove()
    console.announce(_summary(target, source, tally, upsamplers[0], progress, copies.count if copies else 0))


def _facts(source: VideoSource) -> list[str]:
    lines = []
    if source.interlaced:
        lines.append(f"{source.path}: interlaced; each pair of fields becomes one frame")
    if source.has_alpha:
        lines.append(f"{source.path}: its transparency is dropped")
    return lines


def _identity(
    source: VideoSource, excerpt: Excerpt, options: VideoOptions, model: Model | None, encoding: dict[str, str]
) -> dict[str, Any]:
    """All that the result depends on: another value of any of these is another job."""
    stat = source.path.stat()
    pictures = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in source.pictures]
    weights = None
    if options.model_path is not None:
        weights_stat = Path(options.model_path).stat()
        weights = [str(Path(options.model_path).resolve()), weights_stat.st_size, weights_stat.st_mtime_ns]
    return {
        "version": 1,
        "input": [str(source.path.resolve()), stat.st_size, stat.st_mtime_ns, pictures],
        "excerpt": [excerpt.start_s, excerpt.end_s, str(excerpt.rate)],
        "model": [model.name if model else None, weights, options.denoise_strength, options.fp32],
        "picture": [options.outscale, options.tile, options.tile_pad, options.pre_pad],
        "encoding": [options.codec, encoding],
    }


class _Progress:
    """A bar of frames on stderr, and an estimate of the whole after the first few."""

    def __init__(self, source: VideoSource, excerpt: Excerpt, done_before: int) -> None:
        total = source.frame_count or 0
        if source.duration_s and not source.pictures:
            end_s = source.duration_s if excerpt.end_s is None else min(excerpt.end_s, source.duration_s)
            total = round((end_s - excerpt.start_s) * float(excerpt.rate or source.rate))
        self._total = total
        self._before = done_before
        self._bar = console.progress_bar(total, "frame", source.path.name)
        self._bar.update(done_before)
        self._started = time.monotonic()
        self.seconds = 0.0

    def frame_done(self, count: int) -> None:
        self.seconds = time.monotonic() - self._started
        new = count - self._before
        if new == ESTIMATE_AFTER_FRAMES and self._total > count:
            left = self.seconds / new * (self._total - count)
            console.say(f"about {console.duration(left)} for the other {self._total - count} frames")
        self._bar.update(count - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def _lost(tally: Tally, excerpt: Excerpt) -> str:
    losses = tally.losses
    parts = []
    if losses.concealed:
        parts.append(f"{losses.concealed} damaged frames were replaced by the one before")
    if losses.missing_s > 1 and excerpt.end_s is None:
        parts.append(f"the last {losses.missing_s:.1f} s cannot be decoded and are missing")
    reasons = f" ({'; '.join(losses.reasons)})" if losses.reasons else ""
    return " and ".join(parts) + (reasons if parts else "")


def _summary(
    target: Path, source: VideoSource, tally: Tally, upsampler: RealESRGANer, progress: _Progress, copied: int
) -> str:
    from ..device import device_name

    new = tally.frames - tally.done_before
    parts = [f"{target}: {tally.frames} frames"]
    parts += [f"{tally.done_before} from an earlier run"] if tally.done_before else []
    parts += [f"{tally.repeats} repeats computed once"] if tally.repeats else []
    parts += [f"{copied} other stream{'s' if copied != 1 else ''} kept"] if source.others else []
    speed = f"{new / progress.seconds:.2f} frames/s" if progress.seconds and new else "nothing left to compute"
    return ", ".join(parts) + f"; {speed} on {device_name(upsampler.device)}, {console.duration(progress.seconds)}"
