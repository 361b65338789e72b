"""Open and encode pictures with libvips, their pixels in OpenCV's order. Knows nothing of metadata."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips

from ..arrays import Array

# What libvips would also open: text files of numbers, and drawings, which are better rendered larger.
_NOT_FOR_PICTURES = ("VipsForeignLoadMatrix", "VipsForeignLoadSvg", "VipsForeignLoadPdf")
_JPEG = ("VipsForeignLoadJpeg", "VipsForeignLoadUhdr")
# pyvips decodes messages and names as UTF-8, and raises the second where a file has put something else into them.
ERRORS = (pyvips.Error, UnicodeDecodeError)


def prepare_process() -> None:
    """Set libvips and OpenCV up for a program that restores pictures: no cache, no messages of their own.

    These settings are the whole process's, so whoever starts it makes them, not an import.
    """
    pyvips.cache_set_max(0)  # every file is read once: a cache of operations would only hold memory
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # pyvips passes libvips's warnings on through this, and prints a traceback where one is not UTF-8.
    pyvips._to_string = _lenient


def use_one_thread() -> None:
    """Have libvips take one thread only: for a process of several, which would take each other's time."""
    if hasattr(pyvips, "concurrency_set"):  # not in 3.0
        pyvips.concurrency_set(1)


def _lenient(text: Any) -> str:
    return "" if text == pyvips.ffi.NULL else pyvips.ffi.string(text).decode("utf-8", "replace")


def open_image(path: Path, *, tolerant: bool = False) -> pyvips.Image | None:
    """A picture whose pixels are decoded as they are asked for, or None if libvips does not know the content.

    Decoding fails where the file is cut short and, unless `tolerant`, where the scan of a JPEG is damaged.

    Raises:
        ERRORS: the header is damaged.
    """
    # A source is never parsed for options in [ ], as a file name is. Bytes: names need not be UTF-8.
    source = pyvips.Source.new_from_file(os.fsencode(path))
    loader = _lenient(pyvips.vips_lib.vips_foreign_find_load_source(source.pointer))
    if not loader or loader.startswith(_NOT_FOR_PICTURES):
        pyvips.vips_lib.vips_error_clear()
        return None
    # A JPEG has warnings only in its scan; other formats have harmless ones.
    strict = loader.startswith(_JPEG) and not tolerant
    options = {"access": "sequential", "fail_on": "warning" if strict else "truncated"}
    if loader.startswith(_JPEG):  # also Ultra HDR, whose own loader does not notice a file that is cut short
        return pyvips.Image.jpegload_source(source, **options)
    return pyvips.Image.new_from_source(source, "", **options)


def loader_of(image: pyvips.Image) -> str:
    """The format's name as libvips has it: jpeg, png, gif, webp, tiff, heif and others."""
    return str(value_of(image, "vips-loader", "")).split("load")[0]


def value_of(image: pyvips.Image, name: str, default: Any = None) -> Any:
    """A field of the header, or `default` where there is none."""
    if not image.get_typeof(name):
        return default
    try:
        return image.get(name)
    except UnicodeDecodeError:
        return default


def field_names(image: pyvips.Image) -> list[str]:
    """As `image.get_fields`, which fails on names that are not UTF-8: a PNG's keywords are Latin-1."""
    pointers = pyvips.vips_lib.vips_image_get_fields(image.pointer)
    names: list[str] = []
    try:
        while pointers[len(names)] != pyvips.ffi.NULL:
            names.append(_lenient(pointers[len(names)]))
            pyvips.glib_lib.g_free(pointers[len(names) - 1])
    finally:
        pyvips.glib_lib.g_free(pointers)
    return names


def to_rgb_or_gray(image: pyvips.Image) -> pyvips.Image:
    """CMYK and Lab become sRGB; of more than four bands the first four are kept."""
    if image.interpretation == "cmyk":
        # By the file's own profile, or a common press profile; the sRGB profile of the result takes its place.
        depth = 16 if image.format == "ushort" else 8
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
    if image.interpretation in ("lab", "labs", "labq", "xyz", "yxy", "lch", "cmc", "scrgb", "hsv"):
        return image.colourspace("srgb")
    return image[:4] if image.bands > 4 else image


def to_array(image: pyvips.Image) -> Array:
    """Decode to (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; gray with alpha becomes BGRA."""
    # Shaped here: of a single gray pixel, pyvips makes an array without dimensions.
    array: Array = np.asarray(image.numpy()).reshape(image.height, image.width, image.bands)
    if array.shape[2] == 1:
        return np.ascontiguousarray(array[..., 0])
    if array.shape[2] == 2:
        return np.ascontiguousarray(array[..., (0, 0, 0, 1)])
    order = (2, 1, 0) if array.shape[2] == 3 else (2, 1, 0, 3)
    return np.ascontiguousarray(array[..., order])


def from_array(pixels: Array, *, gray_alpha: bool) -> pyvips.Image:
    """The opposite of `to_array`; with `gray_alpha`, BGRA whose colours are equal becomes gray with alpha."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    wide = pixels.dtype == np.uint16
    image = pyvips.Image.new_from_memory(pixels, width, height, bands, "ushort" if wide else "uchar")
    if bands > 1:  # libvips turns BGR round as it reads; an array turned round would be a second one
        order = (0, 3) if gray_alpha else (2, 1, 0, 3)[:bands]
        image = image[order[0]].bandjoin([image[band] for band in order[1:]])
    interpretation = ("grey16" if wide else "b-w") if image.bands < 3 else ("rgb16" if wide else "srgb")
    return image.copy(interpretation=interpretation)


def encode(
    image: pyvips.Image, saver: str, options: dict[str, Any], file: FileIO, write: Callable[[bytes], None]
) -> None:
    """Encode by way of `write`, which puts the bytes into `file` and, unlike libvips, says why a disk refuses.

    Raises:
        OSError: what `write` raised.
        ERRORS: libvips cannot encode this.
    """
    refusals: list[OSError] = []

    def on_write(chunk: bytes) -> int:
        try:
            write(bytes(chunk))
        except OSError as error:
            refusals.append(error)
            return -1
        return len(chunk)

    target = pyvips.TargetCustom()
    target.on_write(on_write)
    target.on_seek(file.seek)  # TIFF goes back to fill in where things are
    target.on_read(file.read)
    try:
        getattr(image, f"{saver}_target")(target, **options)
    except ERRORS:
        if refusals:
            raise refusals[0] from None
        raise


def write_all(file: FileIO, content: bytes) -> None:
    """Write to a file without a buffer, which may take a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def detail(error: Exception) -> str:
    """The cause in brackets, to end a message with; the last of libvips's lines, if it has any."""
    if isinstance(error, OSError):
        return f" ({error.strerror or error})"
    if isinstance(error, UnicodeDecodeError):  # raised before pyvips could empty libvips's buffer of messages
        message = _lenient(pyvips.vips_lib.vips_error_buffer())
        pyvips.vips_lib.vips_error_clear()
    else:
        message = str(getattr(error, "detail", error))
    lines = [line.strip() for line in message.splitlines()]
    lines = [line for line in lines if any(letter.isalpha() for letter in line)]
    return f" ({lines[-1]})" if lines else ""
