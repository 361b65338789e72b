"""What a picture file says besides its pixels: read, checked, corrected for the result. Knows nothing of files.

Damaged metadata is dropped as it is read: libvips would complain only when the result is computed and written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyvips

from . import vips
from .png_chunks import COLOUR, Chunk

_BLOBS = ("exif-data", "xmp-data", "icc-profile-data", "iptc-data")
_KEEP = {"exif-data": 1, "xmp-data": 2, "iptc-data": 4, "icc-profile-data": 8}  # libvips's VipsForeignKeep
_ICC_SIGNATURE_AT = 36
_EXIF_HEADER = b"Exif\0\0"
_SMALLEST_EXIF = 8 + 2 + 12 + 4  # bytes: header of a TIFF, and a directory of one entry
# EXIF must have a density; 72 dots per inch is its word for "unknown" (EXIF 2.32, 4.6.4).
_UNKNOWN_DENSITY = (72 / 25.4, 72 / 25.4)
_NO_DENSITY = (1.0, 1.0)  # what libvips has, and writes into some formats, where no density is known


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels.

    `fields` are libvips's, each with its type; `pixels_per_mm` (horizontal, vertical) is None if unknown; `gray_alpha`
    means that the file has a gray and an alpha channel; `png_chunks` are those that libvips does not carry.
    """

    fields: Mapping[str, tuple[int, Any]] = field(default_factory=dict)
    pixels_per_mm: tuple[float, float] | None = None
    gray_alpha: bool = False
    png_chunks: tuple[Chunk, ...] = ()

    @property
    def keep(self) -> int:
        """libvips's flags of what to write. EXIF only if there is any, or libvips makes up a block of its own."""
        return sum(flag for name, flag in _KEEP.items() if name in self.fields)

    def colours_only(self) -> Metadata:
        """What says how colours are meant; the rest is true of the whole picture, not of a part or a smaller copy."""
        profile = {name: value for name, value in self.fields.items() if name == "icc-profile-data"}
        chunks = tuple(chunk for chunk in self.png_chunks if chunk.kind in COLOUR)
        return Metadata(profile, None, self.gray_alpha, chunks)

    def lost_without_png(self) -> tuple[str, ...]:
        """A line if the colours are defined by PNG chunks, which other formats do not have."""
        kinds = {chunk.kind for chunk in self.png_chunks}
        # sRGB is what everybody assumes; a profile is carried over.
        if b"sRGB" in kinds or "icc-profile-data" in self.fields:
            kinds -= {b"gAMA", b"cHRM"}
        if not (lost := sorted(kind.decode() for kind in kinds & {b"cICP", b"gAMA", b"cHRM"})):
            return ()
        return (
            f"its colours are defined by {', '.join(lost)}, which only PNG has: they may look different; try `ext` png",
        )


def read_fields(image: pyvips.Image) -> tuple[dict[str, tuple[int, Any]], tuple[str, ...]]:
    """The fields to carry over from a picture, and a line for each that is damaged and left out."""
    fields = {name: (image.get_typeof(name), vips.value_of(image, name)) for name in _BLOBS if image.get_typeof(name)}
    warnings = []
    if "icc-profile-data" in fields:
        profile = whole_profile(fields["icc-profile-data"][1])
        fields["icc-profile-data"] = (fields["icc-profile-data"][0], profile)
        if profile is None:
            del fields["icc-profile-data"]
            warnings.append("its colour profile is damaged and left out: colours may look different")
    if "exif-data" in fields and not is_exif(fields["exif-data"][1]):
        del fields["exif-data"]
        warnings.append("its EXIF data is damaged and left out")
    if "exif-data" in fields:  # libvips writes of the block only the entries that are also fields
        names = [name for name in vips.field_names(image) if name.startswith("exif-ifd")]
        values = {name: (image.get_typeof(name), vips.value_of(image, name)) for name in names}
        fields |= {name: value for name, value in values.items() if value[1] is not None}
    return fields, tuple(warnings)


def whole_profile(profile: bytes) -> bytes | None:
    """An ICC profile without what follows it, or None if it is damaged; it begins with its length (ICC.1, 7.2.2)."""
    length = int.from_bytes(profile[:4], "big")
    signed = profile[_ICC_SIGNATURE_AT : _ICC_SIGNATURE_AT + 4] == b"acsp"
    return profile[:length] if signed and 128 < length <= len(profile) else None


def is_exif(block: bytes) -> bool:
    """Whether a block begins as EXIF does, and is long enough to say anything."""
    tiff = block.removeprefix(_EXIF_HEADER)
    return len(tiff) >= _SMALLEST_EXIF and tiff[:4] in (b"II*\0", b"MM\0*")


def density_of(image: pyvips.Image) -> tuple[float, float] | None:
    """Pixels per mm, or None where libvips only has its default, or a ratio."""
    density = (image.xres, image.yres)
    known = vips.value_of(image, "resolution-unit") is not None and density != _NO_DENSITY
    return density if known else None


def with_metadata(image: pyvips.Image, metadata: Metadata) -> pyvips.Image:
    """A copy of `image` with `metadata`, its orientation upright and its sizes those of `image`."""
    density = metadata.pixels_per_mm
    if density is None:
        density = _UNKNOWN_DENSITY if "exif-data" in metadata.fields else _NO_DENSITY
    image = image.copy(xres=density[0], yres=density[1])
    for name, (kind, value) in metadata.fields.items():
        image.set_type(kind, name, _corrected(value, image) if name == "xmp-data" else value)
    # After the rest: the original EXIF block, set above, still carries the orientation the pixels came with.
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return image


# EXIF sizes and orientation are set right by libvips as it writes; XMP repeats them in text, which it leaves alone.
def _corrected(xmp: bytes, image: pyvips.Image) -> bytes:
    """Set orientation and size in an XMP packet right, whether they stand in attributes or in elements."""
    facts = {
        "tiff:Orientation": 1,
        "tiff:ImageWidth": image.width,
        "tiff:ImageLength": image.height,
        "exif:PixelXDimension": image.width,
        "exif:PixelYDimension": image.height,
    }
    for name, fact in facts.items():
        pattern = rb"(" + name.encode() + rb"\s*(?:=\s*[\"']|>))\s*\d+"
        xmp = re.sub(pattern, rb"\g<1>%d" % fact, xmp)
    # What makes viewers look for a gain map, which results do not have.
    return re.sub(rb"\shdrgm:Version\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
