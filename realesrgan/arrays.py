"""Pictures as arrays, the way OpenCV holds them. Knows nothing of torch, files or networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mode = Literal["L", "RGB", "RGBA"]
# ITU-R BT.601 luma of R, G, B: how OpenCV, and so the published code, turns a restored gray picture back to gray.
LUMA = (0.299, 0.587, 0.114)
# Pixels of the source around an edge of alpha within which the network's alpha is kept, and over how many more it fades
# to the source's. Measured with animevideov3, x4plus and anime_6B on hard, soft and two-pixel edges: from 4 pixels on,
# the network's error no longer depends on the edge.
ALPHA_EDGE_PX, ALPHA_FADE_PX = 4, 4
_BAND_ROWS = 256  # rows of a result processed at a time


@dataclass(frozen=True)
class Planes:
    """A picture's planes: `colour` (H, W, 3) in RGB order or (H, W, 1) gray, `alpha` (H, W) or None."""

    colour: Array
    alpha: Array | None

    @property
    def mode(self) -> Mode:
        if self.alpha is not None:
            return "RGBA"
        return "L" if self.colour.shape[2] == 1 else "RGB"


@contextmanager
def opencv_memory_errors() -> Iterator[None]:
    """Raise MemoryError where OpenCV, which has an exception of its own for it, says that memory ran out."""
    try:
        yield
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise MemoryError(str(error)) from error


def split(image: Array) -> Planes:
    """Split an (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA array into planes.

    The planes are uint8 or uint16 as the array is: a dark 16-bit picture is still one. Arrays of other types
    are rounded to 8-bit levels or, if any exceeds 256, to 16-bit ones.

    Raises:
        ValueError: it is not an array, has another shape or no pixels, or holds values that are not finite numbers.
    """
    if not isinstance(image, np.ndarray):
        hint = " (cv2.imread gives None for a file it cannot read)" if image is None else ""
        raise ValueError(f"a picture is a NumPy array, not {type(image).__name__}{hint}")
    shape = image.shape
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ValueError(f"a picture is (H, W), (H, W, 3) BGR or (H, W, 4) BGRA with at least one pixel, not {shape}")
    if image.dtype not in (np.uint8, np.uint16):
        image = _as_levels(image)
    if image.shape[2] == 1:
        return Planes(image, None)
    colour = np.ascontiguousarray(image[..., 2::-1])
    return Planes(colour, image[..., 3] if image.shape[2] == 4 else None)


def as_rgba(colour: Array, alpha: Array | None) -> Array:
    """(H, W, 1 or 3) and (H, W), or None for opaque → (H, W, 4) RGBA."""
    rgba = np.empty((*colour.shape[:2], 4), colour.dtype)
    rgba[..., :3] = colour
    rgba[..., 3] = peak_of(colour.dtype) if alpha is None else alpha
    return rgba


def _as_levels(image: Array) -> Array:
    """Numbers of another type → uint8 or, if any exceeds 256, uint16."""
    if image.dtype.kind not in "buif":
        raise ValueError(f"a picture holds numbers, not {image.dtype}")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError("this picture holds values that are infinite or not numbers")
    depth = np.dtype(np.uint16 if image.max() > 256 else np.uint8)
    return quantise(image / np.float32(peak_of(depth)), depth)


def peak_of(depth: np.dtype[Any]) -> int:
    """The value that stands for 1.0."""
    return 65535 if depth == np.uint16 else 255


def pad_bottom_right(image: Array, bottom: int, right: int) -> Array:
    """Mirror (H, W, C) at its bottom and right border, which is not repeated itself, as often as it takes."""
    if bottom == 0 and right == 0:
        return image
    padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
    return padded.reshape(*padded.shape[:2], -1)


def quantise(image: Array, depth: np.dtype[Any]) -> Array:
    """Floating-point values with 1.0 for white → `depth`, clamped and rounded once."""
    levels: Array = np.rint(np.clip(image, 0, 1) * np.float32(peak_of(depth)))
    return levels.astype(depth)


def final_size(height: int, width: int, outscale: float) -> tuple[int, int]:
    """Height and width after an enlargement by `outscale`: rounded down, as published, but never to nothing."""
    return max(1, int(height * outscale)), max(1, int(width * outscale))


def held_bytes(height: int, width: int, channels: int, depth_bits: int, final: tuple[int, int]) -> int:
    """What restoring a picture holds besides the network's tensors: its pixels, a copy of them, and the result."""
    return (2 * height * width + final[0] * final[1]) * channels * depth_bits // 8


def resize_bicubic(plane: Array, height: int, width: int) -> Array:
    """(H, W) floating point → (height, width), bicubic."""
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC)


def bleed_colour(colour: Array, alpha: Array) -> Array:
    """Give every fully transparent pixel of (H, W, C) the colour of the nearest visible one.

    Colour under transparency is often black or garbage, and the network would let it bleed into the visible edge.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colour
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Each visible pixel has a label of its own, shared by the hidden pixels it is nearest to.
    nearest = np.zeros(labels.max() + 1, np.intp)
    nearest[labels[~hidden]] = np.flatnonzero(~hidden)
    filled = colour.copy()
    filled[hidden] = colour.reshape(-1, colour.shape[2])[nearest[labels[hidden]]]
    return filled


def keep_constant_alpha(alpha: Array, enlarged: Array, edge: int = ALPHA_EDGE_PX, fade: int = ALPHA_FADE_PX) -> Array:
    """Undo a network's changes to alpha where the source is constant, so that nothing was to be restored.

    Networks turn 0 into 1 and 255 into 254, or even 248. `enlarged` is the (H', W') result for the (H, W) source
    `alpha`, of the same type. A pixel keeps its value if the source changes within `edge` pixels of it (a square), and
    gets the source's if it is constant within `edge` + `fade`. In between, one fades into the other, so that no line
    shows along the edges.
    """
    depth = _constant_depth(alpha, edge + fade).clip(edge) - np.uint8(edge)
    if not depth.any():
        return enlarged
    rows, columns = (_nearest(after, before) for after, before in zip(enlarged.shape, alpha.shape, strict=True))
    result = enlarged.copy()
    for top in range(0, len(rows), _BAND_ROWS):  # so that the enlarged source is never held as a whole
        band, out = rows[top : top + _BAND_ROWS], result[top : top + _BAND_ROWS]
        share = depth[band][:, columns] / np.float32(fade)
        out[...] = np.rint(out + share * (alpha[band][:, columns].astype(np.float32) - out))
    return result


def _constant_depth(plane: Array, most: int) -> Array:
    """How far around each pixel of (H, W) all have its value, as a square and up to `most` pixels; (H, W) uint8."""
    square = np.ones((3, 3), np.uint8)
    depth = np.zeros(plane.shape, np.uint8)
    low = high = plane
    for _ in range(most):
        # Pixels beyond the border do not count, so a constant plane stays constant up to it.
        low, high = cv2.erode(low, square), cv2.dilate(high, square)
        depth += low == high
    return depth


def _nearest(after: int, before: int) -> Array:
    """For each of `after` pixels, which of `before` lies under its centre."""
    return (2 * np.arange(after) + 1) * before // (2 * after)
