"""From the sections `datasets` of a recipe to samples to learn from and pictures to measure on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..arrays import Array
from ..errors import ImageFileError
from ..restorer import Reporter
from . import held_out, pictures
from .cache import PictureCache
from .datasets import OnTheFly, Paired, Turns
from .held_out import HeldOut, Measure
from .pictures import PictureFile, PicturePairs, Pictures
from .recipe import Metric, TrainingRecipe
from .recipe_checks import crop_multiple

HELD_OUT_EVERY, MOST_HELD_OUT, FEWEST_TO_SPARE = 8, 8, 4  # pictures
Found = Pictures | PicturePairs


def find(recipe: TrainingRecipe, reporter: Reporter) -> Found:
    """The pictures of `datasets.train`; what cannot be read is warned of and left out.

    Raises:
        UsageError: a folder or list is missing, or there is nothing in it.
    """
    train = recipe.datasets.train
    if not recipe.paired:
        if train.meta_info is None:
            return pictures.in_folders([str(train.dataroot_gt)], reporter)
        return pictures.in_list(train.meta_info, train.dataroot_gt, reporter)
    assert train.dataroot_lq is not None
    scale, size = recipe.scale, recipe.gt_size
    if train.meta_info is None:
        folders = (str(train.dataroot_gt), str(train.dataroot_lq))
        template = train.filename_tmpl
        return pictures.pairs_in_folders(*folders, reporter, scale=scale, size=size, template=template)
    roots = (train.dataroot_gt, train.dataroot_lq)
    return pictures.pairs_in_list(train.meta_info, *roots, reporter, scale=scale, size=size)


def fitted_to_pairs(recipe: TrainingRecipe) -> tuple[TrainingRecipe, list[str]]:
    """The same with a `gt_size` that the smallest pair has, and a line that says so if it is less than before.

    Pairs too small to be measured on do not count: they are left out, as `find` says when training begins.

    Raises:
        UsageError: a folder is missing, or no pair in it is large enough.
    """
    multiple = crop_multiple(recipe)
    least = -(-held_out.least_side(recipe.scale) // multiple) * multiple
    found = find(recipe.paired_crops_of(least), Reporter())
    assert isinstance(found, PicturePairs)
    smallest = min(found.originals.files, key=lambda file: min(file.width, file.height))
    side = min(smallest.width, smallest.height)
    if side >= recipe.gt_size:
        return recipe, []
    size = side // multiple * multiple
    why = f"{smallest.path} is {smallest.width}×{smallest.height}"
    return recipe.paired_crops_of(size), [f"crops have {size} pixels a side, not {recipe.gt_size}: {why}"]


def files_of(found: Found) -> tuple[PictureFile, ...]:
    """All files, originals first."""
    return found.files if isinstance(found, Pictures) else (*found.originals.files, *found.copies.files)


def samples(
    recipe: TrainingRecipe, found: Found, *, global_batch: int, cache: PictureCache | None = None
) -> OnTheFly | Paired:
    """Samples by number."""
    train = recipe.datasets.train
    turns = Turns(train.use_hflip, train.use_rot)
    seed, size = recipe.manual_seed, recipe.gt_size
    if isinstance(found, Pictures):
        return OnTheFly(
            found,
            recipe.degradation,
            seed=seed,
            size=size,
            global_batch=global_batch,
            turns=turns,
            crop=train.crop_pad_size,
            cache=cache,
        )
    repeated = recipe.degradation.repeated_seeds
    return Paired(found, seed=seed, size=size, turns=turns, sharpen=recipe.gt_usm, repeated_seeds=repeated, cache=cache)


def find_held_out(recipe: TrainingRecipe, reporter: Reporter) -> HeldOut | None:
    """The pictures of `datasets.val`, degraded if need be; None if the recipe has none.

    Raises:
        UsageError: a folder or list is missing, or nothing in it can be measured.
    """
    section = recipe.datasets.val
    if section is None:
        return None
    if section.dataroot_lq is None:
        if section.meta_info is None:
            found = pictures.in_folders([str(section.dataroot_gt)], reporter, option="dataroot_gt")
        else:
            found = pictures.in_list(section.meta_info, section.dataroot_gt, reporter)
        return _held_out_of(recipe, found, reporter)
    folders = (str(section.dataroot_gt), str(section.dataroot_lq))
    pairs = pictures.pairs_in_folders(
        *folders, reporter, scale=recipe.scale, size=recipe.scale, template=section.filename_tmpl
    )
    return _held_out_of(recipe, pairs, reporter)


def hold_out(recipe: TrainingRecipe, found: Found, reporter: Reporter) -> tuple[Found, HeldOut]:
    """Take every eighth picture that is large enough, at most eight, out of those to learn from, to measure on.

    Of fewer than four pictures none can be spared: then all are measured on, and that is warned of.

    Raises:
        UsageError: none of the pictures taken can be read and is large enough.
    """
    originals = (found if isinstance(found, Pictures) else found.originals).files
    count = len(originals)
    if count < FEWEST_TO_SPARE:
        of = "the only picture cannot" if count == 1 else f"of {count} pictures none can"
        reporter.warn(f"{of} be held out: progress is measured on what is learned from")
        taken = list(range(count))
        rest = taken
    else:
        least = held_out.least_side(recipe.scale)
        large = [index for index, file in enumerate(originals) if min(file.width, file.height) >= least]
        taken = large[:: max(HELD_OUT_EVERY, -(-len(large) // MOST_HELD_OUT))]
        rest = [index for index in range(count) if index not in set(taken)]
    measured = _held_out_of(recipe, _some(found, taken), reporter)
    return _some(found, rest), measured


def _some(found: Found, indices: Sequence[int]) -> Found:
    if isinstance(found, Pictures):
        return Pictures(tuple(found.files[index] for index in indices))
    sides = (found.originals, found.copies)
    originals, copies = (Pictures(tuple(side.files[index] for index in indices)) for side in sides)
    return PicturePairs(originals, copies, found.scale)


def _held_out_of(recipe: TrainingRecipe, found: Found, reporter: Reporter) -> HeldOut:
    psnr, ssim = (_measure(recipe.val.metric(kind)) for kind in ("calculate_psnr", "calculate_ssim"))
    return _samples_held_out(recipe, found, reporter).measured_by(psnr, ssim)


def _measure(metric: Metric | None) -> Measure:
    return Measure() if metric is None else Measure(metric.crop_border, metric.test_y_channel)


def _samples_held_out(recipe: TrainingRecipe, found: Found, reporter: Reporter) -> HeldOut:
    if isinstance(found, PicturePairs):
        return held_out.paired(_decoded(found, reporter), recipe.scale, reporter=reporter)
    sharpened = recipe.stage == 1 and recipe.gt_usm and recipe.degradation.sharpen
    named = held_out.read((file.path for file in found.files), reporter)
    return held_out.degraded(
        named,
        recipe.degradation,
        seed=recipe.manual_seed,
        fewest=held_out.FEWEST_SAMPLES,
        sharpened=sharpened,
        reporter=reporter,
    )


def _decoded(pairs: PicturePairs, reporter: Reporter) -> Iterator[tuple[str, Array, Array]]:
    for original, copy in zip(pairs.originals.files, pairs.copies.files, strict=True):
        reporter.check()
        try:
            yield original.path.name, pictures.decode(copy), pictures.decode(original)
        except ImageFileError as error:
            reporter.failed(original.path, str(error))
