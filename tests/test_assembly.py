"""Pieces of a result assembled and resized as they come: the same as OpenCV's resize of the whole."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from realesrgan.arrays import Array, quantise
from realesrgan.engine.assembly import ResizedAssembly, RowCollector, assemble_into
from realesrgan.engine.resize import LANCZOS_TAPS, lanczos_taps
from realesrgan.engine.tiling import Box, grid


def floats(height: int, width: int, channels: int = 3) -> Array:
    """Values in and beyond [0, 1], as networks return them."""
    return np.random.default_rng(height * width).uniform(-0.1, 1.1, (height, width, channels)).astype(np.float32)


def resized(image: Array, height: int, width: int, depth: Any) -> Array:
    whole = cv2.resize(image, (width, height), interpolation=cv2.INTER_LANCZOS4)
    return quantise(whole.reshape(height, width, -1), np.dtype(depth))


def assembled(image: Array, height: int, width: int, depth: Any, pieces: list[Box]) -> Array:
    target = np.zeros((height, width, image.shape[2]), depth)
    work = assemble_into(target, *image.shape[:2])
    for box in pieces:
        piece = image[box.slices]
        work.write(box, piece if work.resizes else quantise(piece, target.dtype))
    return target


def strips(height: int, width: int, rows: int) -> list[Box]:
    return [Box(top, 0, min(height, top + rows), width) for top in range(0, height, rows)]


def assert_close(result: Array, wanted: Array) -> None:
    """Allow for sums in another order, which may round to the neighbouring level."""
    difference = np.abs(result.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001 * (256 if wanted.dtype == np.uint16 else 1)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("size", [(40, 52), (20, 26), (39, 53), (13, 7), (97, 140), (41, 26), (1, 1)])
def test_strips_give_what_opencv_makes_of_the_whole(size: tuple[int, int], rows: int, depth: Any) -> None:
    image = floats(40, 52)
    assert_close(assembled(image, *size, depth, strips(40, 52, rows)), resized(image, *size, depth))


@pytest.mark.parametrize("size", [(20, 26), (97, 140)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_give_the_same_as_the_whole(size: tuple[int, int], channels: int) -> None:
    image = floats(40, 52, channels)
    tiles = [tile.core for tile in grid(40, 52, 16, 0)]
    whole = assembled(image, *size, np.uint8, [Box(0, 0, 40, 52)])
    assert np.array_equal(assembled(image, *size, np.uint8, tiles), whole)
    mixed = [
        *tiles[:5],
        *(part.core.shifted(t.top, t.left) for t in tiles[5:] for part in grid(t.height, t.width, 5, 0)),
    ]
    assert np.array_equal(assembled(image, *size, np.uint8, mixed), whole)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(40, 51), (20, 26), (41, 52), (13, 7), (97, 140), (1, 1), (30, 2)])
@pytest.mark.parametrize("cuts", [(0, 26, 52), (0, 8, 16, 24, 32, 40, 48, 52), (0, 1, 51, 52)])
def test_blocks_of_columns_resized_one_by_one_give_the_same_and_keep_no_rows(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], cuts: tuple[int, ...], depth: Any
) -> None:
    monkeypatch.setattr(RowCollector, "_keep", lambda *piece: pytest.fail("rows of a block wait for others"))
    image = floats(40, 52)
    target = np.zeros((*size, 3), depth)
    for start, stop in zip(cuts, cuts[1:], strict=False):
        work = ResizedAssembly(target, 40, 52, start, stop)
        beside = 4 + 52 / size[1]
        assert start - beside <= work.left <= start
        assert stop <= work.right <= stop + beside
        for strip in strips(40, 52, 7):
            # Pieces that hold a little more than is needed, as whole pixels of the input are.
            box = Box(strip.top, max(0, work.left - 2), strip.bottom, min(52, work.right + 1))
            work.write(box, image[box.slices])
    assert_close(target, resized(image, *size, depth))


@pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 1), (2, 2)])
def test_the_smallest_pictures_can_be_enlarged_and_shrunk(height: int, width: int) -> None:
    image = floats(height, width)
    for size in ((height * 3, width * 3), (1, 1)):
        assert_close(assembled(image, *size, np.uint8, strips(height, width, 1)), resized(image, *size, np.uint8))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_has_its_size_already_passes_unchanged(depth: Any) -> None:
    image = floats(30, 20)
    wanted = quantise(image, np.dtype(depth))
    assert np.array_equal(assembled(image, 30, 20, depth, strips(30, 20, 4)), wanted)


def test_a_view_of_something_larger_can_be_filled() -> None:
    image, picture = floats(12, 10), np.full((6, 5, 4), 9, np.uint8)
    work = ResizedAssembly(picture[..., 2::-1], 12, 10)
    work.write(Box(0, 0, 12, 10), image)
    assert (picture[..., 3] == 9).all()
    assert_close(picture[..., 2::-1], resized(image, 6, 5, np.uint8))


def test_few_rows_are_held_however_long_the_picture_is() -> None:
    held = set()
    target = np.zeros((2000, 3, 1), np.uint8)
    work = ResizedAssembly(target, 4000, 6)
    for box in strips(4000, 6, 8):
        work.write(box, np.zeros((8, 6, 1), np.float32))
        held.add(len(work._resizer._kept) + len(work._rows._kept))
    assert max(held) <= 8 + LANCZOS_TAPS


@pytest.mark.parametrize(("size", "new_size"), [(10, 25), (25, 10), (7, 7), (1, 5)])
def test_weights_add_up_to_one_and_a_constant_stays_one(size: int, new_size: int) -> None:
    indices, weights = lanczos_taps(size, new_size)
    assert weights.sum(1) == pytest.approx(np.ones(new_size), abs=1e-6)
    assert indices.min() >= 0
    assert indices.max() < size
