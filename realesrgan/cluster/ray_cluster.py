"""The only file that knows Ray: join a cluster, list its nodes, start processes on them and call these."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import re
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

from ..errors import RealESRGANError, UsageError
from .addresses import NO_HEAD, check_reachable, is_node
from .joining import joined
from .nodes import Device, Node, NodeFacts, facts_here
from .remote import Process, ProcessDied
from .units import ModelOrder, PictureOrder, Prepared, Report, SegmentOrder, ShippedFile

if TYPE_CHECKING:
    from .worker import LoadModel

# Before Ray is imported: it reads these once.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    # Ray would end this process without a word a minute after the head of the cluster is gone.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "1000000",
    # Processes of a cluster that is started here; by default they give way to everything else.
    "RAY_worker_niceness": "0",
    # By default it tries for a quarter of an hour where no cluster is, or one that refuses this machine.
    "RAY_NUM_REDIS_GET_RETRIES": "2",
    "RAY_py_gcs_connect_timeout_s": "5",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import ray._private.services  # noqa: E402
import ray._private.utils  # noqa: E402
import ray._private.worker  # noqa: E402
import ray._raylet  # noqa: E402
import ray.exceptions  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

# Else it prints on stdout, among our results, what became of workers and nodes.
ray._private.worker._worker_logs_enabled = False
# What this process does on SIGTERM stays; Ray would have it end on the spot.
ray._private.utils.set_sigterm_handler = lambda handler: None

_IMPORT_FAILED = "failed to import on the worker"
LEAVE_S = 10.0  # what Ray may take to end
KILL_S = 1.0  # takes a millisecond, but without a head for ever
LOCAL, AUTO = "local", "auto"
_NONE_HERE = "no cluster runs on this machine; start one with `ray start --head`, or name another's head as HOST:PORT"

log = logging.getLogger("realesrgan")


def version() -> str:
    """Ray's."""
    return str(ray.__version__)


class _Actor:
    """The process of a worker; Ray makes objects of it on the nodes."""

    def __init__(self, device: str, at_once_bytes: int, load: LoadModel | None) -> None:
        from .worker import Worker

        self._worker = Worker(device, at_once_bytes, load)

    def prepare(self, order: ModelOrder, refs: Mapping[ShippedFile, Sequence[Any]] | None = None) -> Prepared:
        if refs is None:
            return self._worker.prepare(order)
        return self._worker.prepare(order, lambda file: (ray.get(ref) for ref in refs[file]))

    def take(self, key: int, offset: int, content: bytes) -> None:
        self._worker.take(key, offset, content)

    def restore(self, key: int, model: ModelOrder, order: PictureOrder | SegmentOrder) -> Report:
        return self._worker.restore(key, model, order)

    def give(self, key: int, number: int, offset: int, length: int) -> bytes:
        return self._worker.give(key, number, offset, length)

    def drop(self, key: int) -> None:
        self._worker.drop(key)

    def progress(self) -> dict[int, float]:
        return self._worker.progress()

    def close(self) -> None:
        self._worker.close()


# Calls of each kind that run at once: two units compute while parts of others come and go, and questions are answered.
_GROUPS = {"work": 4, "parts": 4, "control": 2}
_GROUP_OF = {"restore": "work", "prepare": "work", "take": "parts", "give": "parts"}


class RayProcess(Process):
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def call(self, method: str, *arguments: Any) -> Any:
        group = _GROUP_OF.get(method, "control")
        with _understood():
            return await getattr(self._actor, method).options(concurrency_group=group).remote(*arguments)

    def kill(self) -> None:
        killing = threading.Thread(target=self._kill, daemon=True)
        killing.start()
        killing.join(KILL_S)

    def _kill(self) -> None:
        with suppress(Exception):
            ray.kill(self._actor)


class RayCluster:
    """A cluster that this process is connected to; made by `connected`. `load` is how workers load models."""

    def __init__(self, load: LoadModel | None = None) -> None:
        self._load = load

    async def nodes(self) -> Sequence[Node]:
        # Where the head does not answer, this does not return.
        alive = [entry for entry in await _aside(ray.nodes) if entry["Alive"]]
        hosts = Counter(entry["NodeManagerHostname"] for entry in alive)
        return [_node(entry, is_alone=hosts[entry["NodeManagerHostname"]] == 1) for entry in alive]

    async def facts_of(self, node: Node) -> NodeFacts:
        ask = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=_on(node))(facts_here)
        with _understood():
            return await (await _aside(lambda: ask.remote(version())))  # type: ignore[no-any-return]

    async def start(self, node: Node, device: Device, at_once_bytes: int) -> Process:
        make = ray.remote(
            num_cpus=device.processors,
            num_gpus=1 if device.kind == "cuda" else 0,
            max_restarts=0,
            concurrency_groups=_GROUPS,
            scheduling_strategy=_on(node),
        )(_Actor)
        # What is to run is first laid down at the head, which may have gone together with a node.
        process = RayProcess(await _aside(lambda: make.remote(device.kind, at_once_bytes, self._load)))
        await process.call("progress")
        return process

    def put(self, content: bytes) -> Any:
        return ray.put(content)


@contextmanager
def connected(address: str, say: Callable[[str], None], load: LoadModel | None = None) -> Iterator[RayCluster]:
    """Join the cluster at `address` (HOST:PORT, or "auto" for one on this machine), or start one here ("local").

    A machine that is no node of the cluster becomes one for as long as this lasts, without lending anything. `say` is
    told so.

    Raises:
        UsageError: there is no such cluster, or it refuses this machine; says why.
    """
    with contextlib.ExitStack() as stack:
        if address == LOCAL:
            stack.enter_context(_local())
        else:
            head = address
            if address == AUTO:
                head = _head_here()
            else:
                check_reachable(head)
            if not is_node(head):
                say(f"joining the cluster at {head} for this job")
                _use_token()
                with _named(head):
                    stack.enter_context(joined(head))
            _connect(head)
        stack.callback(_leave)
        yield RayCluster(load)


