"""Resizing follows its definitions and torch's, at every size, and gives each picture the bytes it gets alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from realesrgan.degradation.resize import resize

MODES = ("area", "bilinear", "bicubic")
FACTORS = (0.15, 0.37, 0.5, 0.999, 1.0, 1.3, 2.0)
SIZES = [(31, 24), (7, 50), (1, 9), (1, 1)]


def pictures(count: int = 2, height: int = 31, width: int = 24, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(count, 3, height, width, dtype=dtype)


def interpolated(row: np.ndarray, size: int, step: float, cubic: bool) -> np.ndarray:
    """A row resized by the definition: pixel centres lie at halves, `step` pixels lie between new ones."""
    result = []
    for number in range(size):
        position = (number + 0.5) * step - 0.5
        near = range(math.floor(position) - 1, math.floor(position) + 3)
        weights = [keys(abs(position - place)) if cubic else max(0, 1 - abs(position - place)) for place in near]
        result.append(sum(w * row[min(max(place, 0), len(row) - 1)] for w, place in zip(weights, near, strict=True)))
    return np.array(result)


def keys(distance: float, a: float = -0.75) -> float:
    """Keys' cubic convolution kernel."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else 0


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "factor"), [(7, None), (40, None), (9, 0.47), (26, 1.31)])
def test_coordinates_come_from_the_factor_if_it_is_given_and_else_from_the_sizes(size, factor, mode):
    row = torch.rand(20, dtype=torch.float64)
    step = 20 / size if factor is None else 1 / factor
    expected = interpolated(row.numpy(), size, step, mode == "bicubic")
    across = row.expand(1, 3, 20, 20)
    for picture in (across, across.transpose(2, 3)):
        resized = resize(picture, size, size, mode, factor)
        along = resized[0, 0, 0] if picture is across else resized[0, 0, :, 0]
        assert np.allclose(along, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factor", FACTORS)
def test_resizing_by_a_factor_equals_torch(factor, mode):
    batch = pictures()
    expected = F.interpolate(batch, scale_factor=factor, mode=mode)
    resized = resize(batch, *expected.shape[-2:], mode, factor)
    assert resized.is_contiguous()
    assert torch.allclose(resized, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("new_size", [(1, 1), (3, 40), (62, 12), (5, 5)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resizing_to_a_size_equals_torch(size, new_size, mode):
    batch = pictures(1, *size, dtype=torch.float64)
    expected = F.interpolate(batch, size=new_size, mode=mode)
    assert torch.allclose(resize(batch, *new_size, mode), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("divisor", [1, 2, 3, 6])
def test_area_keeps_the_mean_for_whole_divisors(divisor):
    batch = pictures(1, 36, 24, dtype=torch.float64)
    resized = resize(batch, 36 // divisor, 24 // divisor, "area")
    blocks = batch.unfold(2, divisor, divisor).unfold(3, divisor, divisor)
    assert torch.allclose(resized.mean((2, 3)), batch.mean((2, 3)), rtol=0, atol=1e-12)
    assert torch.allclose(resized, blocks.mean((4, 5)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_a_side_that_would_vanish_can_keep_one_pixel(mode):
    assert resize(pictures(1, 3, 40), 1, 6, mode, factor=0.15).shape == (1, 3, 1, 6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factor", [None, 0.4, 1.7])
def test_a_flat_picture_stays_flat(factor, mode):
    flat = torch.full((1, 3, 20, 20), 0.3)
    size = int(20 * (factor or 0.7))
    assert torch.allclose(resize(flat, size, size, mode, factor), torch.tensor(0.3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_factor_of_1_changes_no_byte_and_shares_no_memory(mode):
    batch = pictures()
    kept = resize(batch, 31, 24, mode, 1.0)
    assert torch.equal(kept, batch)
    assert kept.data_ptr() != batch.data_ptr()


@pytest.mark.parametrize("mode", MODES)
def test_the_size_stays_but_the_factor_counts(mode):
    """As with 400 pixels and a factor of 1.002, which give 400 pixels again, at other coordinates."""
    batch = pictures(1, 30, 30)
    moved = resize(batch, 30, 30, mode, 1.02)
    assert torch.equal(moved, batch) == (mode == "area")


@pytest.mark.parametrize("mode", MODES)
def test_bytes_depend_neither_on_the_batch_nor_on_the_number_of_threads(mode):
    batch = pictures(3, 211, 200)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(resize(batch, 170, 260, mode, 0.81))
        results.append(torch.cat([resize(picture[None], 170, 260, mode, 0.81) for picture in batch]))
    assert all(torch.equal(result, results[0]) for result in results)
