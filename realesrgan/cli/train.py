"""Train what a recipe says: `realesrgan train` and realesrgan/train.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..loading import prepare_process
from . import console
from .options import made_from, parse
from .training_options import TrainOptions

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
    return console.run(lambda: _train(options))


def _train(options: TrainOptions) -> int:
    prepare_process()
    from ..image import vips
    from ..training.plan import Request
    from ..training.recipe_file import read
    from ..training.recipes import without_perceptual
    from . import training

    vips.prepare_process()
    if options.accumulate < 1:
        raise UsageError(f"`accumulate` {options.accumulate}: must be at least 1")
    recipe, remarks = read(Path(options.opt), options.force_yml or (), debug=options.debug)
    for line in remarks:
        console.say(line)
    if options.no_perceptual:
        recipe = without_perceptual(recipe)
    request = made_from(Request, options, recipe=recipe)
    hint = "the same command with `auto_resume` goes on from here"
    return training.carry_out(request, check=options.check, resume_hint=hint)
