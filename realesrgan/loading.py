"""From settings to functions that restore a frame: which model, whose weights, on which devices, with or without faces.

Reports to a Reporter and prints nothing. Torch is imported where it is needed, so that checking settings is quick.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from .errors import UsageError
from .model_zoo import FACE_MODELS, FaceModel, Model, WeightFile, find_model
from .restorer import AlphaUpsampler, EngineKind, Listener, Reporter, Restorer
from .threads import run_in_own_thread
from .values import check_outscale, check_range

if TYPE_CHECKING:
    import torch

    from .arrays import Array
    from .face.enhancer import GFPGANer
    from .upsampler import RealESRGANer

# How often an idle thread of GNU's OpenMP polls for work before it sleeps. By default it polls without end, and a busy
# machine crawls. Measured on two cores of a Zen 1: under a load of 6, frames of 64×48 at 4 a second instead of 0.8;
# under a load of 1, RealESRGAN_x4plus in two thirds of the time; idle, the same time as with 30000.
GOMP_SPINCOUNT = "10000"


@dataclass(frozen=True)
class Settings:
    """How to restore, for pictures and videos alike; the names and defaults are those of the command line.

    Attributes:
        model_name: a model of the zoo; None takes the job's default, or what `model_path` holds.
        model_path: weights of your own: .pth, .safetensors or ncnn.
        denoise_strength: 0 keeps noise, 1 removes it; only for models with a pair of weights files.
        outscale: final enlargement.
        tile, tile_pad: cut into tiles of this many pixels, with this many more around them; tile 0 does not cut.
            A `tile_pad` of None is the published 10 or, for another project's network, as many as hide the seams.
        pre_pad: pixels to mirror at the right and the bottom first.
        max_memory: most memory to take, in bytes or as "1.5GB"; None is a safe share of what is free.
        face_enhance: restore faces with GFPGAN, version `face_model`; `face_weight` (0 to 1) is its share in the paste.
        only_center_face: restore only the face nearest to the middle.
        fp32: full precision everywhere.
        engine: what computes; `restorer.EngineKind` says what there is.
        alpha_upsampler: how transparency is enlarged.
        gpu_id: "0", "cuda:1", "mps", "cpu", or several as in "0,1"; None is the best there is.
        num_process_per_gpu: copies of the network on each device; None is as many as keep the device busy.
    """

    model_name: str | None = None
    model_path: str | Path | None = None
    denoise_strength: float = 0.5
    outscale: float = 4.0
    tile: int = 0
    tile_pad: int | None = None
    pre_pad: int = 0
    max_memory: str | int | None = None
    face_enhance: bool = False
    face_model: str = "1.3"
    face_weight: float = 1.0
    only_center_face: bool = False
    fp32: bool = False
    engine: EngineKind = "auto"
    alpha_upsampler: AlphaUpsampler = "realesrgan"
    gpu_id: str | int | None = None
    num_process_per_gpu: int | None = None


@dataclass(frozen=True)
class Setup:
    """Valid settings and the model they name; None where it is to be recognised from `model_path`. Made by `check`."""

    settings: Settings
    model: Model | None

    @property
    def scale(self) -> int:
        """How many times larger the model makes a picture; a guess where it is not known yet."""
        return self.model.scale if self.model is not None else 4

    @property
    def label(self) -> str:
        """What to call the model: the file if one was given, else its name."""
        if self.model is not None and self.settings.model_path is None:
            return self.model.name
        return Path(self.settings.model_path or "").stem

    @property
    def face_model(self) -> FaceModel | None:
        """The version of GFPGAN that restores faces, if any. None for drawings: it would put real faces into them."""
        for_drawings = self.model is not None and self.model.for_drawings
        return FACE_MODELS[self.settings.face_model] if self.settings.face_enhance and not for_drawings else None

    @property
    def published_files(self) -> list[WeightFile]:
        """The published weight files needed: the model's, unless a file was given for it, and those for faces."""
        own: tuple[WeightFile, ...] = ()
        if self.model is not None and self.settings.model_path is None:
            own = self.model.files_for(self.settings.denoise_strength)
        return [*own, *(self.face_model.files if self.face_model else ())]

    def remarks(self) -> Iterator[str]:
        """Yield a line for each setting that has no effect with this model."""
        if self.settings.face_enhance and self.face_model is None and self.model is not None:
            yield f"`face_enhance` is for photographs, and {self.model.name} is for drawings: it is turned off"

    @cached_property
    def weights_identity(self) -> str:
        """A hash of the contents of all weights that will be used; missing ones are fetched.

        Raises:
            WeightsError: weights cannot be found, fetched or read.
        """
        from .weights.check import identity_of
        from .weights.store import obtain

        own = [] if self.settings.model_path is None else [Path(self.settings.model_path)]
        return identity_of([*own, *(found.path for found in obtain(self.published_files))])


