"""Drawn pictures that are perfectly sharp and clean: discs over discs, like dead leaves (Lee and others, 2001).

They have the edges, flat places and spectrum of photographs, and nothing that could be taken for noise or blur.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ...arrays import Array
from ..chance import Chance

SMALLEST, LARGEST = 40.0, 250.0  # radii in pixels; their number falls with the cube
LEAVES = 300  # enough to cover 512×512 pixels several times over
_FRACTION_BITS = 4  # of OpenCV's coordinates


@lru_cache(maxsize=64)
def draw(number: int, side: int) -> Array:
    """Picture `number`, (side, side, 3) BGR of 8 bits: always the same."""
    chance = Chance(0, number, "leaves")
    picture = np.full((side, side, 3), 128, np.uint8)
    for _ in range(LEAVES):
        share = chance.uniform(0, 1)
        radius = (SMALLEST**-2 + share * (LARGEST**-2 - SMALLEST**-2)) ** -0.5
        light = chance.uniform(20, 235)
        colour = [min(max(light + chance.uniform(-40, 40), 0), 255) for _ in range(3)]
        centre = (chance.uniform(-radius, side + radius), chance.uniform(-radius, side + radius))
        x, y, r = (round(value * 2**_FRACTION_BITS) for value in (*centre, radius))
        cv2.circle(picture, (x, y), r, colour, cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
    return picture
