"""Restore a piece of a video at a worker, and encode it as a segment."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence

from ..arrays import Array
from ..restorer import FacePair, Restorer
from ..video.encoding import Encoding, even
from ..video.pieces import Piece, PieceDiffers
from ..video.pipeline import frames_in_flight, restore_in_order
from ..video.segment_encoder import SegmentEncoder
from ..video.segments import SEGMENT_FORMAT
from ..video.sources.source import Frame
from .units import SegmentFacts, SegmentOrder
from .work import Work


def restore_segment(work: Work, order: SegmentOrder, restorers: Sequence[Restorer], way: str) -> SegmentFacts:
    """Decode, restore and encode the piece that is the content of a unit; `way` is how the restorers compute.

    Raises:
        RealESRGANError, OSError, MemoryError: the device, the encoder or the disk fails.
    """
    with work.content.open("rb") as file:
        piece: Piece = pickle.load(file)
    encoder = _PieceEncoder(work, piece, order.encoding)
    faces = _Faces(wanted=order.wants_faces)
    # A frame and its result, at most; the result's size is known only later.
    frame_bytes = 17 * 3 * piece.source.area * (2 if piece.source.depth_bits > 8 else 1)
    try:
        repeats = restore_in_order(
            piece.frames(),
            restorers,
            encoder.add,
            window=frames_in_flight(frame_bytes, len(restorers)),
            on_faces=faces.add,
            check=work.check,
        )
        encoder.finish()
    except PieceDiffers:
        work.files.clear()
        return SegmentFacts(0, differs=True)
    finally:
        encoder.close()
    for _, pairs in sorted(faces.found.items()):
        work.add_faces(pairs)
    return SegmentFacts(len(piece.pts), way, repeats, tuple(sorted(faces.counts.items())))


class _PieceEncoder:
    """Encodes frames of a piece as they come, into the first file of the unit."""

    def __init__(self, work: Work, piece: Piece, encoding: Encoding) -> None:
        self._work = work
        self._piece = piece
        self._encoding = encoding
        self._encoder: SegmentEncoder | None = None
        self._count = 0

    def add(self, frame: Frame, pixels: Array) -> None:
        pixels = even(pixels)
        if self._encoder is None:
            file = self._work.folder / f"segment.{SEGMENT_FORMAT}"
            source, size = self._piece.source, (pixels.shape[1], pixels.shape[0])
            self._encoder = SegmentEncoder(file, source, self._encoding, size, source.rate)
            self._work.files.append(file)
        self._encoder.write(pixels, frame.pts, frame.duration, damaged=frame.damaged)
        self._count += 1
        self._work.progressed(self._count / len(self._piece.pts))

    def finish(self) -> None:
        assert self._encoder is not None
        encoder, self._encoder = self._encoder, None
        encoder.finish()

    def close(self) -> None:
        """Let go of a file that was not finished."""
        if self._encoder is not None:
            self._encoder.close()


class _Faces:
    """The faces of each frame; they come from several threads, in any order."""

    def __init__(self, *, wanted: bool) -> None:
        self.counts: dict[int, int] = {}
        self.found: dict[int, Sequence[FacePair]] = {}
        self._wanted = wanted
        self._lock = threading.Lock()

    def add(self, frame: int, pairs: Sequence[FacePair]) -> None:
        with self._lock:
            self.counts[frame] = len(pairs)
            if self._wanted:
                self.found[frame] = pairs
