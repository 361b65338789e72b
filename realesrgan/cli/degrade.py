"""Degrade pictures as the training of Real-ESRGAN does: `realesrgan degrade`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..loading import prepare_process
from ..words import count
from . import console
from .batches import carry_out, print_plan, say_what_was_found
from .data_options import DegradeOptions
from .options import made_from, parse

if TYPE_CHECKING:
    from ..degradation.batch import Batch
    from ..image.pipeline import Outcome
    from .reporting import PictureReporter

DESCRIPTION = "Make pictures as bad as real ones: blur them, shrink them, add noise, compress them; twice over."
EPILOG = """\
examples:
  %(prog)s -i photos -o lq --originals gt       pairs to train with
  %(prog)s -i photo.png --sheet sheets          see what each step does
  %(prog)s -i photos --set jpeg_range=[20,60]   worse JPEG
  %(prog)s -i photos -o again --replay lq/degradations.jsonl --only 7
"""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan degrade") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(DegradeOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _degrade(options), prints_results=options.dry_run)


def _batch(options: DegradeOptions) -> Batch:
    from ..degradation.batch import Batch, not_with_replay
    from ..degradation.recipe import OF_BATCHES
    from ..degradation.recipe_file import read

    for name in ("recipe", "set", "scale", "classical"):
        if options.replay is not None and getattr(options, name):
            raise not_with_replay(name)
    overrides = list(options.set or ())
    overrides += [f"scale={options.scale}"] if options.scale is not None else []
    overrides += ["orders=1"] if options.classical else []
    recipe, idle = read(None if options.recipe is None else Path(options.recipe), overrides)
    for line in idle:
        console.say(line)
    for name in OF_BATCHES:
        if getattr(recipe, name):
            console.say(f"{name} has no effect here, only in training: each picture gets a degradation of its own")
    folders = {name: getattr(options, name) for name in ("originals", "sheet", "replay")}
    paths = {name: None if value is None else Path(value) for name, value in folders.items()}
    return made_from(Batch, options, output=Path(options.output), recipe=recipe, **paths)


def _degrade(options: DegradeOptions) -> int:
    prepare_process()
    from ..degradation import batch as degradations
    from ..image import vips

    vips.prepare_process()
    batch = _batch(options)
    if options.gallery is not None:
        degradations.check(batch)
        return _draw_gallery(options, Path(options.gallery))
    plan = degradations.select(batch)
    say_what_was_found(plan.selection)
    if options.dry_run:
        return print_plan(plan.selection, count(len(plan.selection.jobs), "picture"))

    def prepare(reporter: PictureReporter) -> Callable[[], Outcome]:
        devices = degradations.choose_devices(options.gpu_id, plan)
        return lambda: degradations.degrade(batch, plan, devices, reporter)

    return carry_out(plan.selection, batch.output, "degraded", prepare, in_long_steps=True)


def _draw_gallery(options: DegradeOptions, folder: Path) -> int:
    from ..degradation.gallery import draw_gallery, gallery_files

    if options.dry_run:
        for path in gallery_files(folder, options.ext):
            console.print_result(str(path))
        console.print_result("nothing written")
        return console.DONE
    console.started_up()
    for path in draw_gallery(options.input, folder, options.ext, options.quality, options.seed):
        console.print_result(str(path))
    return console.DONE
