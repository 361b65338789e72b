"""Blur kernels for given parameters: Gaussian, generalised, plateau, sinc, pulse. Knows nothing of chance or pictures.

A kernel is a (size, size) float64 array that sums to 1; `size` is odd and the kernel symmetric about its middle.
Formulas: Real-ESRGAN (arXiv:2107.10833), section 3.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array

LARGEST_SIZE = 21  # pixels a side; the published kernels are smaller or as large, and are padded to it


def gaussian(size: int, sigma_x: float, sigma_y: float, rotation: float) -> Array:
    """A Gaussian with standard deviations of `sigma_x` and `sigma_y` pixels; isotropic if they are equal.

    `rotation`, in radians, turns the x axis towards the y axis, which points down.
    """
    return _normalised(np.exp(-_squared_distance(size, sigma_x, sigma_y, rotation) / 2))


def generalized(size: int, sigma_x: float, sigma_y: float, rotation: float, beta: float) -> Array:
    """A generalised Gaussian: 1 makes it a Gaussian, a smaller `beta` more pointed, a larger one flatter."""
    return _normalised(np.exp(-(_squared_distance(size, sigma_x, sigma_y, rotation) ** beta) / 2))


def plateau(size: int, sigma_x: float, sigma_y: float, rotation: float, beta: float) -> Array:
    """A kernel with a flat top and long tails; the larger `beta`, the steeper its sides."""
    return _normalised(1 / (1 + _squared_distance(size, sigma_x, sigma_y, rotation) ** beta))


def sinc(size: int, cutoff: float) -> Array:
    """The circular low-pass filter, which makes edges ring; `cutoff` is in radians per pixel, π keeps nearly all."""
    offsets = _offsets(size)
    squares, where = np.unique(offsets[:, None] ** 2 + offsets**2, return_inverse=True)
    radii = np.sqrt(squares[1:])
    # The middle, whose radius is 0, gets the limit of the formula.
    values = np.append(cutoff**2 / (4 * np.pi), cutoff * _bessel_j1(cutoff * radii) / (2 * np.pi * radii))
    return _normalised(values[where.reshape(size, size)])


def pulse(size: int) -> Array:
    """The kernel that changes nothing."""
    kernel = np.zeros((size, size))
    centre = len(_offsets(size)) // 2
    kernel[centre, centre] = 1
    return kernel


def pad(kernel: Array, size: int = LARGEST_SIZE) -> Array:
    """Surround a kernel with zeros, to (size, size), so that kernels of several sizes fit into one array."""
    return np.pad(kernel, (size - len(kernel)) // 2)


def _squared_distance(size: int, sigma_x: float, sigma_y: float, rotation: float) -> Array:
    """How far each pixel is from the middle, squared, along the turned axes and in units of their sigmas."""
    y, x = np.meshgrid(_offsets(size), _offsets(size), indexing="ij")
    along = x * np.cos(rotation) + y * np.sin(rotation)
    across = y * np.cos(rotation) - x * np.sin(rotation)
    squared: Array = (along / sigma_x) ** 2 + (across / sigma_y) ** 2
    return squared


def _bessel_j1(x: Array) -> Array:
    """J1 of (n,) values to 1e-14, by Bessel's integral, the mean of cos(t - x sin t) over [0, π].

    Not torch's: it is off by up to 5e-7 between 5 and 10.
    """
    # The midpoint rule leaves out terms of order J(2 · points ± 1), which vanish once that exceeds x.
    points = 64 + int(x.max(initial=0))
    t = (np.arange(points) + 0.5)[:, None] * (np.pi / points)
    mean: Array = np.cos(t - x * np.sin(t)).mean(0)
    return mean


def _offsets(size: int) -> Array:
    if size < 1 or size % 2 == 0:
        raise ValueError(f"a kernel has an odd number of pixels a side, not {size}")
    return np.arange(size) - (size - 1) / 2


def _normalised(kernel: Array) -> Array:
    normalised: Array = kernel / kernel.sum()
    return normalised
