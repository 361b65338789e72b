"""What a job talks to: Restorer, which restores a frame, and Reporter, which is told what happens. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from .arrays import Array  # not at run time: front ends need a Reporter before they need OpenCV

AlphaUpsampler: TypeAlias = Literal["realesrgan", "bicubic"]  # how transparency is enlarged
KernelVariant: TypeAlias = Literal["amx", "avx512", "avx2"]  # of the compiled kernels, from the fastest
# What computes: torch, the compiled kernels ("native") in their fastest variant here or in the one named, or "auto",
# those where they can.
EngineKind: TypeAlias = Literal["auto", "native", "torch", KernelVariant]
FacePair: TypeAlias = "tuple[Array, Array]"  # a face as cut out and as restored, both (512, 512, 3) BGR


def _ignore(pairs: Sequence[FacePair]) -> None:
    """Do nothing with the faces."""


@dataclass(frozen=True)
class Listener:
    """What a restorer calls as it works, with the share that is done, from 0 to 1, and with the faces it restored.

    Both functions may raise, to cancel.
    """

    progressed: Callable[[float], None]
    restored_faces: Callable[[Sequence[FacePair]], None] = _ignore


# What the pipelines call with a frame, to get it restored.
Restorer: TypeAlias = "Callable[[Array, Listener], Array]"


class Reporter:
    """Is told what a job does, for pictures and videos alike. Override the methods you need; the others do nothing.

    Methods are called from several threads, but for each source by one at a time. Paths are those of the inputs.
    Messages name options in backticks (see `errors.spell`).
    """

    def check(self) -> None:
        """Called often, even within a large picture. Raise `errors.Cancelled` to stop; what is finished stays."""

    def remark(self, message: str) -> None:
        """Something worth knowing: which device computes, what is unusual about an input."""

    def warn(self, message: str) -> None:
        """Something that makes the result worse."""

    def about_machines(self, message: str, *, warning: bool) -> None:
        """Something about the nodes that work, not about a file: by default a remark or a warning as any other."""
        (self.warn if warning else self.remark)(message)

    def downloading(self, name: str, address: str, here_bytes: int, total_bytes: int | None) -> None:
        """A weights file is being downloaded; called at the start and after every chunk."""

    def started(self, source: Path, total: int, done: int = 0) -> None:
        """Work on `source` begins: `total` pixels of a picture or frames of a video (0: unknown), `done` earlier."""

    def progressed(self, source: Path, done: float) -> None:
        """So many pixels or frames are done, those of earlier runs included."""

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        """The faces in a picture, or in a video's `frame`, were restored; there may be none."""

    def finished(self, source: Path, target: Path, facts: str) -> None:
        """`target` is written; `facts` says briefly how large it is and how long it took."""

    def failed(self, source: Path, reason: str) -> None:
        """`source` could not be restored; the others go on."""


class Relay(Reporter):
    """Passes everything on to another reporter; a base for those that also act on some of it."""

    def __init__(self, to: Reporter) -> None:
        self.to = to

    def check(self) -> None:
        self.to.check()

    def remark(self, message: str) -> None:
        self.to.remark(message)

    def warn(self, message: str) -> None:
        self.to.warn(message)

    def about_machines(self, message: str, *, warning: bool) -> None:
        self.to.about_machines(message, warning=warning)

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
