"""What a video is, found by looking into it and never by its name: the way to a VideoSource."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import av.error

from ..errors import ImageFileError, UsageError, VideoFileError
from ..image import files
from .sources.ffmpeg import error_text
from .sources.folder import probe_folder, probe_pictures
from .sources.probing import probe_container
from .sources.retimed import retimed
from .sources.source import VideoSource
from .sources.webp import probe_webp


def probe(path: Path, rate: Fraction | None = None, *, repeat_damaged: bool = False) -> VideoSource:
    """Look into a file of any container FFmpeg reads, an animation, a single picture, or a folder of frames.

    `rate` in frames per second is that of a folder's pictures, 24 by default, in the natural order of their names: f1,
    f2, f10. Anything else shows the same course of pictures at that rate, or at its own times without.
    `repeat_damaged` lets a picture of a folder that cannot be read be replaced by the one before it.

    Raises:
        UsageError: there is no such file or folder.
        VideoFileError: it cannot be read, has no picture stream, or is a folder whose frames do not fit together.
    """
    try:
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            return probe_folder(path, rate, repeat_damaged=repeat_damaged)
        if not S_ISREG(mode):
            raise VideoFileError(f"{path}: neither a file nor a folder")
        if path.stat().st_size == 0:
            raise VideoFileError(f"{path}: an empty file")
        source = probe_webp(path) or _container_or_picture(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"`input` {path}: there is no such file or folder") from error
    except OSError as error:
        raise VideoFileError(f"{path}: cannot be read ({error_text(error)})") from error
    except ImageFileError as error:
        raise VideoFileError(str(error)) from error
    return source if rate is None else retimed(source, rate)


def _container_or_picture(path: Path) -> VideoSource:
    try:
        return probe_container(path)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        if files.read_header(path) is not None:  # a picture of a kind that FFmpeg does not know
            return probe_pictures(path, [path], None)
        raise VideoFileError(f"{path}: not a video, or damaged ({error_text(error)})") from error
