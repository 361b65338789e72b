"""The machines of a cluster as whatever restores pictures and videos. Connects, shares out, and sums up."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..image.jobs import PictureJob
from ..image.pipeline import Outcome
from ..image.restoring import PictureRestorer
from ..loading import NetworkFacts, Setup, fetch_weights, network_facts
from ..outputs import spool
from ..restorer import Reporter
from ..video.pipeline import Tally
from ..video.restoring import FrameRestorer, FrameWork, Hearing
from ..video.segments import Workspace
from ..words import count
from .crew import Crew
from .flights import Worker
from .nodes import facts_here, is_only_cpu
from .patience import Limits
from .pictures import restore_pictures
from .scheduler import Client, Scheduler
from .session import CrewSession
from .shipping import order_of
from .videos import restore_frames

MOST_NAMED = 10  # nodes in a summary


@contextmanager
def crew_at(address: str, reporter: Reporter, *, mixed: bool, gpu_id: str | int | None) -> Iterator[Crew]:
    """The workers of the cluster at `address`, as `ray_cluster.connected` takes it.

    Raises:
        UsageError: there is no such cluster, or a device is named that each node has another of.
    """
    from . import ray_cluster

    only_cpu = is_only_cpu(gpu_id)
    own = facts_here(ray_cluster.version())
    with (
        ray_cluster.connected(address, partial(reporter.about_machines, warning=False)) as cluster,
        Crew(cluster, own, mixed=mixed, only_cpu=only_cpu) as crew,
    ):
        yield crew


@contextmanager
def machines_of(
    crew: Crew, setup: Setup, reporter: Reporter, folder: Path, *, for_video: bool
) -> Iterator[ClusterMachines]:
    """The workers of a crew with the model of `setup`; results arrive in `folder`, before they go to their places.

    Raises:
        WeightsError: weights cannot be found, fetched or read, or do not fit.
    """
    for line in setup.remarks():
        reporter.remark(line)
    fetch_weights(setup, reporter)
    order, contents = order_of(setup, for_video=for_video)
    facts = network_facts(setup)
    with spool(folder) as arriving, CrewSession(crew, order, contents, arriving, kernels=facts.kernels) as session:
        yield ClusterMachines(session, arriving, facts)


class ClusterMachines(PictureRestorer, FrameRestorer):
    """Restores on all workers of a session."""

    def __init__(self, session: CrewSession, arriving: Path, facts: NetworkFacts, limits: Limits | None = None) -> None:
        self._scheduler = Scheduler(session, limits)
        self._arriving = arriving
        self._facts = facts
        self._begin(1.0, "pixels")

    @property
    def speed(self) -> float | None:
        return None

    @property
    def at_once(self) -> int:
        return max(1, len(self._scheduler.workers))

    def wait(self, reporter: Reporter) -> None:
        self._scheduler.run(iter(()), _Waiting(reporter))

    @property
    def devices(self) -> str:
        """Those that are there now; or, if none is, those that were."""
        infos = [worker.info for worker in self._scheduler.workers.values() or self._scheduler.gone]
        return f"{count(len({info.node for info in infos}), 'node')} with {count(len(infos), 'device')}"

    def restore_pictures(
        self, jobs: Iterable[PictureJob | None], reporter: Reporter, *, quality: int, wants_faces: bool
    ) -> Outcome:
        self._begin(1e3, "kilopixels")
        with self._tidied():
            outcome = restore_pictures(self._scheduler, jobs, reporter, quality=quality, wants_faces=wants_faces)
        self._sum_up(partial(reporter.about_machines, warning=False))
        return outcome

    def restore_frames(self, work: FrameWork, workspace: Workspace, hearing: Hearing) -> Tally:
        self._begin(work.source.area, "frames")
        with self._tidied():
            tally = restore_frames(
                self._scheduler, work, workspace, hearing, self._arriving, multiply_adds=self._facts.multiply_adds
            )
        self._sum_up(hearing.remark)
        return tally

    def lines(self) -> list[str]:
        """What each node has done of the present job, and how fast; for whoever asks, in the thread of the job."""
        seconds = time.monotonic() - self._began_s
        done = {name: pixels / self._unit_pixels for name, pixels in self._by_node().items()}
        return [f"{name}: {so_far:.0f} {self._unit}, {so_far / seconds:.2f} a second" for name, so_far in done.items()]

    @contextmanager
    def _tidied(self) -> Iterator[None]:
        """Remove what is left of a job: other jobs may follow for days."""
        try:
            yield
        finally:
            for path in self._arriving.iterdir():
                path.unlink(missing_ok=True)

    def _begin(self, unit_pixels: float, unit: str) -> None:
        self._unit_pixels, self._unit, self._began_s = unit_pixels, unit, time.monotonic()

    def _sum_up(self, say: Callable[[str], None]) -> None:
        lines = self.lines()
        if 1 < len(lines) <= MOST_NAMED:
            for line in lines:
                say(line)

    def _all(self) -> list[Worker]:
        return [*self._scheduler.workers.values(), *self._scheduler.gone]

    def _by_node(self) -> dict[str, float]:
        done: dict[str, float] = defaultdict(float)
        for worker in self._all():
            done[worker.info.name] += worker.work_done
        return done


class _Waiting(Client):
    """For a job without units, which ends when there is a worker."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def check(self) -> None:
        self._reporter.check()

    def remark(self, message: str) -> None:
        self._reporter.about_machines(message, warning=False)

    def warn(self, message: str) -> None:
        self._reporter.about_machines(message, warning=True)
