"""Pictures and a clip to try the page with. They come with the package; in a checkout they are those in inputs/."""

from __future__ import annotations

from pathlib import Path

from .models import Sample

# setup.py puts these files of inputs/ into the package.
NAMES = ("cat.jpg", "comic.jpg", "portrait.jpg", "video/clip.mkv")
_PACKAGE = Path(__file__).parent / "samples"
_CHECKOUT = Path(__file__).parents[2] / "inputs"


def samples() -> dict[str, Path]:
    """The samples that are there, by name."""
    folder = _PACKAGE if _PACKAGE.is_dir() else _CHECKOUT
    paths = [folder / name for name in NAMES]
    return {path.name: path for path in paths if path.is_file()}


def described() -> list[Sample]:
    """The samples as the page lists them."""
    return [
        Sample(name=name, address=f"/samples/{name}", kind="video" if path.parent.name == "video" else "picture")
        for name, path in samples().items()
    ]
