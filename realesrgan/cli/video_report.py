"""What the video command tells about a job: what is not as usual, how far it is, what was lost, how it went."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import console

# Torch, PyAV and the like are imported where they are needed, so that --help and wrong usage answer at once.
if TYPE_CHECKING:
    from ..upsampler import RealESRGANer
    from ..video.encoding import Encoding
    from ..video.output_plan import OutputPlan
    from ..video.pipeline import Excerpt, Tally
    from ..video.sources.source import VideoSource

ESTIMATE_AFTER_FRAMES = 3
WORTH_ESTIMATING_S = 1.0


@dataclass(frozen=True)
class Job:
    """All that is settled about one video before any of it is computed."""

    source: VideoSource
    encoding: Encoding
    plan: OutputPlan
    target: Path


def facts(job: Job) -> list[str]:
    source = job.source
    lines = []
    if source.interlaced:
        lines.append(f"{source.path}: interlaced; each pair of fields becomes one frame")
    if source.has_alpha:
        lines.append(f"{source.path}: its transparency is dropped")
    if source.depth_bits > 8 and job.encoding.depth_bits == 8:
        lines.append(f"{source.path}: has {source.depth_bits} bits, of which {job.encoding.codec} here keeps 8")
    if source.hdr and source.hdr.is_static and not source.hdr.options(job.encoding.codec):
        lines.append(f"{source.path}: mastering-display and light-level data are lost: {job.encoding.codec} takes none")
    if source.hdr and source.hdr.dynamic:
        lines.append(f"{source.path}: its HDR10+ or Dolby Vision data, which change with the scene, are left out")
    return lines


class Progress:
    """A bar of frames on stderr, and an estimate of the whole after the first few."""

    def __init__(self, source: VideoSource, excerpt: Excerpt, done_before: int) -> None:
        total = source.frame_count or 0
        if source.duration_s:
            end_s = source.duration_s if excerpt.end_s is None else min(excerpt.end_s, source.duration_s)
            total = round((end_s - excerpt.start_s) * float(source.rate))
        self._total = total
        self._before = done_before
        self._bar = console.progress_bar(total, "frame", source.path.name)
        self._bar.update(done_before)
        self._started = self._computing_since = time.monotonic()
        self.seconds = 0.0
        self.faces: int | None = None  # None: nobody looked for any
        self._lock = threading.Lock()

    def restored_faces(self, count: int) -> None:
        """Count the faces of one more frame; called from every restoring thread."""
        with self._lock:
            self.faces = (self.faces or 0) + count

    def frame_done(self, count: int) -> None:
        new = count - self._before
        now = time.monotonic()
        self.seconds = now - self._started
        if new == 1 and self._before:
            self._computing_since = now  # until now, what an earlier run did was only read past
        timed = new - 1 if self._before else new
        left = (now - self._computing_since) / max(timed, 1) * (self._total - count)
        if new == ESTIMATE_AFTER_FRAMES and left >= WORTH_ESTIMATING_S:
            console.say(f"about {console.duration(left)} for the other {self._total - count} frames")
        self._bar.update(count - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def lost(tally: Tally, excerpt: Excerpt) -> str:
    losses = tally.losses
    parts = []
    if losses.concealed:
        parts.append(f"{losses.concealed} damaged frames were replaced by the one before")
    if losses.missing_s and excerpt.end_s is None:
        parts.append(f"the last {losses.missing_s:.1f} s cannot be decoded and are missing")
    reasons = f" ({'; '.join(losses.reasons)})" if losses.reasons else ""
    return " and ".join(parts) + (reasons if parts else "")


def summary(job: Job, tally: Tally, upsamplers: Sequence[RealESRGANer], progress: Progress, copied: int) -> str:
    from ..engine.device import device_name

    new = tally.frames - tally.done_before
    parts = [f"{job.target}: {console.count(tally.frames, 'frame')}"]
    parts += [f"{tally.done_before} from an earlier run"] if tally.done_before else []
    parts += [f"{console.count(tally.repeats, 'repeat')} computed once"] if tally.repeats else []
    parts += [console.count(progress.faces, "face")] if progress.faces is not None else []
    parts += [f"{console.count(copied, 'other stream')} kept"] if job.source.others else []
    speed = f"{new / progress.seconds:.2f} frames/s" if progress.seconds and new else "nothing left to compute"
    devices = " and ".join(dict.fromkeys(device_name(upsampler.device) for upsampler in upsamplers))
    return ", ".join(parts) + f"; {speed} on {devices}, {console.duration(progress.seconds)}"
