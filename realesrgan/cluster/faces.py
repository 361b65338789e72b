"""Faces that came from a worker, as reporters are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..restorer import FacePair

_NOT_SENT = np.zeros((0, 0, 3), np.uint8)


def faces_from(count: int, files: Sequence[Path]) -> list[FacePair]:
    """`count` faces: from files of theirs, two each, or empty where nobody wants to see them."""
    if not files:
        return [(_NOT_SENT, _NOT_SENT)] * count
    pictures = [np.asarray(cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)) for file in files]
    return list(zip(pictures[::2], pictures[1::2], strict=True))
