"""Tile geometry: which pixels to read, and which of the results to keep. Knows nothing of torch, files or devices."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_TILE_PAD = 10  # input pixels on every side; the published value, though RRDBNet's result depends on far more


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; `bottom` and `right` are the first row and column outside it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def area(self) -> int:
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """What to index the last two axes of an (…, H, W) tensor with, or the first two of an (H, W, …) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def clipped(self, height: int, width: int) -> Box:
        """The part of it within a picture of height × width."""
        return Box(min(self.top, height), min(self.left, width), min(self.bottom, height), min(self.right, width))

    def scaled(self, scale: int) -> Box:
        return Box(self.top * scale, self.left * scale, self.bottom * scale, self.right * scale)

    def shifted(self, rows: int, columns: int) -> Box:
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def relative_to(self, outer: Box) -> Box:
        """The same rectangle in the coordinates of `outer`."""
        return self.shifted(-outer.top, -outer.left)

    def grown(self, pad: int, height: int, width: int, multiple: int = 1) -> Box:
        """Grow by `pad` on every side and on to multiples of `multiple`, clipped to a picture of height × width."""
        return Box(
            max(0, (self.top - pad) // multiple * multiple),
            max(0, (self.left - pad) // multiple * multiple),
            min(height, -(-(self.bottom + pad) // multiple) * multiple),
            min(width, -(-(self.right + pad) // multiple) * multiple),
        )


@dataclass(frozen=True)
class Tile:
    """A piece of work: `core` is what it contributes to the result, `padded` what the network has to see for it.

    The first `handed_out` rows of its result have been handed out by an earlier attempt, and are left out.
    """

    core: Box
    padded: Box
    handed_out: int = 0

    def below(self, row: int, scale: int, pad: int, height: int, width: int, multiple: int = 1) -> Tile:
        """What is left of it once its result has been handed out down to `row`, exclusive.

        `row` counts in the result, `scale` times as large as the picture of height × width. The core begins at a
        multiple of `multiple`, so some rows of the result may have to be computed twice.
        """
        top = row // scale // multiple * multiple
        core = Box(max(top, self.core.top), self.core.left, self.core.bottom, self.core.right)
        return Tile(core, core.grown(pad, height, width, multiple), row - core.top * scale)

    def cut(self, rows: int, columns: int, pad: int, height: int, width: int, multiple: int = 1) -> list[Tile]:
        """The same work in tiles of at most `rows` × `columns`, each seen with `pad` more pixels on every side."""
        return [
            Tile(core, core.grown(pad, height, width, multiple), self.handed_out if core.top == self.core.top else 0)
            for core in _cut(self.core, rows, columns)
        ]


def _cut(box: Box, rows: int, columns: int) -> list[Box]:
    return [
        Box(top, left, min(top + rows, box.bottom), min(left + columns, box.right))
        for top in range(box.top, box.bottom, rows)
        for left in range(box.left, box.right, columns)
    ]


def whole(height: int, width: int) -> Tile:
    """A single piece for the whole picture."""
    box = Box(0, 0, height, width)
    return Tile(box, box)


def grid(height: int, width: int, tile: int, pad: int, multiple: int = 1) -> list[Tile]:
    """Cut a picture into tiles of `tile` × `tile` pixels (those at the right and bottom may be smaller).

    `height`, `width` and `tile` must be multiples of `multiple`, the network's pixel-unshuffle. `tile` 0 is a
    single tile.
    """
    if tile == 0:
        return [whole(height, width)]
    return whole(height, width).cut(tile, tile, pad, height, width, multiple)


def columns(
    height: int, width: int, block: int, pad: int, multiple: int = 1, start: int = 0, stop: int | None = None
) -> list[Tile]:
    """Cut a picture into blocks of its height and `block` columns, each seen with `pad` more on both sides.

    They begin at column `start` and end before `stop`, by default those of the picture.
    """
    box = Box(0, start, height, width if stop is None else stop)
    return Tile(box, box).cut(height, block, pad, height, width, multiple)
