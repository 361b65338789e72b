"""Tile geometry: whatever the sizes, every pixel is computed once, from inside the picture, at a legal alignment."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest

from realesrgan.engine.tiling import Box, Tile, grid


def every_cut() -> Iterator[tuple[int, int, int, int, int]]:
    """(height, width, tile, pad, multiple): all small ones, then a fixed sample of larger ones."""
    yield from itertools.product((1, 2, 7), (1, 5, 8), (0, 1, 3, 8, 100), (0, 1, 4, 50), (1,))
    pick = random.Random(0)
    for multiple in (1, 2, 4):
        for _ in range(100):
            height, width, tile = (multiple * pick.randint(1, 40) for _ in range(3))
            yield height, width, tile * pick.randint(0, 1), pick.choice((0, 1, 10, 13, 64)), multiple


def random_box(pick: random.Random) -> Box:
    top, left = pick.randint(-20, 20), pick.randint(-20, 20)
    return Box(top, left, top + pick.randint(1, 30), left + pick.randint(1, 30))


@pytest.fixture(scope="module")
def cuts() -> list[tuple[tuple[int, int, int, int, int], list[Tile]]]:
    return [(cut, grid(*cut)) for cut in every_cut()]


def test_cores_cover_every_pixel_exactly_once(cuts):
    for (height, width, *cut), tiles in cuts:
        times_covered = np.zeros((height, width), int)
        for tile in tiles:
            times_covered[tile.core.slices] += 1
        assert (times_covered == 1).all(), (height, width, *cut)


def test_cores_are_never_larger_than_the_requested_tile(cuts):
    for (_, _, tile, *_), tiles in cuts:
        assert tile == 0 or all(max(piece.core.height, piece.core.width) <= tile for piece in tiles)


def test_what_the_network_sees_contains_the_core_and_stays_inside_the_picture(cuts):
    for (height, width, *_), tiles in cuts:
        for core, padded in ((tile.core, tile.padded) for tile in tiles):
            assert 0 <= padded.top <= core.top < core.bottom <= padded.bottom <= height
            assert 0 <= padded.left <= core.left < core.right <= padded.right <= width


def test_what_the_network_sees_extends_by_the_whole_pad_or_to_the_border(cuts):
    for (height, width, _, pad, _), tiles in cuts:
        for core, padded in ((tile.core, tile.padded) for tile in tiles):
            assert padded.top <= max(0, core.top - pad)
            assert padded.left <= max(0, core.left - pad)
            assert padded.bottom >= min(height, core.bottom + pad)
            assert padded.right >= min(width, core.right + pad)


def test_what_the_network_sees_is_no_larger_than_the_alignment_needs(cuts):
    for (height, width, tile, pad, multiple), tiles in cuts:
        if tile == 0:
            continue
        for core, padded in ((tile.core, tile.padded) for tile in tiles):
            assert padded.top > max(0, core.top - pad) - multiple
            assert padded.right < min(width, core.right + pad) + multiple
            assert padded.bottom < min(height, core.bottom + pad) + multiple


def test_what_the_network_sees_is_aligned_to_its_multiple(cuts):
    for (*_, multiple), tiles in cuts:
        for padded in (tile.padded for tile in tiles):
            assert padded.top % multiple == padded.left % multiple == 0
            assert padded.height % multiple == padded.width % multiple == 0


def test_tile_0_is_one_tile_that_sees_everything():
    assert grid(7, 5, 0, 3) == [Tile(Box(0, 0, 7, 5), Box(0, 0, 7, 5))]


def test_a_tile_larger_than_the_picture_is_the_picture():
    assert grid(7, 5, 100, 3) == grid(7, 5, 0, 3)


def test_without_a_pad_the_network_sees_the_core_alone():
    assert all(tile.core == tile.padded for tile in grid(30, 20, 8, 0))


def test_shifting_back_undoes_a_shift():
    pick = random.Random(1)
    for _ in range(100):
        box, rows, columns = random_box(pick), pick.randint(-50, 50), pick.randint(-50, 50)
        moved = box.shifted(rows, columns)
        assert moved.shifted(-rows, -columns) == box
        assert (moved.top - box.top, moved.right - box.right) == (rows, columns)


def test_relative_to_is_undone_by_shifting_to_the_outer_corner():
    pick = random.Random(2)
    for _ in range(100):
        box, outer = random_box(pick), random_box(pick)
        assert box.relative_to(outer).shifted(outer.top, outer.left) == box
        assert outer.relative_to(outer) == Box(0, 0, outer.height, outer.width)


def test_scaling_multiplies_sides_and_area_and_keeps_neighbours_neighbours():
    pick = random.Random(3)
    for scale in (1, 2, 4):
        for _ in range(50):
            box = random_box(pick)
            assert (box.scaled(scale).height, box.scaled(scale).width) == (scale * box.height, scale * box.width)
            assert box.scaled(scale).area == scale**2 * box.area
            assert box.shifted(box.height, 0).scaled(scale).top == box.scaled(scale).bottom


def test_slices_pick_the_same_pixels_of_arrays_of_both_layouts():
    box = Box(1, 2, 4, 7)
    image = np.arange(6 * 9 * 3).reshape(6, 9, 3)
    assert image[box.slices].shape == (box.height, box.width, 3)
    assert np.array_equal(image[box.slices], image.transpose(2, 0, 1)[(..., *box.slices)].transpose(1, 2, 0))
