"""Videos restored here and by played nodes, to be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, Sound, moving
from cluster import PlayedCluster, PlayedNode, machines, node
from cluster_batches import Log
from cluster_batches import contents as all_contents

from realesrgan.errors import Cancelled
from realesrgan.loading import Setup, load
from realesrgan.machines import Here
from realesrgan.restorer import FacePair, Reporter, Restorer
from realesrgan.video import finished, segments
from realesrgan.video import job as video_job
from realesrgan.video.encoding import choose_encoding
from realesrgan.video.output_plan import plan_output
from realesrgan.video.pipeline import Excerpt
from realesrgan.video.request import Request, VideoJob, plan_job
from realesrgan.video.segments import read_manifest

REQUEST = Request(ext="mp4", preset="ultrafast", crf=20)
GROUPS = {"g": "6", "bf": "2", "preset": "ultrafast"}


def begin_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with places for both results; segments have five frames."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("tempfile.tempdir", str(folder / "temporary"))
    monkeypatch.setattr(segments, "MOST_FRAMES", 5)
    monkeypatch.setattr(segments, "FEWEST_FRAMES", 5)
    for name in ("temporary", "here", "there"):
        Path(name).mkdir()


def clip_of_repeats() -> Path:
    """33 frames, of which every other one repeats the one before, with sound."""
    pictures = [picture for picture in moving(20) for _ in range(2)][:33]
    return Clip(pictures, options=GROUPS, sounds=[Sound()]).write(Path("a.mp4"))


def contents(folder: str) -> dict[str, bytes]:
    """All files of a folder but the list of what is finished, which has times in it."""
    return {name: content for name, content in all_contents(folder).items() if name != finished.RECORD}


class FrameLog(Log):
    """Keeps the faces of frames, and how far a video was told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[float] = []
        self.frames: dict[int | None, list[bytes]] = {}

    def progressed(self, source: Path, done: float) -> None:
        self.done.append(done)

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        self.frames[frame] = [face.tobytes() for pair in pairs for face in pair]

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.lines.append(f"finished: {source} {target.name} {facts.partition(';')[0]}")


class Stopping(FrameLog):
    """Stops the work when a folder has so many finished segments."""

    def __init__(self, folder: Path, segments: int) -> None:
        super().__init__()
        self.folder = folder
        self.segments = segments

    def check(self) -> None:
        if segments_in(self.folder) >= self.segments:
            raise Cancelled("enough")


def segments_in(folder: Path) -> int:
    found = read_manifest(folder)
    return 0 if found is None else len(found.segments)


def planned(path: Path, folder: str, request: Request = REQUEST) -> tuple[VideoJob, Request]:
    request = replace(request, output=Path(folder))
    return plan_job(path, request), request


def crew(count: int = 3) -> list[PlayedNode]:
    return [node(f"node{number}") for number in range(count)]


Planned = tuple[VideoJob, Request]


def here(setup: Setup, plan: Planned, log: Reporter, computing: Callable[[Restorer], Restorer] = lambda it: it) -> None:
    loaded = load(setup, Reporter(), for_video=True)
    ready = Here(replace(loaded, restorers=[computing(one) for one in loaded.restorers]))
    video_job.restore(*plan, setup, ready, log)


def there(setup: Setup, plan: Planned, log: Reporter, *nodes: PlayedNode) -> None:
    with machines(PlayedCluster(*(nodes or crew())), setup, plan[0].target.parent, for_video=True) as ready:
        video_job.restore(*plan, setup, ready, log)


def told(log: Log) -> list[str]:
    """What was said of the video: not of nodes and folders, nor how many repeats were computed once.

    That is true of fewer: the first frame of a segment is always computed.
    """
    about = [line for line in log.lines if line.partition(" ")[0] in ("started:", "finished:") or ".work" not in line]
    about = [line for line in about if "node" not in line and "all compute alike" not in line]
    return sorted(re.sub(r"\d+ repeats? computed once", "repeats", line) for line in about)


def assert_like_here(setup: Setup, path: Path, *nodes: PlayedNode, request: Request = REQUEST) -> FrameLog:
    log_here, log_there = FrameLog(), FrameLog()
    here(setup, planned(path, "here", request), log_here)
    there(setup, planned(path, "there", request), log_there, *nodes)
    assert contents("there") == contents("here")
    assert len(contents("there")) == 1
    assert told(log_there) == told(log_here)
    assert max(log_there.done) == log_there.done[-1] == log_here.done[-1]
    return log_there


def planned_for(source: Any, folder: str) -> Planned:
    encoding = choose_encoding("libx264", 20, "ultrafast", None, source.depth_bits, source.hdr)
    plan = plan_output(source, encoding, "mp4")
    return VideoJob(source, encoding, plan, Path(folder, "a.mp4"), Excerpt()), replace(REQUEST, output=Path(folder))
