"""Read and write picture files: any depth, by content and not by name, with their metadata. Knows nothing of networks.

libvips does the formats; OpenCV reads and writes the few it lacks (BMP, PNM, JPEG 2000), which carry no metadata.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips

from ..arrays import Array
from ..errors import ImageFileError
from . import tiff_exif

# OpenCV would print a line of its own about each damaged file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
pyvips.cache_set_max(0)  # every file is read once: a cache of operations would only hold memory

# What to give libvips for each extension. PNG: level 3 with the Sub filter is smaller and faster than OpenCV's default.
_SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("pngsave", {"compression": 3, "filter": "sub"}),
    "jpg": ("jpegsave", {"optimize_coding": True}),
    "webp": ("webpsave", {}),
    "tiff": ("tiffsave", {"compression": "deflate", "predictor": "horizontal"}),
    "avif": ("heifsave", {"compression": "av1", "effort": 3}),
}
_SAME_FORMAT = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}
_LOSSY = ("jpg", "webp", "avif")
_SIXTEEN_BIT = ("png", "tiff", "avif")
_WITH_ALPHA = ("png", "webp", "tiff", "avif", "bmp")
_LONGEST_SIDE = {"jpg": 65500, "webp": 16383, "avif": 16384}
DEFAULT_QUALITY = 95

# Names files of pictures usually have: one of these that cannot be read is reported, any other file is passed over.
PICTURE_EXTENSIONS = frozenset(
    ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "tif", "tiff", "bmp", "dib"]
    + ["gif", "avif", "heic", "heif", "jp2", "ppm", "pgm", "pbm", "pnm"]
)

# How BMP and JPEG 2000 files begin, whatever they are called: what OpenCV reads and libvips may not.
_OPENCV_SIGNATURES = (b"BM", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")

# What libvips would also open: text files of numbers, and drawings, which are better rendered larger.
_NOT_FOR_PICTURES = (b"VipsForeignLoadMatrix", b"VipsForeignLoadSvg", b"VipsForeignLoadPdf")

_METADATA_PREFIXES = ("exif-", "xmp-data", "icc-profile-data", "iptc-data")


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels, as libvips names it; `gray_alpha` remembers a file of gray and alpha."""

    fields: dict[str, tuple[int, Any]] = field(default_factory=dict)
    pixels_per_mm: tuple[float, float] = (1.0, 1.0)
    gray_alpha: bool = False


@dataclass(frozen=True)
class Picture:
    """Pixels as OpenCV has them, (H, W) or (H, W, 3) BGR or (H, W, 4) BGRA of uint8 or uint16, and the metadata."""

    pixels: Array
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True)
class Header:
    """What can be known of a picture file before decoding it; the size is that of the picture set upright."""

    width: int
    height: int
    channels: int
    depth_bits: int
    has_alpha: bool

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def bytes_per_pixel(self) -> int:
        return self.channels * self.depth_bits // 8


def probe(path: Path) -> Header | None:
    """Read the header of a picture file, or return None if `path` is no picture by its content.

    Raises:
        ImageFileError: the file cannot be opened, is empty, or is a picture with a damaged header.
    """
    image = _open(path)
    if image is None:
        return None
    if isinstance(image, pyvips.Image):
        width, height = image.width, image.height
        if _is_sideways(image):
            width, height = height, width
        return Header(width, height, image.bands, 16 if image.format == "ushort" else 8, bool(image.hasalpha()))
    height, width = image.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    return Header(width, height, channels, 8 * image.dtype.itemsize, channels == 4)


def read(path: Path) -> Picture:
    """Read a picture, set upright by its EXIF orientation; CMYK and Lab become sRGB, palettes their colours.

    Raises:
        ImageFileError: the file cannot be opened, is no picture, is damaged or cut short, or has samples that are
            neither 8 nor 16 bit.
    """
    image = _open(path)
    if image is None:
        raise ImageFileError(f"{path}: not a picture this program can read, or a damaged one")
    if not isinstance(image, pyvips.Image):
        return Picture(image)
    try:
        return _decode(image, path)
    except pyvips.Error as error:
        raise ImageFileError(f"{path}: damaged or cut short{_detail(error)}") from error


