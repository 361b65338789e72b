"""Lists of pictures to train on, a path a line: found, checked, written. Knows nothing of pairs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ImageFileError, UsageError
from ..image import files, jobs
from ..image.files import Header
from ..outputs import is_kept, make_folder, place_of, write_whole
from ..restorer import Reporter
from ..values import check_whole_number
from .work import DEFAULT_THREADS, thread_count

NAMED = 3  # of many files, those that a message names


@dataclass(frozen=True)
class PlainList:
    """Which folders, and where their list goes; the names are those of the command line.

    Paths in a list are relative to `root`: one for each folder, one for all, or (none) the folders' own parents.
    """

    input: Sequence[str]
    meta_info: Path
    root: Sequence[str] = ()
    check: bool = False
    recursive: bool = False
    n_thread: int = DEFAULT_THREADS


@dataclass(frozen=True)
class Entry:
    """A picture: its file, its path below the folder it was found in, and as it stands in the list."""

    source: Path
    relative: Path
    line: str
    header: Header


@dataclass(frozen=True)
class Listed:
    """What became of a list: its lines, the roots they are relative to, and a line for each picture left out."""

    lines: list[str]
    roots: tuple[Path, ...]
    failures: list[str] = field(default_factory=list)


def write_list(request: PlainList, reporter: Reporter) -> Listed:
    """List the pictures of all folders, sorted by name within each; `check` decodes every one.

    A file that is not a picture, is damaged, or has a name that no list can hold is reported and left out.

    Raises:
        UsageError: an option is invalid, a folder does not exist, two pictures have one line, or there are none.
        Cancelled: raised by `reporter.check`.
    """
    check_whole_number("n_thread", request.n_thread, 1)
    roots = roots_of(request.input, request.root)
    failures: list[str] = []
    entries = [
        entry
        for folder, root in zip(request.input, roots, strict=True)
        for entry in find(folder, root, request.recursive, reporter, failures)
    ]
    if request.check:
        entries = keep_whole(entries, Path(request.input[0]), request.n_thread, reporter, failures)
    _refuse_repeated(entries)
    lines = [entry.line for entry in entries]
    broken = [line for line in lines if " " in line]
    if broken:
        reporter.warn(f"published readers end a path at its first blank and will not find {named(broken)}")
    save(request.meta_info, lines, [entry.source for entry in entries])
    return Listed(lines, tuple(dict.fromkeys(roots)), failures)


def roots_of(folders: Sequence[str], roots: Sequence[str]) -> list[Path]:
    """The root of each folder.

    Raises:
        UsageError: one of `folders` is not a folder, or the numbers do not agree.
    """
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"`input` {folder or '(empty)'}: there is no such folder")
    if len(roots) not in (0, 1, len(folders)):
        raise UsageError(f"`root`: {len(roots)} for {len(folders)} folders; give one for each, or one for all")
    if len(roots) == 1:
        roots = [roots[0]] * len(folders)
    return [Path(root) for root in roots] or [Path(folder).parent for folder in folders]


def find(folder: str, root: Path, recursive: bool, reporter: Reporter, failures: list[str]) -> Iterator[Entry]:
    """Yield the pictures of a folder; what fails is reported and added to `failures`."""
    selection = jobs.select([folder], _NoResults(Path(os.devnull)), recursive=recursive)
    for line in selection.passed_over:
        reporter.remark(f"passed over: {line}")
    for line in selection.failures:
        _fail(Path(folder), line, reporter, failures)
    for job in selection.without_target:
        try:
            line = Path(os.path.relpath(job.source, root)).as_posix()
        except ValueError as error:  # two drives of Windows
            raise UsageError(f"`root` {root}: {job.source} cannot be reached from there ({error})") from error
        if "\n" in line or "\r" in line:
            _fail(job.source, f"{job.source}: its name has a line break, which a list cannot hold", reporter, failures)
            continue
        yield Entry(job.source, job.relative, line, job.header)


@dataclass(frozen=True)
class _NoResults:
    """Nothing is to be made of any picture."""

    folder: Path

    def targets(self, relative: Path, header: Header) -> tuple[Path, ...]:
        return ()


def keep_whole(
    entries: Sequence[Entry], source: Path, n_thread: int, reporter: Reporter, failures: list[str]
) -> list[Entry]:
    """Decode every picture and keep those without damage. `reporter` hears of pictures, under the name `source`."""
    reporter.started(source, len(entries))
    whole = []
    with ThreadPoolExecutor(thread_count(n_thread)) as pool:
        found = pool.map(_defect, entries)
        try:
            for number, (entry, defect) in enumerate(zip(entries, found, strict=True), 1):
                reporter.check()
                if defect is None:
                    whole.append(entry)
                else:
                    _fail(entry.source, defect, reporter, failures)
                reporter.progressed(source, number)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return whole


def _defect(entry: Entry) -> str | None:
    try:
        files.read(entry.source, tolerant=False)
    except ImageFileError as error:
        return error.message
    except MemoryError:
        return f"{entry.source}: not enough memory for this picture"
    return None


def _fail(source: Path, reason: str, reporter: Reporter, failures: list[str]) -> None:
    failures.append(reason)
    reporter.failed(source, reason)


def _refuse_repeated(entries: Sequence[Entry]) -> None:
    first: dict[str, Path] = {}
    for entry in entries:
        if entry.line in first:
            raise UsageError(
                f"{first[entry.line]} and {entry.source} would both be listed as {entry.line}: give one `root` for all"
            )
        first[entry.line] = entry.source


def named(names: Sequence[str]) -> str:
    """How many there are, and the first few of them."""
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{len(names)} pictures: {shown}, …"


def save(path: Path, lines: Sequence[str], sources: Sequence[Path]) -> None:
    """Write the list; it appears whole or not at all, and is never empty.

    Raises:
        UsageError: there are no lines, `path` is one of `sources`, or it cannot be written.
    """
    if not lines:
        raise UsageError("`input`: nothing to list there, so no list is written")
    if any(source.name.lower() == path.name.lower() and place_of(source) == place_of(path) for source in sources):
        raise UsageError(f"`meta_info` {path}: is one of the pictures")
    if not is_kept(path):
        make_folder(path.parent, "meta_info")
    write_whole(path, b"".join(os.fsencode(line) + b"\n" for line in lines), "meta_info")
