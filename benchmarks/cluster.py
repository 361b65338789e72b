"""How evenly a cluster shares work out, and what a unit costs beside its computing.

    python -m benchmarks.cluster                        1, 2, 4 and 8 nodes; a few minutes
    python -m benchmarks.cluster --write docs/benchmarks_cluster.md

All nodes are processes of this machine, with one processor each. Workers do everything but compute: where a network
would, they sleep for a known time, so that eight of them need no eight processors. Times begin when all workers are
ready and end when the last result is in its place.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil

from benchmarks.pictures import machine_line
from realesrgan.arrays import Array
from realesrgan.cluster.crew import Crew
from realesrgan.cluster.nodes import facts_here
from realesrgan.cluster.restoring import ClusterMachines
from realesrgan.cluster.session import CrewSession
from realesrgan.cluster.units import ModelOrder, Prepared
from realesrgan.cluster.worker import Model
from realesrgan.image import batch as images
from realesrgan.image.batch import Batch
from realesrgan.loading import NetworkFacts, Settings
from realesrgan.outputs import spool
from realesrgan.restorer import Listener, Reporter
from realesrgan.video import job as videos
from realesrgan.video.request import Request, check_request, plan_job
from realesrgan.video.segments import FEWEST_FRAMES
from realesrgan.words import size

WIDTH, HEIGHT, SCALE = 96, 64, 2
SEGMENTS, SEGMENT_S = 60, 2.0
PICTURES, PICTURE_S = 400, 0.3
READY_S = 120
COLUMNS = (
    "nodes",
    "T(N), seconds",
    "T(1) / (N · T(N))",
    "at best",
    "beside sleeping",
    "processor",
    "sent",
    "received",
    "memory",
)


def sleeping(seconds: float, frame: Array, listener: Listener) -> Array:
    """Restore a frame in a known time, without a processor."""
    time.sleep(seconds)
    listener.progressed(1.0)
    return frame.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def load_sleeper(order: ModelOrder, device: str) -> Model:
    """Stands for loading a network. The time is that of a whole segment or picture."""
    seconds = SEGMENT_S / FEWEST_FRAMES if order.for_video else PICTURE_S
    return Model("sleeping", [partial(sleeping, seconds)], Prepared(device="cpu", way="sleep"))


@dataclass(frozen=True)
class Row:
    """One run: so many nodes, the seconds it took, and what travelled."""

    nodes: int
    seconds: float
    sent_bytes: int
    received_bytes: int
    memory_bytes: int
    processor_s: float  # of the process that shares out


@dataclass(frozen=True)
class Kind:
    """What is restored: so many units, each of which sleeps for `unit_s`."""

    name: str
    units: int
    unit_s: float
    run: Callable[[ClusterMachines, Path], None]

    def best_share(self, nodes: int) -> float:
        """What units that cannot be divided leave at best."""
        return self.units / (nodes * math.ceil(self.units / nodes))


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clip(folder / "film.mkv", SEGMENTS * FEWEST_FRAMES)
        make_pictures(folder / "pictures", PICTURES)
        kinds = [
            Kind(f"a video of {SEGMENTS} segments", SEGMENTS, SEGMENT_S, restore_film),
            Kind(f"a folder of {PICTURES} pictures", PICTURES, PICTURE_S, restore_folder),
        ]
        rows: dict[str, list[Row]] = {kind.name: [] for kind in kinds}
        for nodes in options.nodes:
            for kind in kinds:
                rows[kind.name].append(measure(kind, nodes, folder))
                print(kind.name, rows[kind.name][-1], flush=True)
        lines = report(kinds, rows)
        if options.write is not None:
            options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines))


def make_clip(path: Path, frames: int) -> None:
    """A moving picture with noise, so that packets have a usual size."""
    generator = np.random.default_rng(0)
    texture = cv2.GaussianBlur(generator.integers(0, 256, (HEIGHT, WIDTH + 200, 3), np.uint8), (0, 0), 2)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=24, options={"crf": "20", "g": "48"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            left = number % 200
            pixels = np.ascontiguousarray(texture[:, left : left + WIDTH]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:04d}.png"), generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def restore_film(machines: ClusterMachines, folder: Path) -> None:
    request = Request(output=folder / "results", preset="ultrafast")
    setup = check_request(request, Settings(model_name="realesr-animevideov3", outscale=SCALE))
    job = plan_job(folder / "film.mkv", request)
    videos.restore(job, request, setup, machines, _Strict())


def restore_folder(machines: ClusterMachines, folder: Path) -> None:
    batch = Batch([str(folder / "pictures")], folder / "results")
    selection, _ = images.select(batch, Settings(outscale=SCALE))
    outcome = images.restore(batch, selection, machines, _Strict())
    assert len(outcome.written) == PICTURES


class _Strict(Reporter):
    """A figure of a run in which something went wrong would mean nothing."""

    def warn(self, message: str) -> None:
        raise RuntimeError(message)

    def failed(self, source: Path, reason: str) -> None:
        raise RuntimeError(reason)


def measure(kind: Kind, nodes: int, folder: Path) -> Row:
    with cluster_of(nodes) as address, tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        for content in ("film.mkv", "pictures"):
            (place / content).symlink_to(folder / content)
        (place / "results").mkdir()
        return _measured(kind, nodes, address, place)


def _measured(kind: Kind, nodes: int, address: str, place: Path) -> Row:
    from realesrgan.cluster import ray_cluster

    order = ModelOrder(Settings(engine="torch"), None, kind.run is restore_film, (), (), "")
    facts = NetworkFacts("sleeping", multiply_adds=1e12, kernels=False)
    with (
        ray_cluster.connected(address, lambda line: None, load_sleeper) as cluster,
        Crew(cluster, facts_here(ray_cluster.version())) as crew,
        spool(place) as arriving,
        CrewSession(crew, order, {}, arriving, kernels=False) as session,
    ):
        machines = ClusterMachines(session, arriving, facts)
        _wait(lambda: len(crew.seats) == nodes and not session.is_expecting())
        began_s, worked_s = time.monotonic(), time.process_time()
        kind.run(machines, place)
        return Row(
            nodes,
            time.monotonic() - began_s,
            session.transfers.sent_bytes,
            session.transfers.received_bytes,
            psutil.Process().memory_info().rss,
            time.process_time() - worked_s,
        )


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_S
    while not condition():
        assert time.monotonic() < until, "the workers do not get ready"
        time.sleep(0.05)


@contextmanager
def cluster_of(nodes: int) -> Iterator[str]:
    """A cluster of this machine: a head that lends nothing, and nodes of one processor."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 300_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **small)
        yield cluster.address
    finally:
        cluster.shutdown()


