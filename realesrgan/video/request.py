"""A Request, which options of a video job are, and the VideoJob that is planned from it before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..errors import RealESRGANError, UsageError, VideoFileError
from ..image.batch import check_suffix
from ..loading import Settings, Setup, check
from ..model_zoo import DEFAULT_VIDEO_MODEL
from ..outputs import refuse_overwrites
from ..restorer import Reporter
from .encoding import Encoding, choose_encoding
from .inputs import expand
from .output_plan import OutputPlan, plan_output
from .pipeline import Excerpt
from .probe import probe
from .sources.source import VideoSource

EXTENSIONS = ("mp4", "mkv", "mov", "webm")
MOST_FPS = 1000


@dataclass(frozen=True)
class Request:
    """Which part of a video, and how the result is encoded and written; the names are those of the command line.

    Attributes:
        output: the folder for results, named {stem}_{suffix}.{extension}.
        ext: the container; "auto" is mp4, or mkv where mp4 cannot hold a stream.
        fps: frames per second of a folder of frames (default 24); re-times a video to this constant rate.
        start_s, end_s: which part.
        codec, crf, preset, pix_fmt: FFmpeg's encoder, its quality and speed, and the pixel format; None: automatic.
        strict: refuse a damaged input instead of keeping what can be decoded.
        repeat_damaged: in a folder of frames, repeat the frame before a damaged one instead of refusing.
        skip_existing: leave out videos whose result exists.
        keep_segments: keep the working folder.
        save_faces: a folder to write each face into, as cut out and as restored.
    """

    output: Path = Path("results")
    suffix: str = "out"
    ext: str = "auto"
    fps: Fraction | None = None
    start_s: float = 0.0
    end_s: float | None = None
    codec: str = "libx264"
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    strict: bool = False
    repeat_damaged: bool = False
    skip_existing: bool = False
    keep_segments: bool = False
    save_faces: Path | None = None


@dataclass(frozen=True)
class VideoJob:
    """All that is decided about one video before any of it is computed."""

    source: VideoSource
    encoding: Encoding
    plan: OutputPlan
    target: Path
    excerpt: Excerpt

    @property
    def frame_count(self) -> int:
        """How many frames the result should have, judging by the file's headers; 0: unknown."""
        source = self.source
        if source.duration_s is None:
            return source.frame_count or 0
        end_s = source.duration_s if self.excerpt.end_s is None else min(self.excerpt.end_s, source.duration_s)
        if self.excerpt == Excerpt() and source.frame_count:
            return source.frame_count
        return max(0, round((end_s - self.excerpt.start_s) * float(source.rate)))

    def facts(self) -> Iterator[str]:
        """Yield a line for each unusual property of the input, and for each that the result loses."""
        source, name = self.source, self.source.path
        if source.interlaced:
            yield f"{name}: interlaced; each pair of fields becomes one frame"
        if source.has_alpha:
            yield f"{name}: its transparency is dropped"
        if source.depth_bits > 8 and self.encoding.depth_bits == 8:
            yield f"{name}: has {source.depth_bits} bits, but {self.encoding.codec} here encodes only 8"
        if source.hdr and source.hdr.is_static and not source.hdr.options(self.encoding.codec):
            yield f"{name}: mastering-display and light-level data are lost: {self.encoding.codec} cannot write them"
        if source.hdr and source.hdr.dynamic:
            yield f"{name}: its HDR10+ or Dolby Vision data, which change with the scene, are left out"
        yield from (f"{name}: {remark}" for remark in self.plan.remarks)


def check_request(request: Request, settings: Settings) -> Setup:
    """Validate all options, before any input is opened.

    Raises:
        UsageError: an option is invalid.
    """
    setup = check(settings, DEFAULT_VIDEO_MODEL)
    check_suffix(request.suffix)
    if request.ext not in ("auto", *EXTENSIONS):
        raise UsageError(f"`ext` {request.ext}: must be auto or one of {', '.join(EXTENSIONS)}")
    if not 0 <= request.start_s < float("inf"):
        raise UsageError(f"`start` {request.start_s}: must be seconds from 0 upwards")
    if request.end_s is not None and not request.start_s < request.end_s < float("inf"):
        raise UsageError(f"`end` {request.end_s:g}: must be after `start` {request.start_s:g}")
    if request.fps is not None and not 0 < request.fps <= MOST_FPS:
        raise UsageError(f"`fps` {request.fps}: must be above 0, at most {MOST_FPS}")
    if request.save_faces is not None and not settings.face_enhance:
        raise UsageError(f"`save_faces` {request.save_faces}: goes with `face_enhance`")
    return setup


def find_videos(inputs: Sequence[str | Path], reporter: Reporter) -> list[Path]:
    """The videos and folders of frames that `inputs` name; one that cannot be used is reported as failed.

    Raises:
        UsageError: an input does not exist, or has no name.
    """
    paths: list[Path] = []
    for given in inputs:
        if not str(given):
            raise UsageError("`input`: an empty name; . is the folder you are in")
        try:
            expanded = expand(Path(given))
        except VideoFileError as error:
            reporter.failed(Path(given), error.message)
            continue
        for line in expanded.remarks:
            reporter.remark(line)
        paths += [path for path in expanded.videos if path not in paths]
    return paths


def plan_job(path: Path, request: Request) -> VideoJob:
    """Probe a video, and decide on the encoding, the container, and what becomes of its other streams.

    Raises:
        UsageError: there is no such input, or the encoder or container cannot be used.
        VideoFileError: it is not a video, or damaged.
    """
    source = probe(path, request.fps, repeat_damaged=request.repeat_damaged and not request.strict)
    encoding = choose_encoding(
        request.codec, request.crf, request.preset, request.pix_fmt, source.depth_bits, source.hdr
    )
    outputs = plan_output(source, encoding, None if request.ext == "auto" else request.ext)
    stem = path.resolve().stem
    name = f"{stem}_{request.suffix}" if request.suffix else stem
    target = request.output / f"{name}.{outputs.extension}"
    return VideoJob(source, encoding, outputs, target, Excerpt(request.start_s, request.end_s))


def plan_jobs(paths: Sequence[Path], request: Request, reporter: Reporter) -> list[VideoJob]:
    """Plan every video; one that cannot be planned is reported as failed, and the others go on.

    Raises:
        UsageError: an input is not there, an option suits none, or a file would be overwritten.
    """
    planned: list[VideoJob] = []
    for path in paths:
        reporter.check()
        try:
            planned.append(plan_job(path, request))
        except UsageError:
            raise
        except RealESRGANError as error:
            reporter.failed(path, error.message)
    refuse_overwrites((job.source.path, [job.target]) for job in planned)
    return planned


def parse_fps(fps: float | str | Fraction) -> Fraction:
    """25, "23.976" or "24000/1001" → frames per second.

    Raises:
        UsageError: it is not such a number.
    """
    try:
        return Fraction(fps).limit_denominator(1001)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        raise UsageError(f"`fps` {fps}: give frames per second, as 25, 23.976 or 24000/1001") from None
