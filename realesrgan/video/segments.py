"""Work that survives: finished segments of a video on disk, and a manifest of them. Knows nothing of their content.

A job writes its frames in segments of a fixed number, each encoded on its own, into a folder beside the output. Where
a segment begins depends only on its number. So they may be finished in any order, and an interrupted job ends with the
same bytes of video as one that ran through.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import VideoFileError
from ..outputs import sync

MANIFEST = "manifest.json"
SEGMENT_FORMAT = "mkv"  # takes every codec; its timestamps do not count, the manifest's do
# A segment is what a killed job loses at most, and each begins with a key frame, which costs size.
MOST_FRAMES, FEWEST_FRAMES = 240, 24
SEGMENT_MULTIPLY_ADDS = 5e13  # about a minute on a processor of two cores
OTHER_JOB = "it was of another job (other options or another input)"
DAMAGED = "its list of finished segments is damaged"
_OWN_FILES = re.compile(r"\d{8}\.(part\.)?\w+|manifest\.json(\.part)?")
_LONGEST_NAME_BYTES = 240  # of the 255 that file systems allow, to leave room for ".lock"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Segment:
    """A finished segment: its file with size and CRC-32, its first frame's number, each frame's pts and duration.

    `damaged` of its frames repeat the one before, because their own picture could not be decoded.
    """

    file: str
    first: int
    pts: list[int]
    durations: list[int]
    size_bytes: int
    checksum: int
    damaged: int

    @property
    def end(self) -> int:
        """The number of the frame after its last one."""
        return self.first + len(self.pts)


@dataclass(frozen=True)
class Manifest:
    """What a folder of segments says of itself: the identity of its job, and the finished segments by first frame.

    `ways` are those in which the segments were computed, as far as rounding depends on it.
    """

    identity: Any
    segments: list[Segment]
    ways: list[str]

    @property
    def head(self) -> list[Segment]:
        """The segments that follow each other from frame 0 on."""
        return _head(self.segments)


def frames_per_segment(multiply_adds_per_frame: float) -> int:
    """Few where a frame is much work, so that little is lost; must not depend on how fast the machine is."""
    affordable = SEGMENT_MULTIPLY_ADDS / max(multiply_adds_per_frame, 1.0)
    return int(min(MOST_FRAMES, max(FEWEST_FRAMES, affordable)))


def folder_for(target: Path) -> Path:
    """Where the segments of `target` are kept: beside it, whatever its extension, so that another can take them up."""
    name = f"{target.stem}.work"
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        name = f"{hashlib.sha256(os.fsencode(target.stem)).hexdigest()[:16]}.work"
    return target.with_name(name)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, also while its job goes on writing; None if there is none or it makes no sense."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        segments = [Segment(**entry) for entry in content["segments"]]
        makes_sense = all(map(_is_sound, segments)) and _fit_together(segments)
        return Manifest(content["identity"], segments, list(content.get("ways", []))) if makes_sense else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


class Workspace:
    """The folder of one job. `identity` is all that its frames depend on: input, options, weights.

    `segments` are those finished, sorted by their first frame. There may be gaps of whole segments between them.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self._identity = json.loads(json.dumps(identity))  # as it will be read back
        self.segments: list[Segment] = []
        self._ways: list[str] = []

    def open(self) -> str | None:
        """Take up the finished segments of an earlier run, or start empty.

        Segments that are missing or damaged on disk are forgotten; all others count. Returns why earlier work was
        discarded (`OTHER_JOB` or `DAMAGED`), or None if none was.

        Raises:
            VideoFileError: the folder holds files that are not of such a job, or cannot be written.
        """
        self.segments, self._ways = [], []
        found = read_manifest(self.folder)
        if found is not None and found.identity == self._identity:
            self._ways = found.ways
            self.segments = [segment for segment in found.segments if self._is_whole(segment)]
            return None
        if foreign := [path.name for path in self._entries() if not _OWN_FILES.fullmatch(path.name)]:
            raise VideoFileError(
                f"{self.folder}: finished segments would be kept here, but it holds {foreign[0]}, which is not of such "
                "a job: move it away, or choose another `output`"
            )
        discarded = None
        if self._entries():
            discarded = DAMAGED if found is None else OTHER_JOB
        self.remove()
        with _named_errors(self.folder):
            self.folder.mkdir(parents=True)
            self._write()
        return discarded

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keep other runs of the same job out while this one works.

        Raises:
            VideoFileError: another run is working on it, or the folder cannot be written.
        """
        lock = FileLock(f"{self.folder}.lock")
        with _named_errors(self.folder):
            try:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
            except Timeout as error:
                raise VideoFileError(f"{self.folder}: another run is working on this video; wait for it") from error
        try:
            yield
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    @property
    def head(self) -> list[Segment]:
        """The segments that follow each other from frame 0 on, up to the first gap."""
        return _head(self.segments)

    @property
    def frames_done(self) -> int:
        """How many frames are done, those behind gaps included."""
        return sum(len(segment.pts) for segment in self.segments)

    def is_done(self, index: int) -> bool:
        """Whether the frame of this number is in a finished segment; may be asked while another thread commits."""
        segments = self.segments
        at = bisect_right(segments, index, key=lambda segment: segment.first)
        return at > 0 and index < segments[at - 1].end

    @property
    def damaged_done(self) -> int:
        """How many frames of the head repeat the one before, because their own picture could not be decoded.

        Frames behind it do not count: whoever goes on from `resume_point` reads them again.
        """
        return sum(segment.damaged for segment in self.head)

    @property
    def resume_point(self) -> tuple[int, int] | None:
        """Index and pts, in the output's time base, of the first frame after the head; None: frame 0 is not done."""
        if not (head := self.head):
            return None
        return head[-1].end, head[-1].pts[-1] + head[-1].durations[-1]

    def path_for(self, first: int) -> Path:
        """Where to encode the segment that begins with frame `first`; it counts only once committed."""
        return self.folder / f"{first:08d}.part.{SEGMENT_FORMAT}"

    def commit(self, first: int, pts: list[int], durations: list[int], *, damaged: int = 0) -> None:
        """Make the segment encoded at `path_for(first)` part of the work that is done; they may come in any order.

        Raises:
            ValueError: it overlaps a finished segment, or leaves a gap that is not whole segments.
            VideoFileError: the folder cannot be written.
        """
        part, final = self.path_for(first), self.folder / _name_of(first)
        with _named_errors(self.folder):
            sync(part)
            segment = Segment(final.name, first, pts, durations, *_fingerprint(part), damaged)
            together = sorted([*self.segments, segment], key=lambda one: one.first)
            if not _fit_together(together):
                raise ValueError(f"{self.folder}: frames {first} to {segment.end - 1} do not fit between its segments")
            part.replace(final)
            self.segments = together
            self._write()

    def note_way(self, way: str) -> str | None:
        """Record how further segments are computed; returns a warning if earlier ones were computed in another way."""
        if way in self._ways:
            return None
        others, self._ways = self._ways, [*self._ways, way]
        with _named_errors(self.folder):
            self._write()
        if not others:
            return None
        return f"frames from here on are computed in {way}, earlier ones in {others[-1]}: they may differ by rounding"

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _entries(self) -> list[Path]:
        with _named_errors(self.folder):
            return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _is_whole(self, segment: Segment) -> bool:
        """Whether a segment's file is on disk as it was committed; if not, its frames are made again."""
        try:
            return _fingerprint(self.folder / segment.file) == (segment.size_bytes, segment.checksum)
        except OSError:
            return False

    def _write(self) -> None:
        part = self.folder / f"{MANIFEST}.part"
        segments = [asdict(segment) for segment in self.segments]
        content = {"identity": self._identity, "ways": self._ways, "segments": segments}
        part.write_text(json.dumps(content), encoding="utf-8")
        sync(part)
        part.replace(self.folder / MANIFEST)
        sync(self.folder)


