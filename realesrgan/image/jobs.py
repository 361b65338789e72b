"""Which pictures to work on, and where each result goes. Decides everything that can be decided before any work."""

from __future__ import annotations

import errno
import glob
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ..errors import ImageFileError, UsageError
from ..outputs import Places, place_of, refuse_overwrites
from . import files, formats

LONGEST_NAME = 255  # bytes, on Linux's file systems


@dataclass(frozen=True)
class PictureJob:
    """One picture: the file to read, what its header says, and the files to write.

    `relative` is the source's path below the folder it was found through. `number` counts the pictures of a selection
    from 0, with those that are done already.
    """

    source: Path
    header: files.Header
    targets: tuple[Path, ...]
    relative: Path = Path()
    number: int = 0

    @property
    def target(self) -> Path:
        """The result; further targets come with it. Where nothing is made of a picture, itself."""
        return self.targets[0] if self.targets else self.source


@dataclass
class Notes:
    """A line for each file that is passed over, and for each that fails.

    Lines name options in backticks (see `errors.spell`).
    """

    passed_over: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass
class Selection(Notes):
    """What `inputs` come to: jobs, and what becomes of the other files.

    `without_target` are pictures of which nothing is to be made.
    """

    jobs: list[PictureJob] = field(default_factory=list)
    without_target: list[PictureJob] = field(default_factory=list)
    done_before: int = 0


class Names(Protocol):
    """Says where the results of a picture go, all below `folder`."""

    @property
    def folder(self) -> Path: ...

    def targets(self, relative: Path, header: files.Header) -> tuple[Path, ...]:
        """The files to be made of the picture at `relative`, a path below the folder it was found through; or none."""


@dataclass(frozen=True)
class Naming:
    """How results are named: `{stem}_{suffix}.{extension}` below `folder`.

    `extension` "auto" keeps the input's if it can be written. Pictures with transparency become PNG, as published,
    unless another format that holds it was asked for by name. With `compare`, a before/after picture comes second.
    """

    folder: Path
    suffix: str = "out"
    extension: str = "auto"
    compare: bool = False

    def targets(self, relative: Path, header: files.Header) -> tuple[Path, ...]:
        target = self._target(relative, header)
        return (target, target.with_name(f"{target.stem}_compare.jpg")) if self.compare else (target,)

    def _target(self, relative: Path, header: files.Header) -> Path:
        extension = self.extension
        if header.has_alpha and (extension == "auto" or not formats.holds_alpha(extension)):
            extension = "png"
        elif extension == "auto":
            extension = relative.suffix[1:] if formats.format_of(relative) else "png"
        stem = f"{relative.stem}_{self.suffix}" if self.suffix else relative.stem
        return self.folder / relative.parent / f"{stem}.{extension}"


def select(
    inputs: Sequence[str],
    naming: Names,
    *,
    recursive: bool = False,
    skip_existing: bool = False,
    wanted: Callable[[Path], bool] = lambda relative: True,
    refuse: Callable[[files.Header, Path], str | None] = lambda header, target: None,
    is_done: Callable[[PictureJob], bool] = lambda job: True,
) -> Selection:
    """Find the pictures that `inputs` (files, folders, patterns) name.

    Files whose path below their folder is not `wanted` are not looked at. `refuse` is given a picture's header and
    target and returns why nothing can be made of it, or None. A file that is not a picture fails if it is one of
    `inputs` or has a picture's extension; other files in a folder are passed over, and hidden ones are ignored. With
    `skip_existing`, pictures whose targets all exist are done.

    Raises:
        UsageError: an input is empty, missing or matches nothing, two pictures would be written to one file, or one
            would overwrite an input.
    """
    selection = Selection()
    for path, relative in find_files(inputs, selection, closed=naming.folder, recursive=recursive):
        if not wanted(relative):
            continue
        header = header_of(path, selection, named_itself=path in map(Path, inputs))
        if header is None:
            continue
        job = PictureJob(path, header, naming.targets(relative, header), relative)
        if not job.targets:
            selection.without_target.append(job)
        elif reason := _too_long(job.targets) or refuse(header, job.target):
            selection.failures.append(f"{path}: {reason}")
        else:
            selection.jobs.append(job)
    if skip_existing:
        _leave_out_results(selection)
    selection.jobs = [replace(job, number=number) for number, job in enumerate(selection.jobs)]
    refuse_overwrites((job.source, job.targets) for job in selection.jobs)
    if skip_existing:
        missing = [job for job in selection.jobs if not (all(map(_is_there, job.targets)) and is_done(job))]
        selection.done_before = len(selection.jobs) - len(missing)
        selection.jobs = missing
    return selection


