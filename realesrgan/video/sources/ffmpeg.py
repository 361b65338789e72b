"""Names and messages on their way to FFmpeg's libraries and back, and what must not be opened by them."""

from __future__ import annotations

from pathlib import Path

import av
import av.error

from ...errors import VideoFileError


def address(path: Path) -> str:
    """The name to open a file by. FFmpeg takes "Re:Zero.mkv" for a protocol called Re; absolute paths are safe."""
    return str(path.absolute())


def error_text(error: BaseException) -> str:
    """FFmpeg's own words, without the number and the file name PyAV puts around them."""
    return str(getattr(error, "strerror", None) or error)


# Demuxers that open other files or addresses, as the file says. A file from a stranger could name any on this machine.
_PLAYLISTS = {"concat", "concatf", "dash", "hls", "imf", "rtsp", "sdp", "vapoursynth", "lavfi", "tee", "webvtt_hls"}


def refuse_playlists(path: Path) -> None:
    """Make sure that a file of unknown origin holds its own content, before anything else opens it.

    Raises:
        VideoFileError: it names other files or addresses, or is nothing that FFmpeg knows.
    """
    allowed = ",".join(sorted(av.formats_available - _PLAYLISTS))
    try:
        with av.open(address(path), options={"format_whitelist": allowed, "protocol_whitelist": "file"}):
            pass
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise VideoFileError(f"{path}: not a video, or damaged ({error_text(error)})") from error