@dataclass(frozen=True)
class Loaded:
    """A loaded model: one upsampler and one restorer, a frame → frame function made of it, for each worker.

    `label` is what to call the model.
    """

    label: str
    upsamplers: Sequence[RealESRGANer]
    restorers: Sequence[Restorer]

    @property
    def devices(self) -> str:
        """The devices as users know them: "cpu, 2 threads"."""
        from .engine.device import device_name

        return " and ".join(dict.fromkeys(device_name(upsampler.device) for upsampler in self.upsamplers))

    @property
    def way(self) -> str:
        """How it computes, as far as rounding depends on it: "fp32 by torch"."""
        return self.upsamplers[0].engine.choice.way

    def multiply_adds(self, area: float) -> float:
        """The work for so many pixels; a guess for an unknown network."""
        spec = self.upsamplers[0].engine.spec
        return area * (spec.multiply_adds if spec is not None else 1e7)

    def seconds_for(self, area: float) -> float:
        """About how long the first worker takes for so many pixels, by its speed on a small picture, measured now."""
        return self.multiply_adds(area) / self.upsamplers[0].engine.multiply_adds_per_second()


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a model's network wherever it will compute. Found by `network_facts`.

    Attributes:
        label: what to call the model.
        multiply_adds: the work for each pixel of a picture.
        kernels: whether the compiled kernels can compute it, on CPUs where they are installed.
    """

    label: str
    multiply_adds: float
    kernels: bool


def check(settings: Settings, default_model: str) -> Setup:
    """Validate the settings and look up the model.

    Raises:
        UsageError: a value is out of range, or there is no such model or file.
    """
    check_range("tile", settings.tile, 0)
    if settings.tile_pad is not None:
        check_range("tile_pad", settings.tile_pad, 0)
    check_range("pre_pad", settings.pre_pad, 0)
    check_range("denoise_strength", settings.denoise_strength, 0, 1)
    check_range("face_weight", settings.face_weight, 0, 1)
    if settings.num_process_per_gpu is not None:
        check_range("num_process_per_gpu", settings.num_process_per_gpu, 1)
    check_outscale(settings.outscale)
    max_memory_bytes(settings.max_memory)
    if settings.engine not in get_args(EngineKind):
        raise UsageError(f"`engine` {settings.engine}: there is {', '.join(get_args(EngineKind))}")
    if settings.alpha_upsampler not in get_args(AlphaUpsampler):
        known = " and ".join(get_args(AlphaUpsampler))
        raise UsageError(f"`alpha_upsampler` {settings.alpha_upsampler}: there is {known}")
    if settings.face_model not in FACE_MODELS:
        raise UsageError(f"`face_model` {settings.face_model}: there is {' and '.join(FACE_MODELS)}")
    if settings.model_path is not None and not os.path.isfile(settings.model_path):
        raise UsageError(f"`model_path` {settings.model_path}: there is no such file")
    if settings.model_name is None and settings.model_path is not None:
        return Setup(settings, None)
    return Setup(settings, find_model(settings.model_name or default_model))


def max_memory_bytes(size: str | int | None, option: str = "max_memory") -> int | None:
    """The size given as `option`, 1.5GB or 800M (powers of ten), 2GiB (powers of two) or 2000000000, in bytes."""
    if size is None:
        return None
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)\s*([kmgt]?)(i?)b?", str(size).strip().lower())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"`{option}` {size}: give a size, as 1.5GB or 800MB")
    base = 1024 if match[3] else 1000
    return round(float(match[1]) * math.pow(base, " kmgt".index(match[2] or " ")))


def prepare_process() -> None:
    """Keep OpenMP's threads from spinning for ever. For programs, not libraries: it concerns the whole process.

    Takes effect only if called before torch is imported.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINCOUNT)


