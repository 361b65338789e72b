"""Write the faces of a picture, as cut out and as restored, each into a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..restorer import FacePair
from . import files


def save_faces(folder: Path, stem: str, pairs: Sequence[FacePair]) -> None:
    """Write each face twice, as {stem}_00_cropped.png and {stem}_00_restored.png.

    Raises:
        ImageFileError: the disk refuses.
        OSError: the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(pairs):
        for name, pixels in zip(("cropped", "restored"), pair, strict=True):
            files.write(folder / f"{stem}_{number:02d}_{name}.png", files.Picture(pixels))