def _open(path: Path) -> Any:
    """A libvips image, not yet decoded, or an array where only OpenCV knows the format, or None."""
    try:
        if path.stat().st_size == 0:
            raise ImageFileError(f"{path}: an empty file")
        with path.open("rb") as file:
            beginning = file.read(8)
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be opened ({error.strerror})") from error
    source = pyvips.Source.new_from_file(str(path))  # unlike a file name, this is never parsed for options in [ ]
    loader = pyvips.vips_lib.vips_foreign_find_load_source(source.pointer)
    if loader == pyvips.ffi.NULL or pyvips.ffi.string(loader).startswith(_NOT_FOR_PICTURES):
        named_so = path.suffix.lower()[1:] in PICTURE_EXTENSIONS
        return _read_by_opencv(path) if named_so or beginning.startswith(_OPENCV_SIGNATURES) else None
    try:
        return pyvips.Image.new_from_source(source, "", access="sequential", fail_on="truncated")
    except pyvips.Error as error:
        raise ImageFileError(f"{path}: damaged or cut short{_detail(error)}") from error


def _read_by_opencv(path: Path) -> Array | None:
    # Not cv2.imread: it cannot open names with non-ASCII letters on Windows.
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageFileError(f"{path}: damaged, or too large ({error.err})") from error
    return image if image is not None and image.dtype in (np.uint8, np.uint16) else None


def _is_sideways(image: pyvips.Image) -> bool:
    return "orientation" in image.get_fields() and image.get("orientation") in (5, 6, 7, 8)


def _decode(image: pyvips.Image, path: Path) -> Picture:
    if image.get_fields().count("orientation") and image.get("orientation") > 1:
        image = image.copy_memory().autorot()  # turning needs all of the picture, so it is decoded first
    image = _to_rgb_or_gray(image)
    if image.format not in ("uchar", "ushort"):
        raise ImageFileError(f"{path}: has {image.format} samples; convert it to 8 or 16 bits first")
    fields = {
        name: (image.get_typeof(name), image.get(name))
        for name in image.get_fields()
        if name.startswith(_METADATA_PREFIXES)
    }
    if image.get("vips-loader").startswith("tiff") and (exif := tiff_exif.extract(path)):
        fields["exif-data"] = (pyvips.GValue.blob_type, exif)
    metadata = Metadata(
        fields,
        (image.xres, image.yres),
        gray_alpha=image.bands == 2,
    )
    return Picture(_to_opencv_order(image.numpy()), metadata)


def _to_rgb_or_gray(image: pyvips.Image) -> pyvips.Image:
    if image.interpretation == "cmyk":
        # By the file's own profile, or a common press profile; the sRGB profile of the result takes its place.
        depth = 16 if image.format == "ushort" else 8
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
    if image.interpretation in ("lab", "labs", "labq", "xyz", "yxy", "lch", "cmc", "scrgb", "hsv"):
        return image.colourspace("srgb")
    return image[:4] if image.bands > 4 else image


def _to_opencv_order(array: Array) -> Array:
    if array.ndim == 2 or array.shape[2] == 1:
        return np.ascontiguousarray(array.reshape(array.shape[:2]))
    if array.shape[2] == 2:
        return np.ascontiguousarray(array[..., (0, 0, 0, 1)])
    order = (2, 1, 0) if array.shape[2] == 3 else (2, 1, 0, 3)
    return np.ascontiguousarray(array[..., order])


def format_of(path: Path) -> str | None:
    """The format `path` would be written in, by its extension: one of the names --ext knows, or None."""
    extension = path.suffix.lower().lstrip(".")
    extension = _SAME_FORMAT.get(extension, extension)
    return extension if extension in writable_formats() else None


def writable_formats() -> tuple[str, ...]:
    """The formats this installation can write, as --ext names them."""
    return (*(name for name, (saver, _) in _SAVERS.items() if pyvips.type_find("VipsOperation", saver)), "bmp")


def too_large_for(path: Path, width: int, height: int) -> str | None:
    """Say why the format of `path` cannot hold a picture of this size, or None if it can."""
    longest = _LONGEST_SIDE.get(format_of(path) or "")
    if longest is None or max(height, width) <= longest:
        return None
    return f"{width}×{height} is more than {format_of(path)} can hold ({longest} a side); try --ext png"


def holds_alpha(format_name: str) -> bool:
    return format_name in _WITH_ALPHA


