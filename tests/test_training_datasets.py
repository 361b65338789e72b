"""A sample is a function of seed, number and pictures: cut where chance says, degraded as drawn, the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.degradation.filters import sharpen
from realesrgan.degradation.process import apply
from realesrgan.degradation.recipe import Recipe
from realesrgan.degradation.steps import Resize
from realesrgan.errors import UsageError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Reporter
from realesrgan.training import cache as cache_module
from realesrgan.training.cache import PictureCache
from realesrgan.training.datasets import OnTheFly, Paired, Sample, Turns, stack
from realesrgan.training.order import picture_of
from realesrgan.training.pictures import PicturePairs, Pictures, in_folders, pairs_in_folders

CROP, SIZE, SCALE = 48, 16, 4
BATCH = 4
AS_IT_IS = Turns(flip=False)


def made(folder: Path, *all_pixels: Array) -> Pictures:
    folder.mkdir(exist_ok=True)
    for index, pixels in enumerate(all_pixels):
        files.write(folder / f"{index}.png", Picture(pixels))
    return in_folders([str(folder)], Reporter())


def on_the_fly(pictures: Pictures, recipe: Recipe | None = None, **how: Any) -> OnTheFly:
    how = {"seed": 0, "size": SIZE, "global_batch": BATCH, "crop": CROP} | how
    return OnTheFly(pictures, recipe or Recipe(scale=SCALE), **how)


def coordinates(height: int, width: int) -> Array:
    """A picture whose pixels say where they are: row, column, 7."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([rows, columns, np.full_like(rows, 7)]).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    sizes = ((60, 80), (90, 50), (30, 70))
    return made(tmp_path / "gt", *(picture(*size, seed=index) for index, size in enumerate(sizes)))


def equal(a: Sample, b: Sample) -> bool:
    tensors = ((a.low, b.low), (a.target, b.target), (a.sharpened, b.sharpened))
    return a.number == b.number and all(torch.equal(*pair) for pair in tensors)


