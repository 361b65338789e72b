"""Where results go: no input is overwritten, and no result by another. Knows nothing of what is in the files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import UsageError


def refuse_overwrites(work: Iterable[tuple[Path, Sequence[Path]]]) -> None:
    """Refuse to begin where a file would be lost; `work` is each source with what is to be made of it.

    Raises:
        UsageError: a target is a source, or two sources have the same.
    """
    work = list(work)
    sources = {_place(source) for source, _ in work}
    makers: dict[str, Path] = {}
    for source, targets in work:
        for target in targets:
            place = _place(target)
            if place in sources:
                raise UsageError(f"{target} is an input and would be overwritten: choose another -o or --suffix")
            if place in makers:
                raise UsageError(
                    f"{makers[place]} and {source} would both be written to {target}: "
                    "rename one of them, or restore them into different folders"
                )
            makers[place] = source


def _place(path: Path) -> str:
    """One name for one file, also where the system takes small and capital letters for the same."""
    return os.path.normcase(path.resolve())
