"""Recipes without a file: a short fine-tune of a released model, and changes that commands make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..degradation.recipe import PUBLISHED, Recipe
from ..errors import UsageError
from ..families import name_of
from ..families.family import NetworkSpec
from ..model_zoo import find_model
from ..strict_yaml import Document
from .recipe import PUBLISHED_CROP_PAD_SIZE, TrainingRecipe
from .recipe_checks import least_crop
from .recipe_file import build
from .start_files import DISCRIMINATORS

# Below this much work for a pixel of the input a network is small: degrading a crop then costs as much as learning from
# it. The small ones take 0.6 and 1.2 million multiply-adds, the large ones 4 million and more.
SMALL_MULTIPLY_ADDS = 2e6

# By how much the crop that is degraded is then larger than what is learned from, in pixels; published are 144. A kernel
# reaches 10 pixels at each border, where a border is half of this away on average.
SMALL_MARGIN = 64

# That of stage 2, which starts from trained weights as well.
LEARNING_RATE = 1e-4
# The average looks back over about 1 / (1 - decay) iterations. Half an hour on a CPU may have a few hundred, in which
# the published 0.999 would still be mostly the start.
EMA_DECAY_CPU, EMA_DECAY_GPU = 0.99, 0.999
# A discriminator from nothing judges at random; in so many iterations it learns alone.
ITERATIONS_FOR_NEW_DISCRIMINATOR = 1000
MOST_ITERATIONS = 100_000  # a day on a GPU; time ends a short fine-tune before


def default_recipe(
    model_name: str,
    pictures: Path,
    output: Path | None = None,
    *,
    low_quality: Path | None = None,
    start: str | None = None,
    degradation: Recipe = PUBLISHED,
    gpu: bool = False,
    gan: bool = False,
    iterations: int = MOST_ITERATIONS,
    seed: int = 0,
) -> TrainingRecipe:
    """A short fine-tune of a released model on a folder of pictures.

    By default the model learns by L1 alone, as in stage 1, which cannot go far wrong in half an hour. It needs no
    weights but the model's, and no adversary, which a short run leaves half-trained: that is where most reports of
    colour shifts and collapse come from, and of the small networks no discriminator was released at all. Its price is
    texture: the longer it runs, the softer the results of a model that was trained with one. `gan` takes stage 2
    instead, with the released discriminator where there is one. It is for a GPU and for hours.

    Crops and batches are sized for two cores, or with `gpu`, by estimate, for 8 GB of its memory. On a CPU, less than
    the published crop is degraded for a small network, unless `gan` makes learning cost many times as much.

    Args:
        model_name: a model of the zoo. Of a pair to blend, the first file is tuned.
        pictures: the folder of sharp pictures.
        output: the folder of results; None is experiments/NAME.
        low_quality: the same pictures degraded, under the same names; None degrades them on the fly.
        start: weights to start from instead of the released ones, of the same network.
        degradation: what happens to pictures on the fly; its scale is the model's.
        iterations: at most so many.

    Raises:
        UsageError: there is no such model.
    """
    model = find_model(model_name)
    small = model.network.multiply_adds < SMALL_MULTIPLY_ADDS
    frequency = 1000 if gpu else 250 if small else 50
    size = 256 if gpu or small else 128
    crop: dict[str, Any] = {"gt_size": size}
    train_set: dict[str, Any] = {
        "type": "RealESRGANDataset" if low_quality is None else "RealESRGANPairedDataset",
        "dataroot_gt": pictures,
        "num_worker_per_gpu": 8 if gpu else 2,
        "batch_size_per_gpu": (16 if small else 4) if gpu else 4,
    }
    if low_quality is not None:
        train_set |= {"dataroot_lq": low_quality, **crop}
        crop = {}
    else:
        wanted = size + SMALL_MARGIN if small and not gpu and not gan else PUBLISHED_CROP_PAD_SIZE
        train_set["crop_pad_size"] = max(wanted, least_crop(degradation, model.scale))
    keys = degradation.model_dump(exclude_defaults=True, exclude={"scale", "sharpen"}) if low_quality is None else {}
    content: dict[str, Any] = {
        "name": f"finetune_{model.name}",
        "model_type": "RealESRNetModel",
        "scale": model.scale,
        "manual_seed": seed,
        **crop,
        "gt_usm": degradation.sharpen and low_quality is None,
        **keys,
        "datasets": {"train": train_set},
        "network_g": network_options(model.network),
        "path": {"pretrain_network_g": start or model.weights.name, "experiments_root": output},
        "train": {
            "ema_decay": EMA_DECAY_GPU if gpu else EMA_DECAY_CPU,
            "optim_g": {"lr": LEARNING_RATE},
            "total_iter": iterations,
            "pixel_opt": {"type": "L1Loss"},
        },
        "val": {"val_freq": frequency},
        "logger": {"print_freq": 100 if gpu else 10, "save_checkpoint_freq": frequency, "use_tb_logger": False},
    }
    if gan:
        _add_adversary(content, model.name, iterations)
    return build(Document("default recipe", content))[0]


def _add_adversary(content: dict[str, Any], model_name: str, iterations: int) -> None:
    content |= {"model_type": "RealESRGANModel", "network_d": {"type": "UNetDiscriminatorSN"}}
    content["train"] |= {
        "optim_d": {"lr": LEARNING_RATE},
        "perceptual_opt": {"type": "PerceptualLoss"},
        "gan_opt": {"type": "GANLoss"},
    }
    if model_name in DISCRIMINATORS:
        content["path"]["pretrain_network_d"] = DISCRIMINATORS[model_name].name
    else:
        content["train"]["net_d_init_iters"] = min(ITERATIONS_FOR_NEW_DISCRIMINATOR, iterations // 10)


def network_options(spec: NetworkSpec) -> Mapping[str, Any]:
    """The section `network_g` of a network: what is not as by default, since recipes have no word for all of it."""
    numbers = {field.name: (getattr(spec, field.name), field.default) for field in fields(spec)}  # type: ignore[arg-type]
    return {"type": name_of(spec), **{name: value for name, (value, default) in numbers.items() if value != default}}


def idle(model_name: str, degradation: Recipe, *, paired: bool) -> list[str]:
    """A line for each thing that was asked of the degradation and has no effect on a fine-tune of that model.

    Raises:
        UsageError: there is no such model.
    """
    given, scale = degradation.model_fields_set, find_model(model_name).scale
    if paired:
        said = "`recipe` and `set` have no effect beside `low_quality`, whose pictures are degraded already"
        return [said] if given else []
    if "scale" in given and degradation.scale != scale:
        return [f"scale {degradation.scale} has no effect: {model_name} enlarges {scale} times"]
    return []


def without_perceptual(recipe: TrainingRecipe) -> TrainingRecipe:
    """The same without the perceptual loss, for machines that cannot get VGG19's weights.

    Raises:
        UsageError: nothing would be left to learn from.
    """
    if recipe.train.pixel_opt is None:
        raise UsageError("`no_perceptual` leaves nothing to learn from: the recipe has no pixel_opt")
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"perceptual_opt": None})})
