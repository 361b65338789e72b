"""All workers of a cluster: processes started on its nodes, watched, and started again when they end. Knows no Ray.

Runs in an event loop in a thread of its own. Jobs see it through sessions (`session.py`).
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import RealESRGANError
from ..words import duration, size
from .nodes import Device, Node, NodeFacts, devices_of, difference, store_bytes_of
from .remote import Cluster, Process, ProcessDied

if TYPE_CHECKING:
    from .session import CrewSession

SMALL_STORE_BYTES = 256_000_000  # then what travels goes in parts that never enter the store
CHUNK_BYTES, SMALL_CHUNK_BYTES = 4_000_000, 64_000  # the small ones fit into messages
_CANCEL_S = 0.1
STORE_SHARE = 0.25  # of the store, for parts of files on their way


@dataclass(frozen=True)
class CrewLimits:
    """How often to look, and how long to wait.

    Attributes:
        look_s: between two looks at which nodes there are.
        ping_s: between two questions to a worker; with many workers there is more time in between.
        head_s: a cluster that does not say for so long which nodes it has is gone.
        settle_s: how long a job waits for further workers once the first is ready.
        failures: how often workers of a device may end in a row, without a unit done, before it is left out.
        retry_s: before a worker that ended is started again.
        answer_s: a node that does not say for so long what it is is left out, and a worker that does not say how far it
            is has ended.
        close_s: how long workers may take to tidy up in the end.
        start_s: how long a worker may take to start before people are told that it waits.
    """

    look_s: float = 2.0
    ping_s: float = 0.25
    head_s: float = 60.0
    settle_s: float = 60.0
    failures: int = 3
    retry_s: float = 1.0
    answer_s: float = 300.0
    close_s: float = 3.0
    start_s: float = 20.0


@dataclass(eq=False)
class Seat:
    """A device of a node, and the process that works there at present."""

    node: Node
    facts: NodeFacts
    device: Device
    name: str
    process: Process | None = None
    worker: str = ""  # names the present process
    generation: int = 0
    failures: int = 0
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)
    end: ProcessDied | None = None

    @property
    def store_bytes(self) -> int:
        return store_bytes_of(self.node, self.facts)

    def ended(self, process: Process | None, error: ProcessDied) -> None:
        """Somebody noticed that a process is gone; perhaps its successor is here already."""
        if process is self.process:
            if self.end is None:
                self.end = error
            self.has_ended.set()


class Crew:
    """Use in `with`: on leaving, all workers end.

    `own` is what this machine is; nodes must be the same, and compute alike unless `mixed`.
    """

    def __init__(
        self,
        cluster: Cluster,
        own: NodeFacts,
        *,
        mixed: bool = False,
        only_cpu: bool = False,
        limits: CrewLimits | None = None,
    ) -> None:
        self.cluster = cluster
        self.mixed = mixed
        self.limits = limits or CrewLimits()
        self.seats: list[Seat] = []
        self.sessions: list[CrewSession] = []
        self.keys: dict[int, CrewSession] = {}  # of units at workers
        self.broken: str | None = None  # why no worker will come any more
        self.loop = asyncio.new_event_loop()
        self._own = own
        self._only_cpu = only_cpu
        self._nodes: dict[str, list[Seat]] = {}
        self._admitting: set[str] = set()
        self._has_looked = asyncio.Event()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unsaid: list[tuple[str, bool]] = []  # while there was no session to tell
        self._keys = itertools.count()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def __enter__(self) -> Crew:
        self._thread.start()
        self.loop.call_soon_threadsafe(lambda: self.spawn(self._watch_nodes()))
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._tidy_up(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self._wind_up())
            self.loop.close()

    async def _tidy_up(self) -> None:
        """Have workers remove their files: a process that is killed leaves them."""
        processes = [seat.process for seat in self.seats if seat.process is not None]
        closing = [self.loop.create_task(run_quietly(process.call("close"))) for process in processes]
        if closing:
            _, late = await asyncio.wait(closing, timeout=self.limits.close_s)
            for task in late:
                task.cancel()

    async def _wind_up(self) -> None:
        while self._tasks:  # before Python 3.12, `asyncio.wait_for` may take no notice of being cancelled
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks), timeout=_CANCEL_S)
        for seat in self.seats:
            if seat.process is not None:
                seat.process.kill()

    # For sessions, in the loop's thread

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine; one that fails is a bug, and says so."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            for session in self.sessions:
                session.broke(error)

    def new_key(self) -> int:
        """A name for a unit at a worker that no other unit of any job has; any thread may ask."""
        return next(self._keys)

    @property
    def chunk_bytes(self) -> int:
        """How much to send at a time: what may be on its way at once takes a small part of the smallest store."""
        smallest = min((seat.store_bytes for seat in self.seats), default=0)
        return CHUNK_BYTES if smallest >= SMALL_STORE_BYTES else SMALL_CHUNK_BYTES

    def transfers(self, store_bytes: int) -> int:
        """How many parts may be on their way at once, each of them in a store on both sides."""
        return max(2, round(STORE_SHARE * store_bytes / (2 * CHUNK_BYTES)))

    async def until_known(self) -> None:
        """Wait until all nodes that are there at the beginning have said what they are."""
        await self._has_looked.wait()
        async with self._changed:
            await self._changed.wait_for(lambda: not self._admitting)

    def is_growing(self) -> bool:
        """Whether nodes are being asked, or workers being started."""
        return not self._has_looked.is_set() or bool(self._admitting) or any(not seat.worker for seat in self.seats)

    def say(self, message: str, *, warning: bool = True) -> None:
        if not self.sessions:
            self._unsaid.append((message, warning))
        for session in self.sessions:
            session.say(message, warning=warning)

    def enter(self, session: CrewSession) -> None:
        """A session begins: it is told of everything from now on, and of what was there to be said before."""
        self.sessions.append(session)
        unsaid, self._unsaid = self._unsaid, []
        for message, warning in unsaid:
            session.say(message, warning=warning)
        if self.broken is not None:
            session.is_broken(self.broken)

    # Nodes

    async def _watch_nodes(self) -> None:
        while True:
            try:
                nodes = await asyncio.wait_for(self.cluster.nodes(), self.limits.head_s)
            except (asyncio.TimeoutError, ProcessDied):
                return self._break("the head of the cluster does not answer any more")
            except Exception as error:
                return self._break(f"the cluster does not say which nodes it has ({error!r})")
            self._compare(list(nodes))
            self._has_looked.set()
            await asyncio.sleep(self.limits.look_s)

    def _break(self, reason: str) -> None:
        self.broken = reason
        for session in self.sessions:
            session.is_broken(reason)

    def _compare(self, nodes: list[Node]) -> None:
        here = {node.node for node in nodes}
        for gone in set(self._nodes) - here:
            for seat in self._nodes.pop(gone):
                seat.ended(seat.process, ProcessDied("its node is gone", crashed=False))
        for node in nodes:
            if node.node not in self._nodes:
                self._nodes[node.node] = []
                self._admitting.add(node.node)
                self.spawn(self._admit(node))

    async def _admit(self, node: Node) -> None:
        try:
            facts = await asyncio.wait_for(self.cluster.facts_of(node), self.limits.answer_s)
            if reason := difference(self._own, facts, mixed=self.mixed):
                self.say(f"{node.name} is left out: {reason}")
                return
            self._warn_of_memory(node, facts)
            for device in devices_of(node, facts, only_cpu=self._only_cpu):
                seat = Seat(node, facts, device, node.name)
                self.seats.append(seat)
                self._nodes[node.node].append(seat)
                self.spawn(self._keep(seat))
        except asyncio.TimeoutError:
            self.say(f"{node.name} is left out: it does not answer")
        except (ProcessDied, RealESRGANError) as error:
            self.say(f"{node.name} is left out: {error}")
        finally:
            async with self._changed:
                self._admitting.discard(node.node)
                self._changed.notify_all()

    def _warn_of_memory(self, node: Node, facts: NodeFacts) -> None:
        there = store_bytes_of(node, facts)
        if there < SMALL_STORE_BYTES:
            self.say(
                f"{node.name} has only {size(there)} of shared memory: what travels goes in small parts, which is "
                "slower; a container gets more by --shm-size"
            )

    # Workers

    async def _keep(self, seat: Seat) -> None:
        """Have a process at a seat as long as its node is there and it does not fail too often."""
        while self._is_there(seat) and seat.failures < self.limits.failures:
            seat.end = None
            seat.has_ended.clear()
            try:
                await self._work(seat)
            except ProcessDied as error:
                seat.ended(seat.process, error)
            worker, seat.worker, seat.process = seat.worker, "", None
            seat.failures += 1
            assert seat.end is not None
            for session in self.sessions:
                session.lost(seat, worker, seat.end)
            await asyncio.sleep(self.limits.retry_s)
        if self._is_there(seat):
            self.say(f"{seat.name} is left out: its workers ended {seat.failures} times in a row")
        self.seats.remove(seat)

    def _is_there(self, seat: Seat) -> bool:
        return seat in self._nodes.get(seat.node.node, ())

    async def _work(self, seat: Seat) -> None:
        """Start a process and watch it until it ends."""
        seat.process = await self._started(seat)
        seat.generation += 1
        seat.worker = f"{seat.node.node}/{id(seat)}/{seat.generation}"
        for session in self.sessions:
            session.welcome(seat)
        pings = self.spawn(self._ping(seat, seat.process))
        try:
            await seat.has_ended.wait()
        finally:
            pings.cancel()
            seat.process.kill()

    async def _started(self, seat: Seat) -> Process:
        starting = asyncio.ensure_future(self.cluster.start(seat.node, seat.device, self.chunk_bytes))
        try:
            if not (await asyncio.wait([starting], timeout=self.limits.start_s))[0]:
                taken = "its GPU is" if seat.device.kind == "cuda" else "its processors are"
                self.say(f"{seat.name}: its worker has not started yet; it waits until {taken} free", warning=False)
            return await starting
        finally:
            starting.cancel()

    async def _ping(self, seat: Seat, process: Process) -> None:
        while seat.process is process:
            try:
                asked = process.call("progress")
                shares: dict[int, float] = await asyncio.wait_for(asked, self.limits.answer_s)
            except asyncio.TimeoutError:
                reason = f"has not answered for {duration(self.limits.answer_s)}"
                seat.ended(process, ProcessDied(reason, crashed=False))
            except ProcessDied as error:
                seat.ended(process, error)
            else:
                self._heard(seat, shares)
            await asyncio.sleep(max(self.limits.ping_s, len(self.seats) / 100))

    def _heard(self, seat: Seat, shares: Mapping[int, float]) -> None:
        for session in self.sessions:
            session.heard(seat)
        for key, share in shares.items():
            if key in self.keys:
                self.keys[key].progressed(key, share)


def run_quietly(work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, None]:
    """For calls of which nobody needs to know how they end."""

    async def wrapped() -> None:
        with suppress(Exception):
            await work

    return wrapped()
