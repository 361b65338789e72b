"""A cluster of threads to test with: nodes come and go, stop and break as they are told, and their workers are real."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from realesrgan.arrays import Array
from realesrgan.cluster.crew import Crew, CrewLimits
from realesrgan.cluster.nodes import Device, Node, NodeFacts, facts_here
from realesrgan.cluster.pool import Event, Heard
from realesrgan.cluster.remote import ProcessDied
from realesrgan.cluster.restoring import ClusterMachines, machines_of
from realesrgan.cluster.session import CrewSession
from realesrgan.cluster.shipping import order_of
from realesrgan.cluster.units import ModelOrder, PictureOrder, ShippedFile
from realesrgan.cluster.worker import Model, Worker, load_model
from realesrgan.errors import RealESRGANError
from realesrgan.loading import Setup
from realesrgan.restorer import Listener, Reporter, Restorer
from realesrgan.weights import store

HERE = threading.local()  # of the node that a thread belongs to
QUICK = CrewLimits(look_s=0.02, ping_s=0.005, head_s=20.0, settle_s=20.0, retry_s=0.01)
GIGABYTE = 1_000_000_000
PATIENCE_S = 60.0  # longer than anything here takes; only a test that fails waits for it


class Killed(BaseException):
    """Raised by what a test puts into a node: ends the process there, as SIGKILL would."""


@dataclass(frozen=True)
class Ref:
    """Stands for what was put into the store."""

    content: bytes


@dataclass(frozen=True)
class Call:
    """A call of a worker's method, as what a test puts into a node sees it."""

    process: PlayedProcess
    method: str
    arguments: tuple[Any, ...]

    @property
    def unit(self) -> str | int | None:
        """Of a call to restore something: a picture's name, or the first frame of a segment."""
        if self.method != "restore":
            return None
        key, _, order = self.arguments
        if isinstance(order, PictureOrder):
            return Path(order.source).name
        with (self.process.worker._folder / str(key) / "content").open("rb") as file:
            return int(pickle.load(file).first)


Wrap: TypeAlias = "Callable[[Restorer], Restorer]"


@dataclass(eq=False)
class PlayedNode:
    """A node that a test gives orders to.

    Attributes:
        before: called in the worker's thread before each method; may raise, also Killed.
        after: is given what a method returned, and returns what arrives.
        computing: wraps the restorers of a worker.
        is_stopped: it gives no answer any more, as after SIGSTOP.
        cache: where it keeps weights, see `own_caches`; None: where this process does.
        processes: all that were started here.
    """

    node: Node
    facts: NodeFacts
    before: Callable[[Call], None] = lambda call: None
    after: Callable[[Call, Any], Any] = lambda call, result: result
    computing: Wrap = lambda restorer: restorer
    is_stopped: bool = False
    cache: Path | None = None
    processes: list[PlayedProcess] = field(default_factory=list)


@cache
def own_facts() -> NodeFacts:
    """What this machine is, with a version of Ray that does not matter."""
    return facts_here("2.0")


def node(name: str = "a", *, store_bytes: int = GIGABYTE, gpus: int = 0, **facts: Any) -> PlayedNode:
    """A node like this machine but for `facts`, with one processor to lend."""
    described = Node(f"id-{name}", name, processors=1.0, gpus=gpus, store_bytes=store_bytes)
    return PlayedNode(described, replace(own_facts(), **{"shared_memory_bytes": GIGABYTE} | facts))


