"""Cut pictures into pieces from the command line: `realesrgan subimages` and extract_subimages.py."""

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
from .preparation_options import SubimagesOptions

if TYPE_CHECKING:
    from ..image.jobs import PictureJob

DESCRIPTION = """\
Cut pictures into overlapping pieces, which training reads faster.

Pieces are named NAME_s001 and so on, row by row. PNG, TIFF and BMP stay what they are; other formats become PNG."""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan subimages") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    options = parse(SubimagesOptions, sys.argv[1:] if argv is None else argv, prog, DESCRIPTION)
    return console.run(lambda: _cut(options), prints_results=options.dry_run)


def _cut(options: SubimagesOptions) -> int:
    from ..image import vips
    from ..preparation.subimages import Subimages, cut, select

    vips.prepare_process()
    request = made_from(Subimages, options, output=Path(options.output))
    selection = select(request)
    small = selection.without_target
    for job in small:
        console.say(f"too small: {job.source}: {job.header.width}×{job.header.height}")

    def said(jobs: Sequence[PictureJob]) -> str:
        sizes = f", {len(small)} too small (`keep_small` takes them)" if small else ""
        return f"{count(preparing.files_of(jobs), 'sub-image')} of {count(len(jobs), 'picture')}{sizes}"

    say_what_was_found(selection)
    if options.dry_run:
        return print_plan(selection, said(selection.jobs))
    return carry_out(
        selection,
        request.output,
        lambda outcome: said(preparing.done_of(selection, outcome)),
        lambda reporter: partial(cut, request, selection, reporter),
    )
