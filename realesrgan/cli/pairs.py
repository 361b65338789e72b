"""List pairs of pictures to train on from the command line: `realesrgan pairs` and generate_meta_info_pairdata.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..words import count
from . import console, preparing
from .options import made_from, parse
from .preparation_options import PairsOptions

if TYPE_CHECKING:
    from ..preparation.pairs import PairsListed

DESCRIPTION = """\
List pairs of originals and degraded pictures for training, matched by name: two paths a line.

Pictures without a partner are named and left out; the exit code is then 1."""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan pairs") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    options = parse(PairsOptions, sys.argv[1:] if argv is None else argv, prog, DESCRIPTION)
    return console.run(lambda: _list(options))


def _list(options: PairsOptions) -> int:
    from ..image import vips
    from ..preparation.lists import named
    from ..preparation.pairs import PairedList, write_pairs

    vips.prepare_process()
    request = made_from(PairedList, options, meta_info=Path(options.meta_info))
    listed = preparing.write_list(partial(write_pairs, request), request.meta_info, _describe)
    for folder, alone in zip(options.input, (listed.without_copy, listed.without_original), strict=True):
        if alone:
            console.say(f"without a partner in {folder}: {named([path.name for path in alone])}")
    alone = listed.without_copy + listed.without_original
    return console.SOME_FAILED if listed.failures or alone else console.DONE


def _describe(listed: PairsListed) -> str:
    scale = "" if listed.scale is None else f" of scale {listed.scale}"
    return f"{count(len(listed.lines), 'pair')}{scale}"
