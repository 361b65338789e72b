"""What this process may use of the machine: memory and processor time, within Linux's control groups (versions 1, 2).

Without control groups, or where they set no limit, the answer is None.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

MEMBERSHIP = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # bytes; version 1 writes a huge number where there is no limit


def memory_left_bytes() -> int | None:
    """How much more this process may take: the least that any of its groups leaves."""
    left = []
    for folder in _folders("memory"):
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < UNLIMITED:
            # Cached file pages count as used, but the kernel gives them up on demand.
            left.append(max(0, limit - max(0, used - _inactive_file_bytes(folder))))
    return min(left, default=None)


def free_memory_bytes() -> int:
    """How much more memory this process may take: what the machine has free, within what its groups allow."""
    allowed = memory_left_bytes()
    available = int(psutil.virtual_memory().available)
    return available if allowed is None else min(available, allowed)


def processors() -> float | None:
    """How many processors' worth of time this process may use, such as 1.5."""
    shares = []
    for folder in _folders("cpu"):
        words = _words(folder / "cpu.max")
        quota, period = words[:2] if len(words) == 2 else (None, None)
        quota = quota or next(iter(_words(folder / "cpu.cfs_quota_us")), None)
        period = period or next(iter(_words(folder / "cpu.cfs_period_us")), None)
        if quota and period and quota.isdecimal() and int(period):  # "max" and -1 are no limits
            shares.append(int(quota) / int(period))
    return min(shares, default=None)


def processor_count() -> int:
    """How many threads this process can keep busy: the machine's processors, or as many as its groups allow."""
    there = os.cpu_count() or 1
    allowed = processors()
    return there if allowed is None else max(1, min(there, math.ceil(allowed)))


def _folders(controller: str) -> Iterator[Path]:
    """The folders of the groups that limit this process's use of `controller`, from its own up to the root."""
    try:
        lines = MEMBERSHIP.read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = ROOT / controllers if controllers else ROOT
        inside = Path(group.strip("/"))
        # In a container the group's own path may be missing; the root then is the container's group.
        yield from (root / ancestor for ancestor in (inside, *inside.parents))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []


def _number(*paths: Path) -> int | None:
    """The number in the first of `paths` that exists; None if none does, or it holds "max"."""
    word = next((words[0] for path in paths if (words := _words(path))), "")
    return int(word) if word.isdecimal() else None


def _inactive_file_bytes(folder: Path) -> int:
    words = _words(folder / "memory.stat")
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    return int(pairs.get("total_inactive_file") or pairs.get("inactive_file") or 0)