async def _aside(work: Callable[[], Any]) -> Any:
    """Run what may never return in a thread for which nobody waits, not even the end of this process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            result, error = work(), None
        except Exception as raised:
            result, error = None, raised
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result, error)

    def tell(result: Any, error: Exception | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _options() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}


@contextmanager
def _local() -> Iterator[None]:
    """A cluster of this machine alone, which only this process can use: its token is known to nobody else."""
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray would write one into the home folder
    try:
        with _named(LOCAL), _whole():
            ray.init(address=LOCAL, include_dashboard=False, **_options())
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _whole() -> Iterator[None]:
    """If a cluster is not started to the end, as when Ctrl-C comes in between, end what is there of it."""
    process = psutil.Process()
    before = set(process.children())
    try:
        yield
    except BaseException:
        started = set(process.children()) - before
        below = [one for child in started for one in child.children(recursive=True)]
        for child in started:
            with suppress(psutil.Error):
                child.terminate()  # in most cases, each ends those that it has started itself
        psutil.wait_procs(started, LEAVE_S)
        for one in [*started, *below]:
            with suppress(psutil.Error):
                one.kill()
        raise


def _connect(address: str) -> None:
    _use_token()
    with _named(address), _silent_stderr(), _sigterm_held():
        ray.init(address=address, **_options())


@contextmanager
def _sigterm_held() -> Iterator[None]:
    """Let SIGTERM come only afterwards: for a moment, Ray has it abort the process."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _head_here() -> str:
    """The head of the cluster that this machine is a node of."""
    try:
        head = str(ray._private.services.canonicalize_bootstrap_address_or_die(AUTO))
        check_reachable(head)  # what Ray took a note of may be gone
        return head
    except (ConnectionError, ValueError, UsageError) as error:
        if "multiple" in str(error):
            raise UsageError(
                "`ray` auto: several clusters run on this machine: name the head of one as HOST:PORT"
            ) from error
        raise UsageError(f"`ray` auto: {_NONE_HERE}") from error


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Ray's C++ prints while it connects, of which an exception tells."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _use_token() -> None:
    """Use the token that this machine has, if any; Ray itself does this only where no address is named."""
    if _has_token() and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        ray._raylet.Config.initialize("")  # it has read the environment before


def _has_token() -> bool:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or os.path.isfile(path)


@contextmanager
def _named(address: str) -> Iterator[None]:
    """Turn Ray's errors about a cluster into ours."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        said = f"{error} {error.__cause__ or ''}"
        if "InvalidAuthToken" in said or "authentication token" in said.lower():
            raise UsageError(
                f"`ray` {address}: the cluster wants a token that this machine does not have: copy it into "
                "~/.ray/auth_token (mode 600), or set RAY_AUTH_TOKEN"
            ) from error
        if "ersion mismatch" in said:
            (ray_there, ray_here), (python_there, python_here) = (
                re.findall(rf"{name}: (\S+)", said)[:2] for name in ("Ray", "Python")
            )
            raise UsageError(
                f"`ray` {address}: it has Ray {ray_there} and Python {python_there}, this machine Ray {ray_here} and "
                f"Python {python_here}; install the same on both"
            ) from error
        if "waiting for GCS" in said:
            raise UsageError(f"`ray` {address}: {NO_HEAD}") from error
        raise UsageError(f"`ray` {address}: {' '.join(str(error).split())}") from error


def _leave() -> None:
    """Disconnect; without a head, Ray never would, not even when this process ends."""
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(LEAVE_S)
    if leaving.is_alive():
        atexit.unregister(ray.shutdown)


def _node(entry: Mapping[str, Any], *, is_alone: bool) -> Node:
    resources = entry["Resources"]
    host = entry["NodeManagerHostname"]
    return Node(
        node=entry["NodeID"],
        name=host if is_alone else f"{host}/{entry['NodeID'][:6]}",
        processors=float(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        store_bytes=int(resources.get("object_store_memory", 0)),
    )


def _on(node: Node) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node.node, soft=False)


@contextmanager
def _understood() -> Iterator[None]:
    """Turn what Ray raises of a call into what happened.

    Raises:
        ProcessDied: the process or its node is gone, or never began.
        RealESRGANError: raised by the worker, as it was.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, (RealESRGANError, OSError, MemoryError)):
            raise RealESRGANError(getattr(cause, "message", None) or str(cause) or "not enough memory") from None
        if isinstance(cause, ray.exceptions.RayError) or _IMPORT_FAILED in str(cause):
            raise ProcessDied(_reason(cause), crashed=False) from error
        raise ProcessDied(f"an unexpected error: {cause!r}", crashed=True) from error
    except ray.exceptions.OutOfMemoryError as error:
        raise ProcessDied("its process was ended for want of memory", crashed=True) from error
    except ray.exceptions.RayError as error:
        reason = _reason(error)
        raise ProcessDied(reason, crashed=reason.startswith("its process")) from error


def _reason(error: BaseException) -> str:
    said = str(error)
    if _IMPORT_FAILED in said or "No module named 'realesrgan" in said:
        return "realesrgan is not installed there"
    if "creation task" in said:  # the last line is the exception's own
        return f"its process could not start ({said.strip().splitlines()[-1]})"
    if isinstance(error, ray.exceptions.ActorDiedError) and "node" not in said.split("Worker exit")[0].lower():
        return "its process ended unexpectedly"
    return "its node is gone"
