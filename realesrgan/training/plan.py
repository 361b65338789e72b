"""From a recipe and options to a training that can begin: folder, start files, pictures, losses, device."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..archs.vgg_arch import VGGFeatureExtractor
from ..engine.cgroups import processor_count
from ..engine.device import parse_devices
from ..errors import UsageError
from ..loading import thread_count_kept
from ..model_zoo import WeightFile
from ..restorer import Reporter
from ..weights.store import obtain
from ..weights.vgg import load_vgg19
from . import data
from .cache import PictureCache, remove_others
from .checkpoint import Checkpoints
from .compiling import compile_generator
from .course import course_of
from .folder import occupied
from .held_out import HeldOut
from .loop import Pace, Training
from .machine import Machine, Precision
from .pictures import PictureFile
from .processors import share
from .recipe import TrainingRecipe
from .resuming import go_on_from, go_on_in, is_of
from .start_files import published
from .state import Starts, State, begin, losses_of

EXPERIMENTS, TENSORBOARD = Path("experiments"), Path("tb_logger")
CACHE_SHARE = 0.5  # of the free disk, at most
CACHE_BYTES = 20_000_000_000


@dataclass(frozen=True)
class Request:
    """How to train what a recipe says.

    Attributes:
        folder: for everything that is made; None is experiments/NAME.
        gpu_id: "cpu", "mps", "0" or several as in "0,1"; None takes what the recipe's `num_gpu` says.
        precision: fp32 as published, bf16, fp16, or auto: bf16 where the GPU has it, else fp32.
        accumulate: compute each batch in so many parts, in less memory.
        minutes: end after so long.
        auto_resume: go on from the last checkpoint of `folder`; if there is none, from the recipe's `resume_state`.
        hold_out: if the recipe names no pictures to measure on, take some of those to learn from.
        keep: how many of the last checkpoints stay, besides the best.
        channels_last: the memory order that convolutions are fastest in.
        compile: compile the generator, and say what that gains.
    """

    recipe: TrainingRecipe
    folder: Path | None = None
    gpu_id: str | None = None
    precision: Precision = "auto"
    accumulate: int = 1
    minutes: float | None = None
    auto_resume: bool = False
    hold_out: bool = False
    keep: int = 3
    nodes: int = 1
    channels_last: bool = True
    compile: bool = False

    @property
    def place(self) -> Path:
        return self.folder or self.recipe.path.experiments_root or EXPERIMENTS / self.recipe.name


@contextmanager
def prepared(request: Request, reporter: Reporter) -> Iterator[Training]:
    """Make everything ready to train, and clean up behind it.

    Raises:
        UsageError: the request makes no sense, or a folder, list or start file is missing.
        WeightsError: weights cannot be found, fetched or read, or do not fit.
    """
    recipe, folder = request.recipe, request.place
    machine = _machine(request)
    found, held_out = _pictures(request, machine, reporter)
    named = None if request.auto_resume and Checkpoints(folder).iterations() else recipe.path.resume_state
    stays = request.auto_resume or (named is not None and is_of(named, folder))
    batch = recipe.datasets.train.batch_size_per_gpu * machine.world
    facts = {"pictures": found.fingerprint, "course": course_of(recipe, batch)}
    # What may be missing or wrong comes first: an earlier training is put aside only for one that can begin.
    state = _begun(request, named, facts, machine, reporter)
    losses = losses_of(recipe, _vgg(recipe, reporter), machine)
    with ExitStack() as stack:
        if machine.leads:
            stack.enter_context(occupied(folder, stays, reporter))
        cache = stack.enter_context(_cache(data.files_of(found), folder, machine, reporter))
        if named is None and request.auto_resume:
            go_on_in(folder, state, machine, facts, reporter)
        state.facts |= facts
        if request.compile:
            compile_generator(recipe, state, machine, reporter, accumulate=request.accumulate)
        workers = stack.enter_context(_processors_shared(recipe, machine, state))
        yield Training(
            recipe=recipe,
            folder=folder,
            pace=_pace(request),
            machine=machine,
            state=state,
            losses=losses,
            samples=data.samples(recipe, found, global_batch=batch, cache=cache),
            held_out=held_out,
            accumulate=request.accumulate,
            workers=workers,
            keep=request.keep,
            tensorboard=TENSORBOARD / recipe.name if recipe.logger.use_tb_logger else None,
        )


def _pictures(request: Request, machine: Machine, reporter: Reporter) -> tuple[data.Found, HeldOut | None]:
    """What to learn from, and, for the leading process, what to measure on."""
    found = data.find(request.recipe, reporter)
    if request.hold_out and request.recipe.datasets.val is None:
        return data.hold_out(request.recipe, found, reporter)
    return found, data.find_held_out(request.recipe, reporter) if machine.leads else None


def _begun(
    request: Request, named: Path | None, facts: Mapping[str, Any], machine: Machine, reporter: Reporter
) -> State:
    """The state to begin with: that of the start files, or the one that the recipe names."""
    recipe = request.recipe
    state = begin(recipe, find_starts(recipe, reporter), machine, reporter, channels_last=request.channels_last)
    if named is not None:
        ignored = recipe.path.ignore_resume_networks
        go_on_from(named, request.place, ignored, state, machine, facts, reporter)
    return state


def _vgg(recipe: TrainingRecipe, reporter: Reporter) -> VGGFeatureExtractor | None:
    wanted = recipe.train.perceptual_opt
    if wanted is None:
        return None
    return load_vgg19(
        list(wanted.layer_weights),
        use_input_norm=wanted.use_input_norm,
        range_norm=wanted.range_norm,
        report=partial(_report, reporter),
    )


def _cache(files: Sequence[PictureFile], folder: Path, machine: Machine, reporter: Reporter) -> PictureCache:
    """Room for decoded pictures, as the leading process sees the disk, so that all share one file."""
    said = None
    if machine.leads:
        limit_bytes = min(CACHE_BYTES, int(CACHE_SHARE * shutil.disk_usage(folder).free))
        remove_others(files, folder, limit_bytes)
        said = str(limit_bytes)
    return PictureCache(files, folder, int(machine.from_leader(said) or 0), reporter)


def _pace(request: Request) -> Pace:
    recipe = request.recipe
    return Pace(
        total=recipe.train.total_iter,
        log_every=recipe.logger.print_freq,
        save_every=recipe.logger.save_checkpoint_freq,
        validate_every=recipe.val.val_freq,
        minutes=request.minutes,
    )


def _machine(request: Request) -> Machine:
    """The devices that are named, or those the recipe's `num_gpu` asks for, or a launcher has given out."""
    wanted = request.recipe.num_gpu
    if request.gpu_id is not None:
        named = parse_devices(request.gpu_id)
        kinds = {device.type for device in named}
        if len(kinds) > 1 or (kinds != {"cuda"} and len(named) > 1):
            raise UsageError(f"`gpu_id` {request.gpu_id}: training takes one device, or several GPUs")
        numbers: list[int] | int = [device.index or 0 for device in named] if kinds == {"cuda"} else 1
        return Machine(named[0].type, numbers, request.precision, nodes=request.nodes)
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if torch.cuda.is_available() and wanted != 0:
        count = torch.cuda.device_count() if wanted == "auto" else wanted
        return Machine("cuda", max(launched, int(count)), request.precision, nodes=request.nodes)
    on_apple = torch.backends.mps.is_available() and wanted != 0
    return Machine("mps" if on_apple else "cpu", launched, request.precision, nodes=request.nodes)


