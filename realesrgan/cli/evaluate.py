"""Measure how good restorations are from the command line: `realesrgan evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import console
from .data_options import EvaluateOptions
from .options import parse

# OpenCV, libvips and the like are imported where they are needed, so that --help and usage errors answer at once.
if TYPE_CHECKING:
    from ..metrics.evaluation import Evaluation
    from ..metrics.files import Kept

DESCRIPTION = "Measure results against their originals: pictures, or videos frame by frame."
EPILOG = """\
examples:
  %(prog)s -r results -t originals                       PSNR and SSIM of each picture, and the mean
  %(prog)s -r results -t originals --border 4 --y        as papers report them
  %(prog)s -r results -t originals --metrics psnr,lpips  learned metrics, by pyiqa
  %(prog)s -r clip_out.mp4 -t clip.mp4 --csv clip.csv --per_frame
"""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan evaluate") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(EvaluateOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _evaluate(options), prints_results=not (options.csv or options.json or options.sheet))


def _evaluate(options: EvaluateOptions) -> int:
    from ..image import vips
    from ..image.batch import check_suffix
    from ..metrics import evaluation, metric, pairs
    from ..metrics.files import Kept
    from .reporting import MeasuringReporter

    vips.prepare_process()
    csv, json, sheet = (Path(name) if name else None for name in (options.csv, options.json, options.sheet))
    kept = Kept(csv, json, sheet, options.per_frame)
    evaluation.check_options(options.border, options.workers)
    check_suffix(options.suffix)
    kept.check()
    matched = pairs.match(options.results, options.originals, suffix=options.suffix, recursive=options.recursive)
    kept.refuse_overwrites(matched)
    with MeasuringReporter(sum(pair.pixels for pair in matched.pairs)) as reporter:
        names = [name.strip() for name in options.metrics.split(",")]
        metrics = metric.choose(names, reporter, luma=options.y)
        for line in matched.passed_over:
            console.say(f"passed over: {line}")
        for line in matched.failures:
            console.say(f"failed: {line}")
        console.started_up()
        found = evaluation.evaluate(matched, metrics, reporter, border=options.border, workers=options.workers)
    return _tell(found, kept, options)


def _tell(found: Evaluation, kept: Kept, options: EvaluateOptions) -> int:
    from ..metrics.report import table
    from ..words import count

    if found.rows:
        for line in table(found):
            console.print_result(line)
        for path in kept.write(found, border=options.border):
            console.say(f"written: {path}")
    for name in found.names:
        if 0 < (same := found.infinite(name)) < len(found.rows):
            console.say(f"{name}: infinite for {count(same, 'result')}, the same as the original; not in the mean")
    if found.failures:
        console.say(f"{len(found.rows)} measured, {len(found.failures)} failed")
    return console.SOME_FAILED if found.failures else console.DONE
