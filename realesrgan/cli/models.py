"""From options to loaded models: what the commands that restore something share."""

from __future__ import annotations

import math
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..model_zoo import FACE_MODELS, FaceModel, Model, WeightFile, find_model
from . import console
from .options import ModelOptions

# Torch is imported where it is needed, so that --help and wrong usage answer at once.
if TYPE_CHECKING:
    from ..arrays import Array
    from ..face.enhancer import GFPGANer
    from ..restorer import FacePair, Listener, Restorer
    from ..upsampler import AlphaUpsampler, RealESRGANer


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
    max_memory_bytes(options)
    check_range("--face_weight", options.face_weight, 0, 1)
    if options.save_faces is not None and not options.face_enhance:
        raise UsageError(f"--save_faces {options.save_faces}: goes with --face_enhance")
    if options.model_path is not None and not Path(options.model_path).is_file():
        raise UsageError(f"--model_path {options.model_path}: there is no such file")
    if options.model_name is None and options.model_path is not None:
        return None
    model = find_model(options.model_name or default_model)
    if options.face_enhance and face_model(options, model) is None:
        console.say(f"--face_enhance is not supported in anime models, as {model.name} is one: it is turned off")
    return model


def face_model(options: ModelOptions, model: Model | None) -> FaceModel | None:
    """Which version of GFPGAN is to restore faces, if any: it knows real faces, and would put them into drawings."""
    for_drawings = model is not None and model.for_drawings
    return FACE_MODELS[options.face_model] if options.face_enhance and not for_drawings else None


def check_range(flag: str, value: float, least: float, most: float = math.inf) -> None:
    """Refuse a number outside [least, most], and what is no number."""
    if not least <= value <= most:
        wanted = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
        raise UsageError(f"{flag} {value:g}: must be {wanted}")


def published_files(options: ModelOptions, model: Model | None) -> list[WeightFile]:
    """The published weight files that a job needs: the model's, unless a file was given for it, and those for faces."""
    own: tuple[WeightFile, ...] = ()
    if model is not None and options.model_path is None:
        own = model.files_for(options.denoise_strength)
    faces = face_model(options, model)
    return [*own, *(faces.files if faces else ())]


def max_memory_bytes(options: ModelOptions) -> int | None:
    """--max_memory in bytes; 1.5GB, 800M and 2000000000 are understood, in powers of ten, 2GiB in those of two."""
    if options.max_memory is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", options.max_memory.strip().lower())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"--max_memory {options.max_memory}: say how much, as 1.5GB or 800MB")
    base = 1024 if match[3] else 1000
    return round(float(match[1]) * math.pow(base, " kmgt".index(match[2] or " ")))


def make_folder(folder: Path, flag: str = "-o") -> None:
    """Make sure that what goes into the folder of `flag` can be written before any of it is computed.

    Raises:
        UsageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{flag} {folder}: cannot be written ({error.strerror})") from error


def load(options: ModelOptions, model: Model | None, *, workers_per_device: int | None = 1) -> list[RealESRGANer]:
    """Load the model once for each worker on each device of -g, and say on what it runs.

    `workers_per_device` None is as many as keep it busy with the frames of a video.

    Raises:
        UsageError, DeviceError: -g names no device, or one that is not there.
        WeightsError: the weights cannot be had, read, or do not fit.
    """
    from ..engine.device import parse_devices, prepare_cpu, workers_for_frames
    from ..threads import run_in_own_thread
    from ..upsampler import load_upsampler
    from ..weights.store import obtain

    devices = [
        device
        for device in parse_devices(options.gpu_id)
        for _ in range(workers_per_device or workers_for_frames(device))
    ]
    on_cpu = sum(device.type == "cpu" for device in devices)
    if on_cpu:
        prepare_cpu(on_cpu)
    bars = console.DownloadBars()
    obtain(published_files(options, model), bars.report)  # all that is missing is named and fetched before any work
    bars.close()
    build = partial(
        load_upsampler,
        model.name if model else None,
        model_path=options.model_path,
        denoise_strength=options.denoise_strength,
        tile=options.tile,
        tile_pad=options.tile_pad,
        pre_pad=options.pre_pad,
        fp32=options.fp32,
        max_memory=max_memory_bytes(options),
    )
    upsamplers = [run_in_own_thread(partial(build, device=device)) for device in devices]
    for upsampler, device in zip(upsamplers, devices, strict=True):
        upsampler.share_memory(devices.count(device))
    for line, workers in Counter(map(str, upsamplers)).items():
        times = f", {workers} at a time" if workers > 1 else ""
        console.say(f"{label(options, model)} on {line}{times}")
    return upsamplers


def label(options: ModelOptions, model: Model | None) -> str:
    """What to call the model that computes: the file if one was given, else the model's name."""
    return model.name if model and not options.model_path else Path(options.model_path or "").stem


def restorers(upsamplers: Sequence[RealESRGANer], options: ModelOptions, model: Model | None) -> list[Restorer]:
    """The plain frame → frame functions that the pipelines take, one for each upsampler.

    Raises:
        UsageError: faces cannot be saved where they are to be.
        WeightsError: weights of the face networks cannot be had, read, or do not fit.
    """
    version = face_model(options, model)
    if version is None:
        return [restorer(upsampler, options) for upsampler in upsamplers]
    from ..face.enhancer import load_face_restorer
    from ..threads import run_in_own_thread

    if options.save_faces is not None:
        make_folder(Path(options.save_faces), "--save_faces")
    devices = {upsampler.device for upsampler in upsamplers}
    build = partial(load_face_restorer, options.face_model, fp32=options.fp32)
    faces = {device: run_in_own_thread(partial(build, device=device)) for device in devices}
    for restores in faces.values():
        console.say(
            f"{version.name} on {restores.device}, {restores.networks.precision.value}; faces are found in fp32"
        )
    return [restorer(upsampler, options, faces[upsampler.device]) for upsampler in upsamplers]


def restorer(upsampler: RealESRGANer, options: ModelOptions, faces: GFPGANer | None = None) -> Restorer:
    """The plain frame → frame function that the pipelines take."""

    def enlarge(frame: Array, listener: Listener) -> Array:
        alpha: AlphaUpsampler = "realesrgan" if options.alpha_upsampler == "realesrgan" else "bicubic"
        return upsampler.enhance(frame, options.outscale, alpha, progressed=listener.progressed)[0]

    def enlarge_with_faces(frame: Array, listener: Listener) -> Array:
        assert faces is not None
        restored = faces.restore_faces(frame, only_center_face=options.only_center_face)
        listener.restored_faces([(face.cropped, face.restored) for face in restored])
        background = enlarge(frame, listener)
        return faces.paste_faces(background, restored, options.outscale, options.face_weight)

    return enlarge if faces is None else enlarge_with_faces


def save_faces(folder: Path, stem: str, pairs: Sequence[FacePair]) -> None:
    """Write each face twice, as {stem}_00_cropped.png and {stem}_00_restored.png."""
    from ..image import files

    folder.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(pairs):
        for name, pixels in zip(("cropped", "restored"), pair, strict=True):
            files.write(folder / f"{stem}_{number:02d}_{name}.png", files.Picture(pixels))
