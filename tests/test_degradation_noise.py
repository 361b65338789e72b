"""Noise has the distribution it is said to have, and each picture's comes from its own generator only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from realesrgan.degradation import noise


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def with_levels(levels: int, side: int = 120) -> torch.Tensor:
    """A gray picture (1, 3, H, W) of so many 8-bit levels around the middle, all about as frequent."""
    plane = 100 + 5 * (torch.arange(side * side) % levels).view(1, 1, side, side)
    return (plane / 255).expand(1, 3, -1, -1)


def add_poisson(pictures: torch.Tensor, scale: float = 1.0, gray: bool = False, seed: int = 0) -> torch.Tensor:
    count = len(pictures)
    sources = [np.random.default_rng(seed + number) for number in range(count)]
    return noise.add_poisson(pictures, torch.full((count,), scale), torch.full((count,), gray), sources)


def test_a_field_is_standard_normal_and_gray_is_one_plane():
    colour = noise.gaussian_field(np.random.default_rng(1), 90, 70, gray=False)
    gray = noise.gaussian_field(np.random.default_rng(1), 90, 70, gray=True)
    assert colour.shape == (3, 90, 70)
    assert gray.shape == (1, 90, 70)
    assert colour.dtype == gray.dtype == torch.float32
    assert stats.kstest(colour.flatten().numpy(), "norm").pvalue > 0.01
    assert not torch.equal(colour[0], colour[1])


def test_gaussian_noise_is_the_field_times_sigma_in_levels_clipped():
    fields = torch.tensor([-3.0, 0.5, 2.0]).view(1, 3, 1, 1).expand(2, 3, 2, 2)
    pictures = torch.full((2, 3, 2, 2), 0.05)
    noisy = noise.add_gaussian(pictures, torch.tensor([10.0, 25.5]), fields)
    assert noisy[0, :, 0, 0].tolist() == pytest.approx([0, 0.05 + 5 / 255, 0.05 + 20 / 255], abs=1e-7)
    assert noisy[1, :, 1, 1].tolist() == pytest.approx([0, 0.1, 0.25], abs=1e-7)
    assert noise.add_gaussian(pictures + 0.9, torch.tensor([10.0, 25.5]), fields).max() == 1


@pytest.mark.parametrize("photons", [1, 8, 256])
@pytest.mark.parametrize("level", [0, 1, 120, 255])
def test_counts_have_the_poisson_distribution(level, photons):
    counts = noise._poisson(np.full(20_000, level, np.uint8), photons, np.random.default_rng(level))
    mean = level / 255 * photons
    lowest, highest = stats.poisson.ppf([0.01, 0.99], mean) if mean else (0, 0)
    bins = np.arange(lowest, highest + 1)
    observed = [(counts < lowest).sum(), *[(counts == k).sum() for k in bins], (counts > highest).sum()]
    expected = 20_000 * np.array(
        [stats.poisson.cdf(lowest - 1, mean), *stats.poisson.pmf(bins, mean), stats.poisson.sf(highest, mean)]
    )
    likely = expected > 0
    assert np.array(observed)[~likely].sum() == 0
    if likely.sum() > 1:
        assert stats.chisquare(np.array(observed)[likely], expected[likely]).pvalue > 0.001


@pytest.mark.parametrize("photons", [1, 256])
def test_the_rarest_counts_are_looked_up_too(photons):
    below, _ = noise._distributions(photons)
    exact = stats.poisson.cdf(np.arange(below.shape[1] - 1), np.arange(256)[:, None] / 255 * photons)
    assert np.allclose(below[:, :-1], exact, rtol=0, atol=1e-13)
    levels = np.repeat(np.arange(256, dtype=np.uint8), 4)
    draws = np.tile([0.0, 1e-9, 0.999, 1 - 2**-53], 256)
    counts = noise._poisson(levels, photons, Draws(draws))
    expected = [np.searchsorted(below[level], draw, side="right") for level, draw in zip(levels, draws, strict=True)]
    assert np.array_equal(counts, expected)


class Draws:
    """A generator whose numbers are known."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers

    def random(self, count: int) -> np.ndarray:
        return self.numbers[:count]


