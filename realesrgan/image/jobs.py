"""Which pictures to restore, and where each result goes. Decides everything that can be decided before any work."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ImageFileError, UsageError
from ..outputs import refuse_overwrites
from . import files


@dataclass(frozen=True)
class Job:
    """One picture: the file to read, what its header says, and the file to write."""

    source: Path
    header: files.Header
    target: Path

    @property
    def comparison(self) -> Path:
        """Where the before/after picture goes, if one is wanted."""
        return self.target.with_name(f"{self.target.stem}_compare.jpg")


@dataclass
class Plan:
    """All that a command line asks for: what to do, and what not and why (one line each)."""

    jobs: list[Job] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    done_before: int = 0


@dataclass(frozen=True)
class Naming:
    """How results are named: `{stem}_{suffix}.{extension}` below `folder`.

    `extension` "auto" keeps the input's where it can be written. What has transparency goes into PNG, as published,
    unless another format that holds it was asked for by name.
    """

    folder: Path
    suffix: str = "out"
    extension: str = "auto"

    def target(self, relative: Path, header: files.Header) -> Path:
        extension = self.extension
        if header.has_alpha and (extension == "auto" or not files.holds_alpha(extension)):
            extension = "png"
        elif extension == "auto":
            extension = relative.suffix[1:] if files.format_of(relative) else "png"
        stem = f"{relative.stem}_{self.suffix}" if self.suffix else relative.stem
        return self.folder / relative.parent / f"{stem}.{extension}"


def plan(
    inputs: Sequence[str],
    naming: Naming,
    *,
    recursive: bool = False,
    skip_existing: bool = False,
    compare: bool = False,
    refuse: Callable[[files.Header, Path], str | None] = lambda header, target: None,
) -> Plan:
    """Find the pictures that `inputs` (files, folders, patterns) stand for.

    `refuse` is given a picture's header and target and says why it cannot be done, or None. A file that is no picture
    fails if it was named itself or is called like one; in a folder, other files are passed over.

    With `compare`, the before/after pictures are counted among what would be written.

    Raises:
        UsageError: an input does not exist or matches nothing, two pictures would be written to one file, or one
            would overwrite an input.
    """
    result = Plan()
    for path, relative in _expand(inputs, naming.folder, recursive, result):
        named_itself = path in map(Path, inputs)
        try:
            header = files.probe(path)
        except ImageFileError as error:
            result.failures.append(str(error))
            continue
        if header is None:
            looks_like_one = path.suffix.lower()[1:] in files.PICTURE_EXTENSIONS
            lines = result.failures if named_itself or looks_like_one else result.passed_over
            lines.append(f"{path}: {'damaged, or ' if looks_like_one else ''}not a picture")
        elif reason := refuse(header, target := naming.target(relative, header)):
            result.failures.append(f"{path}: {reason}")
        else:
            result.jobs.append(Job(path, header, target))
    if skip_existing:
        _leave_out_results(result)
    refuse_overwrites((job.source, (job.target, job.comparison) if compare else (job.target,)) for job in result.jobs)
    if skip_existing:
        result.done_before = sum(job.target.exists() for job in result.jobs)
        result.jobs = [job for job in result.jobs if not job.target.exists()]
    return result


def _leave_out_results(result: Plan) -> None:
    """Where results lie among the inputs, those of an earlier run are no inputs of this one."""
    makers = {job.target.resolve(): job.source for job in result.jobs}
    for job in list(result.jobs):
        if maker := makers.get(job.source.resolve()):
            result.jobs.remove(job)
            result.passed_over.append(f"{job.source}: the result of {maker}")


def _expand(inputs: Sequence[str], output: Path, recursive: bool, result: Plan) -> Iterator[tuple[Path, Path]]:
    """Yield each file with its path relative to the folder it was found through."""
    seen: set[Path] = set()
    for word in inputs:
        for path, relative in _expand_one(word, output, recursive, result):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path, relative


def _expand_one(word: str, output: Path, recursive: bool, result: Plan) -> Iterable[tuple[Path, Path]]:
    path = Path(word)
    if path.is_dir():
        return _walk(path, path, {output.resolve()}, recursive, result)
    if path.exists():
        return [(path, Path(path.name))]
    matches = sorted(Path(match) for match in glob.glob(word, recursive=True))
    if not matches:
        raise UsageError(f"-i {word}: there is no such file or folder, and no file matches it")
    return [(match, Path(match.name)) for match in matches if match.is_file()]


def _walk(folder: Path, root: Path, closed: Set[Path], recursive: bool, result: Plan) -> Iterator[tuple[Path, Path]]:
    """`closed` are the folders not to go into: the results, and those that links could lead back to."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        result.failures.append(f"{folder}: cannot be read ({error.strerror})")
        return
    closed = closed | {folder.resolve()}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            yield entry, entry.relative_to(root)
        elif recursive and entry.resolve() not in closed:
            yield from _walk(entry, root, closed, recursive, result)
        elif not recursive:
            result.passed_over.append(f"{entry}: a folder; --recursive goes into it")
