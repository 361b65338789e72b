"""Where results go: no input is overwritten, and no result by another. Knows nothing of what is in the files."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import RealESRGANError, UsageError

_PART = re.compile(r"\.realesrgan-[0-9a-f]{8}-([0-9a-f]{4})-([0-9]+)\.parts?(\.[^.]*)?")


def refuse_overwrites(work: Iterable[tuple[Path, Sequence[Path]]]) -> None:
    """Refuse to begin where a file would be lost; `work` is each source with what is to be made of it.

    Raises:
        UsageError: a target is a source, or two sources have the same.
    """
    work = list(work)
    sources = {place_of(source) for source, _ in work}
    makers: dict[str, Path] = {}
    places = Places()
    for source, targets in work:
        for target in targets:
            place = places.of(target)
            if place in sources:
                raise UsageError(f"{target} is an input and would be overwritten: choose another `output`")
            if place in makers:
                raise UsageError(
                    f"{makers[place]} and {source} would both be written to {target}: "
                    "rename one of them, or write them into different folders"
                )
            makers[place] = source


def place_of(path: Path) -> str:
    """One name for one file, also where the system does not tell small letters from capital ones.

    A path that cannot be resolved (a link to itself) is only made absolute.
    """
    try:
        path = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: a circle of links, before Python 3.13
        path = path.absolute()
    return os.path.normcase(path)


class Places:
    """`place_of` for thousands of files in a few folders, each of which is resolved only once."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        if os.path.islink(path):
            return place_of(path)
        if path.parent not in self._folders:
            self._folders[path.parent] = place_of(path.parent)
        return os.path.join(self._folders[path.parent], os.path.normcase(path.name))


def make_folder(folder: Path, option: str) -> None:
    """Make sure, before anything is computed, that files can be written into the folder of `option`.

    Raises:
        UsageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"`{option}` {folder}: cannot be written ({error.strerror})") from error


def part_of(target: Path) -> Path:
    """Where this process writes `target` before it is renamed into place: hidden, in the same folder, 45 bytes long.

    The name says which machine and process made it, so that `remove_stale_parts` can tell what is left over.
    """
    digest = hashlib.blake2s(os.fsencode(target.name), digest_size=4).hexdigest()
    return target.with_name(f".realesrgan-{digest}-{_machine()}-{os.getpid()}.part{target.suffix}")


@contextmanager
def spool(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` for files on their way to other places there; removed in the end with all it holds.

    Raises:
        OSError: it cannot be made.
    """
    name = secrets.token_hex(4)
    path = folder / f".realesrgan-{name}-{_machine()}-{os.getpid()}.parts"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def appearing(
    target: Path,
    raises: type[RealESRGANError] | None = None,
    *,
    also: tuple[type[Exception], ...] = (),
    durable: bool = False,
) -> Iterator[Path]:
    """Write a file that is there whole or not at all: use `with`, and write to the path it gives, `part_of(target)`.

    On leaving, the part is renamed into place; after an exception it is removed, and what was at `target` stays.

    Args:
        raises: the error to raise, naming the target, when the disk refuses; None passes on what comes.
        also: what else means that the disk refuses, for writers with exceptions of their own.
        durable: survive a power cut too: wait until the content is on the disk. For what cannot be made again.
    """
    part = part_of(target)
    refusals: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield part
        if durable:
            sync(part)
        part.replace(target)
        if durable:
            with suppress(OSError):  # it is written; some network drives cannot wait for names
                sync(target.parent)
    except refusals as error:
        if raises is None:
            raise
        raise raises(f"{target}: cannot be written ({_reason(error)})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """What the system said; torch's writer covers it with an error of its own."""
    first: BaseException | None = error
    while first is not None and not isinstance(first, OSError):
        first = first.__context__
    return getattr(first, "strerror", None) or str(error)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk itself, where a power cut cannot reach them."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot, and writes names down in order by itself
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_kept(path: Path) -> bool:
    """Whether `path` is something that a file must not take the place of: a link, a device, a pipe."""
    return path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir()))


def write_whole(path: Path, content: bytes, option: str) -> None:
    """Write a small file, which appears whole or not at all; `option` is where a user named it.

    What `is_kept`, such as /dev/stdout, is written to instead.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if is_kept(path):
            path.write_bytes(content)
        else:
            with appearing(path) as part:
                part.write_bytes(content)
    except OSError as error:
        raise UsageError(f"`{option}` {path}: cannot be written ({error.strerror})") from error


def remove_stale_parts(folders: Iterable[Path]) -> None:
    """Remove parts and spools that processes of this machine, which no longer run, left in `folders`. Never fails."""
    import psutil

    for folder in set(folders):
        with suppress(OSError):
            for entry in os.scandir(folder):
                match = _PART.fullmatch(entry.name)
                if match and match[1] == _machine() and not psutil.pid_exists(int(match[2])):
                    with suppress(OSError):
                        shutil.rmtree(entry) if entry.name.endswith(".parts") else os.unlink(entry)


def _machine() -> str:
    """Folders may be shared: on another machine, or in another container, the same number is another process."""
    return hashlib.blake2s(platform.node().encode("utf-8", "replace"), digest_size=2).hexdigest()
