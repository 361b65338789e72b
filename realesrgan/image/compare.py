"""Draw a labelled before/after picture. Knows nothing of files."""

from __future__ import annotations

import cv2
import numpy as np

from ..arrays import Array
from .sheet import GAP, LABEL_HEIGHT, labelled, on_paper

LONGEST_SIDE = 32000  # pixels, of the whole; JPEG holds 65500


def side_by_side(before: Array, after: Array, label: str) -> Array:
    """`before`, enlarged to the size of `after` without smoothing, on the left of `after`, each with a label above.

    Takes (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits; returns 8-bit BGR, transparency as a checkerboard.
    """
    height, width = after.shape[:2]
    shrink = min(1.0, LONGEST_SIDE / max(2 * width + GAP, height + LABEL_HEIGHT))
    height, width = max(1, int(height * shrink)), max(1, int(width * shrink))
    left = cv2.resize(on_paper(before), (width, height), interpolation=cv2.INTER_NEAREST)
    right = on_paper(after)
    if shrink < 1:
        right = cv2.resize(right, (width, height), interpolation=cv2.INTER_AREA)
    panels = [
        labelled(left, f"input {before.shape[1]}x{before.shape[0]}"),
        labelled(right, f"{label} {after.shape[1]}x{after.shape[0]}"),
    ]
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    return np.hstack((panels[0], gap, panels[1]))
