"""Fine-tune a released model on pictures of one's own, without a recipe: `realesrgan finetune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..loading import prepare_process
from ..values import check_range, check_whole_number
from . import console
from .options import made_from, parse
from .training_options import RECIPE_KEYS, FinetuneOptions

if TYPE_CHECKING:
    from ..training.recipe import TrainingRecipe

DESCRIPTION = "Adapt a model to pictures of one kind: give a folder of sharp ones, and half an hour."
EPILOG = """\
examples:
  %(prog)s -i photos                                   RealESRGAN_x4plus, half an hour
  %(prog)s -i anime -n realesr-animevideov3 --minutes 10
  %(prog)s -i photos --recipe calibrated.yml           for what your bad pictures have been through
"""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan finetune") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(FinetuneOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    spellings = {key: flag or key for key, flag in RECIPE_KEYS.items()}
    return console.run(lambda: _finetune(options), spellings=spellings)


def _finetune(options: FinetuneOptions) -> int:
    prepare_process()

    from ..image import vips
    from ..training.plan import Request
    from . import training

    vips.prepare_process()
    check_range("minutes", options.minutes, 0)
    for name in ("accumulate", "keep", "iterations"):
        if getattr(options, name) is not None:
            check_whole_number(name, getattr(options, name), 1)
    check_whole_number("seed", options.seed, 0)
    if not options.input or not Path(options.input).is_dir():
        raise UsageError(f"`input` {options.input or '(empty)'}: there is no such folder")
    request = made_from(Request, options, recipe=_recipe(options), auto_resume=not options.fresh, hold_out=True)
    if options.iterations is not None:
        request = replace(request, minutes=None)
    return training.carry_out(request, check=options.check, resume_hint="the same command goes on from here")


def _recipe(options: FinetuneOptions) -> TrainingRecipe:
    """The recipe that the options come to; what of them has no effect, and what was fitted, is printed."""
    import torch

    from ..degradation.recipe_file import read
    from ..training.data import fitted_to_pairs
    from ..training.recipes import MOST_ITERATIONS, default_recipe, idle, without_perceptual

    degradation, remarks = read(None if options.recipe is None else Path(options.recipe), options.set or ())
    remarks += idle(options.model_name, degradation, paired=options.low_quality is not None)
    recipe = default_recipe(
        options.model_name,
        Path(options.input),
        None if options.output is None else Path(options.output),
        low_quality=None if options.low_quality is None else Path(options.low_quality),
        start=options.model_path,
        degradation=degradation,
        gpu=options.gpu_id not in ("cpu", "mps") and torch.cuda.is_available(),
        gan=options.gan,
        iterations=options.iterations or MOST_ITERATIONS,
        seed=options.seed,
    )
    for line in remarks:
        console.say(line)
    if recipe.paired:
        recipe, remarks = fitted_to_pairs(recipe)
        for line in remarks:
            console.say(line)
    return without_perceptual(recipe) if options.no_perceptual else recipe
