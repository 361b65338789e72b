"""Read and write picture files: any depth, with their metadata. Knows nothing of networks.

libvips does the formats; OpenCV reads and writes the few it lacks (BMP, PNM, JPEG 2000), which carry no metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyvips

from ..arrays import Array
from ..errors import ImageFileError
from ..outputs import appearing
from . import extras, metadata, opening, png_chunks, tiff_exif, vips
from .beginning import Beginning, jfif
from .formats import (
    DEFAULT_COMPRESSION,
    DEFAULT_QUALITY,
    LOSSY,
    SAVERS,
    SIXTEEN_BIT,
    format_of,
    too_large_for,
)
from .formats import writable_formats as writable_formats
from .metadata import Metadata as Metadata


@dataclass(frozen=True)
class Picture:
    """A picture file in memory.

    `pixels` are (H, W) or (H, W, 3) BGR or (H, W, 4) BGRA of uint8 or uint16, as OpenCV has them. `warnings` say what
    was damaged, `remarks` what else is in the file; one line each, without its name.
    """

    pixels: Array
    metadata: Metadata = field(default_factory=Metadata)
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


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


def read_header(path: Path) -> Header | None:
    """Read the header of a picture file, or return None if its content is not a picture.

    Raises:
        ImageFileError: the file cannot be opened, is empty, or is a picture with a damaged header.
    """
    image = opening.open_picture(path)
    if image is None:
        return None
    if isinstance(image, pyvips.Image):
        width, height = image.width, image.height
        if opening.orientation(image) in opening.SIDEWAYS:
            width, height = height, width
        return Header(width, height, image.bands, 16 if image.format == "ushort" else 8, bool(image.hasalpha()))
    height, width = image.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    return Header(width, height, channels, 8 * image.dtype.itemsize, channels == 4)


def read(path: Path, *, tolerant: bool = True) -> Picture:
    """Read a picture, set upright by its EXIF orientation; CMYK and Lab become sRGB, palettes their colours.

    Of animations and files of several pages this is the first; `remarks` say so. If `tolerant`, a JPEG with a damaged
    scan is read with a warning.

    Raises:
        ImageFileError: the file cannot be opened, is not a picture, is damaged or cut short, or has samples that are
            neither 8 nor 16 bit.
    """
    try:
        return _read(path)
    except opening.Damaged as damaged:
        if not (damaged.is_jpeg and tolerant):
            raise
    # A JPEG with a damaged scan is still a picture, if it has its end: what is missing is gray, or what went before.
    picture = _read(path, tolerant=True)
    line = "its data is damaged, and part of the picture may be wrong"
    return replace(picture, warnings=(line, *picture.warnings))


def _read(path: Path, *, tolerant: bool = False) -> Picture:
    image = opening.open_known(path, tolerant=tolerant)
    if not isinstance(image, pyvips.Image):
        return Picture(image, remarks=extras.remarks(path, "", 1))
    loader = vips.loader_of(image)
    try:
        return _decode(image, path, loader)
    except vips.ERRORS as error:
        raise opening.Damaged(path, error, is_jpeg=loader == "jpeg" and not tolerant) from error
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be read{vips.detail(error)}") from error


def _decode(header: pyvips.Image, path: Path, loader: str) -> Picture:
    image = opening.upright(header, path)  # lacks some of what the header says
    fields, warnings = metadata.read_fields(image)
    if loader == "tiff" and (exif := tiff_exif.extract(path)):
        fields["exif-data"] = (pyvips.GValue.blob_type, exif)
    chunks = png_chunks.read(path) if loader == "png" else png_chunks.Contents()
    density = (header.xres, header.yres) if chunks.has_density else metadata.density_of(header)
    if density is not None and opening.orientation(header) in opening.SIDEWAYS:
        density = density[::-1]
    said = Metadata(fields, density, image.bands == 2, chunks.kept)
    pages = max(chunks.frames, int(vips.value_of(header, "n-pages", 1)))
    return Picture(vips.to_array(image), said, warnings, extras.remarks(path, loader, pages))


def write(
    path: Path, picture: Picture, quality: int = DEFAULT_QUALITY, compression: int = DEFAULT_COMPRESSION
) -> tuple[str, ...]:
    """Write a picture in the format of the extension of `path`; the file appears whole or not at all.

    16 bits stay 16 where the format has them, else they are rounded to 8. `quality` 1 to 100 is for the lossy formats,
    `compression` 0 (fast) to 9 (small) for PNG. Returns a line for each thing that the picture says and the file does
    not.

    Raises:
        ImageFileError: the format is not known or cannot hold a picture of this size, or the disk refuses.
    """
    format_name = format_of(path)
    if format_name is None:
        raise ImageFileError(f"{path}: pictures can be written as {', '.join(writable_formats())}")
    height, width = picture.pixels.shape[:2]
    if reason := too_large_for(path, width, height):
        raise ImageFileError(f"{path}: {reason}")
    lost: tuple[str, ...] = ()
    try:
        with appearing(path) as part:
            try:
                _encode(part, picture, format_name, quality, compression)
            except vips.ERRORS:  # most likely metadata that a library behind libvips takes exception to
                lost = ("its metadata (colour profile, EXIF and the like) cannot be written and is lost",)
                plain = replace(picture, metadata=replace(picture.metadata, fields={}))
                _encode(part, plain, format_name, quality, compression)
    except (*vips.ERRORS, OSError, cv2.error) as error:
        raise ImageFileError(f"{path}: cannot be written{vips.detail(error)}") from error
    return lost or (() if format_name == "png" else picture.metadata.lost_without_png())


def _encode(part: Path, picture: Picture, format_name: str, quality: int, compression: int) -> None:
    pixels, said = picture.pixels, picture.metadata
    if pixels.dtype == np.uint16 and format_name not in SIXTEEN_BIT:
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
    with part.open("w+b", buffering=0) as file:
        if format_name == "bmp":
            vips.write_all(file, cv2.imencode(".bmp", pixels)[1].tobytes())
        else:
            _encode_by_vips(file, pixels, said, format_name, _options(format_name, quality, compression))
    if format_name == "tiff":
        exif = said.fields.get("exif-data")
        tiff_exif.complete(
            part,
            exif[1] if exif else None,
            pixels.shape[1],
            pixels.shape[0],
            has_density=said.pixels_per_mm is not None,
        )


def _options(format_name: str, quality: int, compression: int) -> dict[str, int]:
    if format_name in LOSSY:
        return {"Q": quality}
    return {"compression": compression} if format_name == "png" else {}


def _encode_by_vips(file: Any, pixels: Array, said: Metadata, format_name: str, own: dict[str, int]) -> None:
    saver, options = SAVERS[format_name]
    options = options | {"keep": said.keep} | own
    image = metadata.with_metadata(vips.from_array(pixels, gray_alpha=said.gray_alpha), said)
    sink = partial(vips.write_all, file)
    beginning = None
    if format_name == "png":
        known = said.pixels_per_mm is not None
        beginning = Beginning(sink, partial(png_chunks.rewrite_beginning, chunks=said.png_chunks, keep_density=known))
    elif format_name == "jpg" and "exif-data" not in said.fields:
        beginning = Beginning(sink, partial(jfif, pixels_per_mm=said.pixels_per_mm))
    vips.encode(image, saver, options, file, beginning.write if beginning else sink)
    if beginning:
        beginning.close()
