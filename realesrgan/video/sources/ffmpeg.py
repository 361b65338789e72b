"""Names and messages on their way to FFmpeg's libraries and back."""

from __future__ import annotations

from pathlib import Path


def address(path: Path) -> str:
    """The name to open a file by. FFmpeg takes "Re:Zero.mkv" for a protocol called Re; absolute paths are safe."""
    return str(path.absolute())


def error_text(error: BaseException) -> str:
    """FFmpeg's own words, without the number and the file name PyAV puts around them."""
    return str(getattr(error, "strerror", None) or error)
