"""Batches restored here and by played nodes, to be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cluster import PlayedCluster, PlayedNode, machines, node
from tiny import picture

from realesrgan.image import batch, files
from realesrgan.image.batch import Batch
from realesrgan.image.files import Picture
from realesrgan.image.pipeline import Outcome
from realesrgan.loading import Setup, load
from realesrgan.machines import Here
from realesrgan.restorer import FacePair, Listener, Reporter, Restorer


class Log(Reporter):
    """Keeps what it is told, in words in which only times are left out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: dict[str, list[float]] = {}
        self.totals: dict[str, int] = {}
        self.faces: dict[str, int] = {}

    def remark(self, message: str) -> None:
        self.lines.append(f"remark: {message}")

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")

    def started(self, source: Path, total: int, done: int = 0) -> None:
        self.lines.append(f"started: {source} {total} {done}")
        self.totals[source.name] = total

    def progressed(self, source: Path, done: float) -> None:
        self.shares.setdefault(source.name, []).append(done / self.totals[source.name])

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        self.faces[source.name] = len(pairs)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.lines.append(f"finished: {source} {target.name} {facts.rpartition(', ')[0]}")

    def failed(self, source: Path, reason: str) -> None:
        self.lines.append(f"failed: {source}: {reason}")


def add(name: str, *shape: int, seed: int = 0, **facts: Any) -> None:
    path = Path("in", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture(*(shape or (14, 17)), seed=seed, **facts)
    files.write(path, Picture(pixels))


def crew(count: int = 3, **facts: Any) -> list[PlayedNode]:
    return [node(f"node{number}", **facts) for number in range(count)]


def here(setup: Setup, log: Log, *, computing: Callable[[Restorer], Restorer] = lambda it: it, **facts: Any) -> Outcome:
    loaded = load(setup, Reporter())
    ready = Here(replace(loaded, restorers=[computing(one) for one in loaded.restorers]))
    wanted = Batch(["in"], Path("here"), **facts)
    selection, _ = batch.select(replace(wanted, save_faces=None), setup.settings)
    return batch.restore(wanted, selection, ready, log)


def there(setup: Setup, log: Log, *nodes: PlayedNode, spool: str = "there", **facts: Any) -> Outcome:
    wanted = Batch(["in"], Path("there"), **facts)
    selection, _ = batch.select(replace(wanted, save_faces=None), setup.settings)
    for folder in {"there", spool}:
        Path(folder).mkdir(exist_ok=True)
    with machines(PlayedCluster(*(nodes or crew())), setup, Path(spool)) as ready:
        return batch.restore(wanted, selection, ready, log)


def contents(folder: str) -> dict[str, bytes]:
    """All files of a folder, hidden ones too."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def in_words(outcome: Outcome) -> tuple[list[str], list[str]]:
    return sorted(path.name for path in outcome.written), sorted(outcome.failures)


def told(log: Log) -> list[str]:
    """What was said of pictures: not of nodes."""
    lines = (line.replace("there/", "here/") for line in log.lines if "in/" in line)
    return sorted(line for line in lines if not line.endswith("it is tried again"))


def assert_like_here(setup: Setup, *nodes: PlayedNode, spool: str = "there", **facts: Any) -> Log:
    """Restore the folder `in` on both; return what was said there."""
    log_here, log_there = Log(), Log()
    expected = here(setup, log_here, **facts)
    outcome = there(setup, log_there, *nodes, spool=spool, **facts)
    assert in_words(outcome) == in_words(expected)
    assert contents("there") == contents("here")
    assert contents("there")
    assert told(log_there) == told(log_here)
    return log_there


def finding_faces(restorer: Restorer) -> Restorer:
    """Finds as many faces as a picture's width says, modulo three."""

    def restore(frame: Any, listener: Listener) -> Any:
        small = np.ascontiguousarray(frame[:8, :8, :3].astype(np.uint8))
        listener.restored_faces([(small, 255 - small)] * (frame.shape[1] % 3))
        return restorer(frame, listener)

    return restore
