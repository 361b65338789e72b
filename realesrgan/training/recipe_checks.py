"""What does not go together in a training recipe, and which keys have no effect. Reads no files."""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from ..degradation.kernels import LARGEST_SIZE
from ..degradation.recipe import Recipe
from ..degradation.recipe_file import TRAIN_SET, WITHOUT_EFFECT
from ..strict_keys import KeyPath, dotted
from ..strict_yaml import Fault
from .recipe import TrainingRecipe

DISCRIMINATOR_MULTIPLE = 8  # the discriminator halves its input three times
LEAST_BLURRED = LARGEST_SIZE // 2 + 1  # pixels a side
LEAST_FOR_VGG19 = 16  # conv5_4 comes after four halvings

Idle = tuple[KeyPath, str]  # a key, and why it has no effect


def _fault(path: KeyPath, words: str, *about: KeyPath) -> Fault:
    return Fault(path, dotted(path), words, about)


def faults(recipe: TrainingRecipe) -> Iterator[Fault]:
    """What does not go together."""
    yield from _missing_of_a_stage(recipe)
    yield from _scale(recipe)
    yield from _crop(recipe)
    yield from _degraded_crop(recipe)
    yield from _pool(recipe)
    yield from _pictures(recipe)
    yield from _iterations(recipe)


def _missing_of_a_stage(recipe: TrainingRecipe) -> Iterator[Fault]:
    train = recipe.train
    if train.pixel_opt is None and train.perceptual_opt is None:
        yield _fault(("train", "pixel_opt"), "is missing, and perceptual_opt too: there is nothing to learn from")
    if recipe.stage == 2:
        wanted: dict[KeyPath, object] = {
            ("network_d",): recipe.network_d,
            ("train", "optim_d"): train.optim_d,
            ("train", "gan_opt"): train.gan_opt,
        }
        for path in [path for path, section in wanted.items() if section is None]:
            yield _fault(path, f"is missing; {recipe.model_type} trains with a discriminator", ("model_type",))


def _scale(recipe: TrainingRecipe) -> Iterator[Fault]:
    key = "upscale" if recipe.network_g.type == "SRVGGNetCompact" else "scale"
    if recipe.network_g.scale != recipe.scale:
        path: KeyPath = ("network_g", key)
        given = key in recipe.network_g.model_fields_set
        said = f"{recipe.network_g.scale}" if given else f"is {recipe.network_g.scale} unless given"
        yield _fault(path, f"{said}, but scale at the top is {recipe.scale}: both must be the same", ("scale",))


def _crop(recipe: TrainingRecipe) -> Iterator[Fault]:
    inside = recipe.paired and recipe.datasets.train.gt_size is not None
    path: KeyPath = (*TRAIN_SET, "gt_size") if inside else ("gt_size",)
    size = recipe.gt_size
    if refusing := [f"{name} takes multiples of {of}" for name, of in _takers(recipe).items() if size % of]:
        words = f"{size} will not do: {' and '.join(refusing)}"
        near = nearest_multiple(size, crop_multiple(recipe))
        yield _fault(path, f"{words}; the nearest is {near}", ("scale",), ("network_g",))
    if recipe.train.perceptual_opt is not None and size < LEAST_FOR_VGG19:
        yield _fault(path, f"{size} is too small for perceptual_opt, which takes {LEAST_FOR_VGG19} pixels and more")


def crop_multiple(recipe: TrainingRecipe) -> int:
    """What `gt_size` must be a multiple of."""
    return lcm(*_takers(recipe).values())


def _takers(recipe: TrainingRecipe) -> dict[str, int]:
    takers = {"the generator": recipe.scale * recipe.network_g.size_multiple}
    return takers | ({"the discriminator": DISCRIMINATOR_MULTIPLE} if recipe.stage == 2 else {})


