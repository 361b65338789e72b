"""The pictures of a data set: found, listed or paired, and decoded. Knows nothing of crops, chance or torch.

A picture whose header cannot be read is left out with a warning, before training begins. So all processes, and all
later runs with the same files, count the same pictures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..arrays import Array
from ..degradation.pixels import to_colour
from ..errors import ImageFileError, UsageError
from ..image import files, jobs
from ..image.files import Header
from ..preparation import lists, pairs
from ..restorer import Relay, Reporter
from ..words import count

READERS = 8  # of headers at a time: each takes half a millisecond here, and longer where a disk is far away
SHOWN = 20  # pictures left out that are named one by one
_SIZE_AT_END = re.compile(r" \(\d+, ?\d+, ?\d+\)$")  # some published lists have (height,width,channels) behind a name


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture by its header; width and height are those of the picture set upright, `modified_ns` since 1970."""

    path: Path
    width: int
    height: int
    depth_bits: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Pictures:
    """The pictures of a data set, in the order they are numbered in."""

    files: tuple[PictureFile, ...]

    @property
    def fingerprint(self) -> str:
        """Names the numbering: training that is resumed with other pictures would not go on where it stopped.

        Neither the folder nor the files' times are part of it, so data may be moved.
        """
        facts = ((file.path.name, file.width, file.height, file.depth_bits, file.size_bytes) for file in self.files)
        return hashlib.blake2b("\n".join(map(str, facts)).encode("utf-8", "replace"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class PicturePairs:
    """Originals and their degraded copies, by position; each original is `scale` times as large as its copy."""

    originals: Pictures
    copies: Pictures
    scale: int

    @property
    def fingerprint(self) -> str:
        return self.originals.fingerprint + self.copies.fingerprint


def decode(file: PictureFile) -> Array:
    """Read a picture as (H, W, 3) BGR of 8 or 16 bits, without transparency; damaged ones are refused.

    Raises:
        ImageFileError: it cannot be read, is damaged, or is not what it was when training began.
    """
    pixels = to_colour(files.read(file.path, tolerant=False).pixels)
    if pixels.shape[:2] != (file.height, file.width) or pixels.dtype.itemsize * 8 != file.depth_bits:
        height, width = pixels.shape[:2]
        raise ImageFileError(f"{file.path}: was {file.width}×{file.height} when training began, is {width}×{height}")
    return pixels


def in_folders(inputs: Sequence[str], reporter: Reporter, *, option: str = "dataroot_gt") -> Pictures:
    """All pictures in folders and their sub-folders, sorted within each; single files are taken, too.

    `option` is where a user named them.

    Raises:
        UsageError: one of `inputs` does not exist, or none of them holds a picture.
    """
    notes = _Notes(reporter)
    found: dict[Path, Header] = {}
    for word in inputs:
        _check_is_there(word, option)
        entries = lists.find(word, Path(word), True, notes, notes.failures)
        found.update((entry.source, entry.header) for entry in entries)
    named = list(notes.described(found.items()))
    return Pictures(notes.kept(named, f"`{option}` {' '.join(inputs)}"))


def in_list(meta_info: Path, root: Path, reporter: Reporter) -> Pictures:
    """The pictures that a file lists, a path below `root` a line; names may have blanks.

    Raises:
        UsageError: the list cannot be read, or there is no picture in it.
    """
    notes = _Notes(reporter)
    paths = [_path_below(root, line) for line in _lines(meta_info)]
    found = [file for file in notes.read(meta_info, paths) if file is not None]
    return Pictures(notes.kept(found, _listed(meta_info, root)))


def pairs_in_folders(
    originals: str, copies: str, reporter: Reporter, *, scale: int, size: int, template: str = "{}"
) -> PicturePairs:
    """The pairs of two folders and their sub-folders, matched by name; `template` turns a name into its copy's.

    Raises:
        UsageError: a folder does not exist, or they hold no pair of the right `scale` with `size` pixels a side.
    """
    notes = _Notes(reporter)
    for folder, option in ((originals, "dataroot_gt"), (copies, "dataroot_lq")):
        _check_is_there(folder, option)
    roots = [Path(originals), Path(copies)]
    found = pairs.match([originals, copies], roots, notes, notes.failures, template=template, recursive=True)
    notes.failures += [f"{path}: has no copy in {copies}" for path in found.without_copy]
    notes.failures += [f"{path}: has no original in {originals}" for path in found.without_original]
    headers = ((entry.source, entry.header) for pair in found.pairs for entry in pair)
    described = {file.path: file for file in notes.described(headers)}
    both = [(described.get(original.source), described.get(copy.source)) for original, copy in found.pairs]
    return _paired(both, scale, size, notes, f"`dataroot_gt` {originals}, `dataroot_lq` {copies}")


def pairs_in_list(
    meta_info: Path, originals: Path, copies: Path, reporter: Reporter, *, scale: int, size: int
) -> PicturePairs:
    """The pairs that a file lists, `original, copy` a line, each below its folder.

    Raises:
        UsageError: the list cannot be read, or it holds no pair of the right `scale` with `size` pixels a side.
    """
    notes = _Notes(reporter)
    paths: list[Path] = []
    for line in _lines(meta_info):
        splits = list(_splits(line))
        if not splits:
            notes.failures.append(f"{meta_info}: “{line}” is no pair: two paths with “{pairs.SEPARATOR}” between them")
            continue
        # Names may hold the separator, too: then the split that leads to files is the one that is meant.
        candidates = [(_path_below(originals, first), _path_below(copies, second)) for first, second in splits]
        paths += next((each for each in candidates if all(path.is_file() for path in each)), candidates[0])
    found = list(notes.read(meta_info, paths))
    both = zip(found[::2], found[1::2], strict=True)
    return _paired(both, scale, size, notes, _listed(meta_info, originals))


def _paired(
    found: Iterable[tuple[PictureFile | None, PictureFile | None]], scale: int, size: int, notes: _Notes, source: str
) -> PicturePairs:
    kept: list[tuple[PictureFile, PictureFile]] = []
    for original, copy in found:
        if original is None or copy is None:
            continue
        what = f"{original.path}: is {original.width}×{original.height}"
        if (original.width, original.height) != (scale * copy.width, scale * copy.height):
            other = f"its copy {copy.path}, which is {copy.width}×{copy.height}"
            notes.failures.append(f"{what}, not {scale} times as large as {other}")
        elif min(original.width, original.height) < size:
            notes.failures.append(f"{what}, smaller than `gt_size` {size}")
        else:
            kept.append((original, copy))
    originals = notes.kept([original for original, _ in kept], source)
    return PicturePairs(Pictures(originals), Pictures(tuple(copy for _, copy in kept)), scale)


class _Notes(Relay):
    """Collects why pictures are left out, and says it in the end."""

    def __init__(self, to: Reporter) -> None:
        super().__init__(to)
        self.failures: list[str] = []

    def failed(self, source: Path, reason: str) -> None:
        """Already among the failures; to leave a picture out is no failure of the whole."""

    def read(self, source: Path, paths: Sequence[Path]) -> Iterator[PictureFile | None]:
        """Read all headers, several at a time; the reporter hears of them under the name `source`."""
        self.started(source, len(paths))
        with ThreadPoolExecutor(READERS) as pool:
            for done, (path, (header, failures)) in enumerate(zip(paths, pool.map(_header, paths), strict=True), 1):
                self.failures += failures
                yield None if header is None else next(self.described([(path, header)]), None)
                self.progressed(source, done)

    def described(self, found: Iterable[tuple[Path, Header]]) -> Iterator[PictureFile]:
        for path, header in found:
            try:
                facts = path.stat()
            except OSError as error:
                self.failures.append(f"{path}: cannot be read ({error.strerror})")
                continue
            size = (header.width, header.height, header.depth_bits)
            yield PictureFile(path, *size, facts.st_size, facts.st_mtime_ns)

    def kept(self, found: Sequence[PictureFile], source: str) -> tuple[PictureFile, ...]:
        """Warn of what was left out, and refuse to go on without any picture."""
        left_out = list(dict.fromkeys(self.failures))
        if not found:
            why = f"; {count(len(left_out), 'file')} left out, first {left_out[0]}" if left_out else ""
            raise UsageError(f"{source}: no pictures to train on{why}")
        for line in left_out[:SHOWN]:
            self.warn(f"left out: {line}")
        if len(left_out) > SHOWN:
            self.warn(f"left out: {len(left_out) - SHOWN} more")
        return tuple(found)


def _header(path: Path) -> tuple[Header | None, list[str]]:
    notes = jobs.Notes()
    return jobs.header_of(path, notes, named_itself=True), notes.failures


def _check_is_there(word: str, option: str) -> None:
    if not word or not Path(word).exists():
        raise UsageError(f"`{option}` {word or '(empty)'}: there is no such file or folder")


def _listed(meta_info: Path, root: Path) -> str:
    return f"`meta_info` {meta_info}, below {root}"


def _lines(meta_info: Path) -> list[str]:
    try:
        text = meta_info.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"`meta_info` {meta_info}: cannot be read ({error.strerror})") from error
    if "\0" in text:
        raise UsageError(f"`meta_info` {meta_info}: is no text, so no list of pictures")
    return [line for line in text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n") if line.strip()]


def _path_below(root: Path, line: str) -> Path:
    path = root / line
    without_size = _SIZE_AT_END.sub("", line)
    return path if without_size == line or path.exists() else root / without_size


def _splits(line: str) -> Iterator[tuple[str, str]]:
    parts = line.split(pairs.SEPARATOR)
    for place in range(1, len(parts)):
        yield pairs.SEPARATOR.join(parts[:place]), pairs.SEPARATOR.join(parts[place:])
