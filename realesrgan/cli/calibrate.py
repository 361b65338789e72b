"""Propose a recipe whose results are as bad as a folder of pictures: `realesrgan calibrate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..loading import prepare_process
from . import console
from .batches import say_what_was_found
from .data_options import CalibrateOptions
from .options import made_from, parse

DESCRIPTION = "Measure JPEG, noise, blur and cut-off of bad pictures, and propose the recipe that makes such ones."
EPILOG = """\
examples:
  %(prog)s -i scans                              the recipe, with what was measured
  %(prog)s -i scans -o scans.yml                 into a file, for realesrgan degrade --recipe scans.yml
  %(prog)s -i scans --sheet alike.png --sharp photos
"""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan calibrate") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(CalibrateOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _calibrate(options), prints_results=not (options.output or options.sheet))


def _calibrate(options: CalibrateOptions) -> int:
    prepare_process()
    from ..degradation.calibration import job
    from ..image import vips
    from .reporting import FactsReporter

    vips.prepare_process()
    output, sheet = (None if name is None else Path(name) for name in (options.output, options.sheet))
    request = made_from(job.Request, options, output=output, sheet=sheet)
    found = job.select(request)
    say_what_was_found(found.selection)
    with FactsReporter({one.source: one.header.area for one in found.selection.jobs}) as reporter:
        console.started_up()
        result = job.calibrate(request, found, reporter)
    if result.proposal is None:
        console.say("no picture could be measured")
        return console.SOME_FAILED
    console.print_result(result.proposal.text.rstrip())
    for path in (output, sheet):
        if path is not None:
            console.say(f"written: {path}")
    return console.SOME_FAILED if result.failures else console.DONE
