"""Restore files from Python: the commands as functions, with their options as arguments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from .errors import UsageError
from .image import batch as images
from .image.batch import Batch
from .image.formats import DEFAULT_QUALITY
from .image.pipeline import Outcome
from .loading import Settings, prepare_process, thread_count_kept
from .machines import Where, check_where, engaged
from .outputs import make_folder, refuse_overwrites
from .restorer import AlphaUpsampler, EngineKind, Reporter
from .video import job as videos
from .video.inputs import expand
from .video.request import Request, check_request, parse_fps, plan_job


def restore_images(
    paths: str | Path | Sequence[str | Path],
    output: str | Path = "results",
    *,
    model_name: str | None = None,
    outscale: float = 4.0,
    suffix: str = "out",
    ext: str = "auto",
    recursive: bool = False,
    skip_existing: bool = False,
    quality: int = DEFAULT_QUALITY,
    compare: bool = False,
    model_path: str | Path | None = None,
    denoise_strength: float = 0.5,
    tile: int = 0,
    tile_pad: int | None = Settings.tile_pad,
    pre_pad: int = 0,
    max_memory: str | int | None = None,
    face_enhance: bool = False,
    face_model: str = "1.3",
    face_weight: float = 1.0,
    only_center_face: bool = False,
    save_faces: str | Path | None = None,
    fp32: bool = False,
    engine: EngineKind = "auto",
    alpha_upsampler: AlphaUpsampler = "realesrgan",
    gpu_id: str | int | None = None,
    ray: str | None = None,
    mixed: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """Restore pictures, folders and patterns of pictures into files, as `realesrgan image` does.

    Options have the names, defaults and effects of the command line's flags (`loading.Settings` describes those of
    the model, `machines.Where` those of a cluster). `reporter` is told what happens, and may cancel. A picture that
    fails does not stop the others.

    To compute on a CPU, the whole process is set up: it keeps freed memory for the next picture, and flushes denormal
    numbers to zero.

    Raises:
        UsageError: an option is invalid, an input does not exist, or a file would be overwritten.
        DeviceError: the requested device does not exist.
        WeightsError: weights cannot be found, fetched or read, or do not fit.
        Cancelled: raised by `reporter.check`.
    """
    names = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    settings = Settings(
        model_name=model_name,
        model_path=model_path,
        denoise_strength=denoise_strength,
        outscale=outscale,
        tile=tile,
        tile_pad=tile_pad,
        pre_pad=pre_pad,
        max_memory=max_memory,
        face_enhance=face_enhance,
        face_model=face_model,
        face_weight=face_weight,
        only_center_face=only_center_face,
        fp32=fp32,
        engine=engine,
        alpha_upsampler=alpha_upsampler,
        gpu_id=gpu_id,
    )
    batch = Batch(
        input=[str(name) for name in names],
        output=Path(output),
        suffix=suffix,
        ext=ext,
        recursive=recursive,
        skip_existing=skip_existing,
        quality=quality,
        compare=compare,
        save_faces=None if save_faces is None else Path(save_faces),
    )
    where = Where(ray, mixed)
    check_where(where, settings.gpu_id)
    prepare_process()
    reporter = reporter or Reporter()
    selection, setup = images.select(batch, settings)
    for line in selection.passed_over:
        reporter.remark(f"passed over: {line}")
    if not selection.jobs:
        return Outcome(failures=list(selection.failures), done_before=selection.done_before)
    make_folder(batch.output, "output")
    with thread_count_kept(), engaged(setup, reporter, where, batch.output) as machines:
        return images.restore(batch, selection, machines, reporter)


def restore_video(
    path: str | Path,
    output: str | Path = "results",
    *,
    model_name: str | None = None,
    outscale: float = 4.0,
    suffix: str = "out",
    ext: str = "auto",
    fps: float | str | Fraction | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    codec: str = "libx264",
    crf: int | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    strict: bool = False,
    repeat_damaged: bool = False,
    keep_segments: bool = False,
    model_path: str | Path | None = None,
    denoise_strength: float = 0.5,
    tile: int = 0,
    tile_pad: int | None = Settings.tile_pad,
    pre_pad: int = 0,
    max_memory: str | int | None = None,
    face_enhance: bool = False,
    face_model: str = "1.3",
    face_weight: float = 1.0,
    only_center_face: bool = False,
    save_faces: str | Path | None = None,
    fp32: bool = False,
    engine: EngineKind = "auto",
    gpu_id: str | int | None = None,
    num_process_per_gpu: int | None = None,
    ray: str | None = None,
    mixed: bool = False,
    reporter: Reporter | None = None,
) -> Path:
    """Restore a video, an animation or a folder of frames into a video, as `realesrgan video` does; return its path.

    Options have the names, defaults and effects of the command line's flags (`Request`, `loading.Settings` and
    `machines.Where` describe them). `reporter` is told what happens, and may cancel. Called again after an
    interruption, this goes on where it stopped; if the same job is finished already, it returns at once.

    To compute on a CPU, the whole process is set up: it keeps freed memory for the next frame, and flushes denormal
    numbers to zero.

    Raises:
        UsageError: an option is invalid, or there is no such input.
        VideoFileError: the input cannot be read, or the result cannot be written; finished segments stay.
        DeviceError: the requested device does not exist, or has too little memory.
        WeightsError: weights cannot be found, fetched or read, or do not fit.
        Cancelled: raised by `reporter.check`; finished segments stay.
    """
    settings = Settings(
        model_name=model_name,
        model_path=model_path,
        denoise_strength=denoise_strength,
        outscale=outscale,
        tile=tile,
        tile_pad=tile_pad,
        pre_pad=pre_pad,
        max_memory=max_memory,
        face_enhance=face_enhance,
        face_model=face_model,
        face_weight=face_weight,
        only_center_face=only_center_face,
        fp32=fp32,
        engine=engine,
        gpu_id=gpu_id,
        num_process_per_gpu=num_process_per_gpu,
    )
    request = Request(
        output=Path(output),
        suffix=suffix,
        ext=ext,
        fps=None if fps is None else parse_fps(fps),
        start_s=start_s,
        end_s=end_s,
        codec=codec,
        crf=crf,
        preset=preset,
        pix_fmt=pix_fmt,
        strict=strict,
        repeat_damaged=repeat_damaged,
        keep_segments=keep_segments,
        save_faces=None if save_faces is None else Path(save_faces),
    )
    where = Where(ray, mixed)
    check_where(where, settings.gpu_id)
    prepare_process()
    reporter = reporter or Reporter()
    setup = check_request(request, settings)
    make_folder(request.output, "output")
    named = expand(Path(path)).videos
    if len(named) != 1:
        raise UsageError(f"`path` {path}: a folder of {len(named)} videos; restore them one by one")
    job = plan_job(named[0], request)
    refuse_overwrites([(job.source.path, [job.target])])
    if videos.is_done(job, request, setup) is None:
        with thread_count_kept(), engaged(setup, reporter, where, request.output, for_video=True) as machines:
            videos.restore(job, request, setup, machines, reporter)
    return job.target
