"""One training step of each stage, as in the paper: Real-ESRNet by L1, Real-ESRGAN by L1, perceptual and GAN loss.

A batch may come in parts; gradients are added up, so that parts equal the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .datasets import Batch
from .ema import MovingAverage
from .losses import GANLoss, PerceptualLoss, PixelLoss
from .machine import Machine

Logged = dict[str, float]


@dataclass
class Student:
    """A network that learns, and its optimizer as `Machine.prepare` gives it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer

    def set_rate(self, rate: float) -> None:
        """Learn at this rate from now on."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate


@dataclass
class Losses:
    """What is minimised; None is left out."""

    pixel: PixelLoss | None = None
    perceptual: PerceptualLoss | None = None
    gan: GANLoss | None = None


@dataclass(frozen=True)
class Targets:
    """Which losses learn towards the sharpened target; the others take the plain one."""

    pixel_sharpened: bool = True
    perceptual_sharpened: bool = True
    gan_sharpened: bool = False


class Sums:
    """Adds up what is logged over the parts of a batch, each with its share."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor, share: float) -> None:
        self._sums[name] = (
            self._sums.get(name, torch.zeros((), dtype=value.dtype, device=value.device)) + value.detach() * share
        )

    def read(self) -> Logged:
        """All at once, because reading waits for a GPU."""
        if not self._sums:
            return {}
        return dict(zip(self._sums, torch.stack(list(self._sums.values())).tolist(), strict=True))


def stage1_step(
    machine: Machine,
    generator: Student,
    average: MovingAverage,
    losses: Losses,
    targets: Targets,
    parts: Sequence[Batch],
) -> Sums:
    """Real-ESRNet: make the output like the target."""
    sums = Sums()
    generator.optimizer.zero_grad()
    for batch, share in _shares(parts):
        with machine.autocast():
            output = generator.network(batch.low)
        loss = _content_loss(output, batch, losses, targets, sums, share, prefix="l_")
        machine.backward(loss * share)
    machine.average_gradients(generator.network)
    generator.optimizer.step()
    average.update(generator.network)
    return sums


def stage2_step(
    machine: Machine,
    generator: Student,
    discriminator: Student,
    average: MovingAverage,
    losses: Losses,
    targets: Targets,
    parts: Sequence[Batch],
    *,
    generator_learns: bool = True,
) -> Sums:
    """Real-ESRGAN: the generator learns to look like the target and to deceive, then the discriminator to tell.

    `generator_learns` is False in iterations in which, by the recipe, only the discriminator does.
    """
    assert losses.gan is not None
    sums = Sums()
    outputs = []

    discriminator.network.requires_grad_(False)
    generator.optimizer.zero_grad()
    for number, (batch, share) in enumerate(_shares(parts)):
        with machine.autocast():
            output = generator.network(batch.low)
        outputs.append(output.detach())
        if generator_learns:
            loss = _content_loss(output, batch, losses, targets, sums, share, prefix="l_g_")
            with machine.autocast():
                fake = _told(discriminator.network, output, first=number == 0)
            deceived = losses.gan(fake, True, is_disc=False)
            sums.add("l_g_gan", deceived, share)
            machine.backward((loss + deceived) * share)
    if generator_learns:
        machine.average_gradients(generator.network)
        generator.optimizer.step()

    discriminator.network.requires_grad_(True)
    discriminator.optimizer.zero_grad()
    for kind, is_real in (("real", True), ("fake", False)):
        for number, ((batch, share), output) in enumerate(zip(_shares(parts), outputs, strict=True)):
            shown = (batch.sharpened if targets.gan_sharpened else batch.target) if is_real else output
            with machine.autocast():
                verdict = _told(discriminator.network, shown, first=number == 0)
            loss = losses.gan(verdict, is_real, is_disc=True)
            sums.add(f"l_d_{kind}", loss, share)
            sums.add(f"out_d_{kind}", verdict.mean(), share)
            machine.backward(loss * share)
    machine.average_gradients(discriminator.network)
    discriminator.optimizer.step()

    average.update(generator.network)
    return sums


def _shares(parts: Sequence[Batch]) -> list[tuple[Batch, float]]:
    """Each part with its share of the batch."""
    total = sum(len(batch.low) for batch in parts)
    return [(batch, len(batch.low) / total) for batch in parts]


def _told(discriminator: nn.Module, pictures: Tensor, *, first: bool) -> Tensor:
    """The discriminator's verdict. Its spectral norm takes one power iteration a batch, with the first part only."""
    verdict: Tensor = discriminator.train(first)(pictures)
    return verdict


def _content_loss(
    output: Tensor, batch: Batch, losses: Losses, targets: Targets, sums: Sums, share: float, prefix: str
) -> Tensor:
    """L1 and perceptual loss."""
    total: Tensor = torch.zeros((), device=output.device)
    if losses.pixel is not None:
        pixel = losses.pixel(output, batch.sharpened if targets.pixel_sharpened else batch.target)
        sums.add(f"{prefix}pix", pixel, share)
        total = total + pixel
    if losses.perceptual is not None:
        target = batch.sharpened if targets.perceptual_sharpened else batch.target
        perceptual, style = losses.perceptual(output, target)
        for name, value in (("percep", perceptual), ("style", style)):
            if value is not None:
                sums.add(f"{prefix}{name}", value, share)
                total = total + value
    return total
