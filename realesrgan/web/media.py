"""Names and media types of results: both are ours, whatever a client called its file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..arrays import final_size
from ..errors import RealESRGANError
from ..image import files
from .models import Job, Result

_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "jfif": "image/jpeg",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
}


def media_type(path: Path) -> str:
    """The media type of a result, by the extension that we gave it."""
    return _TYPES.get(path.suffix[1:].lower(), "application/octet-stream")


def result_name(name: str, target: Path) -> str:
    """What to save a result as: `cat.jpg` → `cat_out.png`."""
    stem = name.rpartition(".")[0] or name
    return f"{stem}_out{target.suffix}"


def describe(target: Path, job: Job) -> Result:
    """The finished file of a job, for its page.

    Raises:
        OSError: it is gone.
    """
    size_bytes = target.stat().st_size
    width, height = _size_of(target, job)
    name = result_name(job.name, target)
    return Result(name=name, width=width, height=height, bytes=size_bytes, type=media_type(target))


def _size_of(target: Path, job: Job) -> tuple[int, int]:
    with suppress(RealESRGANError):
        if job.kind == "picture" and (header := files.read_header(target)) is not None:
            return header.width, header.height
    height, width = final_size(job.source.height, job.source.width, job.options.outscale)
    # A video's sides are made even, as most encoders need.
    return (width + width % 2, height + height % 2) if job.kind == "video" else (width, height)
