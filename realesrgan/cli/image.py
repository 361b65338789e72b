"""Restore pictures from the command line: `realesrgan image` and inference_realesrgan.py."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..model_zoo import Model
from ..restorer import FacePair, Reporter
from . import console, models
from .options import ImageOptions, parse

# Torch, OpenCV and libvips are imported where they are needed, so that --help and wrong usage answer at once.
if TYPE_CHECKING:
    from ..image.files import Header
    from ..image.jobs import Job, Plan

DEFAULT_MODEL = "RealESRGAN_x4plus"
MEMORY_SHARE = 0.8  # of what is free may be planned for one picture and its result

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


def _restore(options: ImageOptions) -> int:
    model = _check(options)
    from ..image import jobs, vips
    from ..image.pipeline import restore_all

    vips.prepare_process()

    plan = jobs.plan(
        options.input,
        jobs.Naming(Path(options.output), options.suffix, options.ext),
        recursive=options.recursive,
        skip_existing=options.skip_existing,
        compare=options.compare,
        refuse=_refusal(options.outscale, model.scale if model else 4),
    )
    for line in plan.passed_over:
        console.say(f"passed over: {line}")
    for line in plan.failures:
        console.say(f"failed: {line}")
    if options.dry_run:
        return _describe(plan, options, model)
    if not plan.jobs:
        return _summarise(plan, _Report(plan.jobs, options), 0.0)
    models.make_folder(Path(options.output))
    upsamplers = models.load(options, model)
    restorers = models.restorers(upsamplers, options, model)
    console.started_up()
    report = _Report(plan.jobs, options)
    started = time.monotonic()
    try:
        label = models.label(options, model) if options.compare else None
        restore_all(plan.jobs, restorers, report, quality=options.quality, compare_label=label)
    except KeyboardInterrupt:
        report.close()
        console.say(
            f"interrupted: {report.finished_count} of {len(plan.jobs)} pictures are done; "
            "the same command with --skip_existing does the rest"
        )
        return console.INTERRUPTED
    finally:
        report.close()
    return _summarise(plan, report, time.monotonic() - started)


def _check(options: ImageOptions) -> Model | None:
    model = models.check(options, DEFAULT_MODEL)
    models.check_range("--quality", options.quality, 1, 100)
    if options.ext != "auto":
        from ..image.formats import writable_formats

        if options.ext not in writable_formats():
            raise UsageError(f"--ext {options.ext}: not in this installation; it has {', '.join(writable_formats())}")
    return model


def _refusal(outscale: float, scale: int) -> Callable[[Header, Path], str | None]:
    """What makes a picture impossible: a result that its format or this machine's memory cannot hold."""
    import psutil

    from ..arrays import final_size
    from ..image.formats import too_large_for

    free = psutil.virtual_memory().available

    def refuse(header: Header, target: Path) -> str | None:
        network_bytes = header.area * header.channels * scale**2 * (4 if outscale != scale else header.depth_bits // 8)
        result_bytes = header.area * header.bytes_per_pixel * outscale**2
        needed = header.area * header.bytes_per_pixel + network_bytes + result_bytes
        height, width = final_size(header.height, header.width, outscale)
        if needed > MEMORY_SHARE * free:
            return (
                f"too large: {header.width}×{header.height} pixels enlarged {scale} times need {needed / 1e9:.0f} GB, "
                f"and {free / 1e9:.0f} GB are free; cut or shrink the picture first"
            )
        return too_large_for(target, width, height)

    return refuse


class _Report(Reporter):
    """Shows the pipeline's progress: one bar for all pictures, which also moves inside a picture."""

    def __init__(self, jobs: Sequence[Job], options: ImageOptions) -> None:
        self.options = options
        self._bar = console.progress_bar(sum(job.header.area for job in jobs), "px")
        self._jobs = {job.source: job for job in jobs}
        self._done: dict[Path, float] = {}
        self._faces: dict[Path, int] = {}
        self._lock = threading.Lock()
        self.finished_count = 0
        self.failed_count = 0

    def remark(self, message: str) -> None:
        console.say(message)

    def warn(self, message: str) -> None:
        console.say(f"warning: {message}")

    def progressed(self, source: Path, done: float) -> None:
        with self._lock:
            before = self._done.get(source, 0.0)
            self._bar.update(max(0.0, done - before))
            self._done[source] = max(done, before)
            self._bar.set_description_str(
                f"{self.finished_count + self.failed_count + 1}/{len(self._jobs)} {source.name}", refresh=False
            )

    @property
    def looked_for_faces(self) -> bool:
        return bool(self._faces)

    @property
    def face_count(self) -> int:
        return sum(self._faces.values())

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        with self._lock:
            self._faces[source] = len(pairs)
        if self.options.save_faces is not None:
            target = self._jobs[source].target
            folder = Path(self.options.save_faces) / target.parent.relative_to(self.options.output)
            models.save_faces(folder, target.stem, pairs)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.progressed(source, self._jobs[source].header.area)
        with self._lock:
            self.finished_count += 1
        console.announce(f"{target}  {facts}")

    def failed(self, source: Path, reason: str) -> None:
        self.progressed(source, self._jobs[source].header.area)
        with self._lock:
            self.failed_count += 1
        console.say(f"failed: {reason if str(source) in reason else f'{source}: {reason}'}")

    def close(self) -> None:
        self._bar.close()


def _summarise(plan: Plan, report: _Report, seconds: float) -> int:
    failed = len(plan.failures) + report.failed_count
    parts = [f"{report.finished_count} restored"]
    parts += [console.count(report.face_count, "face")] if report.looked_for_faces else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{plan.done_before} done before"] if plan.done_before else []
    how = ""
    if report.finished_count and seconds > 0:
        speed = sum(job.header.area for job in plan.jobs) / seconds / 1000
        how = f" in {console.duration(seconds)} ({speed:.1f} kilopixels/s); they are in {report.options.output}"
    if not (plan.jobs or failed or plan.done_before):
        parts = ["no pictures found"]
    console.announce(f"{', '.join(parts)}{how}")
    return console.SOME_FAILED if failed else console.DONE


def _describe(plan: Plan, options: ImageOptions, model: Model | None) -> int:
    """Print what would be done; the estimate needs the weights, which are not downloaded for it."""
    from ..arrays import final_size
    from ..weights.store import find

    for job in plan.jobs:
        height, width = final_size(job.header.height, job.header.width, options.outscale)
        console.announce(f"{job.source}  {job.header.width}×{job.header.height} → {job.target}  {width}×{height}")
    megapixels = sum(job.header.area for job in plan.jobs) / 1e6
    console.announce(f"{console.count(len(plan.jobs), 'picture')}, {megapixels:.2f} megapixels in, nothing written")
    missing = [file.name for file in models.published_files(options, model) if find(file) is None]
    if missing:
        console.announce(f"no estimate of the time: {', '.join(missing)} would first be downloaded")
    elif plan.jobs:
        upsampler = models.load(options, model)[0]
        speed = upsampler.engine.multiply_adds_per_second()
        spec = upsampler.engine.spec
        assert spec is not None
        work = sum(job.header.area * (2 if job.header.has_alpha else 1) for job in plan.jobs) * spec.multiply_adds
        console.announce(f"the network would take about {console.duration(work / speed)} on one {upsampler.device}")
    return console.SOME_FAILED if plan.failures else console.DONE
