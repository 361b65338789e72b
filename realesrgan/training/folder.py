"""The folder of a training: an earlier one put aside, others kept out, leftovers removed. Knows no networks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UsageError
from ..outputs import make_folder, remove_stale_parts
from ..restorer import Reporter
from .checkpoint import Checkpoints

LOCK_NAME = ".training.lock"


@contextmanager
def occupied(folder: Path, stays: bool, reporter: Reporter) -> Iterator[None]:
    """Make the folder ready to be written to, by this training alone. The leading process calls this.

    As published, an earlier training there is put aside, unless it `stays` because this one goes on with it.

    Raises:
        UsageError: another training is at work there, or the folder cannot be written.
    """
    if not stays and folder.is_dir() and any(entry.name != LOCK_NAME for entry in folder.iterdir()):
        _put_aside(folder, reporter)
    make_folder(folder, "name")
    checkpoints = Checkpoints(folder)
    remove_stale_parts([folder, checkpoints.models, checkpoints.states])
    with _locked(folder):
        yield


def why_not_writable(folder: Path) -> str | None:
    """Why a training could not write into `folder`, which need not exist and is not made; None if it could."""
    place = folder
    while not (place.exists() or place.is_symlink()):
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return f"{folder}: cannot be written ({error.strerror})"


def _put_aside(folder: Path, reporter: Reporter) -> None:
    aside = folder.with_name(f"{folder.name}_archived_{datetime.now():%Y%m%d_%H%M%S}")
    with _locked(folder):  # let go before renaming, or Windows refuses
        pass
    try:
        folder.rename(aside)
    except OSError as error:
        raise UsageError(f"`name`: {folder} cannot be put aside as {aside} ({error.strerror})") from error
    reporter.remark(f"{folder} held an earlier training, which is now {aside}; `auto_resume` would go on with it")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"{folder}: another training is writing into it: wait until it ends, or use another `name`"
        ) from error
    except OSError as error:
        raise UsageError(f"`name` {folder}: cannot be written ({error.strerror})") from error
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # Windows refuses while it is held
            (folder / LOCK_NAME).unlink()
        lock.release()
