"""Record in a hidden file beside the results which are finished, and by what job, so that none is computed twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..outputs import appearing

LOCK_S = 10  # how long to wait for another process, which writes for a moment only
RECORD = ".realesrgan-finished.json"  # name of a result → [hash of its job's identity, size in bytes, time of change]


def is_recorded(target: Path, identity: Callable[[], Mapping[str, Any]]) -> bool:
    """Whether `target` is the result of this very job, and unchanged since it was finished.

    `identity` is called only if there is a record, because it reads the weights.
    """
    recorded = _read(target.parent).get(target.name)
    return recorded is not None and recorded == _entry(target, identity())


def record(target: Path, identity: Mapping[str, Any]) -> None:
    """Record that `target` is the finished result of this job. If that fails, it is merely computed again."""
    file = target.parent / RECORD
    lock = FileLock(f"{file}.lock", timeout=LOCK_S)
    with suppress(OSError), lock:
        entries = {name: entry for name, entry in _read(target.parent).items() if (target.parent / name).exists()}
        with appearing(file) as part:
            part.write_text(json.dumps({**entries, target.name: _entry(target, identity)}), encoding="utf-8")
    Path(lock.lock_file).unlink(missing_ok=True)


def _entry(target: Path, identity: Mapping[str, Any]) -> list[Any] | None:
    try:
        stat = target.stat()
    except OSError:
        return None
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return [digest, stat.st_size, stat.st_mtime_ns]


def _read(folder: Path) -> dict[str, Any]:
    try:
        entries = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
