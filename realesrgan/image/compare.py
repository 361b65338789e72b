"""Draw a labelled before/after picture. Knows nothing of files."""

from __future__ import annotations

import cv2
import numpy as np

from ..arrays import Array

LABEL_HEIGHT = 32  # pixels
GAP = 8  # pixels between the two pictures
LONGEST_SIDE = 32000  # pixels, of the whole; JPEG holds 65500
_PAPER, _INK = (255, 255, 255), (32, 32, 32)
_CHECKER_PX, _CHECKER_LEVELS = 8, (255, 204)


def side_by_side(before: Array, after: Array, label: str) -> Array:
    """`before`, enlarged to the size of `after` without smoothing, on the left of `after`, each with a label above.

    Takes (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits; returns 8-bit BGR, transparency as a checkerboard.
    """
    height, width = after.shape[:2]
    shrink = min(1.0, LONGEST_SIDE / max(2 * width + GAP, height + LABEL_HEIGHT))
    height, width = max(1, int(height * shrink)), max(1, int(width * shrink))
    left = cv2.resize(_on_paper(before), (width, height), interpolation=cv2.INTER_NEAREST)
    right = _on_paper(after)
    if shrink < 1:
        right = cv2.resize(right, (width, height), interpolation=cv2.INTER_AREA)
    panels = [
        _labelled(left, f"input {before.shape[1]}x{before.shape[0]}"),
        _labelled(right, f"{label} {after.shape[1]}x{after.shape[0]}"),
    ]
    gap = np.full((panels[0].shape[0], GAP, 3), _PAPER, np.uint8)
    return np.hstack((panels[0], gap, panels[1]))


def _labelled(picture: Array, text: str) -> Array:
    bar = np.full((LABEL_HEIGHT, picture.shape[1], 3), _PAPER, np.uint8)
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
    scale = min(0.6, 0.6 * (picture.shape[1] - 8) / text_width)
    if scale > 0.1:  # narrower pictures get no label
        cv2.putText(bar, text, (4, 22), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    return np.vstack((bar, picture))


def _on_paper(picture: Array) -> Array:
    """To 8-bit BGR, transparency over a checkerboard."""
    if picture.dtype == np.uint16:
        picture = np.rint(picture / np.float32(257)).astype(np.uint8)
    if picture.ndim == 2:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    if picture.shape[2] == 3:
        return picture
    rows, columns = np.indices(picture.shape[:2]) // _CHECKER_PX
    board = np.where((rows + columns) % 2, *_CHECKER_LEVELS)[..., None]
    share = picture[..., 3:] / np.float32(255)
    return np.rint(picture[..., :3] * share + board * (1 - share)).astype(np.uint8)
