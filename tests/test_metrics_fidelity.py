"""PSNR and SSIM: scikit-image's values where the definitions agree, and the same for every way to hold a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.metrics.fidelity import levels, psnr, ssim

MEASURES = pytest.mark.parametrize("measure", [psnr, ssim])
DEPTHS = pytest.mark.parametrize("depth", [np.uint8, np.uint16])
CHANNELS = pytest.mark.parametrize("channels", [1, 3])
Measure = Callable[..., float]


def noisy(original: Array, seed: int = 1, share: float = 0.05) -> Array:
    peak = np.iinfo(original.dtype).max
    noise = np.random.default_rng(seed).normal(0, share * peak, original.shape)
    return np.clip(np.rint(original + noise), 0, peak).astype(original.dtype)


def of_skimage(result: Array, original: Array, **options: Any) -> float:
    """Its SSIM with the published window, over the windows that lie inside the picture."""
    _, similar = structural_similarity(
        result, original, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True, **options
    )
    return float(similar[5:-5, 5:-5].mean())


@DEPTHS
@CHANNELS
def test_psnr_is_that_of_scikit_image(depth: Any, channels: int) -> None:
    original = picture(150, 37, channels, depth)
    result = noisy(original)
    known = peak_signal_noise_ratio(original, result, data_range=np.iinfo(depth).max)
    assert psnr(result, original) == pytest.approx(known, abs=1e-4)


@DEPTHS
@CHANNELS
def test_ssim_is_that_of_scikit_image(depth: Any, channels: int) -> None:
    original = picture(300, 37, channels, depth)  # higher than two bands
    result = noisy(original)
    axis = {} if channels == 1 else {"channel_axis": 2}
    known = of_skimage(result, original, data_range=int(np.iinfo(depth).max), **axis)
    assert ssim(result, original) == pytest.approx(known, abs=1e-4)


def test_luma_is_that_of_bt601_in_studio_range() -> None:
    primaries = np.array([[[0, 0, 0], [255, 255, 255], [0, 0, 255], [0, 255, 0], [255, 0, 0]]], np.uint8)
    assert levels(primaries, luma=True)[0, :, 0] == pytest.approx([16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966])


@MEASURES
def test_luma_is_measured_unrounded(measure: Measure) -> None:
    original = picture(40, 30)
    result = noisy(original)
    ours, theirs = levels(result, luma=True)[..., 0], levels(original, luma=True)[..., 0]
    known = (
        peak_signal_noise_ratio(theirs, ours, data_range=255)
        if measure is psnr
        else of_skimage(ours, theirs, data_range=255)
    )
    assert measure(result, original, luma=True) == pytest.approx(known, abs=1e-4)


def test_a_difference_of_one_level_everywhere_is_48_13_db() -> None:
    assert psnr(np.full((9, 8), 101, np.uint8), np.full((9, 8), 100, np.uint8)) == pytest.approx(20 * math.log10(255))
    assert psnr(np.full((9, 8), 11, np.uint16), np.full((9, 8), 10, np.uint16)) == pytest.approx(20 * math.log10(65535))


@CHANNELS
def test_a_picture_equals_itself(channels: int) -> None:
    one = picture(20, 20, channels)
    assert psnr(one, one.copy()) == math.inf
    assert ssim(one, one.copy()) == 1


@MEASURES
def test_a_picture_written_with_16_bits_has_the_values_of_its_8_bits(measure: Measure) -> None:
    original = picture(30, 20)
    result = noisy(original)
    wide = result.astype(np.uint16) * 257
    assert measure(wide, original) == pytest.approx(measure(result, original), abs=1e-9)
    assert psnr(original.astype(np.uint16) * 257, original) == math.inf


def test_16_bits_are_not_rounded_before_they_are_compared_with_8() -> None:
    original = np.full((9, 9), 100, np.uint8)
    assert psnr(np.full((9, 9), 100 * 257 + 1, np.uint16), original) == pytest.approx(20 * math.log10(65535))


@MEASURES
@pytest.mark.parametrize("luma", [False, True])
def test_gray_is_colour_with_equal_channels(measure: Measure, luma: bool) -> None:
    original, gray = picture(30, 20), picture(30, 20, 1, seed=5)
    colour = np.dstack([gray] * 3)
    assert measure(gray, original, luma=luma) == measure(colour, original, luma=luma)
    assert measure(original, gray, luma=luma) == measure(original, colour, luma=luma)
    assert measure(noisy(gray), gray, luma=luma) == pytest.approx(
        measure(np.dstack([noisy(gray)] * 3), colour, luma=luma), abs=1e-9
    )


@MEASURES
def test_the_border_does_not_count(measure: Measure) -> None:
    original = picture(40, 30)
    result = noisy(original)
    spoiled = result.copy()
    spoiled[:4], spoiled[-4:], spoiled[:, :4], spoiled[:, -4:] = 0, 0, 0, 0
    assert measure(spoiled, original, border=4) == measure(result[4:-4, 4:-4], original[4:-4, 4:-4])
    assert measure(spoiled, original, border=4) != measure(spoiled, original, border=3)


@MEASURES
def test_colour_that_cannot_be_seen_does_not_count_but_transparency_does(measure: Measure) -> None:
    colour = picture(30, 20)
    alpha = np.zeros((30, 20, 1), np.uint8)
    alpha[:, 10:] = 255
    hidden = colour.copy()
    hidden[:, :10] = 7
    assert measure(np.dstack([hidden, alpha]), np.dstack([colour, alpha])) in (math.inf, 1)
    assert measure(np.dstack([colour, alpha]), colour) == measure(np.where(alpha, colour, 0).astype(np.uint8), colour)
    opaque = np.dstack([noisy(colour), np.full((30, 20), 255, np.uint8)])
    assert measure(opaque, colour) == measure(noisy(colour), colour)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 50), (50, 10)])
def test_ssim_has_no_value_where_no_window_fits(height: int, width: int) -> None:
    one = picture(height, width)
    assert math.isnan(ssim(one, one))
    assert psnr(one, one) == math.inf


def test_the_smallest_picture_with_a_window_has_an_ssim() -> None:
    one = picture(11, 11)
    assert 0 < ssim(noisy(one), one) < 1


@MEASURES
@pytest.mark.parametrize(
    ("result", "options"),
    [
        (np.zeros((4, 5), np.uint8), {}),  # another size
        (np.zeros((4, 6), np.uint8), {"border": 2}),
        (np.zeros((4, 6), np.float32), {}),
        (np.zeros((4, 6, 2), np.uint8), {}),
    ],
)
def test_what_cannot_be_compared_is_refused(measure: Measure, result: Array, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="picture|border"):
        measure(result, np.zeros((4, 6), np.uint8), **options)


def test_a_blurred_picture_is_worse_by_ssim_than_one_shifted_in_brightness() -> None:
    original = picture(60, 60)
    brighter = np.clip(original.astype(int) + 10, 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(original, (0, 0), 2)
    assert ssim(blurred, original) < ssim(brighter, original)
