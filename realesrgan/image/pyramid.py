"""A large picture to look at piece by piece: a file of it at full size, half, a quarter and so on, in square tiles.

The file is a tiled pyramidal TIFF of what a screen shows: 8 bits, sRGB, upright.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyvips

from ..errors import ImageFileError
from ..outputs import appearing
from . import metadata, opening, vips

TILE_SIZE = 256  # pixels; what viewers usually ask for
# Not compressed: measured on 16000 × 12000 pixels, deflate at its quickest saves 40 % of 750 MB, but takes 2.2 times as
# long to write and 1.5 times as long for a tile.
_TIFF = {
    "tile": True,
    "tile_width": TILE_SIZE,
    "tile_height": TILE_SIZE,
    "pyramid": True,
    "compression": "none",
    "bigtiff": True,
    "keep": 0,
}
_PNG = {"compression": 1, "filter": "sub", "keep": 0}
_GRID = 17  # levels of each channel by which a profile is compared with sRGB


@dataclass(frozen=True)
class Level:
    """The size in pixels of a picture at one scale, and how many tiles it has across and down."""

    width: int
    height: int

    @property
    def columns(self) -> int:
        return -(-self.width // TILE_SIZE)

    @property
    def rows(self) -> int:
        return -(-self.height // TILE_SIZE)


class Pyramid:
    """Tiles of a file made by `write_pyramid`. Threads may share it.

    Level 0 is the picture at full size. Each further level has half the width and height of the one before, rounded
    down but never to 0. The last one fits into one tile, unless the picture is so thin that it is 1 pixel thick there.
    """

    tile_size = TILE_SIZE

    def __init__(self, path: Path) -> None:
        """Look into a pyramid.

        Raises:
            ImageFileError: there is none, or it is damaged.
        """
        self._path = path
        try:
            full = self._open(0)
            pages = [full, *(self._open(page) for page in range(1, full.get("n-pages")))]
        except vips.ERRORS as error:
            raise ImageFileError(f"{path}: not a pyramid of tiles, or damaged{vips.detail(error)}") from error
        self.levels = tuple(Level(page.width, page.height) for page in pages)

    @property
    def width(self) -> int:
        """The picture's, in pixels."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """The picture's, in pixels."""
        return self.levels[0].height

    def tile(self, level: int, column: int, row: int) -> bytes:
        """A tile as a PNG file: `TILE_SIZE` square, less at the right and the bottom edge.

        Raises:
            IndexError: there is no such tile.
            ImageFileError: the pyramid is gone or damaged.
        """
        if not 0 <= level < len(self.levels):
            raise IndexError(f"level {level}: there are levels 0 to {len(self.levels) - 1}")
        size = self.levels[level]
        if not (0 <= column < size.columns and 0 <= row < size.rows):
            raise IndexError(f"tile {column}, {row}: level {level} has {size.columns} × {size.rows} tiles")
        left, top = column * TILE_SIZE, row * TILE_SIZE
        width, height = min(TILE_SIZE, size.width - left), min(TILE_SIZE, size.height - top)
        try:
            # Opened anew each time, which takes a fraction of the encoding: one that stays open would hold a file and
            # rows of decoded tiles for each level.
            return bytes(self._open(level).crop(left, top, width, height).pngsave_buffer(**_PNG))
        except vips.ERRORS as error:
            raise ImageFileError(f"{self._path}: cannot be read{vips.detail(error)}") from error

    def _open(self, level: int) -> pyvips.Image:
        # A source: libvips would look for options in a name, and take a file of the same name from its cache.
        source = pyvips.Source.new_from_file(os.fsencode(self._path))
        return pyvips.Image.tiffload_source(source, page=level, access="random")


def write_pyramid(picture: Path, target: Path) -> None:
    """Write a pyramid of a picture file, of any kind that `files.read` reads, to `target`; it appears whole or not.

    Its pixels lie where those of `files.read` lie, so they correspond to the restored picture's. An ICC profile is
    applied, 16 bits are rounded to 8, and transparency and gray are kept; PNG's own definitions of colours are not
    applied. The file has four bytes for each pixel of RGB. Pixels are decoded as they are needed, so that it takes a
    third of the picture's bytes in memory, 250 MB for 16000 × 12000; one that has to be turned is held whole. Only one
    thread at a time may write to `target`.

    Raises:
        ImageFileError: the file is not a picture, is damaged or has samples of another kind, or the disk refuses.
    """
    image = opening.open_known(picture, tolerant=True)
    try:
        with appearing(target, ImageFileError) as part, part.open("w+b", buffering=0) as file:
            if not isinstance(image, pyvips.Image):
                image = vips.from_array(image, gray_alpha=False)
            vips.encode(_shown(opening.upright(image, picture)), "tiffsave", _TIFF, file, partial(vips.write_all, file))
    except vips.ERRORS as error:
        raise opening.Damaged(picture, error) from error


def _shown(image: pyvips.Image) -> pyvips.Image:
    """8 or 16 bits, gray or RGB, with or without alpha → 8 bits of sRGB or gray, as a screen shows them."""
    has_alpha = image.hasalpha()
    colours = image[: image.bands - 1] if has_alpha else image
    block = vips.value_of(image, "icc-profile-data")
    shown = _in_srgb(colours, metadata.whole_profile(block) if block else None)
    if has_alpha:
        shown = shown.bandjoin(_in_8_bits(image[image.bands - 1]))
    return shown.copy(interpretation="b-w" if shown.bands < 3 else "srgb")


def _in_srgb(colours: pyvips.Image, profile: bytes | None) -> pyvips.Image:
    """Apply an ICC profile; one that is damaged, or of other channels, counts as none, as in browsers."""
    plain = _in_8_bits(colours)
    if profile is None:
        return plain
    try:
        if colours.bands == 3 and _is_srgb(profile):
            return plain
        return _transformed(colours, profile)
    except vips.ERRORS:
        return plain


def _is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile means what everybody assumes: then pixels stay as they are, and it takes half the time."""
    steps = np.linspace(0, 255, _GRID).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    shown = _transformed(pyvips.Image.new_from_array(grid, interpretation="srgb"), profile).numpy()
    return bool(np.abs(shown.astype(int) - grid).max() <= 1)


def _transformed(colours: pyvips.Image, profile: bytes) -> pyvips.Image:
    with_profile = colours.copy()
    with_profile.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return with_profile.icc_transform("srgb", embedded=True, depth=8)


def _in_8_bits(image: pyvips.Image) -> pyvips.Image:
    return image if image.format == "uchar" else image.linear(1 / 257, 0).rint().cast("uchar")
