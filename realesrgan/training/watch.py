"""Say in plain words when a training goes wrong, judging by its journal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from ..restorer import Reporter
from .lines import Logged, Validated, Values

# 8-bit levels in the mean of a channel: ΔE 1 to 2.5, just noticeable where it is the whole picture.
COLOUR_LEVELS = 3.0
COLOUR_GROWTH = 1.0  # levels above the least shift so far: a training from nothing begins with a large one that shrinks
# Of the target's standard deviation. Restorations of the worst degradations keep well over half.
FLAT_CONTRAST, LIVELY_CONTRAST = 0.25, 0.5
FLAT_VALIDATIONS = 4  # a training from nothing may be flat at first
# Variance of the Laplacian over the target's: good restorations lie between 0.2 (losses of pixels) and 1.2 (GAN).
ROUGH, ROUGH_GROWTH = 2.5, 1.5
SMOOTHER = 0.5  # of the start's sharpness: a GAN is there to add detail, not to remove it
LOGS = 20  # intervals: a single one says little, because every batch is degraded otherwise
# With the published BCE, 0.05 is a discriminator that is 95 % sure; an undecided one has 0.69.
SURE_LOSS, SURE_GAP = 0.05, 0.5  # the gap between its outputs tells it from Wasserstein losses, which may be near 0
IDLE_VALIDATIONS, IDLE_DB = 5, 0.01
WORSE_DB = 0.3  # more than between two validations of a training that goes well
WORSE_DB_OF_GAN = 4.0  # what a GAN adds is not where it was: ESRGAN gave up 2.7 dB of PSNR on purpose
DIVERGED = 2.0  # times the lowest pixel loss
STARVED = 0.25  # share of the time


@dataclass(frozen=True)
class Finding:
    """Something to worry about; there is at most one of each kind at a time."""

    kind: str
    text: str


class Watch:
    """Warns a reporter of each kind of finding once, and again only after it had cleared."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._said: set[str] = set()

    def look(self, logged: Sequence[Logged], validated: Sequence[Validated]) -> list[Finding]:
        """All that is to be said now; what is new is also told the reporter."""
        found = list(findings(logged, validated))
        for finding in found:
            if finding.kind not in self._said:
                self._reporter.warn(finding.text)
        self._said = {finding.kind for finding in found}
        return found


def findings(logged: Sequence[Logged], validated: Sequence[Validated]) -> Iterator[Finding]:
    """Look at what a training came to so far; from a journal, in order."""
    adversarial = bool(logged) and "l_g_gan" in logged[-1].losses
    if validated:
        looks: tuple[Callable[[Sequence[Validated], bool], Finding | None], ...]
        looks = (_colour, _collapse, _roughness, _worse, _idle)
        yield from (found for look in looks if (found := look(validated, adversarial)))
    if len(logged) >= LOGS:
        yield from (found for look_at in (_discriminator, _divergence, _starvation) if (found := look_at(logged)))


def _colour(validated: Sequence[Validated], adversarial: bool) -> Finding | None:
    shifts = [max(map(abs, one.validation.colour)) for one in validated]
    shift, least = shifts[-1], min(shifts)
    if not (shift > COLOUR_LEVELS and shift > least + COLOUR_GROWTH):
        return None
    when = validated[shifts.index(least)].iteration
    tint = tint_of(validated[-1].validation)
    text = (
        f"Colours shift: results are {tint} than the targets by {shift:.1f} levels of 255, after {least:.1f} at "
        f"iteration {when}. Go back to a checkpoint from before, and lower the learning rate"
    )
    return Finding("colour", text)


def tint_of(values: Values) -> str:
    """How a colour shift looks: brighter, darker, or the channel that stands out: redder, less green, …"""
    shifts = values.colour
    common = sum(shifts) / 3
    largest = max(range(3), key=lambda channel: abs(shifts[channel] - common))
    if abs(common) >= abs(shifts[largest] - common):
        return "brighter" if common > 0 else "darker"
    more, less = ("redder", "greener", "bluer"), ("less red", "less green", "less blue")
    return more[largest] if shifts[largest] > 0 else less[largest]


