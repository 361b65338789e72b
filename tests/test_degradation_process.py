"""A degradation is what its steps say, whoever computes it: alone or in a batch, with one thread or several."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tiny import picture
from torch import Tensor

from benchmarks import degradation_textbook as textbook
from benchmarks.degradations import given_gaussian, given_poisson
from realesrgan.degradation.crops import degrade_crops, draw_corner
from realesrgan.degradation.draw import draw, draw_batch
from realesrgan.degradation.filters import sharpen
from realesrgan.degradation.pixels import cut_to_multiple, from_pixels, to_colour, to_pixels
from realesrgan.degradation.process import apply, run, stages
from realesrgan.degradation.recipe import PUBLISHED, Recipe
from realesrgan.degradation.steps import (
    BellKernel,
    Blur,
    Degradation,
    Jpeg,
    Noise,
    PulseKernel,
    RealFile,
    RealVideo,
    Resize,
    Sharpen,
    SincKernel,
    Step,
)

CPU = torch.device("cpu")


def pictures(count: int, height: int = 48, width: int = 56) -> Tensor:
    return torch.cat([from_pixels(picture(height, width, seed=seed), CPU) for seed in range(count)])


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one(*steps: Step, scale: int = 1) -> Degradation:
    return Degradation(seed=0, number=0, scale=scale, steps=steps)


@pytest.mark.parametrize("orders", [1, 2])
def test_steps_equal_the_textbook_given_the_same_noise(orders: int) -> None:
    recipe = Recipe(orders=orders)
    (sample,) = pictures(1, 120, 136).split(1)
    for number in range(25):
        degradation = draw(0, number, recipe)
        # The textbook needs more pixels than the radius of a kernel.
        expected = textbook.degrade(sample, degradation.model_dump(exclude_none=True), given_gaussian, given_poisson)
        found = apply(sample, [degradation])
        assert found.shape == expected.shape == (1, 3, 30, 34)
        # Rounding at the end, and within JPEG, may turn a difference of 1e-6 into a step.
        assert ((found - expected).abs() > 1e-4).float().mean() < 0.02, degradation


def test_pictures_alone_get_the_bytes_they_get_in_a_batch() -> None:
    for recipe in (PUBLISHED, Recipe(queue_size=180)):
        degradations = draw_batch(0, range(10), 0, recipe)
        whole = apply(pictures(10), degradations)
        for number in (0, 7):
            assert torch.equal(apply(pictures(10)[number : number + 1], [degradations[number]])[0], whole[number])


SINC = SincKernel(size=21, cutoff=1.2)
WIDE = BellKernel(kind="iso", size=31, sigma_x=6, sigma_y=6)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Resize(mode="bilinear", factor=0.5, of="final"), Resize(mode="bilinear", factor=0.7, of="final")),
        (Resize(mode="bilinear", factor=0.5, of="final"), Resize(mode="bilinear", factor=0.5, of="current")),
        (Resize(mode="bilinear", factor=0.5, of="final"), Resize(mode="area", factor=0.5, of="final")),
        (Jpeg(quality=20, tables="published"), Jpeg(quality=20, tables="standard")),
        (
            Noise(kind="gaussian", strength=2, gray=True, field=(0, 0, "a")),
            Noise(kind="poisson", strength=2, gray=True, field=(0, 0, "a")),
        ),
        (Blur(kernel=SINC), Blur(kernel=WIDE)),
        (RealFile(format="jpg", quality=20), RealFile(format="webp", quality=20)),
    ],
    ids=lambda step: step.step,
)
def test_pictures_that_differ_in_a_single_step_are_degraded_each_by_its_own(first: Step, second: Step) -> None:
    end = Resize(mode="area", factor=1, of="final")
    degradations = [one(first, end, scale=2), one(second, end, scale=2)]
    sample = pictures(1)
    together = apply(sample.expand(2, -1, -1, -1), degradations)
    for result, degradation in zip(together, degradations, strict=True):
        assert torch.equal(result, apply(sample, [degradation])[0])
    assert not torch.equal(together[0], together[1])


def test_ringing_beyond_black_and_white_is_cut_off() -> None:
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 16:] = 1
    ringing = run(edge, [one(Blur(kernel=SINC))])
    assert ringing.min() < -0.02
    assert ringing.max() > 1.02
    result = apply(edge, [one(Blur(kernel=SINC))])
    assert (result.min(), result.max()) == (0, 1)


def test_no_picture_is_resized_to_nothing() -> None:
    for of in ("current", "final"):
        step = Resize(mode="bilinear", factor=0.15, of=of)  # type: ignore[arg-type]
        assert run(pictures(1, 4, 5), [one(step)]).shape == (1, 3, 1, 1)


def test_the_number_of_threads_changes_no_bit() -> None:
    sample = pictures(1, 200, 184)
    for number in range(12):
        degradation = draw(1, number, PUBLISHED)
        results = []
        for count in (1, 2, 3):
            with threads(count):
                results.append(run(sample, [degradation]))
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])


def test_the_global_random_state_is_neither_read_nor_touched() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # type: ignore[index,union-attr]
    degradations = draw_batch(0, range(6), 0, PUBLISHED)
    first = apply(pictures(6), degradations)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]  # type: ignore[index,union-attr]
    assert torch.equal(torch.get_rng_state(), before[2])
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(apply(pictures(6), degradations), first)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (9, 200), (47, 53), (101, 64)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_pictures_of_any_size_become_scale_times_smaller_in_levels_of_255(size: tuple[int, int], scale: int) -> None:
    sample = pictures(1, *size)
    for number in range(4):
        result = apply(sample, [draw(2, number, Recipe(scale=scale))])
        assert result.shape == (1, 3, size[0] // scale, size[1] // scale)
        levels = result * 255
        assert torch.equal(levels.round() / 255, result)
        assert 0 <= levels.min() <= levels.max() <= 255


def test_each_step_is_shown_and_the_last_is_the_result() -> None:
    degradation = draw(0, 1, PUBLISHED)
    shown = list(stages(pictures(1), [degradation]))
    assert tuple(step for step, _ in shown) == degradation.steps
    assert torch.equal(run(pictures(1), [degradation]), shown[-1][1])
    changed = [not torch.equal(a, b) for (_, a), (_, b) in zip(shown, shown[1:], strict=False)]
    assert all(changed)


def test_resizing_relative_to_the_final_size_starts_from_the_original_size() -> None:
    steps = (
        Resize(mode="bilinear", factor=0.3, of="current"),
        Resize(mode="bilinear", factor=0.5, of="final"),
        Resize(mode="bilinear", factor=1.5, of="current"),
    )
    shapes = [tuple(after.shape[2:]) for _, after in stages(pictures(1, 50, 70), [one(*steps, scale=2)])]
    assert shapes == [(15, 21), (12, 17), (18, 25)]


def test_a_pulse_and_resizing_to_the_same_size_change_nothing() -> None:
    sample = pictures(2)
    steps = (Blur(kernel=PulseKernel()), Resize(mode="bilinear", factor=1, of="final"))
    assert torch.allclose(run(sample, [one(*steps)] * 2), sample, atol=1e-6)


def test_gray_noise_is_the_same_in_all_colours_and_shared_only_if_its_field_is() -> None:
    flat = torch.full((3, 3, 40, 40), 0.5)
    for kind in ("gaussian", "poisson"):
        fields: Sequence[tuple[int, int, str]] = [(0, 1, "a"), (0, 1, "a"), (0, 2, "a")]
        noises = [one(Noise(kind=kind, strength=2, gray=True, field=field)) for field in fields]  # type: ignore[arg-type]
        result = run(flat, noises) - flat
        assert torch.equal(result[:, 0], result[:, 1])
        assert torch.equal(result[:, 0], result[:, 2])
        assert torch.equal(result[0], result[1])
        assert not torch.equal(result[0], result[2])
        coloured = run(flat, [one(Noise(kind=kind, strength=2, gray=False, field=(0, 1, "a")))] * 3)  # type: ignore[arg-type]
        assert not torch.equal(coloured[:, 0], coloured[:, 1])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        *((RealFile(format=name, quality=95), RealFile(format=name, quality=10)) for name in ("jpg", "webp", "avif")),
        *((RealVideo(codec=name, crf=10), RealVideo(codec=name, crf=45)) for name in ("h264", "hevc")),
    ],
    ids=lambda step: f"{step.model_dump()}",
)
def test_real_files_and_videos_keep_the_picture_better_the_better_they_are(good: Step, bad: Step) -> None:
    for size in ((64, 80), (37, 21), (1, 5)):
        # Pale and smooth: strong colours lose much by their half resolution alone.
        sample = torch.nn.functional.interpolate(pictures(1, 6, 7), size, mode="bilinear")
        sample = 0.9 * sample.mean(1, keepdim=True) + 0.1 * sample
        errors = [(run(sample, [one(step)]) - sample).square().mean().sqrt() * 255 for step in (good, bad)]
        assert errors[0] < 6
        assert errors[0] < errors[1] or size == (1, 5)
        assert torch.equal(run(sample, [one(bad)]), run(sample, [one(bad)]))


@pytest.mark.parametrize("scale", [2, 4])
def test_training_crops_belong_to_their_targets(scale: int) -> None:
    targets = pictures(4, 64, 64)
    shrink = one(Resize(mode="area", factor=1, of="final"), scale=scale)
    sharp_first = shrink.model_copy(update={"steps": (Sharpen(), *shrink.steps)})
    side = 32 // scale
    corners = [draw_corner(0, number, 64 // scale, 64 // scale, side) for number in range(4)]
    pairs = degrade_crops(targets, [shrink, sharp_first] * 2, corners, 32)
    assert pairs.low.shape == (4, 3, side, side)
    assert pairs.target.shape == pairs.sharpened.shape == (4, 3, 32, 32)
    mean = pairs.sharpened.unfold(2, scale, scale).unfold(3, scale, scale).mean((-1, -2))
    assert (mean - pairs.low).abs().max() <= 0.51 / 255
    # Sharpened whole and then cut: what lies around counts. Only where that is among the steps.
    whole_targets = torch.where(torch.arange(4)[:, None, None, None] % 2 == 1, sharpen(targets), targets)
    for sharp, whole, (row, column) in zip(pairs.sharpened, whole_targets, corners, strict=True):
        top, left = row * scale, column * scale
        assert torch.equal(sharp, whole[:, top : top + 32, left : left + 32])
    assert [torch.equal(*both) for both in zip(pairs.target, pairs.sharpened, strict=True)] == [True, False] * 2


def test_crops_are_degraded_from_the_sharpened_target_as_the_whole_is() -> None:
    targets = pictures(3, 64, 64)
    for recipe in (PUBLISHED, Recipe(queue_size=180), Recipe(sharpen=False)):
        degradations = draw_batch(0, range(3), 0, recipe)
        pairs = degrade_crops(targets, degradations, [(2, 3)] * 3, 32)
        assert torch.equal(pairs.low, apply(targets, degradations)[:, :, 2:10, 3:11])
        assert torch.equal(pairs.target, targets[:, :, 8:40, 12:44])


def test_corners_reach_every_place_and_no_further() -> None:
    corners = [draw_corner(0, number, 10, 12, 8) for number in range(300)]
    assert {top for top, _ in corners} == set(range(3))
    assert {left for _, left in corners} == set(range(5))


def test_pixels_come_back_as_they_were() -> None:
    for channels in (1, 3, 4):
        pixels = picture(5, 6, channels)
        assert np.array_equal(to_pixels(from_pixels(pixels, CPU)), to_colour(pixels))
    deep = picture(5, 6, 3, np.uint16)
    assert np.array_equal(to_pixels(from_pixels(deep, CPU)), np.rint(deep / 257).astype(np.uint8))
    assert cut_to_multiple(picture(11, 13), 4).shape == (8, 12, 3)


def test_jpeg_steps_use_the_quality_of_each_picture() -> None:
    sample = pictures(1).expand(2, -1, -1, -1)
    first, second = run(sample, [one(Jpeg(quality=10)), one(Jpeg(quality=90))])
    assert (first - sample[0]).abs().mean() > 2 * (second - sample[0]).abs().mean()


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (torch.zeros(0, 3, 8, 8), 0),
        (torch.zeros(3, 8, 8), 1),
        (torch.zeros(1, 1, 8, 8), 1),
        (torch.zeros(1, 4, 8, 8), 1),
        (torch.zeros(1, 3, 0, 8), 1),
        (torch.zeros(1, 3, 8, 8).half(), 1),
        (torch.zeros(1, 3, 8, 8).byte(), 1),
        (torch.zeros(2, 3, 8, 8), 1),
        (torch.zeros(1, 3, 8, 8), 2),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused_with_the_reason(given: Tensor, count: int) -> None:
    degradations = [one(Noise(kind="gaussian", strength=1, gray=False, field=(0, 0, "")))] * count
    with pytest.raises(ValueError, match="^(pictures|each picture)"):
        apply(given, degradations)


def test_gradients_and_the_layout_in_memory_change_nothing() -> None:
    plain = pictures(1)
    for number in range(4):
        degradation = [draw(0, number, PUBLISHED)]
        expected = apply(plain, degradation)
        turned = plain.transpose(2, 3).contiguous().transpose(2, 3)
        for other in (plain.clone().requires_grad_(), turned, plain.to(memory_format=torch.channels_last)):
            assert torch.equal(apply(other, degradation), expected)
        assert torch.equal(plain, pictures(1))


@pytest.mark.skipif(sys.platform != "linux", reason="no such variable")
def test_no_byte_of_a_video_depends_on_what_memory_held_before() -> None:
    code = (
        "import hashlib, torch; from realesrgan.degradation.real import through_video; "
        "noise = torch.rand((1, 3, 160, 320), generator=torch.Generator().manual_seed(0)); "
        "print(hashlib.sha256(through_video(noise, 'h264', 30).numpy().tobytes()).hexdigest())"
    )
    results = set()
    for filled_with in ("1", "255"):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_PERTURB_": filled_with}
        results.add(
            subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout
        )
    assert len(results) == 1
