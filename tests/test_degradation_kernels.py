"""Kernels follow their formulas, whatever their size, and equal the published ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from realesrgan.degradation import kernels

SIZES = range(7, 22, 2)
SHAPES = {
    "gaussian": lambda size, x, y, rotation: kernels.gaussian(size, x, y, rotation),
    "generalized": lambda size, x, y, rotation: kernels.generalized(size, x, y, rotation, 0.7),
    "plateau": lambda size, x, y, rotation: kernels.plateau(size, x, y, rotation, 1.6),
}
# The third rows of published kernels of 7 pixels (basicsr 1.4.2): sigmas 1.5 and 0.7, rotation 0.6, beta 0.8 and 1.6;
# and of the sinc with a cutoff of 2.
PUBLISHED = {
    "gaussian": [0.00904955, 0.04663160, 0.09261399, 0.07089504, 0.02091694, 0.00237861, 0.00010425],
    "generalized": [0.01601660, 0.04356642, 0.07169378, 0.05844280, 0.02614836, 0.00775162, 0.00165981],
    "plateau": [0.01031715, 0.03516809, 0.08769218, 0.05875885, 0.01734377, 0.00570668, 0.00237314],
    "sinc": [-0.02503827, -0.03922188, 0.11106710, 0.22635931, 0.11106710, -0.03922188, -0.02503827],
}


def all_kernels(size: int) -> list[np.ndarray]:
    blurs = [shape(size, 1.3, 0.4, 0.5) for shape in SHAPES.values()]
    return [*blurs, kernels.sinc(size, 2.0), kernels.pulse(size)]


@pytest.mark.parametrize("size", SIZES)
def test_every_kernel_sums_to_1_and_stays_the_same_when_turned_by_half_a_turn(size):
    for kernel in all_kernels(size):
        assert kernel.shape == (size, size)
        assert kernel.dtype == np.float64
        assert kernel.sum() == pytest.approx(1, abs=1e-12)
        assert np.allclose(kernel, kernel[::-1, ::-1], rtol=0, atol=1e-15)


def test_kernels_equal_the_published_ones():
    made = {
        "gaussian": kernels.gaussian(7, 1.5, 0.7, 0.6),
        "generalized": kernels.generalized(7, 1.5, 0.7, 0.6, 0.8),
        "plateau": kernels.plateau(7, 1.5, 0.7, 0.6, 1.6),
        "sinc": kernels.sinc(7, 2.0),
    }
    for name, kernel in made.items():
        assert np.allclose(kernel[2], PUBLISHED[name], rtol=0, atol=1e-8), name


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equal_sigmas_make_a_kernel_isotropic(shape):
    kernel = shape(11, 1.7, 1.7, 0)
    assert np.allclose(kernel, kernel.T, rtol=0, atol=1e-15)
    assert np.allclose(kernel, kernel[::-1], rtol=0, atol=1e-15)
    assert np.allclose(kernel, shape(11, 1.7, 1.7, 0.4), rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_quarter_turn_swaps_the_sigmas(shape):
    assert np.allclose(shape(9, 2.0, 0.6, np.pi / 2), shape(9, 0.6, 2.0, 0), rtol=0, atol=1e-14)
    assert np.allclose(shape(9, 2.0, 0.6, 0), shape(9, 0.6, 2.0, 0).T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rotation_turns_the_long_axis_from_right_to_down(shape):
    kernel = shape(9, 2.0, 0.6, np.pi / 4)
    assert kernel[6, 6] > 5 * kernel[6, 2]


def test_a_wide_gaussian_has_the_sigmas_that_were_asked_for():
    offsets = np.arange(21) - 10
    kernel = kernels.gaussian(21, 1.8, 1.1, 0)
    assert (kernel.sum(0) * offsets**2).sum() == pytest.approx(1.8**2, rel=1e-3)
    assert (kernel.sum(1) * offsets**2).sum() == pytest.approx(1.1**2, rel=1e-3)


def test_a_generalized_gaussian_with_a_beta_of_1_is_a_gaussian():
    assert np.allclose(kernels.generalized(9, 2, 1, 0.3, 1), kernels.gaussian(9, 2, 1, 0.3), rtol=0, atol=1e-15)


def test_a_plateau_halves_at_a_distance_of_one_sigma_whatever_its_beta():
    for beta in (1, 1.4, 2):
        kernel = kernels.plateau(9, 2, 3, 0, beta)
        assert kernel[4, 6] / kernel[4, 4] == pytest.approx(0.5)
        assert kernel[7, 4] / kernel[4, 4] == pytest.approx(0.5)


@pytest.mark.parametrize("cutoff", [np.pi / 5, 2.0, np.pi])
@pytest.mark.parametrize("size", [7, 21])
def test_the_sinc_is_made_of_the_bessel_function(size, cutoff):
    y, x = np.mgrid[:size, :size] - size // 2
    radius = np.hypot(y, x)
    radius[size // 2, size // 2] = 1e-9  # as good as the limit
    expected = cutoff * special.j1(cutoff * radius) / (2 * np.pi * radius)
    assert np.allclose(kernels.sinc(size, cutoff), expected / expected.sum(), rtol=0, atol=1e-14)


def test_the_sinc_passes_what_lies_below_its_cutoff_and_stops_the_rest():
    cutoff = np.pi / 2
    spectrum = np.abs(np.fft.fft2(kernels.pad(kernels.sinc(21, cutoff), 65)))
    frequency = 2 * np.pi * np.abs(np.fft.fftfreq(65))
    radial = np.hypot(frequency[:, None], frequency)
    # It ripples, because 21 pixels are few.
    assert spectrum[radial < 0.7 * cutoff] == pytest.approx(1, abs=0.2)
    assert spectrum[radial > 1.3 * cutoff] == pytest.approx(0, abs=0.1)


def test_the_pulse_is_1_in_the_middle():
    assert kernels.pulse(5)[2, 2] == 1
    assert np.count_nonzero(kernels.pulse(5)) == 1


@pytest.mark.parametrize("size", SIZES)
def test_padding_surrounds_a_kernel_evenly_with_zeros(size):
    kernel = kernels.gaussian(size, 1, 2, 0.1)
    padded = kernels.pad(kernel)
    margin = (kernels.LARGEST_SIZE - size) // 2
    inner = slice(margin, margin + size)
    assert padded.shape == (21, 21)
    assert np.array_equal(padded[inner, inner], kernel)
    assert padded.sum() == pytest.approx(1)


@pytest.mark.parametrize("size", [0, 8])
def test_a_size_without_a_middle_is_refused(size):
    with pytest.raises(ValueError, match=f"odd .* not {size}"):
        kernels.gaussian(size, 1, 1, 0)
