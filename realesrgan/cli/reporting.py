"""Reporters for a terminal: messages on stderr, results on stdout, a bar that also moves within a picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..restorer import Reporter
from ..words import count, duration
from . import console

if TYPE_CHECKING:
    from ..restorer import FacePair

R = TypeVar("R", bound="ConsoleReporter")

ESTIMATE_FROM_FRAMES = 2  # after the first
WORTH_ESTIMATING_S = 1.0


class ConsoleReporter(Reporter):
    """Prints what it is told and counts what became of the inputs. Use it in `with`, which closes its bars."""

    def __init__(self) -> None:
        self._downloads = console.DownloadBars()
        self._lock = threading.RLock()
        self.finished_count = 0
        self.failed_count = 0
        self.faces: int | None = None  # None: nobody looked for any

    def remark(self, message: str) -> None:
        console.say(message)

    def warn(self, message: str) -> None:
        console.say(f"warning: {message}")

    def downloading(self, name: str, address: str, here_bytes: int, total_bytes: int | None) -> None:
        self._downloads.report(name, address, here_bytes, total_bytes)

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        with self._lock:
            self.faces = (self.faces or 0) + len(pairs)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        with self._lock:
            self.finished_count += 1
        console.print_result(f"{target}  {facts}")

    def failed(self, source: Path, reason: str) -> None:
        with self._lock:
            self.failed_count += 1
        console.say(f"failed: {reason if str(source) in reason else f'{source}: {reason}'}")

    def close(self) -> None:
        self._downloads.close()

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class PictureReporter(ConsoleReporter):
    """One bar of pixels for all pictures; `areas` has the size of each."""

    def __init__(self, areas: dict[Path, int]) -> None:
        super().__init__()
        self._areas = areas
        self._done: dict[Path, float] = {}
        self.pixels_done = 0
        self._bar = console.progress_bar(sum(areas.values()), "px")

    def progressed(self, source: Path, done: float) -> None:
        with self._lock:
            before = self._done.get(source, 0.0)
            self._bar.update(max(0.0, done - before))
            self._done[source] = max(done, before)
            number = self.finished_count + self.failed_count + 1
            self._bar.set_description_str(f"{number}/{len(self._areas)} {source.name}", refresh=False)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.progressed(source, self._areas[source])
        with self._lock:
            self.pixels_done += self._areas[source]
        super().finished(source, target, facts)

    def failed(self, source: Path, reason: str) -> None:
        self.progressed(source, self._areas.get(source, 0))
        super().failed(source, reason)

    def close(self) -> None:
        super().close()
        self._bar.close()


class FactsReporter(PictureReporter):
    """For a command whose results are not files of its own: what is said of each picture goes to stderr."""

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.progressed(source, self._areas[source])
        with self._lock:
            self.finished_count += 1
        console.say(f"{source}: {facts}")


class MeasuringReporter(ConsoleReporter):
    """One bar of pixels for all pairs of results and originals."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self._done: dict[Path, float] = {}
        self._bar = console.progress_bar(pixels, "px")

    def progressed(self, source: Path, done: float) -> None:
        with self._lock:
            self._bar.set_description_str(source.name, refresh=False)
            self._bar.update(max(0.0, done - self._done.get(source, 0.0)))
            self._done[source] = done

    def close(self) -> None:
        super().close()
        self._bar.close()


class VideoReporter(ConsoleReporter):
    """A bar of frames for each video, and an estimate of the time after its first few frames."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = console.progress_bar(0, "frame")
        self._total = 0
        self._first: tuple[float, float] | None = None  # when the first progress came, and how much was done then
        self._is_estimated = False

    def started(self, source: Path, total: int, done: int = 0) -> None:
        self._bar.close()
        self._bar = console.progress_bar(total, "frame", source.name)
        self._bar.update(done)
        self._total, self._first, self._is_estimated = total, None, False

    def progressed(self, source: Path, done: float) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)  # what comes before is starting up, not speed
        began, done_then = self._first
        if done - done_then >= ESTIMATE_FROM_FRAMES and not self._is_estimated:
            self._is_estimated = True
            missing = self._total - round(done)
            left = (now - began) / (done - done_then) * missing
            if left >= WORTH_ESTIMATING_S:
                console.say(f"about {duration(left)} for the other {count(missing, 'frame')}")
        self._bar.update(done - self._bar.n)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self._bar.close()
        super().finished(source, target, facts)

    def close(self) -> None:
        super().close()
        self._bar.close()


class CheckingReporter(ConsoleReporter):
    """A bar of pictures that are checked."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = console.progress_bar(0, "picture")

    def started(self, source: Path, total: int, done: int = 0) -> None:
        self._bar.close()
        self._bar = console.progress_bar(total, "picture", "checking")

    def progressed(self, source: Path, done: float) -> None:
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        super().close()
        self._bar.close()