def _name_of(first: int) -> str:
    """The file of the finished segment that begins with frame `first`."""
    return f"{first:08d}.{SEGMENT_FORMAT}"


def _is_sound(segment: Segment) -> bool:
    """Whether an entry read from a manifest says what it should: its own file, and frames with time and duration."""
    numbers = (segment.first, *segment.pts, *segment.durations, segment.damaged)
    return (
        all(isinstance(number, int) for number in numbers)
        and segment.file == _name_of(segment.first)
        and len(segment.pts) == len(segment.durations)
    )


def _fit_together(segments: Sequence[Segment]) -> bool:
    """Whether segments, sorted by first frame, leave gaps of whole segments; only the last one may be shorter."""
    if not segments:
        return True
    *earlier, last = segments
    # Of a single segment nobody knows whether it is the last; but it is not longer than those before it.
    length = len(segments[0].pts) if earlier else last.first or len(last.pts)
    return (
        all(len(segment.pts) == length for segment in earlier)
        and 0 < len(last.pts) <= length
        and all(segment.first >= 0 and segment.first % length == 0 for segment in segments)
        and all(before.first < after.first for before, after in pairwise(segments))
    )


def _head(segments: Sequence[Segment]) -> list[Segment]:
    """Those of `segments`, by first frame, that follow each other from frame 0 on."""
    # Behind a gap, each begins later than the frames before it reach.
    ends = accumulate((len(segment.pts) for segment in segments), initial=0)
    return [segment for segment, end in zip(segments, ends, strict=False) if segment.first == end]


def _fingerprint(file: Path) -> tuple[int, int]:
    """Size in bytes and CRC-32 of a file."""
    size_bytes, checksum = 0, 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    return size_bytes, checksum


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VideoFileError(f"{folder}: cannot be written ({error.strerror or error})") from error