def test_a_sample_has_its_shapes_and_its_range(pictures: Pictures) -> None:
    sample = on_the_fly(pictures)[5]
    assert sample.low.shape == (3, SIZE // SCALE, SIZE // SCALE)
    assert sample.target.shape == sample.sharpened.shape == (3, SIZE, SIZE)
    for tensor in (sample.low, sample.target, sample.sharpened):
        assert tensor.dtype == torch.float32
        assert 0 <= tensor.min() < tensor.max() <= 1


def test_a_sample_is_the_same_whatever_was_asked_for_before(pictures: Pictures) -> None:
    first, second = on_the_fly(pictures), on_the_fly(pictures)
    samples = [first[number] for number in range(6)]
    assert all(equal(second[number], samples[number]) for number in reversed(range(6)))
    assert not any(torch.equal(samples[0].low, sample.low) for sample in samples[1:])
    assert not equal(on_the_fly(pictures, seed=1)[0], samples[0])


def test_a_sample_is_the_crop_degraded_as_drawn_and_cut(pictures: Pictures) -> None:
    samples = on_the_fly(pictures)
    for number in range(4):
        pixels, _ = samples.crop(number)
        whole = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
        degraded = apply(whole, [samples.degradation(number)])
        top, left = samples.corner(number)
        sample, side = samples[number], SIZE // SCALE
        assert torch.equal(sample.low, degraded[0, :, top : top + side, left : left + side])
        for tensor, source in ((sample.target, whole), (sample.sharpened, sharpen(whole))):
            corner = (slice(SCALE * top, SCALE * top + SIZE), slice(SCALE * left, SCALE * left + SIZE))
            assert torch.equal(tensor, source[(0, slice(None), *corner)])


def test_without_sharpening_the_sharpened_target_is_the_target(pictures: Pictures) -> None:
    sample = on_the_fly(pictures, Recipe(sharpen=False))[0]
    assert torch.equal(sample.sharpened, sample.target)


def test_crops_are_cut_from_everywhere_and_turned_every_way(tmp_path: Path) -> None:
    height, width, crop = 20, 24, 16
    samples = on_the_fly(made(tmp_path / "gt", coordinates(height, width)), crop=crop, turns=Turns(True, True))
    corners, ways = set(), []
    for number in range(300):
        rows, columns = (samples.crop(number)[0][..., channel].astype(int) for channel in (0, 1))
        exchanged = bool(rows[0, 0] == rows[1, 0])
        if exchanged:
            rows, columns = rows.T, columns.T
        assert np.array_equal(np.unique(np.diff(rows, axis=0)), [down := rows[1, 0] - rows[0, 0]])
        assert np.array_equal(np.unique(np.diff(columns, axis=1)), [right := columns[0, 1] - columns[0, 0]])
        corners.add((rows.min(), columns.min()))
        ways.append((exchanged, down < 0, right < 0))
    assert corners == {(top, left) for top in range(height - crop + 1) for left in range(width - crop + 1)}
    assert all(ways.count(way) > 15 for way in {(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)})


@pytest.mark.parametrize(("turns", "kinds"), [(Turns(), 2), (Turns(False, True), 4), (AS_IT_IS, 1)])
def test_pictures_are_turned_only_as_asked_for(tmp_path: Path, turns: Turns, kinds: int) -> None:
    samples = on_the_fly(made(tmp_path / "gt", coordinates(16, 16)), crop=16, turns=turns)
    assert len({samples.crop(number)[0].tobytes() for number in range(60)}) == kinds


def test_small_pictures_are_mirrored_to_the_right_and_below(tmp_path: Path) -> None:
    small = coordinates(10, 30)
    crop, _ = on_the_fly(made(tmp_path / "gt", small), turns=AS_IT_IS).crop(0)
    assert np.array_equal(crop, np.pad(small, ((0, CROP - 10), (0, CROP - 30), (0, 0)), mode="reflect"))


def test_a_picture_of_one_pixel_can_be_learned_from(tmp_path: Path) -> None:
    assert on_the_fly(made(tmp_path / "gt", np.full((1, 1, 3), 9, np.uint8)))[0].target.unique().numel() == 1


def test_sixteen_bits_are_learned_from_as_they_are(tmp_path: Path) -> None:
    deep = picture(60, 60, 3, np.uint16)
    target = on_the_fly(made(tmp_path / "deep", deep))[0].target
    assert set((target * 65535).round().int().unique().tolist()) <= set(np.unique(deep).tolist())
    rounded = on_the_fly(made(tmp_path / "flat", np.rint(deep / 257).astype(np.uint8)))[0].target
    assert (target - rounded).abs().max() < 0.51 / 255
    assert not torch.equal(target, rounded)


def test_the_same_picture_in_gray_or_with_transparency_gives_the_same_sample(tmp_path: Path) -> None:
    gray = picture(60, 60, 1)
    colour = np.dstack([gray] * 3)
    samples = [
        on_the_fly(made(tmp_path / name, pixels))[0]
        for name, pixels in (("gray", gray), ("colour", colour), ("alpha", np.dstack([colour, gray])))
    ]
    assert equal(samples[0], samples[1])
    assert equal(samples[0], samples[2])


def resizes(samples: OnTheFly, number: int) -> list[Any]:
    return [(step.mode, step.factor) for step in samples.degradation(number).steps if isinstance(step, Resize)]


def test_a_recipe_with_a_pool_draws_once_for_all_samples_of_an_iteration(pictures: Pictures) -> None:
    published, own = on_the_fly(pictures, Recipe(queue_size=8)), on_the_fly(pictures)
    for samples, draws in ((published, 1), (own, BATCH)):
        assert len({str(resizes(samples, number)) for number in range(BATCH)}) == draws
    assert len({published.corner(number) for number in range(BATCH)}) == 1
    assert len({published.corner(BATCH * iteration) for iteration in range(10)}) > 3
    assert len({own.corner(number) for number in range(10)}) > 3


def test_only_the_published_fault_repeats_cuts_and_kernels_every_epoch(tmp_path: Path) -> None:
    one = made(tmp_path / "gt", coordinates(100, 100))
    for repeated, number in ((True, 1), (False, 4)):
        samples = on_the_fly(one, Recipe(repeated_seeds=repeated))
        assert len({samples.crop(epoch)[0].tobytes() for epoch in range(4)}) == number
        assert len({samples.degradation(epoch).steps[1] for epoch in range(4)}) == number


def test_the_cache_changes_nothing(pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEPT_FREE_BYTES", 0)
    plain = on_the_fly(pictures)
    with PictureCache(pictures.files, tmp_path, 10**6, Reporter()) as cache:
        cached = on_the_fly(pictures, cache=cache)
        assert all(equal(cached[number], plain[number]) for number in range(9))
        for file in pictures.files:
            file.path.unlink()  # now from the cache alone
        again = on_the_fly(pictures, cache=cache)
        assert all(equal(again[number], cached[number]) for number in range(9))


def test_why_the_cache_is_not_used_is_said_with_the_samples(pictures: Pictures, tmp_path: Path) -> None:
    with PictureCache(pictures.files, tmp_path, 10**6, Reporter()) as cache:
        cache.note = "the disk is full"
        assert on_the_fly(pictures, cache=cache)[0].notes == ("the disk is full",)


def damage(pictures: Pictures, index: int) -> None:
    path = pictures.files[index].path
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_the_next_picture_of_the_order_takes_the_place_of_one_that_cannot_be_decoded(tmp_path: Path) -> None:
    pictures = made(tmp_path / "gt", *(np.full((20, 20, 3), 10 * index, np.uint8) for index in range(5)))
    whole = on_the_fly(pictures, turns=AS_IT_IS)
    before = [whole.crop(number)[0] for number in range(10)]
    damage(pictures, 3)
    damaged = on_the_fly(pictures, turns=AS_IT_IS)
    for number in range(10):
        pixels, notes = damaged.crop(number)
        if picture_of(0, number, 5) != 3:
            assert np.array_equal(pixels, before[number])
            assert notes == ()
        else:
            after = number + 1 if number % 5 < 4 else number - 4  # of the same epoch: after the last, the first
            assert pixels[0, 0, 0] == 10 * picture_of(0, after, 5)
            assert ["3.png: damaged" in line for line in notes] == [True]


def test_if_no_picture_can_be_decoded_that_is_said(pictures: Pictures) -> None:
    for index in range(3):
        damage(pictures, index)
    with pytest.raises(UsageError, match=r"dataroot_gt: none of the pictures can be decoded; .*damaged"):
        on_the_fly(pictures)[0]


@pytest.mark.parametrize(
    ("size", "message"), [(52, "more than the 48"), (18, "multiple of the scale"), (0, "multiple")]
)
def test_a_size_that_does_not_fit_is_refused(pictures: Pictures, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=f"gt_size {size}: .*{message}"):
        on_the_fly(pictures, size=size)


def made_pairs(folder: Path) -> PicturePairs:
    """Copies whose pixels say where they are and, modulo 8, of which picture; and originals four times as large."""
    for index, size in enumerate(((8, 11), (9, 8), (20, 30))):
        small = coordinates(*size)
        small[..., 2] = (7 * small[..., 0] + 11 * small[..., 1]) % 32  # something to sharpen
        small = small * 8 + index
        for name, pixels in (("lq", small), ("gt", np.kron(small, np.ones((SCALE, SCALE, 1), np.uint8)))):
            (folder / name).mkdir(exist_ok=True)
            files.write(folder / name / f"{index}.png", Picture(pixels))
    return pairs_in_folders(str(folder / "gt"), str(folder / "lq"), Reporter(), scale=SCALE, size=SIZE)


def test_both_sides_of_a_pair_are_cut_and_turned_alike(tmp_path: Path) -> None:
    samples = Paired(made_pairs(tmp_path), seed=0, size=SIZE, turns=Turns(True, True))
    seen = set()
    for number in range(60):
        sample = samples[number]
        assert sample.low.shape == (3, SIZE // SCALE, SIZE // SCALE)
        enlarged = sample.low.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)
        assert torch.equal(sample.target, enlarged)
        assert torch.equal(sample.sharpened, sharpen(sample.target[None])[0])
        assert not torch.equal(sample.sharpened, sample.target)
        seen.add(sample.low.numpy().tobytes())
    assert len(seen) > 50


def test_pairs_are_sharpened_only_where_wanted_and_repeated_only_where_asked_for(tmp_path: Path) -> None:
    pairs = made_pairs(tmp_path)
    plain = Paired(pairs, seed=0, size=SIZE, sharpen=False)
    assert torch.equal(plain[0].sharpened, plain[0].target)
    one = PicturePairs(Pictures(pairs.originals.files[2:]), Pictures(pairs.copies.files[2:]), SCALE)
    for repeated, number in ((True, 1), (False, 4)):
        samples = Paired(one, seed=0, size=SIZE, repeated_seeds=repeated)
        assert len({samples[epoch].low.numpy().tobytes() for epoch in range(4)}) == number


def test_a_pair_is_left_out_whole(tmp_path: Path) -> None:
    pairs = made_pairs(tmp_path)
    damage(pairs.copies, 1)
    samples = Paired(pairs, seed=0, size=SIZE)
    for number in range(6):
        sample = samples[number]
        index = picture_of(0, number, 3)
        for side in (sample.low, sample.target):
            (left,) = (side * 255).round().int().remainder(8).unique().tolist()
            assert left in (0, 2)
            assert left == index or index == 1
        assert ["1.png: damaged" in line for line in sample.notes] == [True] * (index == 1)


def test_the_cache_holds_both_sides_of_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEPT_FREE_BYTES", 0)
    pairs = made_pairs(tmp_path)
    plain = Paired(pairs, seed=0, size=SIZE)
    with PictureCache(pairs.originals.files + pairs.copies.files, tmp_path, 10**6, Reporter()) as cache:
        cached = Paired(pairs, seed=0, size=SIZE, cache=cache)
        expected = [plain[number] for number in range(6)]
        assert all(equal(cached[number], expected[number]) for number in range(6))
        for file in pairs.originals.files + pairs.copies.files:
            file.path.unlink()
        assert all(equal(cached[number], expected[number]) for number in range(6))


def test_a_batch_holds_its_samples_in_order(pictures: Pictures) -> None:
    samples = [on_the_fly(pictures)[number] for number in (4, 5, 6)]
    batch = stack(samples).to(torch.device("cpu"))
    assert batch.numbers == [4, 5, 6]
    assert all(torch.equal(batch.low[place], sample.low) for place, sample in enumerate(samples))
    assert all(torch.equal(batch.target[place], sample.target) for place, sample in enumerate(samples))
    assert all(torch.equal(batch.sharpened[place], sample.sharpened) for place, sample in enumerate(samples))
