"""The contracts of a job: with what restores a frame, and with whoever started the job. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from .arrays import Array  # not at run time: front ends need a Reporter before they need OpenCV

AlphaUpsampler: TypeAlias = Literal["realesrgan", "bicubic"]  # how transparency is enlarged
FacePair: TypeAlias = "tuple[Array, Array]"  # a face as cut out and as restored, both (512, 512, 3) BGR


def _ignore(pairs: Sequence[FacePair]) -> None:
    """What becomes of faces nobody asked for."""


@dataclass(frozen=True)
class Listener:
    """What a restorer tells as it works: the share that is done, from 0 to 1, and the faces it restored.

    Both may raise, to cancel.
    """

    progressed: Callable[[float], None]
    restored_faces: Callable[[Sequence[FacePair]], None] = _ignore


# What the pipelines take: a frame, and whom to tell, to a frame.
Restorer: TypeAlias = "Callable[[Array, Listener], Array]"


class Reporter:
    """Hears what a job does, for pictures and videos alike. Override what you want to hear; the rest is ignored.

    Methods are called from several threads, at most one at a time for each source. Paths are those of the inputs.
    Messages name options in backticks (see `errors.spell`).
    """

    def check(self) -> None:
        """Called often, even within a large picture. Raise `errors.Cancelled` to stop: what is finished stays."""

    def remark(self, message: str) -> None:
        """Something worth knowing about the work: what computes, what is not as usual."""

    def warn(self, message: str) -> None:
        """Something that the result suffers from."""

    def downloading(self, name: str, address: str, here_bytes: int, total_bytes: int | None) -> None:
        """A weights file is on its way; called at the start and after every piece."""

    def started(self, source: Path, total: int, done: int = 0) -> None:
        """Work on `source` begins: `total` pixels of a picture or frames of a video (0: unknown), `done` before."""

    def progressed(self, source: Path, done: float) -> None:
        """So many of the pixels or frames are done, earlier runs' included."""

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        """Faces were restored in a picture, or in a video's `frame`; there may be none in it."""

    def finished(self, source: Path, target: Path, facts: str) -> None:
        """`target` is written; `facts` says in a few words how large it is and how it went."""

    def failed(self, source: Path, reason: str) -> None:
        """`source` could not be restored; the others go on."""


class Relay(Reporter):
    """Passes everything on to another reporter; for those who also want to hear some of it."""

    def __init__(self, to: Reporter) -> None:
        self.to = to

    def check(self) -> None:
        self.to.check()

    def remark(self, message: str) -> None:
        self.to.remark(message)

    def warn(self, message: str) -> None:
        self.to.warn(message)

    def downloading(self, name: str, address: str, here_bytes: int, total_bytes: int | None) -> None:
        self.to.downloading(name, address, here_bytes, total_bytes)

    def started(self, source: Path, total: int, done: int = 0) -> None:
        self.to.started(source, total, done)

    def progressed(self, source: Path, done: float) -> None:
        self.to.progressed(source, done)

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        self.to.restored_faces(source, frame, pairs)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.to.finished(source, target, facts)

    def failed(self, source: Path, reason: str) -> None:
        self.to.failed(source, reason)
