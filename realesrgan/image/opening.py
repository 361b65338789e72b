"""Open picture files by content and not by name; pixels are decoded as they are asked for. Knows nothing of metadata.

libvips opens most formats, OpenCV the few it lacks (BMP, PNM, JPEG 2000).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips

from ..arrays import Array
from ..errors import ImageFileError
from . import extras, vips
from .formats import PICTURE_EXTENSIONS

# How BMP and JPEG 2000 files begin, whatever they are called: what OpenCV reads and libvips may not.
_OPENCV_SIGNATURES = (b"BM", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
_UPRIGHT = 1  # EXIF orientation
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


class Damaged(ImageFileError):
    """A picture that cannot be decoded as it is. `is_jpeg`: it may be, by a tolerant decoder."""

    def __init__(self, path: Path, error: Exception, is_jpeg: bool = False) -> None:
        super().__init__(f"{path}: damaged or cut short{vips.detail(error)}")
        self.is_jpeg = is_jpeg


def open_picture(path: Path, *, tolerant: bool = False) -> Any:
    """A libvips image, not yet decoded, or an array where only OpenCV knows the format, or None: not a picture.

    Raises:
        ImageFileError: the file cannot be opened, is empty, or is a picture with a damaged header.
    """
    try:
        if path.stat().st_size == 0:
            raise ImageFileError(f"{path}: an empty file")
        with path.open("rb") as file:
            beginning = file.read(12)
        claimed = extras.look_into(path).largest_side if beginning[4:8] == b"ftyp" else 0
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be opened ({error.strerror})") from error
    if claimed > extras.LONGEST_SIDE:  # libvips would find out, but GLib prints lines of its own
        raise ImageFileError(f"{path}: damaged: it claims to be {claimed} pixels long")
    try:
        image = vips.open_image(path, tolerant=tolerant)
    except vips.ERRORS as error:
        raise Damaged(path, error) from error
    if image is None:
        named_so = path.suffix.lower()[1:] in PICTURE_EXTENSIONS
        return _read_by_opencv(path) if named_so or beginning.startswith(_OPENCV_SIGNATURES) else None
    return image


def open_known(path: Path, *, tolerant: bool = False) -> Any:
    """As `open_picture`, but content that is not a picture raises ImageFileError, too."""
    image = open_picture(path, tolerant=tolerant)
    if image is None:
        raise ImageFileError(f"{path}: not a picture that can be read here, or a damaged one")
    return image


def orientation(image: pyvips.Image) -> int:
    """The EXIF orientation, 1 to 8."""
    return int(vips.value_of(image, "orientation", _UPRIGHT))


def upright(image: pyvips.Image, path: Path) -> pyvips.Image:
    """Set an image upright; CMYK and Lab become sRGB. `path` is for messages.

    Raises:
        ImageFileError: its samples are neither 8 nor 16 bit.
        ERRORS: of `vips`: it is damaged.
    """
    if orientation(image) > _UPRIGHT:
        image = image.copy_memory().autorot()  # turning needs all of the picture, so it is decoded first
    image = vips.to_rgb_or_gray(image)
    if image.format not in ("uchar", "ushort"):
        raise ImageFileError(f"{path}: has {image.format} samples; convert it to 8 or 16 bits first")
    return image


def _read_by_opencv(path: Path) -> Array | None:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a line of its own for each damaged file
    # Not cv2.imread: it cannot open names with non-ASCII letters on Windows.
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageFileError(f"{path}: damaged, or too large ({error.err})") from error
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be read ({error.strerror})") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    return image if image is not None and image.dtype in (np.uint8, np.uint16) else None
