"""From options to loaded models: what the commands that restore something share."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..model_zoo import Model, find_model
from . import console
from .options import ModelOptions

# Torch is imported where it is needed, so that --help and wrong usage answer at once.
if TYPE_CHECKING:
    from ..pixels import Array, Restorer
    from ..upsampler import RealESRGANer


def check(options: ModelOptions, default_model: str) -> Model | None:
    """Refuse values that cannot be meant, and look the model up (None: to be recognised from --model_path).

    Raises:
        UsageError: an option has a value out of its range, or there is no such model or file.
    """
    check_range("--tile", options.tile, 0)
    check_range("--tile_pad", options.tile_pad, 0)
    check_range("--pre_pad", options.pre_pad, 0)
    check_range("--denoise_strength", options.denoise_strength, 0, 1)
    if not (options.outscale > 0 and math.isfinite(options.outscale)):
        raise UsageError(f"--outscale {options.outscale:g}: must be above 0")
    if any(separator in options.suffix for separator in "/\\"):
        raise UsageError(f"--suffix {options.suffix}: is part of a file name and cannot hold a path")
    if options.face_enhance:
        raise UsageError("--face_enhance: this version cannot restore faces yet; leave it out to restore the rest")
    if options.model_path is not None and not Path(options.model_path).is_file():
        raise UsageError(f"--model_path {options.model_path}: there is no such file")
    if options.model_name is None and options.model_path is not None:
        return None
    return find_model(options.model_name or default_model)


def check_range(flag: str, value: float, least: float, most: float = math.inf) -> None:
    """Refuse a number outside [least, most], and what is no number."""
    if not least <= value <= most:
        wanted = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
        raise UsageError(f"{flag} {value:g}: must be {wanted}")


def make_folder(folder: Path) -> None:
    """Make sure that results can be written before any of them is computed.

    Raises:
        UsageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"-o {folder}: cannot be written ({error.strerror})") from error


def load(options: ModelOptions, model: Model | None, *, workers_per_device: int = 1) -> list[RealESRGANer]:
    """Load the model once for each worker on each device of -g, and say on what it runs.

    Raises:
        UsageError, DeviceError: -g names no device, or one that is not there.
        WeightsError: the weights cannot be had, read, or do not fit.
    """
    from ..device import keep_freed_memory, parse_devices, share_cpu_threads
    from ..upsampler import load_upsampler

    devices = [device for device in parse_devices(options.gpu_id) for _ in range(workers_per_device)]
    on_cpu = sum(device.type == "cpu" for device in devices)
    if on_cpu:
        keep_freed_memory()
    if on_cpu > 1:
        share_cpu_threads(on_cpu)
    bars = console.DownloadBars()
    upsamplers = [
        load_upsampler(
            model.name if model else None,
            model_path=options.model_path,
            denoise_strength=options.denoise_strength,
            tile=options.tile,
            tile_pad=options.tile_pad,
            pre_pad=options.pre_pad,
            fp32=options.fp32,
            device=device,
            report=bars.report,
        )
        for device in devices
    ]
    bars.close()
    for line, workers in Counter(map(str, upsamplers)).items():
        times = f", {workers} at a time" if workers > 1 else ""
        console.say(f"{label(options, model)} on {line}{times}")
    return upsamplers


def label(options: ModelOptions, model: Model | None) -> str:
    """What to call the model that computes: the file if one was given, else the model's name."""
    return model.name if model and not options.model_path else Path(options.model_path or "").stem


def restorer(upsampler: RealESRGANer, options: ModelOptions) -> Restorer:
    """The plain frame → frame function that the pipelines take."""

    def restore(frame: Array, listener: Callable[[float], None]) -> Array:
        upsampler.on_progress(listener)
        return upsampler.enhance(frame, options.outscale, options.alpha_upsampler)[0]  # type: ignore[arg-type]

    return restore
