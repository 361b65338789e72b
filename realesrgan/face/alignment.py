"""Cut faces out into the upright 512-pixel frame GFPGAN expects, and paste them back. Knows nothing of networks.

A transform is a (2, 3) matrix that maps (x, y, 1).
"""

from __future__ import annotations

import cv2
import numpy as np

from ..arrays import LUMA, Array, peak_of
from ..engine.tiling import Box

FACE_SIDE = 512
# Published: the average positions of eyes, nose and corners of the mouth in FFHQ faces (arXiv:1812.04948).
TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)
OUTSIDE_BGR = (135, 133, 132)  # 8-bit levels: the published program's fill beyond the picture's border
WARP_MARGIN = 2  # pixels around a face that interpolation may read
LONGEST_WARPED = 32766  # pixels a side; OpenCV's warp counts in 16 bits
LARGEST_WARPED = 3840 * 2160  # pixels; in larger pictures, only the face's surroundings are warped

# ParseNet's classes that are not pasted: background, hat, necklace, neck, clothes… (of CelebAMask-HQ's 19).
NOT_PASTED = (0, 14, 16, 17, 18)
PARSED_CLASSES = 19
MASK_BLUR_TAPS, MASK_BLUR_SIGMA, MASK_BLURS = 101, 11, 2
MASK_BORDER = 10  # pixels at the frame's border that are never pasted


def into_frame(landmarks: Array) -> Array | None:
    """The similarity transform that brings (5, 2) landmarks closest to the template, or None if there is none.

    Fitted by least median of squares, which tolerates one wrong landmark.
    """
    matrix: Array | None = cv2.estimateAffinePartial2D(landmarks, TEMPLATE, method=cv2.LMEDS)[0]
    if matrix is None or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-12:
        return None
    return matrix


def back_into(matrix: Array, upscale: float) -> Array:
    """The inverse of `matrix`, into a picture enlarged `upscale` times.

    As published, half of `upscale` is added if it enlarges, because pixels' centres move.
    """
    inverse: Array = cv2.invertAffineTransform(matrix) * upscale
    if upscale > 1:
        inverse[:, 2] += 0.5 * upscale
    return inverse


def cut_out(bgr: Array, matrix: Array) -> Array:
    """(H, W, 3) of any depth → the face, (512, 512, 3) of the same depth."""
    outside = [level * (peak_of(bgr.dtype) // 255) for level in OUTSIDE_BGR]
    if max(bgr.shape[:2]) > LONGEST_WARPED:
        box = _covered(cv2.invertAffineTransform(matrix), *bgr.shape[:2]) or Box(0, 0, 1, 1)
        bgr = bgr[box.slices]
        matrix = np.column_stack((matrix[:, :2], matrix @ (box.left, box.top, 1)))
    return cv2.warpAffine(bgr, matrix, (FACE_SIDE, FACE_SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=outside)


def paste(picture: Array, face: Array, mask: Array, matrix: Array, share: float = 1.0) -> None:
    """Blend a face into `picture`, in place, rounding once.

    Args:
        picture: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGRA, whose alpha stays; uint8 or uint16.
        face: (512, 512, 3) BGR, uint8 or uint16.
        mask: (512, 512) in [0, 1], how much of the face shows.
        matrix: from the frame into `picture`.
        share: of the restored face in the result; 1 is the published result.
    """
    box = _covered(matrix, picture.shape[0], picture.shape[1])
    if box is None:
        return
    if box.bottom * box.right > LARGEST_WARPED or max(box.bottom, box.right) > LONGEST_WARPED:
        matrix = np.column_stack((matrix[:, :2], matrix[:, 2] - (box.left, box.top)))
        size, inside = (box.width, box.height), box.relative_to(box)
    else:  # warped from the picture's corner: from elsewhere OpenCV rounds differently, some pixels by a level
        size, inside = (box.right, box.bottom), box
    warped = cv2.warpAffine(face, matrix, size)[inside.slices].astype(np.float32)
    warped *= peak_of(picture.dtype) / peak_of(face.dtype)
    # In double precision, because OpenCV 5 then interpolates more coarsely, as the published program did.
    opacity = share * cv2.warpAffine(mask.astype(np.float64), matrix, size)[inside.slices]
    if picture.ndim == 2:
        warped, below = warped @ np.array(LUMA[::-1], np.float32), picture[box.slices]
    else:
        opacity, below = opacity[..., None], picture[box.slices][..., :3]
    below[...] = np.rint(opacity * warped + (1 - opacity) * below)


def soft_mask(labels: Array) -> Array:
    """(512, 512) ParseNet classes → how much of each pixel is pasted, (512, 512) in [0, 1]."""
    pasted = np.ones(PARSED_CLASSES, np.float32)
    pasted[list(NOT_PASTED)] = 0
    mask: Array = pasted[labels]
    for _ in range(MASK_BLURS):
        mask = cv2.GaussianBlur(mask, (MASK_BLUR_TAPS, MASK_BLUR_TAPS), MASK_BLUR_SIGMA)
    inner = slice(MASK_BORDER, -MASK_BORDER)
    framed = np.zeros_like(mask)
    framed[inner, inner] = mask[inner, inner]
    return framed


def _covered(matrix: Array, height: int, width: int) -> Box | None:
    """The part of a (height, width) picture that the frame covers after `matrix`, with a margin; None if nothing."""
    corners = np.array([(0, 0), (FACE_SIDE, 0), (0, FACE_SIDE), (FACE_SIDE, FACE_SIDE)])
    placed = corners @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.floor(placed.min(0)).astype(int) - WARP_MARGIN
    right, bottom = np.ceil(placed.max(0)).astype(int) + WARP_MARGIN
    box = Box(max(0, top), max(0, left), min(height, bottom), min(width, right))
    return box if box.height > 0 and box.width > 0 else None
