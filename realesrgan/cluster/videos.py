"""Restore a video on the workers of a cluster: pieces go there, segments come back in any order and are committed."""

from __future__ import annotations

import itertools
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import VideoFileError
from ..threads import POLL_S
from ..video.pieces import Cutter, Piece
from ..video.pipeline import Tally
from ..video.restoring import FrameWork, Hearing
from ..video.segments import Workspace, frames_per_segment
from .ahead import Ahead
from .faces import faces_from
from .scheduler import Client, Scheduler
from .units import Delivery, SegmentFacts, SegmentOrder, Unit


def restore_frames(
    scheduler: Scheduler,
    work: FrameWork,
    workspace: Workspace,
    hearing: Hearing,
    spool: Path,
    *,
    multiply_adds: float,
) -> Tally:
    """Restore every frame that `workspace` does not hold yet, as `video.pipeline.restore_frames` does.

    `spool` is a folder for what is on its way, `multiply_adds` is the work for a pixel.

    Raises:
        VideoFileError: the input or the disk fails, or a segment cannot be restored by anybody; all others are, and
            stay.
        NoWorkers: there is nobody left to do the work.
    """
    damaged_before = workspace.damaged_done
    length = frames_per_segment(multiply_adds * work.source.area)
    segments = _Segments(work, length, workspace, hearing, spool)
    with Ahead(segments.units) as units:
        scheduler.run(units, segments)
    if segments.failures:
        raise VideoFileError(segments.failures[0])
    tally = segments.tally
    if segments.cutter is not None:
        tally.losses = segments.cutter.losses
    tally.losses.concealed += damaged_before
    return tally


@dataclass
class _UnderWay:
    piece: Piece
    share: float = 0.0


class _Segments(Client):
    """Cuts pieces in the thread of `Ahead`, and commits segments in the job's."""

    def __init__(self, work: FrameWork, length: int, workspace: Workspace, hearing: Hearing, spool: Path) -> None:
        self.tally = Tally(frames=workspace.frames_done, done_before=workspace.frames_done)
        self.failures: list[str] = []
        self.cutter: Cutter | None = None
        self._source = work.source
        self._excerpt = work.excerpt
        self._length = length
        self._workspace = workspace
        self._order = SegmentOrder(work.encoding, hearing.wants_faces)
        self._hearing = hearing
        self._spool = spool
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._under_way: dict[int, _UnderWay] = {}
        self._differing: queue.Queue[Piece] = queue.Queue()

    # In the thread of `Ahead`

    def units(self, check: Callable[[], None]) -> Iterator[Unit | None]:
        """A unit for each piece; those that were decoded otherwise come again as pictures."""
        workspace = self._workspace
        resume, done = workspace.resume_point, workspace.is_done
        self.cutter = cutter = Cutter(
            self._source, self._excerpt, self._length, resume=resume, is_done=done, check=check
        )
        pieces = iter(cutter)
        while (piece := self._differing_piece(cutter) or next(pieces, None)) is not None:
            yield self._unit(piece)
        while self._is_anything_open():
            if (again := self._differing_piece(cutter)) is not None:
                yield self._unit(again)
            else:
                time.sleep(POLL_S)
                yield None

    def _differing_piece(self, cutter: Cutter) -> Piece | None:
        with suppress(queue.Empty):
            return cutter.as_stills(self._differing.get_nowait())
        return None

    def _is_anything_open(self) -> bool:
        with self._lock:
            return bool(self._under_way) or not self._differing.empty()

    def _unit(self, piece: Piece) -> Unit:
        number = next(self._numbers)
        content = self._spool / f"piece{number:08d}"
        try:
            with content.open("wb") as file:
                pickle.dump(piece, file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise VideoFileError(f"{self._spool}: cannot be written ({error.strerror or error})") from error
        last = piece.first + len(piece.pts) - 1
        name = f"frames {piece.first} to {last} of {self._source.path}"
        # The packets are on the disk now; what is kept takes little memory, however many workers there are.
        kept = replace(piece, source=self._source, checksums=None)
        with self._lock:
            self._under_way[number] = _UnderWay(kept)
        return Unit(number, name, content, self._order, float(len(piece.pts) * self._source.area))

    # In the thread of the job

    def check(self) -> None:
        self._hearing.check()

    def remark(self, message: str) -> None:
        self._hearing.remark(message)

    def warn(self, message: str) -> None:
        self._hearing.warn(message)

    def progressed(self, unit: Unit, share: float) -> None:
        with self._lock:
            self._under_way[unit.number].share = share
        self._tell()

    def done(self, unit: Unit, delivery: Delivery) -> None:
        facts = delivery.facts
        assert isinstance(facts, SegmentFacts)
        unit.content.unlink(missing_ok=True)
        with self._lock:
            piece = self._under_way[unit.number].piece
            if facts.differs:
                self._differing.put(piece)
            del self._under_way[unit.number]
        if facts.differs:
            return
        self._commit(piece, delivery.files[0])
        if line := self._workspace.note_way(facts.way):
            self._hearing.warn(line)
        faces = iter(delivery.files[1:])
        for frame, count in facts.faces:
            own = list(itertools.islice(faces, 2 * count)) if len(delivery.files) > 1 else []
            self._hearing.on_faces(frame, faces_from(count, own))
            for file in own:
                file.unlink(missing_ok=True)
        self.tally.frames += len(piece.pts)
        self.tally.repeats += facts.repeats
        self._tell()

    def failed(self, unit: Unit, reason: str, *, final: bool) -> None:
        if final:
            raise VideoFileError(reason)
        unit.content.unlink(missing_ok=True)
        with self._lock:
            del self._under_way[unit.number]
        self.failures.append(f"{unit.name}: {reason}; the other segments are safe in {self._workspace.folder}")
        self._hearing.warn(self.failures[-1])

    def _commit(self, piece: Piece, file: Path) -> None:
        try:
            file.replace(self._workspace.path_for(piece.first))
        except OSError as error:
            raise VideoFileError(f"{self._workspace.folder}: cannot be written ({error.strerror or error})") from error
        self._workspace.commit(piece.first, list(piece.pts), list(piece.durations), damaged=sum(piece.damaged))

    def _tell(self) -> None:
        with self._lock:
            under_way = sum(one.share * len(one.piece.pts) for one in self._under_way.values())
        self._hearing.on_frame(self.tally.frames + under_way)
