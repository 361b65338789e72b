"""Train what a recipe says: `realesrgan train` and realesrgan/train.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..loading import prepare_process
from ..values import check_range, check_whole_number
from . import console
from .options import made_from, parse
from .training_options import RECIPE_KEYS, TrainOptions

DESCRIPTION = "Train a network by a recipe, one of options/ or your own; docs/training.md tells how."
EPILOG = """\
examples:
  %(prog)s -opt options/train_realesrnet_x4plus.yml --check
  %(prog)s -opt options/train_realesrnet_x4plus.yml --auto_resume
  torchrun --nproc_per_node=4 realesrgan/train.py -opt options/train_realesrgan_x4plus.yml --launcher pytorch
"""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan train") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(TrainOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _train(options), spellings={key: key for key in RECIPE_KEYS})


def _train(options: TrainOptions) -> int:
    prepare_process()
    from ..image import vips
    from ..training.plan import Request
    from ..training.recipe_file import read
    from ..training.recipes import without_perceptual
    from . import training

    vips.prepare_process()
    for name in ("accumulate", "keep"):
        check_whole_number(name, getattr(options, name), 1)
    if options.minutes is not None:
        check_range("minutes", options.minutes, 0)
    recipe, remarks = read(Path(options.opt), options.force_yml or (), debug=options.debug)
    for line in remarks:
        console.say(line)
    if options.no_perceptual:
        recipe = without_perceptual(recipe)
    request = made_from(Request, options, recipe=recipe)
    hint = "the same command with `auto_resume` goes on from here"
    return training.carry_out(request, check=options.check, resume_hint=hint)
