"""Measures one pair: two pictures, or two videos frame by frame. What fails is reported, and costs what it must."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from ..arrays import Array, opencv_memory_errors
from ..errors import RealESRGANError, UsageError
from ..image import files
from ..restorer import Reporter
from ..video.sources.folder import FolderSource
from ..video.sources.source import Frame, Reading
from ..words import count
from . import temporal
from .fidelity import crop
from .metric import Metric, mean
from .pairs import Pair

Values = dict[str, float]


@dataclass(frozen=True)
class Row:
    """What was measured of a pair: values by metric; of a video those of the whole.

    `worst` and `frames` are of videos: by each metric the worst frame's value, and the values of each frame.
    """

    pair: Pair
    values: Values
    worst: Values = field(default_factory=dict)
    frames: tuple[Values, ...] = ()


class Measuring:
    """Measures a pair by `metrics`, without `border` pixels on each side. `check` may raise, to stop.

    `failures` has a line for each failure, which `reporter` has heard, too.
    """

    def __init__(
        self, pair: Pair, metrics: Sequence[Metric], border: int, reporter: Reporter, check: Callable[[], None]
    ) -> None:
        self._pair = pair
        self._metrics = metrics
        self._border = border
        self._reporter = reporter
        self._check = check
        self.failures: list[str] = []

    def run(self) -> Row | None:
        """Measure; None if the pair as a whole failed."""
        pair = self._pair
        self._reporter.started(pair.result, pair.pixels)
        try:
            with opencv_memory_errors():
                if min(pair.width, pair.height) <= 2 * self._border:
                    raise UsageError(f"`border` {self._border} leaves nothing of {pair.width}×{pair.height} pixels")
                return self._picture() if pair.videos is None else self._video()
        except MemoryError:
            self._failed("not enough memory to measure it")
        except RealESRGANError as error:
            self._failed(error.message)
        except OSError as error:
            self._failed(str(error))
        finally:
            self._reporter.progressed(pair.result, pair.pixels)
        return None

    def _failed(self, reason: str) -> None:
        self.failures.append(reason if str(self._pair.result) in reason else f"{self._pair.result}: {reason}")
        self._reporter.failed(self._pair.result, reason)

    def _values(self, result: Array, original: Array, failed: dict[str, str]) -> Values:
        """Values by metric; one that fails is NaN, and why is noted in `failed`, the first time."""
        values = {}
        for metric in self._metrics:
            self._check()
            try:
                values[metric.name] = metric.measure(result, original)
            except RealESRGANError as error:
                values[metric.name] = math.nan
                failed.setdefault(metric.name, error.message)
        return values

    def _picture(self) -> Row:
        pictures = []
        for path in (self._pair.result, self._pair.original):
            self._check()
            picture = files.read(path)
            for line in picture.warnings:
                self._reporter.warn(f"{path}: {line}")
            pictures.append(crop(picture.pixels, self._border))
        failed: dict[str, str] = {}
        values = self._values(pictures[0], pictures[1], failed)
        self._explain(values, failed)
        return Row(self._pair, values)

    def _explain(self, values: Values, failed: dict[str, str]) -> None:
        """Report metrics that failed, and those that have no value."""
        for line in failed.values():
            self._failed(line)
        if nothing := [name for name, value in values.items() if math.isnan(value) and name not in failed]:
            self._reporter.remark(f"{self._pair.result}: too small to measure {', '.join(nothing)}")

    def _video(self) -> Row:
        assert self._pair.videos is not None
        result, original = self._pair.videos
        clocks = _Clocks(self._pair)
        steadiness = temporal.Steadiness()
        frames: list[Values] = []
        failed: dict[str, str] = {}
        with result.frames() as ours, original.frames() as theirs:
            for one, other in zip_longest(ours, theirs):
                self._check()
                clocks.count(one is not None, other is not None)
                if one is None or other is None:
                    continue  # only counted
                clocks.compare(one.index, one.pts, other.pts)
                pixels = crop(one.pixels, self._border), crop(other.pixels, self._border)
                frames.append(self._values(*pixels, failed) | steadiness.add(*pixels))
                self._reporter.progressed(self._pair.result, len(frames) * self._pair.width * self._pair.height)
        for line in (*clocks.remarks(), *_damage(self._pair, ours, theirs)):
            self._reporter.warn(f"{self._pair.result}: {line}")
        values = {metric.name: mean([frame[metric.name] for frame in frames]) for metric in self._metrics}
        self._explain(values, failed)
        worst = {metric.name: metric.worst([frame[metric.name] for frame in frames]) for metric in self._metrics}
        for name in temporal.NAMES:
            worst[name] = max((frame[name] for frame in frames if not math.isnan(frame[name])), default=math.nan)
        return Row(self._pair, values | steadiness.totals(), worst, tuple(frames))


class _Clocks:
    """Counts the frames of both videos, and finds those that are shown at other times."""

    def __init__(self, pair: Pair) -> None:
        assert pair.videos is not None
        self._ticks = [video.time_base for video in pair.videos]
        # Pictures in a folder have no times of their own.
        self._have_times = not any(isinstance(video, FolderSource) for video in pair.videos)
        self._original = pair.original
        self._counts = [0, 0]
        self._first_apart: int | None = None  # the first frame shown at another time
        self._most_apart_s = 0.0

    def count(self, *present: bool) -> None:
        for side, is_there in enumerate(present):
            self._counts[side] += is_there

    def compare(self, index: int, *pts: int) -> None:
        ours, theirs = (number * tick for number, tick in zip(pts, self._ticks, strict=True))
        if self._have_times and abs(ours - theirs) > max(self._ticks):  # containers round times to their ticks
            self._first_apart = index if self._first_apart is None else self._first_apart
            self._most_apart_s = max(self._most_apart_s, float(abs(ours - theirs)))

    def remarks(self) -> list[str]:
        lines = []
        ours, theirs = self._counts
        if ours != theirs:
            lines.append(
                f"has {count(ours, 'frame')}, and {self._original} {theirs}; the first {min(ours, theirs)} count"
            )
        if self._first_apart is not None:
            lines.append(
                f"from frame {self._first_apart} on, {self._original} shows its frames at other times, by up to "
                f"{self._most_apart_s:.3f} s; frames are compared by their number"
            )
        return lines


def _damage(pair: Pair, ours: Reading[Frame], theirs: Reading[Frame]) -> list[str]:
    """A line for each of the two videos in which frames cannot be decoded."""
    return [
        f"{count(reading.losses.concealed, 'frame')} of {path} cannot be decoded and repeat the one before"
        for path, reading in ((pair.result, ours), (pair.original, theirs))
        if reading.losses.concealed
    ]
