"""Nodes that come late, fall silent, have another version, little memory or no time change no result; each is told."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from command import Command, ran, running
from ray_nodes import PROJECT, RayNodes, is_running, until

from realesrgan import __version__
from realesrgan.video.segments import folder_for

# A job that loses patience with silent workers after a few seconds instead of a minute.
IMPATIENT = """
import sys
from realesrgan.cli.main import main
from realesrgan.cluster import restoring
from realesrgan.cluster.patience import Limits
from realesrgan.cluster.scheduler import Scheduler
restoring.Scheduler = lambda session, limits: Scheduler(session, Limits(silence_s=6.0, first_s=60.0))
sys.exit(main())
"""
OTHER_RAY = """
import sys
from realesrgan.cli.main import main
import realesrgan.cluster.ray_cluster
import ray
ray.__version__ = "2.40.0"
sys.exit(main())
"""
# Another program that uses a cluster: it fills the stores of the nodes, or takes all of their processors.
FILL = """
import ray, sys, threading
ray.init(sys.argv[1], log_to_driver=False)
kept = [ray.put(bytes(20 << 20)) for _ in range(12)]
print("ready", flush=True)
threading.Event().wait()
"""
TAKE = """
import ray, sys, threading
ray.init(sys.argv[1], log_to_driver=False)
class Busy:
    def ready(self): pass
taken = [ray.remote(num_cpus=1)(Busy).remote() for _ in range(int(sys.argv[2]))]
ray.get([one.ready.remote() for one in taken])
print("ready", flush=True)
threading.Event().wait()
"""


def video(film: Path, out: Path, weights: Path, nodes: RayNodes) -> tuple[object, ...]:
    return ("video", "-i", film, "-o", out, "--model_path", weights, "--ray", nodes.address)


def test_a_late_node_gets_work_and_one_that_falls_silent_loses_it(
    cluster: Callable[..., RayNodes], film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    nodes = cluster(1)
    films = [shutil.copy(film, tmp_path / f"film{number}.mp4") for number in range(2)]
    out = tmp_path / "results"
    arguments = ("video", "-i", *films, "-o", out, "--model_path", weights, "--ray", nodes.address)
    with running(tmp_path, *arguments, program=("-c", IMPATIENT)) as command:
        command.wait_for(lambda: list(folder_for(out / "film0_out.mp4").glob("0*")), "a segment")
        late = nodes.add()
        command.wait_to_say(" joins")
        command.wait_for(lambda: list(late.temporary.glob(".realesrgan-*/*/segment*")), "the late node has work")
        (worker,) = late.workers()
        os.kill(worker, signal.SIGSTOP)
        command.wait_to_say("its work goes to others")
        until(lambda: not is_running(worker), "the stopped process is killed")
        assert command.ended() == 0, command.said
    assert re.search(r"(has not answered|has made no progress with frames.*) for 6\.0 s; its work goes", command.said)
    assert command.said.count("its work goes to others") == 1
    assert all((out / f"film{number}_out.mp4").read_bytes() == film_here.read_bytes() for number in range(2))


def test_nodes_with_another_version_are_left_out(
    cluster: Callable[..., RayNodes], film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    nodes = cluster(1)
    newer = checkout(tmp_path / "newer")
    (newer / "__init__.py").write_text((newer / "__init__.py").read_text().replace(__version__, "9.9.9"))
    changed = checkout(tmp_path / "changed")
    with (changed / "words.py").open("a") as file:
        file.write("# changed\n")
    lacking = checkout(tmp_path / "lacking")
    (lacking / "cluster" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'realesrgan.cluster'\")"
    )
    for folder in (newer, changed, lacking):
        nodes.add(environment={"PYTHONPATH": str(folder.parent)})
    out = tmp_path / "results"
    command = ran(tmp_path / "job", *video(film, out, weights, nodes))
    reasons = re.findall(r"is left out: (.*)", command.said)
    assert sorted(reasons) == [
        f"it has realesrgan 9.9.9, this machine {__version__}; install the same on both",
        "its realesrgan has the same version but other code than this machine's; install the same on both",
        "realesrgan is not installed there",
    ]
    assert "1 node, 1 device" in command.said
    assert (out / "film_out.mp4").read_bytes() == film_here.read_bytes()


def test_a_cluster_of_another_ray_is_refused(three_nodes: RayNodes, film: Path, weights: Path, tmp_path: Path) -> None:
    command = ran(tmp_path, *video(film, tmp_path, weights, three_nodes), program=("-c", OTHER_RAY), code=2)
    python = re.escape(platform.python_version())
    assert re.fullmatch(
        rf"error: --ray {three_nodes.address}: it has Ray [\d.]+ and Python {python}, this machine Ray 2\.40\.0 and "
        rf"Python {python}; install the same on both\n",
        command.said,
    ), command.said


def test_small_stores_that_are_full_change_nothing(
    cluster: Callable[..., RayNodes], film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    nodes = cluster(2, store_bytes=80_000_000)
    out = tmp_path / "results"
    with other_program(tmp_path, FILL, nodes.address):
        command = ran(tmp_path / "job", *video(film, out, weights, nodes))
    assert (out / "film_out.mp4").read_bytes() == film_here.read_bytes()
    assert len(re.findall(r"warning: \S+ has only 80\.0 MB of shared memory: .*--shm-size\n", command.said)) == 2


def test_a_job_waits_for_processors_that_another_program_has_taken_and_says_so(
    three_nodes: RayNodes, film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    with ExitStack() as other:
        other.enter_context(other_program(tmp_path, TAKE, three_nodes.address, 3))
        with running(tmp_path / "job", *video(film, out, weights, three_nodes)) as command:
            command.wait_to_say("it waits until its processors are free")
            other.close()
            assert command.ended() == 0, command.said
    assert (out / "film_out.mp4").read_bytes() == film_here.read_bytes()


def checkout(folder: Path) -> Path:
    """A copy of this project's package."""
    return Path(shutil.copytree(PROJECT / "realesrgan", folder / "realesrgan"))


@contextmanager
def other_program(folder: Path, program: str, *arguments: object) -> Iterator[Command]:
    """Another program on a cluster, as long as this lasts."""
    with running(folder / "other", *arguments, program=("-c", program)) as other:
        other.wait_for(lambda: "ready" in other.results, "the other program is ready")
        yield other
