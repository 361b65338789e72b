"""Which videos a name on the command line stands for: a file, the videos in a folder, or a folder of frames."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyvips

from ..errors import VideoFileError
from ..image import formats
from .sources.folder import entries_of

# Names that videos usually have; in a folder, files of other names are passed over. Animations count too, if they are.
VIDEO_EXTENSIONS = frozenset(
    ["mp4", "m4v", "mov", "qt", "3gp", "3g2", "f4v", "mkv", "mk3d", "webm", "avi", "divx", "flv", "wmv", "asf", "amv"]
    + ["ts", "m2ts", "mts", "m2t", "trp", "mpg", "mpeg", "mpe", "mpv", "m1v", "m2v", "vob", "mod", "tod", "dv", "mxf"]
    + ["ogv", "ogm", "rm", "rmvb", "nut", "gxf", "y4m", "mjpeg", "mjpg", "apng"]
    + ["h264", "264", "avc", "h265", "265", "hevc", "ivf", "obu"]
)
_PERHAPS_ANIMATED = ("gif", "webp")


@dataclass(frozen=True)
class Expanded:
    """What to probe, each a video of its own, and what a user may want to know about the choice."""

    videos: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def expand(path: Path) -> Expanded:
    """A folder that holds videos stands for them, in natural order; one that holds only pictures is itself a video.

    Pictures beside videos, as covers and thumbnails, are left out with a remark. Anything but a folder stands for
    itself, and may turn out to be missing.

    Raises:
        VideoFileError: the folder cannot be read, or holds both videos and a numbered series of pictures.
    """
    try:
        if not path.is_dir():
            return Expanded((path,))
    except OSError:
        return Expanded((path,))  # probe says why
    entries = entries_of(path)
    videos = [entry for entry in entries if is_video(entry)]
    if not videos:
        return Expanded((path,))
    pictures = [entry for entry in entries if _extension(entry) in formats.PICTURE_EXTENSIONS and entry not in videos]
    if series := _series(pictures, {video.stem for video in videos}):
        raise VideoFileError(
            f"{path}: holds both videos ({videos[0].name}) and what looks like frames of one ({series[0].name} … "
            f"{series[-1].name}): move one of the two elsewhere, or name the videos as `input`"
        )
    if not pictures:
        return Expanded(tuple(videos))
    more = f" and {len(pictures) - 1} more pictures" if pictures[1:] else ""
    return Expanded(tuple(videos), (f"{path}: left out {pictures[0].name}{more}, not taken for frames beside videos",))


def _extension(path: Path) -> str:
    return path.suffix.lower()[1:]


def is_video(entry: Path) -> bool:
    """Whether a file in a folder is meant as a video: its name says so, or it is a GIF or WebP that moves."""
    extension = _extension(entry)
    return extension in VIDEO_EXTENSIONS or (extension in _PERHAPS_ANIMATED and _is_animated(entry))


def _is_animated(entry: Path) -> bool:
    try:
        # From memory: libvips takes brackets in a name for options, and has trouble with names that are not UTF-8.
        image = pyvips.Image.new_from_buffer(entry.read_bytes(), "")
        return bool(image.get_typeof("n-pages")) and image.get("n-pages") > 1
    except (pyvips.Error, OSError):
        return False


def _series(pictures: Iterable[Path], video_names: set[str]) -> Sequence[Path]:
    """Two pictures or more whose names differ only in a number, and which are not each named after a video."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for picture in pictures:
        if re.search(r"[0-9]", picture.stem) and picture.stem not in video_names:
            by_name[re.sub(r"[0-9]+", "0", picture.name)].append(picture)
    return max(by_name.values(), key=len) if any(len(names) > 1 for names in by_name.values()) else ()
