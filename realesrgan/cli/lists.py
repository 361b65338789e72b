"""List pictures to train on from the command line: `realesrgan lists` and generate_meta_info.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..words import count
from . import console, preparing
from .options import made_from, parse
from .preparation_options import ListsOptions

DESCRIPTION = "List the pictures of folders for training, one path a line."


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan lists") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    options = parse(ListsOptions, sys.argv[1:] if argv is None else argv, prog, DESCRIPTION)
    return console.run(lambda: _list(options))


def _list(options: ListsOptions) -> int:
    from ..image import vips
    from ..preparation.lists import PlainList, write_list

    vips.prepare_process()
    request = made_from(PlainList, options, meta_info=Path(options.meta_info))
    work = partial(write_list, request)
    listed = preparing.write_list(work, request.meta_info, lambda listed: count(len(listed.lines), "picture"))
    return console.SOME_FAILED if listed.failures else console.DONE