def report(kinds: list[Kind], rows: dict[str, list[Row]]) -> list[str]:
    lines = [
        "# Sharing work out over a cluster",
        "",
        "Made by `python -m benchmarks.cluster`. All nodes are processes of one machine, with one processor each.",
        "Workers sleep where a network would compute, so that eight of them need no eight processors:",
        f"{SEGMENT_S:g} s for a segment of {FEWEST_FRAMES} frames, {PICTURE_S:g} s for a picture. All else is done:",
        "reading, cutting, sending, decoding, encoding, fetching, committing.",
        "",
        machine_line("cpu"),
        "",
    ]
    for kind in kinds:
        lines += [
            f"## {kind.name[0].upper()}{kind.name[1:]}",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"|{'---|' * len(COLUMNS)}",
        ]
        for row in rows[kind.name]:
            overhead_ms = 1e3 * (row.nodes * row.seconds / kind.units - kind.unit_s)
            share = rows[kind.name][0].seconds * rows[kind.name][0].nodes / (row.nodes * row.seconds)
            sent, received = (size(number / kind.units) for number in (row.sent_bytes, row.received_bytes))
            cells = [
                str(row.nodes),
                f"{row.seconds:.1f}",
                f"{share:.2f}",
                f"{kind.best_share(row.nodes):.2f}",
                f"{overhead_ms:.0f} ms",
                f"{1e3 * row.processor_s / kind.units:.0f} ms",
                sent,
                received,
                size(row.memory_bytes),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines.append(
        '"At best" is what units that cannot be divided leave. For each unit: the time beside sleeping, and the'
    )
    lines.append(
        "bytes sent and received, without Ray's own. Memory is that of the process that shares out, at the end."
    )
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