def _degraded_crop(recipe: TrainingRecipe) -> Iterator[Fault]:
    """The first fault of what is degraded on the fly: `crop_pad_size`."""
    train, path = recipe.datasets.train, (*TRAIN_SET, "crop_pad_size")
    crop, size, scale = train.crop_pad_size, recipe.gt_size, recipe.scale
    given = "crop_pad_size" in train.model_fields_set
    least, (share, key) = least_crop(recipe.degradation, scale), _smallest_blurred(recipe.degradation, scale)
    if recipe.paired:
        return
    if size > crop and given:
        yield _fault(path, f"{crop} is less than gt_size, {size}, which is cut out of it", ("gt_size",))
    elif size > crop:
        words = f"{size} is more than the {crop} pixels that are degraded at a time; {dotted(path)} sets how many"
        yield _fault(("gt_size",), words, path)
    elif crop < least:
        words = f"{crop} is too small: {key} leaves {int(crop * share)} pixels a side to be blurred, and kernels of"
        words += f" {LARGEST_SIZE} pixels take {LEAST_BLURRED}; the smallest is {max(least, size)}"
        yield _fault(path, words, ("scale",))
    elif given and crop % scale:
        near = nearest_multiple(crop, scale)
        words = f"{crop} is no multiple of the scale, {scale}, so results would be shifted; the nearest is {near}"
        yield _fault(path, words, ("scale",))


def least_crop(degradation: Recipe, scale: int) -> int:
    """The smallest crop, a multiple of the scale, that is blurred with `LEAST_BLURRED` pixels a side or more.

    Kernels reach half their side over the border, into what is mirrored there. From a smaller picture they would reach
    over the border opposite, too.
    """
    share, _ = _smallest_blurred(degradation, scale)
    least = nearest_multiple(LEAST_BLURRED, scale)
    while int(least * share) < LEAST_BLURRED:
        least += scale
    return least


def _smallest_blurred(degradation: Recipe, scale: int) -> tuple[float, str]:
    """To what share of its side a crop may have shrunk when it is blurred, and by which key."""
    shares = [(1.0, "crop_pad_size")]
    if degradation.orders == 2 and degradation.second_blur_prob > 0 and degradation.resize_prob[1] > 0:
        shares.append((degradation.resize_range[0], "resize_range"))
    if degradation.orders == 2 and degradation.final_sinc_prob > 0:
        shares.append((1 / scale, "scale"))
    return min(shares)


def nearest_multiple(number: int, of: int) -> int:
    """The multiple of `of` nearest to `number`, the smaller of two, and none below `of`."""
    below = number // of * of
    return below if below and number - below <= of / 2 else below + of


def _pool(recipe: TrainingRecipe) -> Iterator[Fault]:
    size, batch = recipe.queue_size, recipe.datasets.train.batch_size_per_gpu
    if recipe.high_order_degradation and size % batch:
        yield Fault(
            ("queue_size",),
            "queue_size",
            f"{size} must be a multiple of batch_size_per_gpu, {batch}; the nearest is {nearest_multiple(size, batch)}",
            ((*TRAIN_SET, "batch_size_per_gpu"),),
        )


def _pictures(recipe: TrainingRecipe) -> Iterator[Fault]:
    train, kind = recipe.datasets.train, (*TRAIN_SET, "type")
    if recipe.paired and train.dataroot_lq is None:
        words = f"is missing; {train.type} takes the degraded pictures from it"
        yield _fault((*TRAIN_SET, "dataroot_lq"), words, kind)
    if not recipe.paired and train.dataroot_lq is not None:
        words = "pictures are degraded on the fly; for pairs that exist, type: RealESRGANPairedDataset"
        yield _fault((*TRAIN_SET, "dataroot_lq"), words, kind)
    if recipe.order_is_high is not None and recipe.order_is_high != recipe.high_order_degradation:
        words = f"must be {str(recipe.high_order_degradation).lower()} with {train.type}, or left out"
        yield _fault(("high_order_degradation",), words, kind)
    for name in [name for name in ("mean", "std") if getattr(train, name) is not None]:
        yield _fault((*TRAIN_SET, name), "pictures stay in the range 0 to 1 here; leave mean and std out")
    for name, part in (("train", train), ("val", recipe.datasets.val)):
        if part is not None and part.io_backend.type == "lmdb":
            words = "databases are not read: give a folder of pictures, and type: disk"
            yield _fault(("datasets", name, "io_backend", "type"), words)
    if recipe.degradation.sharpen != recipe.gt_usm:
        words = f"must be as gt_usm, which is {str(recipe.gt_usm).lower()}, or left out"
        yield Fault(("sharpen",), "sharpen", words, (("gt_usm",),))