@contextmanager
def thread_count_kept() -> Iterator[None]:
    """Restore torch's number of threads at the end: `load` divides them among workers."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fetch_weights(setup: Setup, reporter: Reporter) -> None:
    """Download the published weights that are needed and not on this machine.

    Raises:
        WeightsError: some cannot be downloaded.
    """
    from .weights.store import obtain

    def report(file: WeightFile, here: int) -> None:
        reporter.check()
        reporter.downloading(file.name, file.url, here, file.size_bytes)

    obtain(setup.published_files, report)


def load(setup: Setup, reporter: Reporter, *, for_video: bool = False) -> Loaded:
    """Load the model once for each worker on each device, and the face networks once for each device.

    Raises:
        UsageError, DeviceError: `gpu_id` names no device, or one that this machine lacks.
        WeightsError: weights cannot be found, fetched or read, or do not fit.
    """
    from .engine.device import parse_devices, prepare_cpu, workers_for_frames

    settings = setup.settings
    devices = [
        device
        for device in parse_devices(settings.gpu_id)
        for _ in range(settings.num_process_per_gpu or (workers_for_frames(device) if for_video else 1))
    ]
    on_cpu = sum(device.type == "cpu" for device in devices)
    if on_cpu:
        prepare_cpu(on_cpu)

    for line in setup.remarks():
        reporter.remark(line)
    fetch_weights(setup, reporter)  # missing files are all named, and fetched, before any work
    upsamplers = [run_in_own_thread(partial(_load_upsampler, setup, device)) for device in devices]
    for upsampler, device in zip(upsamplers, devices, strict=True):
        upsampler.share_memory(devices.count(device))
    for line, workers in Counter(map(str, upsamplers)).items():
        times = f", {workers} at a time" if workers > 1 else ""
        reporter.remark(f"{setup.label} on {line}{times}")
    faces = _load_faces(setup, upsamplers, reporter)
    restorers = [_restorer(upsampler, faces.get(upsampler.device), settings) for upsampler in upsamplers]
    return Loaded(setup.label, upsamplers, restorers)


def network_facts(setup: Setup) -> NetworkFacts:
    """Read the weights, fetching missing ones, and say what network they are of, without deciding what will compute it.

    Raises:
        WeightsError: weights cannot be found, fetched or read, or do not fit.
    """
    return run_in_own_thread(partial(_network_facts, setup))  # another project's network computes to be measured


def _network_facts(setup: Setup) -> NetworkFacts:
    import torch

    from .engine.choice import kernels_refusal
    from .engine.measuring import measured
    from .engine.progress import count_layers
    from .families.foreign import ForeignSpec
    from .weights.load import chosen_weights, load_network, refuse_other_network

    paths, shares = chosen_weights(setup.model, setup.settings.model_path, setup.settings.denoise_strength)
    network, spec = load_network(paths, shares)
    refuse_other_network(setup.model, spec, paths[0])
    assert spec is not None  # only a network that the caller brings along may be unknown
    if isinstance(spec, ForeignSpec):
        count_layers(network)
        spec = measured(spec, network, torch.device("cpu"), torch.float32)
    return NetworkFacts(setup.label, spec.multiply_adds, kernels=kernels_refusal(network) is None)


def _load_upsampler(setup: Setup, device: torch.device) -> RealESRGANer:
    from .upsampler import load_upsampler

    settings = setup.settings
    return load_upsampler(
        setup.model.name if setup.model else None,
        model_path=settings.model_path,
        denoise_strength=settings.denoise_strength,
        tile=settings.tile,
        tile_pad=settings.tile_pad,
        pre_pad=settings.pre_pad,
        fp32=settings.fp32,
        device=device,
        max_memory=max_memory_bytes(settings.max_memory),
        engine=settings.engine,
    )


def _load_faces(setup: Setup, upsamplers: Sequence[RealESRGANer], reporter: Reporter) -> dict[torch.device, GFPGANer]:
    """A face restorer for each device; none unless faces are to be restored."""
    version = setup.face_model
    if version is None:
        return {}
    from .face.enhancer import load_face_restorer

    faces: dict[torch.device, GFPGANer] = {}
    for device in dict.fromkeys(upsampler.device for upsampler in upsamplers):
        build = partial(load_face_restorer, setup.settings.face_model, fp32=setup.settings.fp32, device=device)
        faces[device] = run_in_own_thread(build)
        precision = faces[device].networks.precision.value
        reporter.remark(f"{version.name} on {device}, {precision}; faces are found in fp32")
    return faces


def _restorer(upsampler: RealESRGANer, faces: GFPGANer | None, settings: Settings) -> Restorer:
    """Make the frame → frame function that the pipelines take."""

    def enlarge(frame: Array, listener: Listener) -> Array:
        return upsampler.enhance(frame, settings.outscale, settings.alpha_upsampler, progressed=listener.progressed)[0]

    def enlarge_with_faces(frame: Array, listener: Listener) -> Array:
        assert faces is not None
        restored = faces.restore_faces(frame, only_center_face=settings.only_center_face)
        listener.restored_faces([(face.cropped, face.restored) for face in restored])
        background = enlarge(frame, listener)
        return faces.paste_faces(background, restored, settings.outscale, settings.face_weight)

    return enlarge if faces is None else enlarge_with_faces
