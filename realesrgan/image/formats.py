"""The formats pictures are written in, and what each can hold. Knows nothing of pixels or metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyvips

from ..errors import UsageError

DEFAULT_QUALITY = 95  # of the lossy formats, 1 to 100
DEFAULT_COMPRESSION = 3  # of PNG, 0 to 9

# What to give libvips for each extension. PNG: level 3 with the Sub filter is smaller and faster than OpenCV's default.
SAVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("pngsave", {"compression": DEFAULT_COMPRESSION, "filter": "sub"}),
    "jpg": ("jpegsave", {"optimize_coding": True}),
    "webp": ("webpsave", {}),
    "tiff": ("tiffsave", {"compression": "deflate", "predictor": "horizontal"}),
    "avif": ("heifsave", {"compression": "av1", "effort": 3}),
}
LOSSY = ("jpg", "webp", "avif")
SIXTEEN_BIT = ("png", "tiff", "avif")
_SAME_FORMAT = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}
_WITH_ALPHA = ("png", "webp", "tiff", "avif", "bmp")
_LONGEST_SIDE = {"jpg": 65500, "webp": 16383, "avif": 16384}

# Usual extensions of picture files: one of these that cannot be read is reported, any other file is passed over.
PICTURE_EXTENSIONS = frozenset(
    ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "tif", "tiff", "bmp", "dib"]
    + ["gif", "avif", "heic", "heif", "jp2", "ppm", "pgm", "pbm", "pnm"]
)


def format_of(path: Path) -> str | None:
    """The format `path` would be written in, by its extension: one of `writable_formats`, or None."""
    extension = path.suffix.lower().lstrip(".")
    extension = _SAME_FORMAT.get(extension, extension)
    return extension if extension in writable_formats() else None


def writable_formats() -> tuple[str, ...]:
    """The formats this installation can write, by their usual extensions."""
    return (*(name for name, (saver, _) in SAVERS.items() if pyvips.type_find("VipsOperation", saver)), "bmp")


def check_writable(extension: str) -> None:
    """Raise UsageError unless this installation writes the format that `ext` names."""
    if extension not in writable_formats():
        raise UsageError(f"`ext` {extension}: not in this installation; it has {', '.join(writable_formats())}")


def check_name(path: Path, option: str) -> None:
    """Raise UsageError unless `path`, given as `option`, is the name of a picture that can be written."""
    if format_of(path) is None:
        names = ", ".join(writable_formats())
        raise UsageError(f"`{option}` {path}: name a picture to write, with one of these extensions: {names}")


def too_large_for(path: Path, width: int, height: int) -> str | None:
    """Why the format of `path` cannot hold a picture of this size, or None if it can."""
    longest = _LONGEST_SIDE.get(format_of(path) or "")
    if longest is None or max(height, width) <= longest:
        return None
    return f"{width}×{height} is more than {format_of(path)} can hold ({longest} a side); try `ext` png"


def holds_alpha(format_name: str) -> bool:
    return format_name in _WITH_ALPHA