def write(path: Path, picture: Picture, quality: int = DEFAULT_QUALITY) -> None:
    """Write a picture in the format of the extension of `path`; the file appears whole or not at all.

    16 bits stay 16 where the format has them, else they are rounded to 8. `quality` 1 to 100 is for the lossy formats.

    Raises:
        ImageFileError: the format is not known or cannot hold a picture of this size, or the disk refuses.
    """
    format_name = format_of(path)
    if format_name is None:
        raise ImageFileError(f"{path}: pictures can be written as {', '.join(writable_formats())}")
    height, width = picture.pixels.shape[:2]
    if reason := too_large_for(path, width, height):
        raise ImageFileError(f"{path}: {reason}")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        _encode(part, picture, format_name, quality)
        part.replace(path)
    except (pyvips.Error, OSError, cv2.error) as error:
        raise ImageFileError(f"{path}: cannot be written{_detail(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _encode(part: Path, picture: Picture, format_name: str, quality: int) -> None:
    pixels = picture.pixels
    if pixels.dtype == np.uint16 and format_name not in _SIXTEEN_BIT:
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
    with part.open("w+b", buffering=0) as file:
        if format_name == "bmp":
            _write_all(file, cv2.imencode(".bmp", pixels)[1].data)
        else:
            saver, options = _SAVERS[format_name]
            options = options | ({"Q": quality} if format_name in _LOSSY else {})
            _save(_to_vips(pixels, picture.metadata), saver, options, file)
    exif = picture.metadata.fields.get("exif-data")
    if format_name == "tiff" and exif is not None:
        tiff_exif.insert(part, exif[1], pixels.shape[1], pixels.shape[0])


def _save(image: pyvips.Image, saver: str, options: dict[str, Any], file: FileIO) -> None:
    """Encode straight into `file`, through which, unlike from libvips itself, one hears why a disk refuses."""
    refusals: list[OSError] = []

    def write(chunk: bytes) -> int:
        try:
            _write_all(file, memoryview(chunk))
        except OSError as error:
            refusals.append(error)
            return -1
        return len(chunk)

    target = pyvips.TargetCustom()
    target.on_write(write)
    target.on_seek(file.seek)  # TIFF goes back to fill in where things are
    target.on_read(file.read)
    try:
        getattr(image, f"{saver}_target")(target, **options)
    except pyvips.Error:
        if refusals:
            raise refusals[0] from None
        raise


def _write_all(file: FileIO, content: memoryview) -> None:
    while content:
        content = content[file.write(content) :]


def _to_vips(pixels: Array, metadata: Metadata) -> pyvips.Image:
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    wide = pixels.dtype == np.uint16
    image = pyvips.Image.new_from_memory(pixels, width, height, bands, "ushort" if wide else "uchar")
    if bands > 1:  # libvips turns BGR round as it reads; an array turned round would be a second one
        order = (0, 3) if metadata.gray_alpha else (2, 1, 0, 3)[:bands]
        image = image[order[0]].bandjoin([image[band] for band in order[1:]])
    interpretation = ("grey16" if wide else "b-w") if image.bands < 3 else ("rgb16" if wide else "srgb")
    image = image.copy(interpretation=interpretation, xres=metadata.pixels_per_mm[0], yres=metadata.pixels_per_mm[1])
    for name, (kind, value) in metadata.fields.items():
        image.set_type(kind, name, _with_size(value, width, height) if name == "xmp-data" else value)
    # After the rest: the original EXIF block, set above, still carries the orientation the pixels came with.
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return image


# EXIF sizes and orientation are set right by libvips as it writes; XMP repeats them in text, which it leaves alone.
def _with_size(xmp: bytes, width: int, height: int) -> bytes:
    """Set orientation and size in an XMP packet right, whether they stand in attributes or in elements."""
    facts = {
        "tiff:Orientation": 1,
        "tiff:ImageWidth": width,
        "tiff:ImageLength": height,
        "exif:PixelXDimension": width,
        "exif:PixelYDimension": height,
    }
    for name, fact in facts.items():
        pattern = rb"(" + name.encode() + rb"\s*(?:=\s*[\"']|>))\s*\d+"
        xmp = re.sub(pattern, rb"\g<1>%d" % fact, xmp)
    return xmp


def _detail(error: Exception) -> str:
    """The cause in brackets, to go behind a message; libvips gathers several lines, or none, the last one is it."""
    if isinstance(error, OSError):
        return f" ({error.strerror or error})"
    lines = [line.strip() for line in str(getattr(error, "detail", error)).splitlines()]
    lines = [line for line in lines if any(letter.isalpha() for letter in line)]
    return f" ({lines[-1]})" if lines else ""
