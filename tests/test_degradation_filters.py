"""Filters compute what their formula says, at every size, and treat each picture as if it were alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from realesrgan.degradation import filters, kernels

KERNELS = {
    "a product": kernels.gaussian(9, 1.6, 0.8, 0),
    "turned": kernels.gaussian(21, 2.5, 0.7, 0.7),
    "negative weights": kernels.sinc(13, 1.5),
    "lopsided": np.arange(25.0).reshape(5, 5) ** 2 / 4900,
    "one step right": np.eye(3)[[0, 2, 1]] * [[0], [1], [0]],
    "pulse": kernels.pulse(21),
}
SIZES = [(40, 33), (11, 11), (7, 30), (2, 3), (1, 9), (1, 1)]


def pictures(count: int = 1, height: int = 40, width: int = 33, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(count, 3, height, width, dtype=dtype)


def correlated(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(C, H, W) with (k, k), by the definition, in fp64."""
    margin = len(kernel) // 2
    mirrored = np.pad(picture.astype(np.float64), ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, kernel.shape, axis=(1, 2))
    return np.einsum("chwij,ij->chw", windows, kernel)


def filtered(batch: torch.Tensor, *weights: np.ndarray) -> torch.Tensor:
    return filters.filter_each(batch, torch.from_numpy(np.stack(weights)))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_filtering_correlates_with_a_mirrored_border(kernel, size):
    picture = pictures(1, *size)
    expected = correlated(picture[0].numpy(), kernel)
    assert np.allclose(filtered(picture, kernel)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_filtering_in_fp64_is_exact_to_1e_7(kernel):
    picture = pictures(dtype=torch.float64)
    result = filtered(picture, kernel)
    assert result.dtype == torch.float64
    assert np.allclose(result[0], correlated(picture[0].numpy(), kernel), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_what_other_devices_compute_is_the_same(kernel):
    batch = pictures(2)
    weights = torch.from_numpy(kernel).expand(2, -1, -1)
    assert torch.allclose(filters._by_transform(batch, weights), filters.filter_each(batch, weights), rtol=0, atol=1e-6)


def test_each_picture_gets_its_own_kernel_and_the_bytes_it_gets_alone():
    padded = [kernels.pad(kernel) for kernel in KERNELS.values()]
    batch = pictures(len(padded), 37, 29)
    together = filtered(batch, *padded)
    for number, kernel in enumerate(padded):
        assert torch.equal(together[number : number + 1], filtered(batch[number : number + 1], kernel))
        assert np.allclose(together[number], correlated(batch[number].numpy(), kernel), rtol=0, atol=1e-6)


def test_bytes_do_not_depend_on_the_number_of_threads():
    batch = pictures(2, 400, 400)  # large enough to be shared between threads
    turned, product = KERNELS["turned"], kernels.pad(KERNELS["a product"])
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(torch.cat((filtered(batch, turned, product), filters.sharpen(batch))))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_zeros_around_a_kernel_change_no_byte():
    picture = pictures()
    for kernel in KERNELS.values():
        assert torch.equal(filtered(picture, kernel), filtered(picture, kernels.pad(kernel)))


def test_the_pulse_changes_no_byte():
    picture = pictures()
    assert torch.equal(filtered(picture, kernels.pulse(21)), picture)


def test_a_kernel_without_weights_gives_black():
    assert not filtered(pictures(), np.zeros((5, 5))).any()


def sharpened(picture: np.ndarray, weight: float = 0.5, threshold: float = 10) -> np.ndarray:
    """Unsharp masking of (C, H, W) with 51 taps and a sigma of 8, by its definition, in fp64."""
    taps = np.exp(-((np.arange(51) - 25) ** 2) / (2 * 8.0**2))
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    detail = picture - correlated(picture, kernel)
    share = correlated(np.abs(detail) * 255 > threshold, kernel)
    sharp = np.clip(picture + weight * detail, 0, 1)
    return share * sharp + (1 - share) * picture


@pytest.mark.parametrize("options", [{}, {"weight": 1.5}, {"threshold": 40}], ids=str)
def test_sharpening_follows_its_formula(options):
    picture = np.zeros((3, 60, 50))
    picture[:, :20] = 0.4
    picture[:, 20:, 10:] = np.array([0.9, 0.2, 0.75])[:, None, None]
    result = filters.sharpen(torch.from_numpy(picture).float()[None], **options)[0]
    assert np.allclose(result, sharpened(picture, **options), rtol=0, atol=2e-6)
    assert np.abs(result.numpy() - picture).max() > 0.02


@pytest.mark.parametrize("size", [(9, 60), (1, 5), (1, 1)], ids=str)
def test_pictures_smaller_than_the_blur_are_sharpened(size):
    picture = pictures(1, *size, dtype=torch.float64)
    assert np.allclose(filters.sharpen(picture)[0], sharpened(picture[0].numpy()), rtol=0, atol=1e-9)


def test_a_flat_picture_keeps_its_bytes_when_sharpened():
    flat = torch.tensor([0.0, 0.3, 1.0]).view(1, 3, 1, 1).expand(2, 3, 70, 60)
    assert torch.equal(filters.sharpen(flat), flat)


def test_faint_detail_is_not_sharpened():
    faint = 0.5 + (pictures(dtype=torch.float64) - 0.5) * 18 / 255
    assert torch.equal(filters.sharpen(faint), faint)


def test_sharpening_stays_within_black_and_white_and_keeps_the_batch_as_it_was():
    batch = (pictures(3, 50, 41) > 0.5).float()
    before = batch.clone()
    result = filters.sharpen(batch)
    assert torch.equal(batch, before)
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(result, torch.cat([filters.sharpen(picture[None]) for picture in batch]))


def test_the_published_sigma_is_what_opencv_takes_for_51_taps():
    assert np.allclose(cv2.getGaussianKernel(51, 0), cv2.getGaussianKernel(51, 8.0), rtol=0, atol=1e-15)