class PlayedProcess:
    """A worker in threads of this process. Ends at once when it is killed: its threads find out at their next step."""

    def __init__(self, played: PlayedNode, device: Device, at_once_bytes: int) -> None:
        self.worker = Worker(device.kind, at_once_bytes, self._load)
        self.end: ProcessDied | None = None
        self.calls: list[str] = []
        self.fetched: list[str] = []  # weights
        self._played = played
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = ThreadPoolExecutor(10, thread_name_prefix="played")

    async def call(self, method: str, *arguments: Any) -> Any:
        self._loop = asyncio.get_running_loop()
        if self.end is not None:
            raise self.end
        sent = pickle.dumps(arguments)
        if self._played.is_stopped:
            await self._ended.wait()
        else:
            answer = self._loop.run_in_executor(self._threads, self._answer, method, sent)
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            await self._answered(answer)
        if self.end is not None:
            raise self.end
        return pickle.loads(answer.result())

    async def _answered(self, answer: asyncio.Future[bytes]) -> None:
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((answer, ended), return_when=asyncio.FIRST_COMPLETED)
            if self._played.is_stopped:
                await ended
        finally:
            ended.cancel()

    def kill(self) -> None:
        self.die("it was killed", crashed=False)
        self._threads.shutdown(wait=False)

    def die(self, reason: str, *, crashed: bool) -> None:
        """May be called by any thread."""
        if self.end is None:
            self.end = ProcessDied(reason, crashed=crashed)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, nobody waits
                self._loop.call_soon_threadsafe(self._ended.set)

    def _answer(self, method: str, sent: bytes) -> bytes:
        call = Call(self, method, pickle.loads(sent))
        self.calls.append(method)
        HERE.cache = self._played.cache
        try:
            self._played.before(call)
            result = getattr(self.worker, method)(*self._received(call))
            return pickle.dumps(self._played.after(call, result))
        except (RealESRGANError, OSError, MemoryError) as error:
            raise RealESRGANError(getattr(error, "message", None) or str(error)) from None
        except Killed:
            self.die("its process ended unexpectedly", crashed=True)
        except Exception as error:
            self.die(f"an unexpected error: {error!r}", crashed=True)
        return b""

    def _received(self, call: Call) -> tuple[Any, ...]:
        """The arguments as a worker takes them: references become what they stand for."""
        if call.method != "prepare" or len(call.arguments) < 2:
            return call.arguments
        order, refs = call.arguments

        def fetch(file: ShippedFile) -> Iterator[bytes]:
            self.fetched.append(file.name)
            return (ref.content for ref in refs[file])

        return order, fetch

    def _load(self, order: ModelOrder, device: str) -> Model:
        model = load_model(order, device)
        return replace(model, restorers=[self._wrapped(restorer) for restorer in model.restorers])

    def _wrapped(self, restorer: Restorer) -> Restorer:
        own = self._played.computing(restorer)

        def restore(frame: Array, listener: Listener) -> Array:
            if self.end is not None:
                raise Killed
            return own(frame, listener)

        return restore


class PlayedCluster:
    """See `remote.Cluster`. `puts` counts what was put into the store; `is_silent` is a head that does not answer."""

    def __init__(self, *nodes: PlayedNode) -> None:
        self.played = list(nodes)
        self.puts: list[int] = []
        self.is_silent = False

    async def nodes(self) -> Sequence[Node]:
        if self.is_silent:
            await asyncio.Event().wait()
        return [played.node for played in self.played]

    async def facts_of(self, node: Node) -> NodeFacts:
        played = self._find(node)
        if played.is_stopped:
            await asyncio.Event().wait()
        return played.facts

    async def start(self, node: Node, device: Device, at_once_bytes: int) -> PlayedProcess:
        played = self._find(node)
        process = await asyncio.to_thread(PlayedProcess, played, device, at_once_bytes)
        played.processes.append(process)
        await process.call("progress")
        return process

    def put(self, content: bytes) -> Any:
        self.puts.append(len(content))
        return Ref(content)

    def remove(self, played: PlayedNode) -> None:
        """Take a node away, as when its cable is pulled."""
        self.played.remove(played)
        for process in played.processes:
            process.die("its node is gone", crashed=False)

    def _find(self, node: Node) -> PlayedNode:
        for played in self.played:
            if played.node == node:
                return played
        raise ProcessDied("its node is gone", crashed=False)


@contextmanager
def session_of(crew: Crew, setup: Setup, folder: Path) -> Iterator[CrewSession]:
    """A session for the model of `setup`; results arrive in `folder`."""
    with CrewSession(crew, *order_of(setup, for_video=False), folder, kernels=True) as session:
        yield session


def heard(session: CrewSession, until: Callable[[list[Event]], object]) -> list[Event]:
    """The events of a session, up to those that come together with the first that makes `until` true of them all."""
    events: list[Event] = []
    end_s = time.monotonic() + PATIENCE_S
    is_over = False
    while not is_over:
        if time.monotonic() > end_s:
            said = [event for event in events if not isinstance(event, Heard)]
            raise AssertionError(f"waited in vain; heard only {said}")
        for event in session.events(0.05):
            events.append(event)
            is_over = is_over or bool(until(events))
    return events


@contextmanager
def own_caches() -> Iterator[None]:
    """Nodes keep weights in folders of their own."""
    common = store.cache_folder
    store.cache_folder = lambda: getattr(HERE, "cache", None) or common()
    try:
        yield
    finally:
        store.cache_folder = common


@contextmanager
def machines(
    cluster: PlayedCluster,
    setup: Setup,
    folder: Path,
    reporter: Reporter | None = None,
    *,
    mixed: bool = False,
    for_video: bool = False,
    limits: CrewLimits = QUICK,
) -> Iterator[ClusterMachines]:
    """The nodes of a cluster with the model of `setup`; results arrive in `folder`."""
    with (
        Crew(cluster, own_facts(), mixed=mixed, limits=limits) as crew,
        machines_of(crew, setup, reporter or Reporter(), folder, for_video=for_video) as ready,
    ):
        yield ready


def dying_at(*units: str | int, times: int = 1) -> Callable[[Call], None]:
    """For `before`: the process ends when it is to restore one of these units, so many times in all."""
    left = [times]

    def before(call: Call) -> None:
        if left[0] and call.unit in units:
            left[0] -= 1
            raise Killed

    return before