def _too_long(targets: Iterable[Path]) -> str | None:
    if sys.platform == "linux" and max(len(os.fsencode(target.name)) for target in targets) > LONGEST_NAME:
        return f"the name of its result would be longer than {LONGEST_NAME} bytes; rename the picture"
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered: writing will say so
        return False


def _leave_out_results(selection: Selection) -> None:
    """Results of an earlier run that lie among the inputs are no inputs."""
    places = Places()
    makers = {places.of(target): job.source for job in selection.jobs for target in job.targets}
    for job in list(selection.jobs):
        if maker := makers.get(place_of(job.source)):
            selection.jobs.remove(job)
            selection.passed_over.append(f"{job.source}: the result of {maker}")


def header_of(path: Path, notes: Notes, *, named_itself: bool) -> files.Header | None:
    """The header of a picture, or None and a note.

    A file that is not a picture fails if a user named it or it has a picture's extension; another is passed over.
    """
    try:
        header = files.read_header(path)
    except ImageFileError as error:
        notes.failures.append(str(error))
        return None
    if header is None:
        looks_like_one = path.suffix.lower()[1:] in formats.PICTURE_EXTENSIONS
        lines = notes.failures if named_itself or looks_like_one else notes.passed_over
        lines.append(f"{path}: {'damaged, or ' if looks_like_one else ''}not a picture")
    return header


def find_files(
    inputs: Sequence[str], notes: Notes, *, option: str = "input", closed: Path | None = None, recursive: bool = False
) -> Iterator[tuple[Path, Path]]:
    """Yield each file that `inputs` (files, folders, patterns) name, once, with its path below the folder named.

    `option` is where a user named them. The folder `closed` is not gone into, and hidden files are ignored.

    Raises:
        UsageError: an input is empty, missing or matches nothing.
    """
    seen: set[str] = set()
    for word in inputs:
        for path, relative in _find_one(word, option, closed, recursive, notes):
            if (place := place_of(path)) not in seen:
                seen.add(place)
                yield path, relative


def _find_one(
    word: str, option: str, closed: Path | None, recursive: bool, notes: Notes
) -> Iterable[tuple[Path, Path]]:
    if not word:
        raise UsageError(f"`{option}`: an empty name; . is the folder you are in")
    path = Path(word)
    try:
        kind = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return _matching(word, option, notes)
        # A loop of links, or a folder that may not be entered.
        notes.failures.append(f"{path}: cannot be read ({error.strerror})")
        return ()
    if stat.S_ISDIR(kind):
        return _walk(path, path, set() if closed is None else {place_of(closed)}, recursive, notes)
    return [(path, Path(path.name))]


def _matching(word: str, option: str, notes: Notes) -> Iterator[tuple[Path, Path]]:
    matches = sorted(Path(match) for match in glob.glob(word, recursive=True))
    if not matches:
        raise UsageError(f"`{option}` {word}: there is no such file or folder, and no file matches it")
    for match in matches:
        if _is_folder(match, notes) is False:
            yield match, Path(match.name)


def _is_folder(path: Path, notes: Notes) -> bool | None:
    """Whether `path` is a folder; None, and a failure, where the system does not say."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        notes.failures.append(f"{path}: cannot be read ({error.strerror})")
        return None


def _walk(folder: Path, root: Path, closed: Set[str], recursive: bool, notes: Notes) -> Iterator[tuple[Path, Path]]:
    """`closed` are the folders not to go into: the results, and those that links could lead back to."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        notes.failures.append(f"{folder}: cannot be read ({error.strerror})")
        return
    closed = closed | {place_of(folder)}
    for entry in entries:
        if entry.name.startswith("."):  # hidden: also what another program, or this one, is still writing
            continue
        is_folder = _is_folder(entry, notes)
        if is_folder is False:
            yield entry, entry.relative_to(root)
        elif is_folder and recursive and place_of(entry) not in closed:
            yield from _walk(entry, root, closed, recursive, notes)
        elif is_folder and not recursive:
            notes.passed_over.append(f"{entry}: a folder; `recursive` goes into it")
