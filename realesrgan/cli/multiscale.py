"""Make smaller copies of pictures from the command line: `realesrgan multiscale` and generate_multiscale_DF2K.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..words import count
from . import console, preparing
from .batches import carry_out, print_plan, say_what_was_found
from .options import made_from, parse
from .preparation_options import MultiscaleOptions

if TYPE_CHECKING:
    from ..image.jobs import PictureJob

DESCRIPTION = """\
Make smaller copies of pictures, to train on objects of every size.

NAMET0, T1 and T2 have 3/4, 1/2 and 1/3 of the size of NAME, T3 has a shortest side of 400 pixels. All are PNG."""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan multiscale") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    options = parse(MultiscaleOptions, sys.argv[1:] if argv is None else argv, prog, DESCRIPTION)
    return console.run(lambda: _make(options), prints_results=options.dry_run)


def _make(options: MultiscaleOptions) -> int:
    from ..image import vips
    from ..preparation.multiscale import SHORTEST_SIDE, Multiscale, is_small, make_copies, select

    vips.prepare_process()
    request = made_from(Multiscale, options, output=Path(options.output))
    selection = select(request)
    what = "without T3" if options.no_enlarge else "whose T3 is enlarged (`no_enlarge` leaves it out)"

    def said(jobs: Sequence[PictureJob]) -> str:
        small = sum(is_small(job.header.height, job.header.width) for job in jobs)
        sizes = f", {small} smaller than {SHORTEST_SIDE} pixels, {what}" if small else ""
        return f"{preparing.files_of(jobs)} copies of {count(len(jobs), 'picture')}{sizes}"

    say_what_was_found(selection)
    if options.dry_run:
        return print_plan(selection, said(selection.jobs))
    return carry_out(
        selection,
        request.output,
        lambda outcome: said(preparing.done_of(selection, outcome)),
        lambda reporter: partial(make_copies, request, selection, reporter),
        in_long_steps=True,
    )
