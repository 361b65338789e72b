"""Restore pictures from the command line: `realesrgan image` and inference_realesrgan.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..loading import Setup, prepare_process
from ..words import count, duration
from . import console
from .asking import answering
from .batches import carry_out, say_what_was_found
from .options import ImageOptions, made_from, parse, settings_of

# Torch, OpenCV and libvips are imported where they are needed, so that --help and usage errors answer at once.
if TYPE_CHECKING:
    from ..image.batch import Batch
    from ..image.jobs import Selection
    from ..image.pipeline import Outcome
    from .reporting import PictureReporter

DESCRIPTION = "Restore pictures: enlarge them and remove noise, blur and compression."
EPILOG = """\
examples:
  %(prog)s -i photo.jpg                        one picture, into results/photo_out.jpg
  %(prog)s -i scans/ -r -o restored            a folder with its sub-folders
  %(prog)s -n RealESRGAN_x4plus_anime_6B -i drawing.png -s 2
"""


def main(argv: Sequence[str] | None = None, prog: str = "inference_realesrgan.py") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(ImageOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _restore(options), prints_results=options.dry_run)


def _batch(options: ImageOptions) -> Batch:
    from ..image.batch import Batch

    save_faces = None if options.save_faces is None else Path(options.save_faces)
    return made_from(Batch, options, output=Path(options.output), save_faces=save_faces)


def _restore(options: ImageOptions) -> int:
    prepare_process()
    from ..image import batch as images
    from ..image import vips
    from ..machines import Where, check_where, engaged

    vips.prepare_process()
    batch = _batch(options)
    where = made_from(Where, options)
    check_where(where, options.gpu_id)
    selection, setup = images.select(batch, settings_of(options))
    say_what_was_found(selection)
    if options.dry_run:
        return _print_plan(selection, options, setup)

    with ExitStack() as engagement:

        def prepare(reporter: PictureReporter) -> Callable[[], Outcome]:
            if where.ray is not None:
                console.started_up()  # from here on, Ctrl-C must leave the cluster in order
            machines = engagement.enter_context(engaged(setup, reporter, where, batch.output))
            engagement.enter_context(answering(machines.lines))
            return lambda: images.restore(batch, selection, machines, reporter)

        return carry_out(selection, batch.output, "restored", prepare)


def _print_plan(selection: Selection, options: ImageOptions, setup: Setup) -> int:
    """Print what would be done, and about how long it would take."""
    from ..arrays import final_size

    for job in selection.jobs:
        height, width = final_size(job.header.height, job.header.width, options.outscale)
        console.print_result(f"{job.source}  {job.header.width}×{job.header.height} → {job.target}  {width}×{height}")
    megapixels = sum(job.header.area for job in selection.jobs) / 1e6
    console.print_result(f"{count(len(selection.jobs), 'picture')}, {megapixels:.2f} megapixels in, nothing written")
    if selection.jobs:
        # Transparency takes another pass.
        print_estimate(setup, sum(job.header.area * (2 if job.header.has_alpha else 1) for job in selection.jobs))
    return console.SOME_FAILED if selection.failures else console.DONE


def print_estimate(setup: Setup, pixels: float) -> None:
    """Print about how long so many pixels take; weights that are missing are not downloaded for that."""
    from ..loading import load
    from ..weights.store import find
    from .reporting import ConsoleReporter

    missing = [file.name for file in setup.published_files if find(file) is None]
    if missing:
        console.print_result(f"no estimate of the time: {', '.join(missing)} would first be downloaded")
        return
    with ConsoleReporter() as reporter:
        loaded = load(setup, reporter)
    seconds = duration(loaded.seconds_for(pixels))
    console.print_result(f"the network would take about {seconds} on one {loaded.upsamplers[0].device}")