@pytest.mark.parametrize(("levels", "photons"), [(1, 1), (2, 2), (3, 4), (5, 8), (16, 16), (17, 32)])
def testshot_noise_has_the_variance_of_its_pixels_light(levels, photons):
    picture = with_levels(levels)
    added = (add_poisson(picture, 0.05) - picture)[0]
    expected = picture.mean() / photons * 0.05**2
    assert added.mean() == pytest.approx(0, abs=5 * (expected.item() / added.numel()) ** 0.5)
    assert added.var() == pytest.approx(expected.item(), rel=0.05)


def test_levels_are_counted_in_8_bits_and_over_all_channels():
    fine = 0.4 + torch.rand(1, 3, 120, 120) * 0.001  # one level
    colours = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(1, 3, 120, 120)  # three levels: four photons
    assert (add_poisson(fine, 0.05) - fine).var() == pytest.approx(0.4 * 0.05**2, rel=0.05)
    variances = (add_poisson(colours, 0.05) - colours).var((0, 2, 3)).numpy()
    assert variances == pytest.approx(np.array([0.2, 0.4, 0.6]) / 4 * 0.05**2, rel=0.1)


def test_light_is_what_8_bits_show():
    shown, hidden = torch.full((1, 3, 60, 60), 0.6 / 255), torch.full((1, 3, 60, 60), 0.4 / 255)
    assert (add_poisson(shown) > shown).any()
    assert torch.equal(add_poisson(hidden), hidden)


def test_noise_is_added_to_the_picture_before_it_was_rounded():
    between = torch.full((1, 3, 1, 1), 0.5 / 255)
    added = add_poisson(between.expand(1, 3, 60, 60), 0.0)
    assert added.unique() == between[0, 0, 0, 0]


def test_grayshot_noise_is_the_lumas_and_equal_across_channels():
    colours = torch.tensor([0.8, 0.2, 0.5]).view(1, 3, 1, 1).expand(1, 3, 120, 120)
    luma = 0.2989 * 0.8 + 0.587 * 0.2 + 0.114 * 0.5
    gray, coloured = (add_poisson(colours, 0.02, gray)[0] - colours[0] for gray in (True, False))
    assert torch.allclose(gray, gray[:1].expand(3, -1, -1), rtol=0, atol=1e-6)
    assert gray[0].var() == pytest.approx(luma * 0.02**2, rel=0.05)
    assert not torch.allclose(coloured[0], coloured[1], rtol=0, atol=1e-3)


def test_results_are_clipped_and_the_batch_stays_as_it_was():
    batch = torch.rand(2, 3, 40, 30) * 1.4 - 0.2
    before = batch.clone()
    noisy = add_poisson(batch, 3.0)
    noise.add_gaussian(batch, torch.tensor([30.0, 30.0]), torch.randn(2, 3, 40, 30))
    assert torch.equal(batch, before)
    assert (noisy.min(), noisy.max()) == (0, 1)


def test_a_picture_gets_the_same_noise_alone_and_in_a_batch():
    batch = torch.rand(3, 3, 150, 151)
    scale, gray, sigma = torch.tensor([0.5, 1, 2]), torch.tensor([False, True, False]), torch.tensor([3.0, 9, 20])
    together = noise.add_poisson(batch, scale, gray, generators(3))
    fields = torch.randn(3, 3, 150, 151)
    normal = noise.add_gaussian(batch, sigma, fields)
    for number, source in enumerate(generators(3)):
        one = slice(number, number + 1)
        assert torch.equal(noise.add_poisson(batch[one], scale[one], gray[one], [source]), together[one])
        assert torch.equal(noise.add_gaussian(batch[one], sigma[one], fields[one]), normal[one])


@pytest.mark.parametrize("size", [(1, 1), (1, 7)], ids=str)
def test_the_smallest_pictures_get_noise(size):
    assert add_poisson(torch.rand(1, 3, *size)).shape == (1, 3, *size)
    assert noise.gaussian_field(np.random.default_rng(), *size, gray=False).shape == (3, *size)


def test_no_global_chance_is_touched():
    batch = torch.rand(1, 3, 20, 20)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    add_poisson(batch)
    noise.gaussian_field(np.random.default_rng(0), 20, 20, gray=False)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
