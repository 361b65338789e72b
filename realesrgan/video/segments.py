"""Work that survives: finished pieces of a video on disk, and a manifest that tells which and of what.

A job writes its frames in segments of a fixed number, each encoded by itself, into a folder beside the output. Where a
segment begins depends on nothing but its number, so a job that was stopped and taken up again ends with the same bytes
of video as one that was not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import UsageError, VideoFileError

MANIFEST = "manifest.json"
_OWN_FILES = re.compile(r"\d{8}\.(part\.)?\w+|manifest\.json(\.part)?")
SEGMENT_FORMAT = "mkv"  # takes every codec; its timestamps do not count, the manifest's do
# A segment is what a killed job loses at most, and each begins with a key frame, which costs size.
MOST_FRAMES, FEWEST_FRAMES = 240, 24
SEGMENT_MULTIPLY_ADDS = 5e13  # about a minute on a processor of two cores


@dataclass(frozen=True)
class Segment:
    """A finished piece: its file, the number of its first frame, and when each of its frames is shown, how long."""

    file: str
    first: int
    pts: list[int]
    durations: list[int]


def frames_per_segment(multiply_adds_per_frame: float) -> int:
    """Few where a frame is much work, so that little is lost; a result that must not depend on the machine's speed."""
    affordable = SEGMENT_MULTIPLY_ADDS / max(multiply_adds_per_frame, 1.0)
    return int(min(MOST_FRAMES, max(FEWEST_FRAMES, affordable)))


class Workspace:
    """The folder of one job. `identity` is all that its result depends on: input, options, weights."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self._identity = json.loads(json.dumps(identity))  # as it will be read back
        self.segments: list[Segment] = []

    def open(self) -> bool:
        """Take up the segments of an earlier run, or begin afresh; returns whether there was other work to discard.

        Raises:
            UsageError: the folder holds something that is no such work.
            VideoFileError: it cannot be written.
        """
        found = self._read()
        if found is not None and found.get("identity") == self._identity:
            for entry in found["segments"]:
                segment = Segment(**entry)
                if not (self.folder / segment.file).is_file():  # deleted by hand: its frames are made again
                    break
                self.segments.append(segment)
            return False
        discarded = self.folder.exists()
        if foreign := [path.name for path in self._entries() if not _OWN_FILES.fullmatch(path.name)]:
            raise UsageError(
                f"{self.folder} is where finished segments would be kept, but holds {foreign[0]}, which is not of a "
                "job like this: move it away, or choose another -o"
            )
        self.remove()
        with _named_errors(self.folder):
            self.folder.mkdir(parents=True)
            self._write()
        return discarded

    def _entries(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keep other runs of the same job out while this one works.

        Raises:
            UsageError: another run is at work.
        """
        lock = FileLock(f"{self.folder}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UsageError(f"{self.folder}: another run is at work on this job; wait for it to end") from error
        try:
            yield
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        try:
            content = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) and isinstance(content.get("segments"), list) else None

    def _write(self) -> None:
        part = self.folder / f"{MANIFEST}.part"
        content = {"identity": self._identity, "segments": [asdict(segment) for segment in self.segments]}
        part.write_text(json.dumps(content), encoding="utf-8")
        sync(part)
        part.replace(self.folder / MANIFEST)
        sync(self.folder)

    @property
    def frames_done(self) -> int:
        return sum(len(segment.pts) for segment in self.segments)

    def path_for(self, first: int) -> Path:
        """Where to encode the segment that begins with frame `first`; it counts only once committed."""
        return self.folder / f"{first:08d}.part.{SEGMENT_FORMAT}"

    def commit(self, first: int, pts: list[int], durations: list[int]) -> None:
        """Make the segment encoded at `path_for(first)` part of the work that is done."""
        final = self.folder / f"{first:08d}.{SEGMENT_FORMAT}"
        with _named_errors(self.folder):
            sync(self.path_for(first))
            self.path_for(first).replace(final)
            self.segments.append(Segment(final.name, first, pts, durations))
            self._write()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk itself, where a power cut cannot reach them."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot, and writes names down in order by itself
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VideoFileError(f"{folder}: cannot be written ({error.strerror or error})") from error
