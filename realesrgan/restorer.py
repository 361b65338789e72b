"""The contract between the pipelines and what restores: a frame and a listener in, a frame out. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .arrays import Array

FacePair = tuple[Array, Array]  # a face as cut out and as restored, both (512, 512, 3) BGR


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
Restorer = Callable[[Array, Listener], Array]
