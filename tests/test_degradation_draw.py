"""What is drawn depends on (seed, number, step) alone, follows the recipe's probabilities, and survives as one line."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from realesrgan.degradation.chance import Chance, generator
from realesrgan.degradation.draw import draw, draw_batch
from realesrgan.degradation.recipe import PUBLISHED, Recipe
from realesrgan.degradation.steps import (
    BellKernel,
    Blur,
    Degradation,
    Jpeg,
    Noise,
    RealFile,
    RealVideo,
    Resize,
    Sharpen,
    SincKernel,
)

COUNT = 3000  # pictures drawn
UNLIKELY = 1e-4  # a probability below which chance is not what the recipe says
S = TypeVar("S")


@cache
def drawn() -> list[Degradation]:
    return [draw(0, number, PUBLISHED) for number in range(COUNT)]


def steps(kind: type[S], degradations: Iterable[Degradation] | None = None) -> list[list[S]]:
    return [[step for step in one.steps if isinstance(step, kind)] for one in degradations or drawn()]


def assert_frequencies(found: Iterable[Any], weights: Mapping[Any, float]) -> None:
    counts = Counter(found)
    assert set(counts) <= set(weights)
    expected = np.array(list(weights.values())) / sum(weights.values()) * sum(counts.values())
    assert chisquare([counts[key] for key in weights], expected).pvalue > UNLIKELY


def assert_uniform(found: Iterable[float], low: float, high: float) -> None:
    assert kstest(list(found), "uniform", args=(low, high - low)).pvalue > UNLIKELY


def test_the_check_of_frequencies_can_fail() -> None:
    with pytest.raises(AssertionError):
        assert_frequencies([1] * 550 + [2] * 450, {1: 0.45, 2: 0.55})
    with pytest.raises(AssertionError):
        assert_uniform(np.linspace(0, 0.9, 1000), 0, 1)


def test_the_same_seed_and_number_give_the_same_and_others_do_not() -> None:
    assert draw(3, 7, PUBLISHED) == draw(3, 7, PUBLISHED)
    assert draw(3, 7, PUBLISHED) != draw(3, 8, PUBLISHED)
    assert draw(3, 7, PUBLISHED).steps != draw(4, 7, PUBLISHED).steps


def test_values_are_those_of_the_first_version() -> None:
    # Stored numbers, so that old lines and seeds keep their meaning.
    assert Chance(0, 7, "blur").uniform(0, 1) == pytest.approx(0.8934453523613075, abs=0)
    assert generator((0, 7, "noise, field")).random() == pytest.approx(0.2921894027881412, abs=0)


def test_no_global_random_state_is_read_or_touched() -> None:
    def states() -> tuple[object, ...]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # type: ignore[index,union-attr]

    before, first = states(), draw(0, 7, PUBLISHED)
    assert states() == before
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert draw(0, 7, PUBLISHED) == first


def test_kernels_are_drawn_as_often_as_the_recipe_says() -> None:
    kinds = dict(zip(PUBLISHED.kernel_list, PUBLISHED.kernel_prob, strict=True))
    expected = {kind: 0.9 * weight for kind, weight in kinds.items()} | {"sinc": 0.1}
    assert_frequencies((found[0].kernel.kind for found in steps(Blur)), expected)
    assert_frequencies((found[-1].kernel.kind for found in steps(Blur)), {"sinc": 0.8, "pulse": 0.2})
    assert_frequencies((len(found) for found in steps(Blur)), {3: 0.8, 2: 0.2})
    assert_frequencies((found[1].kernel.kind for found in steps(Blur) if len(found) == 3), expected)


def test_kernels_have_sizes_widths_angles_and_shapes_in_their_ranges() -> None:
    kernels = [found[0].kernel for found in steps(Blur)]
    bells = [kernel for kernel in kernels if isinstance(kernel, BellKernel)]
    assert_frequencies((kernel.size for kernel in bells), dict.fromkeys((7, 9, 11, 13, 15, 17, 19, 21), 1.0))
    assert_uniform((kernel.sigma_x for kernel in bells), 0.2, 3)
    round_ones = [kernel for kernel in bells if not kernel.kind.endswith("aniso")]
    assert all(kernel.sigma_y == kernel.sigma_x and kernel.rotation == 0 for kernel in round_ones)
    long_ones = [kernel for kernel in bells if kernel.kind.endswith("aniso")]
    assert_uniform((kernel.sigma_y for kernel in long_ones), 0.2, 3)
    assert abs(np.corrcoef([(kernel.sigma_x, kernel.sigma_y) for kernel in long_ones], rowvar=False)[0, 1]) < 0.2
    assert_uniform((kernel.rotation for kernel in long_ones), -math.pi, math.pi)
    assert all((kernel.beta is None) == (kernel.kind in ("iso", "aniso")) for kernel in bells)
    shapes = [kernel.beta for kernel in bells if kernel.kind.startswith("generalized") and kernel.beta is not None]
    assert_frequencies((shape < 1 for shape in shapes), {True: 0.5, False: 0.5})
    assert_uniform((shape for shape in shapes if shape >= 1), 1, 4)
    flat = [kernel.beta for kernel in bells if kernel.kind.startswith("plateau")]
    assert_frequencies((shape == 1 for shape in flat), {True: 0.5, False: 0.5})


def test_small_sinc_kernels_cut_off_less() -> None:
    for place, lowest_of_large in ((0, math.pi / 5), (-1, math.pi / 3)):
        sincs = [kernel for found in steps(Blur) if isinstance(kernel := found[place].kernel, SincKernel)]
        assert_uniform((one.cutoff for one in sincs if one.size < 13), math.pi / 3, math.pi)
        assert_uniform((one.cutoff for one in sincs if one.size >= 13), lowest_of_large, math.pi)


@pytest.mark.parametrize(
    ("place", "of", "weights", "low", "high"),
    [(0, "current", (0.2, 0.7, 0.1), 0.15, 1.5), (1, "final", (0.3, 0.4, 0.3), 0.3, 1.2)],
)
def test_resizes_go_up_down_or_nowhere(
    place: int, of: str, weights: tuple[float, ...], low: float, high: float
) -> None:
    found = [one[place] for one in steps(Resize)]
    assert {step.of for step in found} == {of}
    assert_frequencies((np.sign(step.factor - 1) for step in found), dict(zip((1, -1, 0), weights, strict=True)))
    assert_uniform((step.factor for step in found if step.factor < 1), low, 1)
    assert_uniform((step.factor for step in found if step.factor > 1), 1, high)
    assert_frequencies((step.mode for step in found), {"area": 1, "bilinear": 1, "bicubic": 1})


@pytest.mark.parametrize(("place", "sigma", "scale"), [(0, (1, 30), (0.05, 3)), (1, (1, 25), (0.05, 2.5))])
def test_noise_is_gaussian_or_poisson_colour_or_gray(
    place: int, sigma: tuple[float, float], scale: tuple[float, float]
) -> None:
    found = [one[place] for one in steps(Noise)]
    assert_frequencies((step.kind for step in found), {"gaussian": 0.5, "poisson": 0.5})
    assert_frequencies((step.gray for step in found), {True: 0.4, False: 0.6})
    assert_uniform((step.strength for step in found if step.kind == "gaussian"), *sigma)
    assert_uniform((step.strength for step in found if step.kind == "poisson"), *scale)


def test_jpeg_comes_before_or_after_the_last_resize() -> None:
    qualities = [step.quality for one in steps(Jpeg) for step in one]
    assert_uniform(qualities, 30, 95)
    ends = ["".join(type(step).__name__[0] for step in one.steps[-3:]) for one in drawn()]
    assert_frequencies(ends, {"RBJ": 0.5, "JRB": 0.5})


def test_every_noise_has_a_field_of_its_own() -> None:
    fields = [step.field for one in steps(Noise) for step in one]
    assert len(set(fields)) == 2 * COUNT


def test_the_second_order_repeats_nothing_of_the_first() -> None:
    for found in steps(Jpeg):
        assert found[0].quality != found[1].quality
    pairs = [(found[0].kernel, found[1].kernel) for found in steps(Blur) if len(found) == 3]
    sizes = [(a.size, b.size) for a, b in pairs if "pulse" not in (a.kind, b.kind)]  # type: ignore[union-attr]
    assert abs(np.corrcoef(sizes, rowvar=False)[0, 1]) < 0.1
    noises = [(a.strength / 30, b.strength / 25) for a, b in steps(Noise) if a.kind == b.kind == "gaussian"]
    assert abs(np.corrcoef(noises, rowvar=False)[0, 1]) < 0.2


def test_the_other_keys_of_a_recipe_reach_what_is_drawn() -> None:
    recipe = Recipe(
        scale=3,
        sharpen=False,
        jpeg_tables="standard",
        real_prob=1,
        real_format_prob=(0, 1, 0, 0, 0),
        real_quality_range=(7, 7),
    )
    for degradation in (draw(0, number, recipe) for number in range(10)):
        assert degradation.scale == 3
        assert not any(isinstance(step, Sharpen) for step in degradation.steps)
        assert {step.tables for step in degradation.steps if isinstance(step, Jpeg)} == {"standard"}
        assert degradation.steps[-1] == RealFile(format="webp", quality=7)


@pytest.mark.parametrize(
    "change",
    [{"sharpen": False}, {"second_blur_prob": 0.0}, {"real_prob": 1.0}, {"final_sinc_prob": 0.0}, {"sinc_prob2": 1.0}],
)
def test_a_step_more_or_less_never_changes_the_others(change: dict[str, Any]) -> None:
    changed = Recipe(**change)
    for number in range(40):
        before = draw(0, number, PUBLISHED).steps
        after = draw(0, number, changed).steps
        for kind in (Resize, Noise, Jpeg):
            assert [s for s in before if isinstance(s, kind)] == [s for s in after if isinstance(s, kind)]
        blurs = [[s for s in some if isinstance(s, Blur)] for some in (before, after)]
        assert blurs[0][0] == blurs[1][0]


def test_the_classical_model_has_one_order_and_ends_at_the_final_size() -> None:
    for number in range(40):
        classical = draw(0, number, Recipe(orders=1)).steps
        assert [type(step) for step in classical] == [Sharpen, Blur, Resize, Noise, Jpeg]
        assert classical[2] == Resize(mode=classical[2].mode, factor=1, of="final")  # type: ignore[union-attr]
        whole = draw(0, number, PUBLISHED).steps
        assert (classical[1], classical[3], classical[4]) == (whole[1], whole[3], whole[4])


def test_one_line_holds_all_that_was_drawn() -> None:
    for degradation in (*drawn()[:40], *(draw(0, n, Recipe(real_prob=1)) for n in range(20))):
        line = degradation.model_dump_json(exclude_none=True)
        assert "\n" not in line
        assert Degradation.model_validate_json(line) == degradation


def shared_parts(degradation: Degradation) -> list[object]:
    resizes = [(step.mode, step.factor) for step in degradation.steps if isinstance(step, Resize)]
    noises = [step.kind for step in degradation.steps if isinstance(step, Noise)]
    return [resizes, noises, [type(step) for step in degradation.steps]]


def test_pictures_of_a_batch_get_degradations_of_their_own() -> None:
    batch = draw_batch(0, range(12), 0, PUBLISHED)
    assert batch == [draw(0, number, PUBLISHED) for number in range(12)]


def test_as_published_a_batch_shares_what_concerns_sizes_and_kinds_and_nothing_else() -> None:
    recipe = Recipe(queue_size=180)
    for number in range(10):
        batch = draw_batch(0, range(12 * number, 12 * number + 12), number, recipe)
        assert all(shared_parts(one) == shared_parts(batch[0]) for one in batch)
        assert len({tuple(s.quality for s in one.steps if isinstance(s, Jpeg)) for one in batch}) == 12
        assert len({tuple(s.strength for s in one.steps if isinstance(s, Noise)) for one in batch}) == 12
    others = [draw_batch(0, range(12), number, recipe)[0] for number in range(10)]
    assert len({str(shared_parts(one)) for one in others}) == 10


def noise_fields(recipe: Recipe) -> dict[str, set[Any]]:
    fields: dict[str, set[Any]] = {"shared": set(), "own": set()}
    for step in (step for one in draw_batch(0, range(40), 0, recipe) for step in one.steps[:5]):
        if isinstance(step, Noise):
            fields["shared" if step.gray and step.kind == "gaussian" else "own"].add(step.field)
    return fields


def test_gray_pictures_share_their_noise_only_if_asked_to() -> None:
    recipe = Recipe(queue_size=180, gaussian_noise_prob=1, shared_gray_noise=True)
    assert len(noise_fields(recipe)["shared"]) == 1
    assert len(noise_fields(recipe)["own"]) > 10
    assert len(noise_fields(recipe.model_copy(update={"shared_gray_noise": False}))["shared"]) > 10
    # Published Poisson noise depends on the picture and is never shared.
    assert len(noise_fields(recipe.model_copy(update={"gaussian_noise_prob": 0}))["own"]) == 40


def kernels_of(recipe: Recipe, numbers: range) -> list[list[Any]]:
    batch = draw_batch(0, numbers, 0, recipe, epoch_length=20)
    return [[step.kernel for step in one.steps if isinstance(step, Blur)] for one in batch]


def test_epochs_repeat_their_kernels_only_if_asked_to() -> None:
    for recipe, same in ((Recipe(second_blur_prob=1, repeated_seeds=True), True), (Recipe(second_blur_prob=1), False)):
        first, second = kernels_of(recipe, range(20)), kernels_of(recipe, range(20, 40))
        assert [a == b for a, b in zip(first, second, strict=True)] == [same] * 20


def test_real_files_and_videos_come_last_and_have_whole_strengths() -> None:
    last = [draw(0, number, Recipe(real_prob=1)).steps[-1] for number in range(1000)]
    names: Callable[[Any], str] = lambda step: step.format if isinstance(step, RealFile) else step.codec  # noqa: E731
    assert_frequencies(map(names, last), dict.fromkeys(("jpg", "webp", "avif", "h264", "hevc"), 1.0))
    assert {type(step) for step in last} == {RealFile, RealVideo}
    assert {step.quality for step in last if isinstance(step, RealFile)} >= {30, 95}
    assert {step.crf for step in last if isinstance(step, RealVideo)} == set(range(18, 36))
