"""Lists of pairs to train on, an original and its degraded copy a line, matched by name and never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..restorer import Reporter
from ..values import check_whole_number
from ..words import count
from .lists import Entry, Listed, find, keep_whole, named, roots_of, save
from .work import DEFAULT_THREADS

SEPARATOR = ", "


@dataclass(frozen=True)
class PairedList:
    """Two folders, originals first, and where their list goes; the names are those of the command line.

    `filename_tmpl` makes the name of a copy out of its original's, both without extension: {}x4 finds 0801x4.png for
    0801.png. `root` is that of `PlainList`.
    """

    input: Sequence[str]
    meta_info: Path
    root: Sequence[str] = ()
    filename_tmpl: str = "{}"
    check: bool = False
    recursive: bool = False
    n_thread: int = DEFAULT_THREADS


@dataclass(frozen=True)
class PairsListed(Listed):
    """What became of a list of pairs; also the pictures of either folder that have no partner.

    `scale` is how many times larger most originals are than their copies, None if none is a whole number of times.
    """

    without_copy: tuple[Path, ...] = ()
    without_original: tuple[Path, ...] = ()
    scale: int | None = None


Name = tuple[Path, str]  # the sub-folder and the name without extension
Pair = tuple[Entry, Entry]


@dataclass(frozen=True)
class Matched:
    """Pairs, originals first, sorted by the originals' names; and the pictures of either folder without a partner."""

    pairs: list[Pair]
    without_copy: tuple[Path, ...]
    without_original: tuple[Path, ...]


def write_pairs(request: PairedList, reporter: Reporter) -> PairsListed:
    """List the pairs of two folders, sorted by the originals' names; pictures without a partner are left out.

    Raises:
        UsageError: an option is invalid, a folder does not exist, or no names match.
        Cancelled: raised by `reporter.check`.
    """
    _check(request)
    roots = roots_of(request.input, request.root)
    failures: list[str] = []
    found = match(request.input, roots, reporter, failures, template=request.filename_tmpl, recursive=request.recursive)
    if not found.pairs:
        raise UsageError(
            f"`input`: {_some(found.without_copy)} and {_some(found.without_original)} do not match by name; "
            "try another `filename_tmpl`"
        )
    pairs = _whole_pairs(found.pairs, request, reporter, failures) if request.check else found.pairs
    lines = [SEPARATOR.join((original.line, copy.line)) for original, copy in pairs]
    scale = _compare_sizes(pairs, reporter)
    _warn_of_commas(pairs, reporter)
    save(request.meta_info, lines, [entry.source for pair in pairs for entry in pair])
    return PairsListed(lines, tuple(roots), failures, found.without_copy, found.without_original, scale)


def match(
    folders: Sequence[str],
    roots: Sequence[Path],
    reporter: Reporter,
    failures: list[str],
    *,
    template: str = "{}",
    recursive: bool = False,
) -> Matched:
    """Match the pictures of two folders, originals first, by name; what fails is reported and added to `failures`.

    `template` is the `filename_tmpl` of `PairedList`, `roots` what the entries' lines are relative to.
    """
    originals, copies = (
        _by_name(folder, root, recursive, reporter, failures) for folder, root in zip(folders, roots, strict=True)
    )
    wanted = {name: (name[0], template.replace("{}", name[1])) for name in originals}
    taken = set(wanted.values())
    return Matched(
        [(original, copies[wanted[name]]) for name, original in originals.items() if wanted[name] in copies],
        tuple(original.source for name, original in originals.items() if wanted[name] not in copies),
        tuple(copy.source for name, copy in copies.items() if name not in taken),
    )


def _check(request: PairedList) -> None:
    check_whole_number("n_thread", request.n_thread, 1)
    if len(request.input) != 2:
        raise UsageError(f"`input`: {count(len(request.input), 'folder')}; give two, originals first")
    if "{}" not in request.filename_tmpl:
        raise UsageError(f"`filename_tmpl` {request.filename_tmpl}: needs {{}} where the original's name goes")


def _by_name(folder: str, root: Path, recursive: bool, reporter: Reporter, failures: list[str]) -> dict[Name, Entry]:
    """The pictures of a folder by name; where two share one, nobody can say which is meant, and both are left out."""
    named_so: dict[Name, list[Entry]] = {}
    for entry in find(folder, root, recursive, reporter, failures):
        named_so.setdefault((entry.relative.parent, entry.relative.stem), []).append(entry)
    for entries in named_so.values():
        if len(entries) > 1:
            reason = f"{' and '.join(str(entry.source) for entry in entries)}: one name, so which to pair is not clear"
            failures.append(reason)
            reporter.failed(entries[0].source, reason)
    return {name: entries[0] for name, entries in named_so.items() if len(entries) == 1}


def _some(sources: Sequence[Path]) -> str:
    return str(sources[0]) if sources else "an empty folder"


def _whole_pairs(pairs: Sequence[Pair], request: PairedList, reporter: Reporter, failures: list[str]) -> list[Pair]:
    entries = [entry for pair in pairs for entry in pair]
    whole = keep_whole(entries, Path(request.input[0]), request.n_thread, reporter, failures)
    sources = {entry.source for entry in whole}
    return [pair for pair in pairs if all(entry.source in sources for entry in pair)]


def _compare_sizes(pairs: Sequence[Pair], reporter: Reporter) -> int | None:
    """The scale most pairs have, and a warning about those that have another one, or none: readers refuse them."""
    scales = [_scale_of(pair) for pair in pairs]
    usual = next((scale for scale, _ in Counter(scales).most_common() if scale is not None), None)
    if odd := list(_lines(pair for pair, scale in zip(pairs, scales, strict=True) if scale is None or scale != usual)):
        what = "a whole number of times" if usual is None else f"{usual} times"
        reporter.warn(f"the original is not {what} as large as its copy in {named(odd)}")
    return usual


def _scale_of(pair: Pair) -> int | None:
    original, copy = (entry.header for entry in pair)
    scale = original.width // copy.width
    return scale if (original.width, original.height) == (scale * copy.width, scale * copy.height) else None


def _warn_of_commas(pairs: Sequence[Pair], reporter: Reporter) -> None:
    broken = list(_lines(pair for pair in pairs if any(SEPARATOR in entry.line for entry in pair)))
    if broken:
        reporter.warn(f"published readers cannot tell where the first path ends in {named(broken)}")


def _lines(pairs: Iterator[Pair]) -> Iterator[str]:
    return (original.line for original, _ in pairs)
