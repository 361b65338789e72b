"""A unit at a worker: where its files are, how far it is, and whether anybody still wants it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from ..errors import RealESRGANError
from ..restorer import FacePair
from .turns import Ticket


class Dropped(Exception):
    """Ends the work on a unit that nobody wants any more."""


class AtFault(RealESRGANError):
    """The unit itself is at fault: no other worker could do it."""


class Work:
    """One unit: its content in `content`, and files made of it in `files`, in the order they are to be sent.

    `share` is how much is done, None before it begins to be computed.
    """

    def __init__(self, folder: Path, ticket: Ticket) -> None:
        self.folder = folder
        self.ticket = ticket
        self.share: float | None = None
        self.files: list[Path] = []
        self.is_over = False
        self.is_dropped = False

    @property
    def content(self) -> Path:
        return self.folder / "content"

    def drop(self) -> None:
        self.is_dropped = True

    def check(self) -> None:
        """Raise Dropped if nobody wants this any more."""
        if self.is_dropped:
            raise Dropped

    def progressed(self, share: float) -> None:
        self.check()
        self.share = share

    def add_faces(self, pairs: Sequence[FacePair]) -> None:
        """Send faces along: each as cut out and as restored, without loss."""
        for pixels in (pixels for pair in pairs for pixels in pair):
            path = self.folder / f"face{len(self.files):06d}"
            path.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
            self.files.append(path)
