"""What a recipe is made of: readings become ranges, and its results are made to measure as the pictures do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from realesrgan.degradation import recipe_file
from realesrgan.degradation.calibration import leaves, matching
from realesrgan.degradation.calibration.jpeg_tables import Fit
from realesrgan.degradation.calibration.matching import match, synthesise
from realesrgan.degradation.calibration.measuring import Measurement, measure
from realesrgan.degradation.calibration.noise import Noise
from realesrgan.degradation.calibration.proposal import Proposal, propose
from realesrgan.degradation.calibration.summary import Summary, spread
from realesrgan.degradation.recipe import PUBLISHED, Recipe
from realesrgan.errors import Cancelled

NOISE = Noise(luma=5.0, hidden=0.2, colour=False, grows=False, brightness=128.0)
MEASURED = Measurement(quality=60.0, tables=Fit(60.0, 0.0), noise=NOISE, blur=1.0, cutoff=0.5 * math.pi)


def nothing(share: float) -> None:
    """Do nothing with the progress."""


def summary(*changes: dict[str, Any]) -> Summary:
    return Summary(tuple(replace(MEASURED, **change) for change in changes))


def proposed(found: Summary, scale: int = 4) -> Proposal:
    """Without trying recipes."""
    return propose(found, scale, nothing, rounds=0)


def test_a_tenth_of_the_pictures_at_either_end_does_not_count() -> None:
    found = spread([0.0, *[50.0] * 18, 1000.0])
    assert found is not None
    assert (found.low, found.middle, found.high, found.count) == (50, 50, 50, 20)
    assert spread([]) is None


def test_the_qualities_of_jpeg_are_those_of_the_second_order() -> None:
    recipe = proposed(summary(*({"quality": float(quality)} for quality in range(40, 81)))).recipe
    assert recipe.jpeg_range2 == (44, 76)
    assert recipe.jpeg_range == PUBLISHED.jpeg_range
    assert recipe.jpeg_tables == "standard"


def test_pictures_without_jpeg_get_hardly_any_and_a_few_with_it_no_range() -> None:
    without = {"quality": None, "tables": None}
    assert proposed(summary(*[without] * 5)).recipe.jpeg_range2 == (93, 100)
    few = proposed(summary(*[without] * 9, {}))
    assert few.recipe.jpeg_range2 == PUBLISHED.jpeg_range2
    assert "1 of 10 pictures" in few.text


@pytest.mark.parametrize("answers", [4, 5])
def test_kinds_of_noise_become_probabilities_once_five_pictures_tell(answers: int) -> None:
    gray, coloured = replace(NOISE, colour=False), replace(NOISE, colour=True, grows=True)
    unknown = replace(NOISE, colour=None, grows=None)
    found = [gray] * (answers - 1) + [coloured] + [unknown] * 10
    recipe = proposed(summary(*({"noise": noise} for noise in found))).recipe
    if answers < 5:
        assert recipe.gray_noise_prob == PUBLISHED.gray_noise_prob
        assert recipe.gaussian_noise_prob2 == PUBLISHED.gaussian_noise_prob2
    else:
        assert recipe.gray_noise_prob == recipe.gray_noise_prob2 == 0.8
        assert recipe.gaussian_noise_prob == recipe.gaussian_noise_prob2 == 0.8


def test_noise_that_jpeg_may_hide_counts_neither_as_none_nor_as_any() -> None:
    hidden = {"noise": replace(NOISE, luma=0.0, hidden=4.0)}
    assert summary({}, hidden).strengths == [5.0]
    assert "not told in 1 picture" in proposed(summary({}, hidden)).text
    nothing_told = proposed(summary(hidden, hidden))
    assert nothing_told.recipe.noise_range2 == PUBLISHED.noise_range2
    assert "noise_range" not in nothing_told.text


def test_noise_whose_colour_cannot_be_told_is_taken_for_what_most_is() -> None:
    coloured, unknown = replace(NOISE, colour=True), replace(NOISE, colour=None)
    found = summary({"noise": coloured}, {"noise": unknown})
    assert found.strengths[1] == found.strengths[0] > NOISE.luma
    assert summary({}, {"noise": unknown}).strengths == [NOISE.luma] * 2


@pytest.mark.parametrize("scale", [2, 4])
def test_no_picture_is_made_smaller_than_its_cutoff_says(scale: int) -> None:
    recipe = proposed(summary({"cutoff": 0.55 * math.pi}), scale).recipe
    assert recipe.scale == scale
    assert recipe.resize_range2[0] == pytest.approx(0.5)
    assert recipe.resize_range[0] == pytest.approx(max(PUBLISHED.resize_range[0], 0.5 / scale), rel=0.01)
    whole = proposed(summary({"cutoff": math.pi}), scale).recipe
    assert whole.resize_range2[0] == 1


def test_only_a_cutoff_sharper_than_blur_is_a_filter() -> None:
    blurred = {"blur": 1.0, "cutoff": 1.5}
    assert summary(blurred, {"blur": 0.4, "cutoff": 1.5}).filtered == 0.5
    assert summary({"blur": None}, {"cutoff": None}).filtered is None


@pytest.mark.parametrize("found", [summary({}), summary({}, {"noise": None, "blur": None, "cutoff": None})])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_text_is_the_recipe_as_the_degrade_command_reads_it(tmp_path: Path, found: Summary, scale: int) -> None:
    proposal = proposed(found, scale)
    (tmp_path / "a.yml").write_text(proposal.text, encoding="utf-8")
    assert recipe_file.read(tmp_path / "a.yml") == (proposal.recipe, [])


def test_what_cannot_be_told_of_any_picture_stays_as_published() -> None:
    untold = {"noise": None, "blur": None, "cutoff": None}
    recipe = proposed(summary(*[untold] * 6)).recipe
    assert recipe.model_dump() | {"jpeg_range2": (30, 95), "jpeg_tables": "published"} == PUBLISHED.model_dump()


def world(noise_kept: float, blur_kept: float) -> Callable[..., Summary]:
    """A stand-in for trying a recipe: what it would measure if so much of each strength was left."""

    def tried(recipe: Recipe, progressed: Callable[[float], None], **others: Any) -> Summary:
        noise = [replace(NOISE, luma=noise_kept * end) for end in recipe.noise_range2]
        blur = [blur_kept * end for end in recipe.blur_sigma2]
        return summary(*({"noise": one, "blur": other} for one, other in zip(noise, blur, strict=True)))

    return tried


@pytest.mark.parametrize(("noise_kept", "blur_kept"), [(0.3, 0.5), (0.9, 1.5)])
def test_a_matched_recipe_measures_as_the_pictures(
    monkeypatch: pytest.MonkeyPatch, noise_kept: float, blur_kept: float
) -> None:
    monkeypatch.setattr(matching, "synthesise", world(noise_kept, blur_kept))
    wanted = summary(*({"noise": replace(NOISE, luma=luma), "blur": luma / 6} for luma in (4.0, 6.0, 8.0)))
    recipe = match(wanted, PUBLISHED, nothing, rounds=8)
    found = world(noise_kept, blur_kept)(recipe, nothing)
    assert sum(found.strengths) / 2 == pytest.approx(6, rel=0.1)
    assert sum(found.blurs) / 2 == pytest.approx(1, rel=0.1)
    ratios = [getattr(recipe, key)[1] / getattr(PUBLISHED, key)[1] for key in ("noise_range", "poisson_scale_range2")]
    assert ratios == pytest.approx([recipe.noise_range2[1] / PUBLISHED.noise_range2[1]] * 2)


def test_drawn_pictures_are_clean_and_sharp_and_always_the_same() -> None:
    pictures = [leaves.draw(number, 512) for number in range(2)]
    assert (pictures[0] != pictures[1]).any()
    leaves.draw.cache_clear()
    assert (leaves.draw(0, 512) == pictures[0]).all()
    measured = measure(pictures[0])
    assert measured.quality is None
    assert measured.noise is not None
    assert measured.noise.luma < 0.5
    assert measured.blur is not None
    assert measured.blur < 0.3


def test_more_noise_and_blur_in_a_recipe_measure_as_more() -> None:
    quiet = {"jpeg_range": (100, 100), "jpeg_range2": (100, 100), "gray_noise_prob": 1, "gray_noise_prob2": 1}
    weak = Recipe(**quiet, noise_range=(1, 2), noise_range2=(1, 2), blur_sigma=(0.2, 0.5), blur_sigma2=(0.2, 0.3))
    strong = Recipe(**quiet, noise_range=(30, 30), noise_range2=(30, 30), blur_sigma=(3, 4), blur_sigma2=(1.5, 2))
    low, high = (synthesise(recipe, nothing, pictures=6) for recipe in (weak, strong))
    assert sum(high.strengths) > 2 * sum(low.strengths)
    assert sum(high.blurs) > 1.5 * sum(low.blurs)


def test_trying_recipes_can_be_cancelled() -> None:
    def stop(share: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        propose(summary({}), 4, stop)
