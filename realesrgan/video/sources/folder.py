"""A folder of pictures as frames, in the order of their names; or one picture, as a video of one frame."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...arrays import Array
from ...errors import ImageFileError, VideoFileError
from ...image import files, formats
from .source import Decoded, Losses, Shown, VideoSource, stamps_of, untagged_colour
from .tape import Tape

DEFAULT_RATE = Fraction(24)  # frames per second, as published


@dataclass(frozen=True, kw_only=True)
class FolderSource(VideoSource):
    """Each picture lasts 1 / `rate`. A picture that cannot be read is an error or, if `repeat_damaged`, repeats the one
    before."""

    pictures: tuple[Path, ...]
    repeat_damaged: bool = False

    def files(self) -> tuple[Path, ...]:
        return self.pictures

    def identity(self) -> list[object]:
        return [*super().identity(), str(self.rate)]

    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        last: Array | None = None
        for index in range(max(pts, 0), len(self.pictures)):
            pixels = self._read(index, losses)
            if pixels is not None:
                last = pixels
            elif last is None:
                last = self._instead_of(index)
            yield Shown(index, 1, Decoded.of(last), damaged=pixels is None)

    def _read(self, index: int, losses: Losses | None = None) -> Array | None:
        """A picture as (H, W, 3) BGR of the depth of the folder; None if it is damaged and may be."""
        try:
            return _as_bgr(files.read(self.pictures[index]).pixels, wide=self.depth_bits > 8)
        except ImageFileError as error:
            if not self.repeat_damaged:
                raise _damaged(error) from error
            if losses is not None and not losses.reasons:
                losses.note(str(error))
            return None

    def _instead_of(self, index: int) -> Array:
        """The nearest picture before a damaged one, or behind it if there is none."""
        for other in (*range(index - 1, -1, -1), *range(index + 1, len(self.pictures))):
            if (pixels := self._read(other)) is not None:
                return pixels
        raise VideoFileError(f"{self.path}: none of its pictures can be read")


def probe_folder(folder: Path, rate: Fraction | None, *, repeat_damaged: bool) -> FolderSource:
    """All pictures in `folder` that are not hidden; f2 comes before f10.

    Raises:
        VideoFileError: the folder cannot be read, has no pictures, or they do not fit together.
    """
    return probe_pictures(folder, entries_of(folder), rate, repeat_damaged=repeat_damaged)


def entries_of(folder: Path) -> list[Path]:
    """The files in a folder, in natural order, and links to nothing, which whoever needs them names as unreadable.

    Names that begin with a dot are hidden and never meant.

    Raises:
        VideoFileError: the folder cannot be read.
    """
    try:
        shown = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
        entries = [entry for entry in shown if entry.is_file() or _leads_nowhere(entry)]
    except OSError as error:
        raise VideoFileError(f"{folder}: cannot be read ({error.strerror})") from error
    return sorted(entries, key=_natural_order)


def _leads_nowhere(entry: Path) -> bool:
    return entry.is_symlink() and not entry.exists()


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key to sort names by, numbers in them as numbers: f1, f2, f10."""
    parts = re.split(r"([0-9]+)", path.stem)  # text, number, text and so on
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)], path.name


def probe_pictures(
    path: Path, entries: Iterable[Path], rate: Fraction | None, *, repeat_damaged: bool = False
) -> FolderSource:
    """Those of `entries` that are pictures, as frames of a video called `path`; each is checked before work begins.

    A file is a picture if its content is one. If only its name says so, it is a damaged picture.
    """
    rate = rate or DEFAULT_RATE
    headers = _headers(entries, repeat_damaged)
    known = [header for header in headers.values() if header is not None]
    if not known:
        raise VideoFileError(f"{path}: no pictures in it to make a video of")
    width, height = _size(path, headers)
    pictures = tuple(headers)
    return FolderSource(
        path=path,
        pictures=pictures,
        stamps=stamps_of(pictures),
        repeat_damaged=repeat_damaged,
        width=width,
        height=height,
        rate=rate,
        time_base=1 / rate,
        frame_count=len(pictures),
        duration_s=float(len(pictures) / rate),
        colour=untagged_colour(height),
        depth_bits=max(header.depth_bits for header in known),
        has_alpha=any(header.has_alpha for header in known),
    )


def _headers(entries: Iterable[Path], repeat_damaged: bool) -> dict[Path, files.Header | None]:
    """The pictures among `entries`; None for a damaged one, if there may be any."""
    headers: dict[Path, files.Header | None] = {}
    for entry in entries:
        try:
            header = _header(entry)
        except ImageFileError as error:
            if not repeat_damaged:
                raise _damaged(error) from error
            headers[entry] = None
        else:
            if header is not None:
                headers[entry] = header
    return headers


def _size(path: Path, headers: dict[Path, files.Header | None]) -> tuple[int, int]:
    """The width and height that all pictures have."""
    sizes: dict[tuple[int, int], Path] = {}
    for entry, header in headers.items():
        if header is not None:
            sizes.setdefault((header.width, header.height), entry)
    (size, a), *others = sizes.items()
    if others:
        other, b = others[0]
        raise VideoFileError(
            f"{path}: its pictures differ in size: {a.name} is {size[0]}×{size[1]}, {b.name} is {other[0]}×{other[1]}"
        )
    return size


def _header(entry: Path) -> files.Header | None:
    is_called_one = entry.suffix.lower()[1:] in formats.PICTURE_EXTENSIONS
    header = files.read_header(entry) if is_called_one or not _leads_nowhere(entry) else None
    if header is None and is_called_one:
        raise ImageFileError(f"{entry}: not a picture, in spite of its name")
    return header


def _damaged(error: ImageFileError) -> VideoFileError:
    return VideoFileError(f"{error}; remove it, or let `repeat_damaged` show the frame before it instead")


def _as_bgr(pixels: Array, *, wide: bool) -> Array:
    """To three channels of the depth of the whole folder; transparency is dropped, video has none."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = pixels[..., :3]
    if wide and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return np.ascontiguousarray(pixels)