def _collapse(validated: Sequence[Validated], adversarial: bool) -> Finding | None:
    contrasts = [one.validation.contrast for one in validated]
    lived = max(contrasts) > LIVELY_CONTRAST or len(validated) > FLAT_VALIDATIONS
    if not (contrasts[-1] < FLAT_CONTRAST and lived):
        return None
    text = (
        f"Collapse: results are nearly of one colour, with {contrasts[-1]:.0%} of the targets' contrast. Go back to a "
        "checkpoint from before, and lower the learning rate"
    )
    return Finding("collapse", text)


def _roughness(validated: Sequence[Validated], adversarial: bool) -> Finding | None:
    first, last = validated[0].validation.sharpness, validated[-1].validation.sharpness
    if last > ROUGH and last > ROUGH_GROWTH * first:
        text = (
            f"Artefacts: results are {last:.1f} times as rough as the targets, after {first:.1f} times at the start. "
            "Look at the samples; a lower weight of gan_opt or a lower learning rate helps"
        )
        return Finding("roughness", text)
    if adversarial and last < SMOOTHER * first:
        text = (
            f"Results become smoother, not sharper: {last:.2f} of the targets' sharpness, after {first:.2f} at the "
            "start. Raise the weight of gan_opt, unless the discriminator wins"
        )
        return Finding("smoothness", text)
    return None


def _worse(validated: Sequence[Validated], adversarial: bool) -> Finding | None:
    first, last = validated[0].validation.psnr, validated[-1].validation.psnr
    allowed = WORSE_DB_OF_GAN if adversarial else WORSE_DB
    if not last < first - allowed:
        return None
    beyond = ", more than a GAN gives up for detail" if adversarial else ""
    text = (
        f"Worse than the start: {last:.2f} dB on the held-out pictures, after {first:.2f} dB before training{beyond}. "
        "Lower the learning rate, and check that the pictures to learn from are sharp and clean"
    )
    return Finding("worse", text)


def _idle(validated: Sequence[Validated], adversarial: bool) -> Finding | None:
    """No progress; not said of a GAN, whose progress PSNR does not show."""
    scores = [one.validation.psnr for one in validated]
    if adversarial or len(scores) <= IDLE_VALIDATIONS:
        return None
    before = max(scores[:-IDLE_VALIDATIONS])
    if not max(scores[-IDLE_VALIDATIONS:]) < before + IDLE_DB:
        return None
    text = (
        f"No progress for {IDLE_VALIDATIONS} validations: the best PSNR, {before:.2f} dB, is that of iteration "
        f"{validated[scores.index(before)].iteration}. It may be as good as it gets; or try a lower learning rate"
    )
    return Finding("idle", text)


def _discriminator(logged: Sequence[Logged]) -> Finding | None:
    recent = logged[-LOGS:]
    losses = [_of(recent, name) for name in ("l_d_real", "l_d_fake", "out_d_real", "out_d_fake")]
    real, fake, out_real, out_fake = (median(values) if values else math.nan for values in losses)
    if not (max(real, fake) < SURE_LOSS and min(real, fake) >= 0 and out_real - out_fake > SURE_GAP):
        return None
    text = (
        f"The discriminator wins: its losses are {real:.3f} and {fake:.3f}, so the generator learns little from it. "
        "Lower the learning rate of optim_d"
    )
    return Finding("discriminator", text)


def _divergence(logged: Sequence[Logged]) -> Finding | None:
    name = "l_g_pix" if "l_g_pix" in logged[-1].losses else "l_pix"
    losses = _of(logged, name)
    if len(losses) < 2 * LOGS:
        return None
    windows = [median(losses[end - LOGS : end]) for end in range(len(losses), LOGS - 1, -LOGS)]
    now, lowest = windows[0], min(windows)
    if not now > DIVERGED * lowest:
        return None
    text = (
        f"The training diverges: {name} has risen from {lowest:.3g} to {now:.3g}. Go back to a checkpoint from before, "
        "and lower the learning rate"
    )
    return Finding("divergence", text)


def _starvation(logged: Sequence[Logged]) -> Finding | None:
    share = median(one.waiting_share for one in logged[-LOGS:])
    if not share > STARVED:
        return None
    text = (
        f"{share:.0%} of the time is spent waiting for pictures: raise num_worker_per_gpu if processors are idle, or "
        "choose smaller crops"
    )
    return Finding("starvation", text)


def _of(logged: Sequence[Logged], name: str) -> list[float]:
    """The values of a loss; none where one is missing or not a number."""
    values = [one.losses.get(name, math.nan) for one in logged]
    return values if all(map(math.isfinite, values)) else []
