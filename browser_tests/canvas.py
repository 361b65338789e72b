"""What the comparison of pictures draws, and what it should draw by the pictures' own pixels."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from visitor import Visitor

_SHOWN = """() => {
  const canvas = document.querySelector("#picture");
  const compare = document.querySelector("before-after");
  const ratio = canvas.width / canvas.clientWidth;
  return {
    ...canvas.frame,
    divider: Math.round(compare.x * ratio),
    content: canvas.toDataURL("image/png").split(",")[1],
  };
}"""


@dataclass(frozen=True)
class Shown:
    """Attributes:
    pixels: of the canvas, (H, W, 4) BGRA bytes.
    scale: device pixels for one pixel of the result.
    left, top: where the result's corner lies on the canvas; negative where it is outside.
    divider: left of this column is before, in device pixels.
    """

    pixels: Any
    scale: float
    left: int
    top: int
    divider: int


def decoded(content: bytes) -> Any:
    """(H, W, C) bytes in OpenCV's order of colours."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def shown(visitor: Visitor) -> Shown:
    """What is drawn once nothing is missing."""
    visitor.until_drawn()
    answer = visitor.page.evaluate(_SHOWN)
    pixels = decoded(base64.b64decode(answer["content"]))
    return Shown(pixels, answer["scale"], answer["left"], answer["top"], answer["divider"])


def expected(seen: Shown, before: Any, after: Any) -> tuple[Any, Any, Any]:
    """The two pictures as they should be drawn at whole scales: all of the canvas for each side, and where it is empty.

    Pixels are enlarged without smoothing, so that single ones can be judged.
    """
    height, width = seen.pixels.shape[:2]
    rows = np.floor((np.arange(height) - seen.top) / seen.scale).astype(int)
    columns = np.floor((np.arange(width) - seen.left) / seen.scale).astype(int)
    inside = np.ix_((rows >= 0) & (rows < after.shape[0]), (columns >= 0) & (columns < after.shape[1]))
    is_empty = np.ones((height, width), bool)
    is_empty[inside] = False
    sides = []
    for picture in (before, after):
        y = np.clip(rows, 0, after.shape[0] - 1) * picture.shape[0] // after.shape[0]
        x = np.clip(columns, 0, after.shape[1] - 1) * picture.shape[1] // after.shape[1]
        sides.append(picture[np.ix_(y, x)])
    return sides[0], sides[1], is_empty


def check(visitor: Visitor, before: Any, after: Any) -> Shown:
    """Fail unless every pixel is the file's own: before on the left of the divider, after on the right.

    Args:
        before, after: (H, W, 3) BGR bytes.
    """
    seen = shown(visitor)
    assert seen.scale == int(seen.scale), "pixels can only be told at whole scales"
    left, right, is_empty = expected(seen, before, after)
    wanted = right.copy()
    wanted[:, : seen.divider] = left[:, : seen.divider]
    difference = np.abs(wanted.astype(int) - seen.pixels[..., :3])
    difference[is_empty] = 0
    assert not difference.any(), f"{(difference.max(axis=2) > 0).mean():.2%} of the canvas differs, at {seen.scale}"
    assert not seen.pixels[is_empty].any(), "something is drawn beside the picture"
    return seen
