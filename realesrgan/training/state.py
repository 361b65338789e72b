"""All that changes while training: networks, optimisers, average, pool, position. From a recipe or a checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..archs.vgg_arch import VGGFeatureExtractor
from ..degradation.pool import Pool
from ..errors import UsageError
from ..restorer import Reporter
from .checkpoint import Checkpoint
from .ema import MovingAverage
from .losses import GANLoss, PerceptualLoss, PixelLoss
from .machine import Machine
from .networks import build, start_from
from .recipe import TrainingRecipe
from .recipe_parts import OptimizerOptions
from .step import Losses, Student

_OPTIMIZERS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


@dataclass
class State:
    """A training after `iteration` iterations; `facts` is plain data that goes into checkpoints."""

    generator: Student
    average: MovingAverage
    discriminator: Student | None = None
    pool: Pool | None = None
    iteration: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def _students(self) -> dict[str, Student]:
        """The networks that learn, by their names in files."""
        return {"g": self.generator} | ({"d": self.discriminator} if self.discriminator else {})

    def checkpoint(self, machine: Machine, pictures: int) -> Checkpoint:
        """Copies of everything on the CPU's side, ready to be written."""
        students = self._students
        networks = {name: dict(student.network.state_dict()) for name, student in students.items()}
        networks["g_ema"] = dict(self.average.network.state_dict())
        return Checkpoint(
            iteration=self.iteration,
            pictures=pictures,
            networks=networks,
            optimizers={name: student.optimizer.state_dict() for name, student in students.items()},
            scaler=machine.scaler_state,
            pool=list(self.pool.samples) if self.pool else [],
            facts=self.facts,
        )

    def go_on_from(self, checkpoint: Checkpoint, machine: Machine, ignored: Collection[str] = ()) -> None:
        """Become what the checkpoint was, but for networks that are `ignored`, network_g or network_d.

        Raises:
            UsageError: it is of another recipe.
        """
        students = self._students
        if students.keys() != checkpoint.optimizers.keys():
            raise UsageError("the checkpoint to resume is of the other stage: use another `name`")
        try:
            for name, student in students.items():
                if f"network_{name}" not in ignored:  # an optimiser knows what its network has been through
                    student.network.load_state_dict(checkpoint.networks[name])
                    _load_moments(student.optimizer, checkpoint.optimizers[name])
            if "network_g" not in ignored:
                self.average.network.load_state_dict(checkpoint.networks["g_ema"])
        except (RuntimeError, ValueError) as error:
            raise UsageError("the checkpoint to resume is of other networks: use another `name`") from error
        machine.scaler_state = checkpoint.scaler
        if self.pool is not None:
            self.pool.samples = tuple(sample.to(machine.device) for sample in checkpoint.pool)
        self.iteration, self.facts = checkpoint.iteration, checkpoint.facts


@dataclass(frozen=True)
class Starts:
    """Weights files to start from; None starts from nothing."""

    generator: Path | None = None
    discriminator: Path | None = None


def begin(
    recipe: TrainingRecipe, starts: Starts, machine: Machine, reporter: Reporter, *, channels_last: bool = True
) -> State:
    """The state before the first iteration.

    Raises:
        WeightsError: a start file cannot be read, or does not fit.
    """
    seed, path = recipe.manual_seed, recipe.path
    options = recipe.network_g.model_dump()
    generator = build(options, seed, "generator")
    if starts.generator is not None:
        _start(generator, starts.generator, path.param_key_g, path.strict_load_g, reporter)
    discriminator = None
    if recipe.network_d is not None and recipe.train.optim_d is not None and recipe.stage == 2:
        network = build(recipe.network_d.model_dump(), seed, "discriminator")
        if starts.discriminator is not None:
            _start(network, starts.discriminator, path.param_key_d, path.strict_load_d, reporter)
        discriminator = _student(network, recipe.train.optim_d, machine, channels_last)
    # A copy of the network as it starts, fresh tensors included; published, the two get different ones.
    student = _student(generator, recipe.train.optim_g, machine, channels_last)
    average = MovingAverage(student.network, recipe.train.ema_decay)
    pool = Pool(recipe.queue_size, seed) if recipe.queue_size and not recipe.paired else None
    return State(student, average, discriminator, pool)


def _load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what an optimiser has learned; its settings stay, because torch would replace them too."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def _start(network: nn.Module, path: Path, key: str, strict: bool, reporter: Reporter) -> None:
    fresh = start_from(network, path, key, strict=strict)
    left = f"; {', '.join(fresh)} start fresh" if fresh else ""
    reporter.remark(f"{type(network).__name__} starts from {path}{left}")


def _student(network: nn.Module, options: OptimizerOptions, machine: Machine, channels_last: bool) -> Student:
    network = network.to(machine.device).train()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _OPTIMIZERS[options.type](
        network.parameters(), lr=options.lr, weight_decay=options.weight_decay, betas=options.betas
    )
    return Student(network, machine.prepare(optimizer))


def losses_of(recipe: TrainingRecipe, vgg: VGGFeatureExtractor | None, machine: Machine) -> Losses:
    """The losses of a recipe; `vgg` has the features the perceptual one compares, None leaves it out."""
    train = recipe.train
    pixel = train.pixel_opt and PixelLoss(train.pixel_opt.loss_weight, train.pixel_opt.reduction)
    perceptual = None
    if vgg is not None and (wanted := train.perceptual_opt):
        perceptual = PerceptualLoss(
            wanted.layer_weights,
            vgg.to(machine.device),
            perceptual_weight=wanted.perceptual_weight,
            style_weight=wanted.style_weight,
            criterion=wanted.criterion,
        )
    gan = None
    if (options := train.gan_opt) and recipe.stage == 2:
        gan = GANLoss(options.gan_type, options.real_label_val, options.fake_label_val, options.loss_weight)
    return Losses(pixel or None, perceptual, gan)
