"""Held-out pictures and what a network makes of them: the same each time, and measures that mean what they say."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import picture, tiny_srvgg
from torch import Tensor, nn

from realesrgan.arrays import Array
from realesrgan.degradation.recipe import Recipe
from realesrgan.errors import Cancelled, RealESRGANError, UsageError
from realesrgan.metrics.fidelity import psnr, ssim
from realesrgan.restorer import Reporter
from realesrgan.training import held_out
from realesrgan.training.held_out import HeldOut, Measure, Sample
from realesrgan.training.validation import HIGHEST_PSNR, bicubic, judge, keep, kept, measure, write_pictures

CPU = torch.device("cpu")
RECIPE = Recipe(scale=4)


class Heard(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.failures: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def failed(self, source: Path, reason: str) -> None:
        self.failures.append(reason)


class Nearest(nn.Module):
    """Enlarges by repeating pixels; in training mode it would add a half."""

    def forward(self, low: Tensor) -> Tensor:
        return nn.functional.interpolate(low, scale_factor=4, mode="nearest") + self.training / 2


def two() -> HeldOut:
    return held_out.degraded([("cat", picture(80, 100)), ("dog", picture(70, 64, seed=1))], RECIPE)


def same(one: HeldOut, other: HeldOut) -> bool:
    return one.fingerprint == other.fingerprint


def of(target: Array) -> HeldOut:
    """A picture whose degraded form does not matter."""
    return HeldOut((Sample("one", target[::4, ::4], target),), 4)


def test_the_same_pictures_are_degraded_in_the_same_way_each_time() -> None:
    assert same(two(), two())
    other = held_out.degraded([("cat", picture(80, 100)), ("dog", picture(70, 64, seed=1))], RECIPE, seed=1)
    assert not same(two(), other)


def test_sizes_are_multiples_of_what_networks_fold() -> None:
    for sample in two().samples:
        assert sample.target.shape == (*(4 * side for side in sample.low.shape[:2]), 3)
        assert [side % 4 for side in sample.low.shape[:2]] == [0, 0]
    assert [sample.target.shape[:2] for sample in two().samples] == [(80, 96), (64, 64)]


def test_a_large_picture_gives_its_middle() -> None:
    large = picture(300, 200)
    (sample,) = held_out.degraded([("large", large)], RECIPE, side=128).samples
    assert np.array_equal(sample.target, large[86:214, 36:164])


def test_gray_wide_and_transparent_pictures_become_colour_of_8_bits() -> None:
    wide = picture(64, 64, 4, np.uint16)
    gray = picture(64, 64, 1)
    made = held_out.degraded([("wide", wide), ("gray", gray)], RECIPE)
    assert [sample.target.shape for sample in made.samples] == [(64, 64, 3)] * 2
    assert [sample.target.dtype for sample in made.samples] == [np.uint8] * 2
    assert np.array_equal(made.samples[0].target, np.rint(wide[..., :3] / 257).astype(np.uint8))
    assert np.array_equal(made.samples[1].target, np.dstack([gray] * 3))


def test_few_pictures_are_degraded_in_several_ways_and_every_picture_comes_first() -> None:
    pictures = [("cat", picture(64, 64)), ("icon", picture(63, 64)), ("dog", picture(64, 64, seed=1))]
    made = held_out.degraded(pictures, RECIPE, fewest=3).samples
    assert [sample.name for sample in made] == ["cat, 1", "dog, 1", "cat, 2", "dog, 2"]
    assert np.array_equal(made[0].target, made[2].target)
    assert not np.array_equal(made[0].low, made[2].low)
    enough = held_out.degraded(pictures, RECIPE, fewest=2).samples
    assert [sample.name for sample in enough] == ["cat", "dog"]
    assert np.array_equal(enough[0].low, made[0].low)
    assert len(held_out.degraded(pictures, RECIPE, fewest=9, most=5).samples) == 5


def test_sharpened_targets_change_nothing_of_what_is_degraded() -> None:
    (plain,) = held_out.degraded([("cat", picture(80, 96))], RECIPE).samples
    (sharp,) = held_out.degraded([("cat", picture(80, 96))], RECIPE, sharpened=True).samples
    assert np.array_equal(plain.low, sharp.low)
    assert cv2.Laplacian(sharp.target, cv2.CV_64F).var() > cv2.Laplacian(plain.target, cv2.CV_64F).var()


def test_pictures_that_are_too_small_are_named_and_left_out() -> None:
    heard = Heard()
    made = held_out.degraded([("icon", picture(63, 90)), ("cat", picture(64, 64))], RECIPE, reporter=heard)
    assert [sample.name for sample in made.samples] == ["cat"]
    assert heard.warnings == ["icon: 90×63 is less than 64 pixels a side: it is not measured"]
    with pytest.raises(UsageError, match="one must be readable and have 64 pixels a side"):
        held_out.degraded([("icon", picture(63, 90))], RECIPE)


def test_no_more_pictures_are_read_than_are_needed() -> None:
    def pictures() -> object:
        yield "cat", picture(64, 64)
        raise AssertionError("a second one was asked for")

    assert len(held_out.degraded(pictures(), RECIPE, most=1).samples) == 1  # type: ignore[arg-type]


def test_pictures_of_one_name_are_told_apart() -> None:
    made = held_out.degraded([("cat", picture(64, 64)), ("cat", picture(64, 64, seed=1))], RECIPE)
    assert [sample.name for sample in made.samples] == ["cat", "cat #2"]
    assert len(bicubic(made).line.each) == 2


def test_given_pairs_are_cut_at_the_same_place() -> None:
    low = picture(50, 37)
    target = np.kron(low, np.ones((4, 4, 1), np.uint8))
    (sample,) = held_out.paired([("pair", low, target)], 4, side=100).samples
    assert sample.low.shape == (24, 24, 3)
    assert np.array_equal(sample.target, np.kron(sample.low, np.ones((4, 4, 1), np.uint8)))


def test_a_pair_of_sizes_that_do_not_belong_together_is_named() -> None:
    heard = Heard()
    pairs = [("wrong", picture(20, 20), picture(80, 84)), ("right", picture(20, 20), picture(80, 80))]
    assert [sample.name for sample in held_out.paired(pairs, 4, reporter=heard).samples] == ["right"]
    assert heard.warnings == ["wrong: 84×80 is not 4 times 20×20: it is not measured"]


def test_files_that_cannot_be_read_are_reported_and_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "cat.png"), picture(20, 30))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    heard = Heard()
    read = list(held_out.read([tmp_path / "broken.png", tmp_path / "cat.png"], heard))
    assert [(name, pixels.shape) for name, pixels in read] == [("cat.png", (20, 30, 3))]
    assert len(heard.failures) == 1


def test_a_measurement_is_psnr_and_ssim_of_what_the_network_makes() -> None:
    given = two()
    found = measure(Nearest().eval(), given, CPU, iteration=7)
    for sample, result, values in zip(given.samples, found.results, found.values, strict=True):
        assert np.array_equal(result, np.kron(sample.low, np.ones((4, 4, 1), np.uint8)))
        assert values.psnr == pytest.approx(psnr(result, sample.target, border=4), rel=1e-6)
        assert values.ssim == pytest.approx(ssim(result, sample.target, border=4), rel=1e-6)
    assert found.line.iteration == 7
    assert found.line.validation.psnr == pytest.approx(sum(one.psnr for one in found.values) / 2)
    assert list(found.line.each) == ["cat", "dog"]


def test_a_measure_is_taken_as_it_is_asked_for() -> None:
    given = two().measured_by(Measure(border=7, luma=True), Measure(border=0))
    found = measure(Nearest().eval(), given, CPU)
    for sample, result, values in zip(given.samples, found.results, found.values, strict=True):
        assert values.psnr == pytest.approx(psnr(result, sample.target, border=7, luma=True), rel=1e-6)
        assert values.ssim == pytest.approx(ssim(result, sample.target, border=0), rel=1e-6)
    assert same(given, two())
    with pytest.raises(UsageError, match="crop_border 27 leaves too little of dog, 64×64 pixels"):
        two().measured_by(Measure(border=27), Measure())


def test_measuring_leaves_the_network_and_chance_as_they_were() -> None:
    network = nn.Sequential(Nearest().train(), nn.Dropout().eval())
    state = torch.get_rng_state()
    measure(network, two(), CPU)
    assert [module.training for module in network.modules()] == [True, True, False]
    assert torch.equal(torch.get_rng_state(), state)
    weights = tiny_srvgg().requires_grad_(True)
    measure(weights, two(), CPU)
    assert all(parameter.grad is None for parameter in weights.parameters())
    assert all(parameter.requires_grad for parameter in weights.parameters())


def test_a_network_is_measured_as_it_will_be_used_and_not_as_it_trains() -> None:
    results = [measure(Nearest().train(mode), two(), CPU).results for mode in (True, False)]
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


def test_a_failure_leaves_the_mode_too() -> None:
    def stop() -> None:
        raise Cancelled

    network = Nearest().train()
    with pytest.raises(Cancelled):
        measure(network, two(), CPU, check=stop)
    assert network.training


def test_a_network_of_another_scale_is_not_measured() -> None:
    with pytest.raises(ValueError, match="one size"):
        measure(nn.Identity(), two(), CPU)


def test_a_network_that_gives_no_numbers_is_measured_as_black() -> None:
    class Broken(nn.Module):
        def forward(self, low: Tensor) -> Tensor:
            return torch.full((*low.shape[:2], 4 * low.shape[2], 4 * low.shape[3]), math.nan)

    assert measure(Broken(), two(), CPU).line.validation.contrast < 0.01


def test_bicubic_is_that_of_opencv() -> None:
    given = two()
    for sample, result in zip(given.samples, bicubic(given).results, strict=True):
        known = cv2.resize(sample.low.astype(np.float32), result.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        assert np.abs(np.clip(known, 0, 255) - result).max() < 0.51


def test_a_result_that_equals_its_target_has_the_best_values() -> None:
    target = picture(64, 64)
    (values,) = judge([target.copy()], of(target)).values
    assert (values.psnr, values.ssim, values.sharpness, values.contrast) == (HIGHEST_PSNR, 1, 1, 1)
    assert values.colour == (0, 0, 0)


def test_a_tint_is_measured_in_levels_of_red_green_and_blue() -> None:
    target = picture(64, 64) // 2 + 50
    (values,) = judge([target + np.array([3, 0, 9], np.uint8)], of(target)).values  # blue, green, red
    assert values.colour == (9, 0, 3)


def test_blur_lowers_sharpness_noise_raises_it_and_fading_lowers_contrast() -> None:
    target = picture(64, 64) // 2 + 60
    noise = np.random.default_rng(0).integers(-20, 20, target.shape)
    changed = [cv2.GaussianBlur(target, (0, 0), 2), (target + noise).astype(np.uint8), target // 4 + 100]
    blurred, noisy, faded = (judge([one], of(target)).values[0] for one in changed)
    assert blurred.sharpness < 0.2
    assert noisy.sharpness > 1.2
    assert faded.contrast == pytest.approx(0.25, abs=0.02)


def test_pictures_of_one_colour_are_equally_sharp() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert judge([flat + 1], of(flat)).values[0].sharpness == pytest.approx(1)


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["cat.png", "d.o.g.jpg"], ["cat/cat_7.png", "d.o.g/d.o.g_7.png"]),
        (["cat.png, 1", "cat.png, 2"], ["cat, 1/cat, 1_7.png", "cat, 2/cat, 2_7.png"]),
        (["cat.png #2", "cat.png"], ["cat #2/cat #2_7.png", "cat/cat_7.png"]),
        (["cat.png", "cat.jpg"], ["cat.png/cat.png_7.png", "cat.jpg/cat.jpg_7.png"]),
    ],
)
def test_results_are_written_under_names_of_their_own(tmp_path: Path, names: list[str], written: list[str]) -> None:
    samples = [replace(sample, name=name) for sample, name in zip(two().samples, names, strict=True)]
    found = measure(Nearest(), HeldOut(tuple(samples), 4), CPU, iteration=7)
    write_pictures(tmp_path, found)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
    for path, result in zip(written, found.results, strict=True):
        assert np.array_equal(cv2.imread(str(tmp_path / path)), result)


def test_what_is_kept_before_training_is_there_after_a_resume(tmp_path: Path) -> None:
    given = two()
    start = measure(Nearest(), given, CPU)
    keep(tmp_path / "new" / "start.npz", start, given)
    again = kept(tmp_path / "new" / "start.npz", two())
    assert again is not None
    assert again.values == start.values
    assert all(np.array_equal(one, other) for one, other in zip(again.results, start.results, strict=True))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["start.npz"]


def test_what_was_kept_of_other_pictures_or_is_damaged_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "start.npz"
    assert kept(path, two()) is None
    keep(path, bicubic(two()), two())
    assert kept(path, held_out.degraded([("cat", picture(80, 100))], RECIPE)) is None
    whole = path.read_bytes()
    for size in (0, 10, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert kept(path, two()) is None


def test_a_place_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RealESRGANError, match=r"start\.npz: cannot be written"):
        keep(tmp_path / "file" / "start.npz", bicubic(two()), two())