@contextmanager
def _processors_shared(recipe: TrainingRecipe, machine: Machine, state: State) -> Iterator[int]:
    """Yield how many processes prepare pictures; on a CPU, torch has the threads meanwhile that they leave over."""
    processors = max(1, processor_count() // machine.world)
    if machine.device.type != "cpu":
        yield min(processors, recipe.datasets.train.num_worker_per_gpu)
        return
    weights = sum(parameter.numel() for parameter in state.generator.network.parameters())
    shares = share(recipe, weights, processors)
    with thread_count_kept():
        torch.set_num_threads(min(torch.get_num_threads(), shares.threads))
        yield shares.workers


def _report(reporter: Reporter, file: WeightFile, here: int) -> None:
    reporter.downloading(file.name, file.url, here, file.size_bytes)


def find_starts(recipe: TrainingRecipe, reporter: Reporter) -> Starts:
    """The files a recipe starts from: as it names them, or, if they are published ones, wherever weights are kept.

    Raises:
        UsageError: a file is not there and is no published one.
        WeightsError: a published one cannot be fetched.
    """

    def find(key: str, name: str | None) -> Path | None:
        if name is None or Path(name).is_file():
            return None if name is None else Path(name)
        file = published(name)
        if file is None:
            raise UsageError(f"`{key}` {name}: there is no such weights file")
        return obtain([file], partial(_report, reporter))[0].path

    path = recipe.path
    discriminator = find("pretrain_network_d", path.pretrain_network_d) if recipe.stage == 2 else None
    return Starts(find("pretrain_network_g", path.pretrain_network_g), discriminator)
