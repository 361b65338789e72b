"""Restore a picture at a worker, as the pipeline on one machine does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import ImageFileError
from ..image import files
from ..image.jobs import PictureJob
from ..image.restoring import restore
from ..restorer import FacePair, Reporter, Restorer
from ..words import duration
from .units import PictureFacts, PictureOrder
from .work import AtFault, Work

# libvips keeps what it says of an error for the whole process: with two at a time, one picture's words could be said
# of another.
_reading = threading.Lock()


def restore_picture(work: Work, order: PictureOrder, restorer: Restorer, label: str) -> PictureFacts:
    """Read the content of a unit, restore it and write what is to be made of it.

    Raises:
        AtFault: it is damaged.
        RealESRGANError, OSError, MemoryError: the device or the disk fails.
    """
    source = _named(work, order.name)
    try:
        with _reading:
            header = files.read_header(source)
            if header is None:
                raise ImageFileError(f"{source}: not a picture")
            picture = files.read(source)
    except ImageFileError as error:
        raise AtFault(_as_known(error.message, source, order)) from error
    targets = tuple(work.folder / "made" / name for name in order.targets)
    targets[0].parent.mkdir()
    faces = _Faces()
    began = time.monotonic()
    made = restore(restorer, faces, label, PictureJob(source, header, targets), picture, work.progressed)
    seconds = time.monotonic() - began
    lost: list[str] = []
    for path, result in made.files:
        work.check()
        lost += files.write(path, result, order.quality)
        work.files.append(path)
    results = len(work.files)
    if order.wants_faces:
        work.add_faces(faces.pairs or ())
    return PictureFacts(
        remarks=picture.remarks,
        warnings=(*picture.warnings, *lost),
        facts=(*made.facts, duration(seconds)),
        faces=None if faces.pairs is None else len(faces.pairs),
        files=results,
    )


def _named(work: Work, name: str) -> Path:
    """The content under its own name, whose ending counts."""
    path = work.folder / "sent" / name
    path.parent.mkdir()
    return work.content.rename(path)


def _as_known(message: str, source: Path, order: PictureOrder) -> str:
    """A message with the picture called as on the machine that sent it."""
    return message.replace(str(source), order.source)


class _Faces(Reporter):
    def __init__(self) -> None:
        self.pairs: Sequence[FacePair] | None = None

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        self.pairs = pairs
