"""Clusters, weights and clips that many tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import cv2
import pytest
from command import ran
from ray_nodes import RayNodes
from tiny import picture, save_weights, tiny_srvgg

SEGMENT = 240  # frames; of the smallest pictures, each segment has as many as there may be
SEGMENTS = 12


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_everything() -> Iterator[None]:
    """Ctrl-C reaches the commands, even where a shell started the suite in the background."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny network."""
    return save_weights(tiny_srvgg(), tmp_path_factory.mktemp("weights") / "tiny.pth")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of `SEGMENTS` segments with sound, of which no two frames are the same."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = clips.moving(SEGMENTS * SEGMENT - 7, width=32, height=24)
    return clips.Clip(frames, sounds=[clips.Sound()]).write(path)


@pytest.fixture(scope="session")
def film_here(film: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film as this machine alone restores it."""
    folder = tmp_path_factory.mktemp("here")
    ran(folder, "video", "-i", film, "-o", folder / "results", "--model_path", weights)
    return folder / "results" / "film_out.mp4"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures: gray, colour, with transparency, one that is damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        pixels = picture(40 + number, 60, (1, 3, 4)[number % 3], seed=number)
        cv2.imwrite(str(folder / f"{number:02d}.{('png', 'jpg', 'png')[number % 3]}"), pixels)
    (folder / "damaged.png").write_bytes((folder / "00.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="session")
def three_nodes() -> Iterator[RayNodes]:
    """A cluster of three nodes that most tests share; whoever kills one adds another."""
    with RayNodes() as nodes:
        for _ in range(3):
            nodes.add()
        yield nodes


@pytest.fixture
def cluster() -> Iterator[Callable[..., RayNodes]]:
    """Start clusters of the test's own, of so many nodes."""
    started: list[RayNodes] = []

    def start(count: int, **options: object) -> RayNodes:
        nodes = RayNodes()
        started.append(nodes)
        for _ in range(count):
            nodes.add(**options)  # type: ignore[arg-type]
        return nodes

    yield start
    for nodes in started:
        nodes.__exit__()
