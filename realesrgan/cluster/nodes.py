"""What a node is and has, and whether it can work with this machine. Knows no Ray."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import UsageError
from ..restorer import KernelVariant

# What decides the bytes of results: computing, decoding, encoding, resizing, writing files.
PACKAGES = ("torch", "numpy", "av", "opencv-python-headless", "pyvips", "pyvips-binary")
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Versions:
    """What must be the same wherever a job is worked on; `code` is a hash of this project's own files."""

    python: str
    ray: str
    project: str
    code: str


@dataclass(frozen=True)
class NodeFacts:
    """What a node says of itself.

    Attributes:
        packages: versions of those that decide the bytes of results, by name.
        variants: of the compiled kernels that it can run, from the fastest.
        has_bf16: whether torch computes in mixed bf16 there.
        has_cuda: whether torch there is built for CUDA.
        shared_memory_bytes: size of /dev/shm; None where there is none.
    """

    versions: Versions
    packages: tuple[tuple[str, str], ...]
    variants: tuple[KernelVariant, ...] = ()
    has_bf16: bool = False
    has_cuda: bool = False
    shared_memory_bytes: int | None = None


@dataclass(frozen=True)
class Node:
    """A machine of a cluster, or a part of one: what it lends.

    `store_bytes` is how much Ray keeps there of what is on its way.
    """

    node: str
    name: str
    processors: float
    gpus: int
    store_bytes: int


@dataclass(frozen=True)
class Device:
    """What one worker computes on: "cpu" or "cuda", and how many processors it may keep busy."""

    kind: str
    processors: float


def versions_here(ray: str) -> Versions:
    """This process's, with the version of Ray."""
    return Versions(".".join(platform.python_version_tuple()[:2]), ray, __version__, _code_hash())


def facts_here(ray: str) -> NodeFacts:
    """What this machine is and has; imports torch."""
    import torch

    from ..engine.choice import variants_here
    from ..engine.device import cpu_has_bf16

    packages = ((name, version) for name in PACKAGES if (version := _version(name)) is not None)
    shared = shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else None
    return NodeFacts(
        versions=versions_here(ray),
        packages=tuple(packages),
        variants=variants_here(),
        has_bf16=cpu_has_bf16(),
        has_cuda=torch.version.cuda is not None,
        shared_memory_bytes=shared,
    )


def difference(mine: NodeFacts, theirs: NodeFacts, *, mixed: bool) -> str | None:
    """Why a node cannot work with this machine, in words; None: it can.

    `mixed` allows packages to differ that may change how results are rounded, but not how they are made.
    """
    pairs = [
        ("Python", mine.versions.python, theirs.versions.python),
        ("Ray", mine.versions.ray, theirs.versions.ray),
        ("realesrgan", mine.versions.project, theirs.versions.project),
    ]
    if not mixed:
        own, other = dict(mine.packages), dict(theirs.packages)
        pairs += [(name, own.get(name, "none"), other.get(name, "none")) for name in {**own, **other}]
    for name, here, there in pairs:
        if here != there:
            return f"it has {name} {there}, this machine {here}; install the same on both"
    if mine.versions.code != theirs.versions.code:
        return "its realesrgan has the same version but other code than this machine's; install the same on both"
    return None


def is_only_cpu(gpu_id: str | int | None) -> bool:
    """Whether GPUs are to be left alone; `gpu_id` says so.

    Raises:
        UsageError: a device is named that each node has another of.
    """
    only_cpu = str(gpu_id) == "cpu"
    if gpu_id is not None and not only_cpu:
        raise UsageError(f"`gpu_id` {gpu_id}: with `ray`, each node uses all of its GPUs; only cpu can be chosen")
    return only_cpu


def devices_of(node: Node, facts: NodeFacts, *, only_cpu: bool) -> Sequence[Device]:
    """One for each GPU, which share the processors; else the processors as one."""
    if node.gpus and facts.has_cuda and not only_cpu:
        return [Device("cuda", max(1.0, node.processors // node.gpus))] * node.gpus
    return [Device("cpu", node.processors)] if node.processors >= 1 else []


def store_bytes_of(node: Node, facts: NodeFacts) -> int:
    """How much of what is on its way can be kept in a node's shared memory."""
    shared = facts.shared_memory_bytes
    return node.store_bytes if shared is None else min(node.store_bytes, shared)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _code_hash() -> str:
    """Of all Python files of this project: two checkouts of one version may differ."""
    folder = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
