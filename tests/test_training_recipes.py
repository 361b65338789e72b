"""Every released model can be fine-tuned without a recipe file, and the recipe made for it can be written as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realesrgan.degradation.recipe import Recipe
from realesrgan.errors import UsageError
from realesrgan.model_zoo import MODELS
from realesrgan.training.recipe_file import read, to_yaml
from realesrgan.training.recipes import default_recipe, without_perceptual
from realesrgan.training.start_files import DISCRIMINATORS, published


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("gan", [False, True])
@pytest.mark.parametrize("gpu", [False, True])
def test_every_released_model_can_be_tuned_without_a_file(name: str, gan: bool, gpu: bool, tmp_path: Path) -> None:
    recipe = default_recipe(name, Path("pictures"), Path("out"), gan=gan, gpu=gpu)
    model = MODELS[name]
    assert type(model.network)(**recipe.network_g.model_dump(exclude={"type"})) == model.network
    assert published(recipe.path.pretrain_network_g or "") == model.weights
    assert recipe.stage == (2 if gan else 1)
    if gan and name in DISCRIMINATORS:
        assert published(recipe.path.pretrain_network_d or "") == DISCRIMINATORS[name]
    elif gan:
        assert recipe.train.net_d_init_iters > 0
    (tmp_path / "again.yml").write_text(to_yaml(recipe), encoding="utf-8")
    assert read(tmp_path / "again.yml") == (recipe, [])


def test_a_fine_tune_on_pairs_takes_them_as_they_are() -> None:
    recipe = default_recipe("RealESRGAN_x4plus", Path("sharp"), low_quality=Path("low"), start="mine.pth", seed=3)
    assert (recipe.paired, recipe.gt_usm, recipe.gt_size, recipe.manual_seed) == (True, False, 128, 3)
    assert recipe.datasets.train.dataroot_lq == Path("low")
    assert recipe.path.pretrain_network_g == "mine.pth"


def test_a_fine_tune_degrades_as_it_is_told() -> None:
    degradation = Recipe(jpeg_range=(5, 15), scale=2, sharpen=False)
    recipe = default_recipe("realesr-general-x4v3", Path("sharp"), degradation=degradation)
    assert recipe.degradation == degradation.model_copy(update={"scale": 4})


def test_on_a_cpu_less_is_degraded_for_networks_that_learn_as_fast() -> None:
    def crop(name: str, **how: Any) -> int:
        return default_recipe(name, Path("sharp"), **how).datasets.train.crop_pad_size

    assert crop("realesr-animevideov3") == 256 + 64
    assert crop("RealESRGAN_x4plus") == 400
    assert crop("realesr-animevideov3", gpu=True) == crop("realesr-animevideov3", gan=True) == 400


@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus"])
def test_a_fine_tune_degrades_as_much_as_the_smallest_picture_on_the_way_takes(name: str) -> None:
    recipe = default_recipe(name, Path("sharp"), degradation=Recipe(resize_range=(0.02, 1)))
    assert recipe.datasets.train.crop_pad_size == 552  # a fiftieth of it is 11 pixels


def test_without_the_perceptual_loss_something_must_be_left_to_learn_from() -> None:
    recipe = default_recipe("RealESRGAN_x4plus", Path("sharp"), gan=True)
    assert recipe.train.perceptual_opt is not None
    assert without_perceptual(recipe).train.perceptual_opt is None
    alone = recipe.model_copy(update={"train": recipe.train.model_copy(update={"pixel_opt": None})})
    with pytest.raises(UsageError, match="nothing to learn from"):
        without_perceptual(alone)