def _iterations(recipe: TrainingRecipe) -> Iterator[Fault]:
    train = recipe.train
    if recipe.stage == 2 and train.net_d_init_iters >= train.total_iter:
        path: KeyPath = ("train", "net_d_init_iters")
        yield _fault(
            path, f"leaves none of the {train.total_iter} iterations to the generator", ("train", "total_iter")
        )


def idle(recipe: TrainingRecipe, given: set[KeyPath], degradation_keys: dict[str, KeyPath]) -> Iterator[Idle]:
    """Keys that are accepted as published and have no effect, of those that a file has.

    `given` has the paths of all keys of the file, `degradation_keys` where the degradation keys are.
    """
    for path, why in _always_idle(recipe):
        if path in given:
            yield path, why
    if recipe.paired:
        for key in degradation_keys.keys() & (Recipe.model_fields.keys() - {"scale", "sharpen"}):
            yield degradation_keys[key], "the pairs are degraded already"
    if recipe.stage == 1:
        for path in _OF_STAGE_2:
            if path in given:
                yield path, "stage 1 has no discriminator and one target"


_OF_STAGE_2: tuple[KeyPath, ...] = (
    ("l1_gt_usm",),
    ("percep_gt_usm",),
    ("gan_gt_usm",),
    ("network_d",),
    ("path", "pretrain_network_d"),
    ("train", "optim_d"),
    ("train", "gan_opt"),
    ("train", "net_d_iters"),
    ("train", "net_d_init_iters"),
)


def _always_idle(recipe: TrainingRecipe) -> Iterator[Idle]:
    for place in ((), TRAIN_SET):
        for key in WITHOUT_EFFECT:
            yield (*place, key), "kernels have 7 to 21 pixels a side"
    yield from _idle_of_the_train_set(recipe)
    if recipe.path.resume_state is None:
        yield ("path", "ignore_resume_networks"), "there is no resume_state"
    yield from _idle_of_validation(recipe)
    if recipe.logger.wandb.project is not None:
        yield ("logger", "wandb"), "metrics.jsonl and TensorBoard have the log"
    yield ("find_unused_parameters",), "networks are not wrapped"
    yield ("dist_params",), "how processes meet is the launcher's business"


def _idle_of_validation(recipe: TrainingRecipe) -> Iterator[Idle]:
    yield ("val", "suffix"), "it is for tests, as published"
    yield ("val", "pbar"), "a measurement has no bar"
    for name, metric in recipe.val.metrics.items():
        if metric is not recipe.val.metric(metric.type):
            yield ("val", "metrics", name), "of each kind, the first is measured"
        if metric.better == "lower":
            yield ("val", "metrics", name, "better"), "of PSNR and SSIM higher values are better"


def _idle_of_the_train_set(recipe: TrainingRecipe) -> Iterator[Idle]:
    train = recipe.datasets.train
    if recipe.high_order_degradation:
        why = f"{train.crop_pad_size} pixels are degraded; gt_size at the top is cut out of them"
        yield (*TRAIN_SET, "gt_size"), why
    else:
        yield (*TRAIN_SET, "crop_pad_size"), "the pairs are degraded already"
        if train.gt_size is not None:
            yield ("gt_size",), "that of datasets.train counts"
    yield (*TRAIN_SET, "use_shuffle"), "every epoch is shuffled"
    if train.dataset_enlarge_ratio != 1:
        yield (*TRAIN_SET, "dataset_enlarge_ratio"), "pictures are counted, not epochs"
    if train.prefetch_mode is not None:
        yield (*TRAIN_SET, "prefetch_mode"), _LOADER
    for key in ("num_prefetch_queue", "pin_memory", "persistent_workers"):
        yield (*TRAIN_SET, key), _LOADER


_LOADER = "the loader always prepares ahead"
