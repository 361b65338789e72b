"""What the page shows of a job besides its files: pyramids of pictures, clips of videos; made when first asked for."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool

from ..errors import RealESRGANError
from ..image.pyramid import Pyramid, write_pyramid
from ..video import preview
from ..video.media_type import media_type
from ..video.probe import probe
from ..video.sources.source import VideoSource
from .desk import Desk
from .models import ClipInfo, Clips, Level, PyramidInfo
from .problems import Refused, is_disk_full, plain
from .store import Entry

Side: TypeAlias = Literal["before", "after"]
# Clips of the original are H.264, profile High; the level is an upper bound, so that no clip need be made to know it.
_BEFORE_TYPE = 'video/mp4; codecs="avc1.640033"'


class Showing:
    """Makes each pyramid once, and not two at a time: one may take seconds and all processors."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()  # there while somebody waits
        self._decoding = asyncio.Semaphore(1)

    async def pyramid(self, entry: Entry, side: Side) -> Pyramid:
        """The picture before or after, in tiles.

        Raises:
            Refused: the job is a video, not done or removed meanwhile, or its picture cannot be decoded.
        """
        if entry.job.kind != "picture":
            raise Refused(404, "a video has no tiles, but clips")
        picture = entry.source if side == "before" else finished_file(entry)
        path = entry.folder / f"{side}.pyramid.tif"
        try:
            async with self._locks.setdefault(path, asyncio.Lock()):
                if not path.exists():
                    async with self._decoding:
                        self._refuse_removed(entry)
                        await run_in_threadpool(write_pyramid, picture, path)
            pyramid = await run_in_threadpool(Pyramid, path)
        except RealESRGANError as error:
            self._refuse_removed(entry)
            status = 507 if is_disk_full(error) else 422
            raise Refused(status, f"the picture cannot be shown: {_reason(entry, error)}") from error
        self._refuse_removed(entry)
        return pyramid

    async def pyramid_info(self, entry: Entry, side: Side) -> PyramidInfo:
        pyramid = await self.pyramid(entry, side)
        levels = [
            Level(width=one.width, height=one.height, columns=one.columns, rows=one.rows) for one in pyramid.levels
        ]
        return PyramidInfo(width=levels[0].width, height=levels[0].height, tile=pyramid.tile_size, levels=levels)

    async def tile(self, entry: Entry, side: Side, level: int, column: int, row: int) -> bytes:
        """A tile as PNG.

        Raises:
            Refused: there is no such tile.
        """
        pyramid = await self.pyramid(entry, side)
        try:
            return await run_in_threadpool(pyramid.tile, level, column, row)
        except (IndexError, RealESRGANError) as error:
            raise Refused(404, f"there is no such tile: {_reason(entry, error)}") from error

    async def clips(self, entry: Entry) -> Clips:
        """What can be shown of a video so far."""
        if entry.job.kind != "video":
            raise Refused(404, "a picture has no clips, but tiles")
        return await run_in_threadpool(_clips, entry)

    async def clip(self, entry: Entry, side: Side, number: int) -> bytes:
        """A clip as a fragmented MP4. Those of the original are encoded here, one at a time."""
        target = _video_target(entry)
        try:
            source = await run_in_threadpool(probe, entry.source)
            if side == "after":
                return await run_in_threadpool(preview.restored_clip, target, source, number)
            async with self._decoding:
                return await run_in_threadpool(preview.source_clip, target, source, number)
        except RealESRGANError as error:
            raise Refused(404, f"there is no such clip: {_reason(entry, error)}") from error

    def _refuse_removed(self, entry: Entry) -> None:
        """Raise Refused (404) if the job was removed meanwhile; what has been made for it since is removed, too."""
        if entry.job.id not in self._desk.entries:
            self._desk.store.remove(entry.folder)
        self._desk.find(entry.job.id)


def finished_file(entry: Entry) -> Path:
    """The result of a job.

    Raises:
        Refused: it is not done, or somebody has removed the file.
    """
    if entry.target is None or entry.job.state != "done":
        raise Refused(409, f"the job is {entry.job.state}: there is no result")
    if not entry.target.is_file():
        raise Refused(404, "the result is no longer there")
    return entry.target


def _reason(entry: Entry, error: Exception) -> str:
    """Why something cannot be shown, without the server's folders and file names."""
    message = error.message if isinstance(error, RealESRGANError) else str(error)
    return plain(re.sub(rf"{re.escape(str(entry.folder))}\S*?: ", "", message).replace(str(entry.folder), ""))


def _video_target(entry: Entry) -> Path:
    """Where a video's result is or will be; the extension does not matter for its segments."""
    return entry.target or entry.output / "input_out.mp4"


def _types(target: Path, source: VideoSource) -> tuple[str | None, str]:
    """The types for Media Source Extensions of the clips after and before."""
    try:
        after = media_type(preview.restored_clip(target, source, 0))
    except RealESRGANError:  # no browser plays it
        after = None
    return after, _BEFORE_TYPE


def _clips(entry: Entry) -> Clips:
    target = _video_target(entry)
    try:
        source = probe(entry.source)
        found = preview.clips(target, source)
        after, before = _types(target, source) if found else (None, None)
    except RealESRGANError as error:
        raise Refused(404, f"nothing can be shown: {_reason(entry, error)}") from error
    return Clips(
        after_type=after,
        before_type=before,
        complete=entry.job.state == "done",
        seconds=entry.job.source.seconds,
        clips=[
            ClipInfo(number=one.number, start=one.start_s, seconds=one.duration_s, frames=one.frames) for one in found
        ],
    )
