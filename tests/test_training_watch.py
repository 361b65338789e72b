"""Warnings of a training: each fault is said in words, once until it clears, and a good training hears none."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from realesrgan.restorer import Reporter
from realesrgan.training.lines import Logged, Validated, Values
from realesrgan.training.watch import LOGS, Watch, findings, tint_of

Colour = tuple[float, float, float]


class Heard(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def values(psnr: float = 25.0, colour: Colour = (0, 0, 0), sharpness: float = 0.5, contrast: float = 0.95) -> Values:
    return Values(psnr=psnr, ssim=0.7, sharpness=sharpness, contrast=contrast, colour=colour)


def series(*each: Values) -> list[Validated]:
    return [Validated(iteration=100 * n, validation=one, each={"cat": one}) for n, one in enumerate(each)]


def logs(count: int = LOGS, waiting: float = 0.0, **losses: float | Sequence[float]) -> list[Logged]:
    def at(index: int) -> dict[str, float]:
        return {name: loss if isinstance(loss, float) else loss[index] for name, loss in losses.items()}

    return [
        Logged(
            iteration=n + 1,
            pictures=n + 1,
            seconds=n,
            losses=at(n),
            lr=1e-4,
            pictures_per_second=1,
            waiting_share=waiting,
        )
        for n in range(count)
    ]


GAN = logs(l_g_pix=0.03, l_g_gan=0.1, l_d_real=0.5, l_d_fake=0.6, out_d_real=0.5, out_d_fake=-0.3)


def kinds(logged: Sequence[Logged], validated: Sequence[Validated]) -> list[str]:
    return [finding.kind for finding in findings(logged, validated)]


def test_a_good_training_of_each_stage_hears_nothing() -> None:
    rising = series(*(values(20 + 3 * math.log1p(n), sharpness=0.1 + n / 50) for n in range(9)))
    noise = random.Random(0)
    falling = [0.05 * math.exp(-n / 50) * noise.uniform(0.5, 2) + 0.03 for n in range(200)]
    assert kinds(logs(200, l_pix=falling, waiting=0.02), rising) == []
    sharper = series(*(values(25 - n / 6, sharpness=0.2 + n / 9) for n in range(9)))
    assert kinds(GAN, sharper) == []
    assert kinds([], []) == []


def test_a_training_from_nothing_hears_nothing_of_its_beginning() -> None:
    start = values(8, (40, -60, 30), sharpness=4.0, contrast=0.01)
    assert kinds([], series(start)) == []
    assert kinds([], series(start, values(15, (20, -22, 8), 1.0, 0.2), values(20, (5, -6, 3), 0.3, 0.7))) == []


def test_a_colour_shift_is_said_with_its_colour_and_when_it_was_less() -> None:
    (found,) = findings([], series(values(colour=(0.2, 0.1, 0)), values(colour=(-0.5, 4.2, -0.3))))
    assert found.kind == "colour"
    assert "greener than the targets by 4.2 levels" in found.text
    assert "0.2 at iteration 0" in found.text


def test_a_colour_shift_that_shrinks_or_was_there_before_is_not_said() -> None:
    assert kinds([], series(values(colour=(9, 0, 0)), values(colour=(6, 0, 0)))) == []
    assert kinds([], series(values(colour=(5, 0, 0)), values(colour=(5.5, 0, 0)))) == []


@pytest.mark.parametrize(
    ("colour", "word"),
    [
        ((5, 5, 5), "brighter"),
        ((-5, -4, -5), "darker"),
        ((5, 0, 0), "redder"),
        ((0, -5, 0), "less green"),
        ((0, 1, 6), "bluer"),
        ((-5, 0, 0), "less red"),
    ],
)
def test_a_tint_is_named_after_what_stands_out(colour: Colour, word: str) -> None:
    assert tint_of(values(colour=colour)) == word


def test_collapse_is_said_when_contrast_was_there_or_never_comes() -> None:
    assert kinds([], series(values(20), values(20, contrast=0.1))) == ["collapse"]
    flat = [values(10, contrast=0.05)] * 4
    assert kinds([], series(*flat)) == []
    assert kinds([], series(*flat, flat[0])) == ["collapse"]


def test_roughness_far_above_the_targets_is_said_unless_the_start_was_as_rough() -> None:
    assert kinds([], series(values(sharpness=0.5), values(sharpness=3.0))) == ["roughness"]
    assert kinds([], series(values(sharpness=2.5), values(sharpness=3.0))) == []


def test_a_gan_that_smooths_is_said_and_pixel_losses_may_smooth() -> None:
    smoother = series(values(sharpness=0.8), values(sharpness=0.3))
    assert kinds(GAN, smoother) == ["smoothness"]
    assert kinds(logs(l_pix=0.1), smoother) == []


@pytest.mark.parametrize(
    ("drop_db", "with_pixels", "with_gan"), [(0.2, False, False), (1, True, False), (5, True, True)]
)
def test_worse_than_the_start_allows_a_gan_more(drop_db: float, with_pixels: bool, with_gan: bool) -> None:
    lower = series(values(25), values(25 - drop_db))
    assert ("worse" in kinds(logs(l_pix=0.1), lower)) == with_pixels
    assert ("worse" in kinds(GAN, lower)) == with_gan


def test_no_progress_is_said_after_five_validations_and_names_the_best() -> None:
    scores = [20, 25, 24.9, 25.005, 24.9, 24.95]
    assert kinds([], series(*map(values, scores))) == []
    (found,) = findings([], series(*map(values, [*scores, 24.9])))
    assert found.kind == "idle"
    assert "25.00 dB, is that of iteration 100" in found.text
    assert kinds([], series(*map(values, [*scores, 25.2]))) == []
    assert kinds(GAN, series(*map(values, [*scores, 24.9]))) == []


def test_a_discriminator_that_wins_is_said_and_a_wasserstein_loss_near_zero_is_not() -> None:
    sure = {"l_d_real": 0.02, "l_d_fake": 0.01, "out_d_real": 4.0, "out_d_fake": -4.5, "l_g_gan": 0.4}
    assert kinds(logs(**sure), []) == ["discriminator"]
    assert kinds(logs(LOGS - 1, **sure), []) == []
    assert kinds(logs(**sure | {"l_d_fake": 0.3}), []) == []
    assert kinds(logs(**sure | {"out_d_real": 0.02, "out_d_fake": 0.01}), []) == []
    assert kinds(logs(**sure | {"l_d_real": -4.0}), []) == []


@pytest.mark.parametrize("name", ["l_pix", "l_g_pix"])
def test_a_pixel_loss_that_doubles_for_long_is_said_and_one_bad_batch_is_not(name: str) -> None:
    steady = [0.03] * 3 * LOGS
    assert kinds(logs(3 * LOGS, **{name: [*steady[:-1], 9.0]}), []) == []
    assert kinds(logs(4 * LOGS, **{name: [*steady, *[0.05] * LOGS]}), []) == []
    assert kinds(logs(4 * LOGS, **{name: [*steady, *[0.07] * LOGS]}), []) == ["divergence"]


def test_waiting_for_pictures_is_said() -> None:
    assert kinds(logs(l_pix=0.1, waiting=0.4), []) == ["starvation"]
    assert kinds(logs(l_pix=0.1, waiting=0.04), []) == []


def test_what_is_not_a_number_is_no_finding() -> None:
    nothing = values(math.nan, (math.nan,) * 3, math.nan, math.nan)
    assert kinds(logs(2 * LOGS, l_pix=math.nan), series(*[nothing] * 7)) == []


def test_a_warning_is_said_once_and_again_only_after_it_cleared() -> None:
    heard = Heard()
    watch = Watch(heard)
    shifts = [0, 5, 6, 0, 5, 7]
    shown = []
    for end in range(1, len(shifts) + 1):
        validated = series(*(values(25 + n, (float(shift), 0, 0)) for n, shift in enumerate(shifts[:end])))
        shown.append(len(watch.look([], validated)))
    assert shown == [0, 1, 1, 0, 1, 1]
    assert len(heard.warnings) == 2
