"""A recipe is the published one unless a file says otherwise, and a file is read whole or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from realesrgan.degradation.draw import draw
from realesrgan.degradation.process import apply
from realesrgan.degradation.recipe import PUBLISHED, Recipe
from realesrgan.degradation.recipe_file import read
from realesrgan.errors import UsageError

# The degradation keys of the published recipes, in the two places where these have them.
ROOT: dict[str, Any] = {
    "resize_prob": [0.2, 0.7, 0.1],
    "resize_range": [0.15, 1.5],
    "gaussian_noise_prob": 0.5,
    "noise_range": [1, 30],
    "poisson_scale_range": [0.05, 3],
    "gray_noise_prob": 0.4,
    "jpeg_range": [30, 95],
    "second_blur_prob": 0.8,
    "resize_prob2": [0.3, 0.4, 0.3],
    "resize_range2": [0.3, 1.2],
    "gaussian_noise_prob2": 0.5,
    "noise_range2": [1, 25],
    "poisson_scale_range2": [0.05, 2.5],
    "gray_noise_prob2": 0.4,
    "jpeg_range2": [30, 95],
}
KINDS = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
OF_THE_SET: dict[str, Any] = {
    "kernel_list": KINDS,
    "kernel_prob": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03],
    "sinc_prob": 0.1,
    "blur_sigma": [0.2, 3],
    "betag_range": [0.5, 4],
    "betap_range": [1, 2],
    "kernel_list2": KINDS,
    "kernel_prob2": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03],
    "sinc_prob2": 0.1,
    "blur_sigma2": [0.2, 1.5],
    "betag_range2": [0.5, 4],
    "betap_range2": [1, 2],
    "final_sinc_prob": 0.8,
}


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def published_file(path: Path, **changes: Any) -> Path:
    train = {
        "name": "DF2K+OST",
        "type": "RealESRGANDataset",
        "blur_kernel_size": 21,
        "gt_size": 256,
        "use_shuffle": True,
    }
    content = {
        "name": "train_RealESRNetx4plus",
        "model_type": "RealESRNetModel",
        "scale": 4,
        **ROOT,
        "queue_size": 180,
        "datasets": {"train": {**train, **OF_THE_SET}},
        "network_g": {"type": "RRDBNet"},
        "train": {"ema_decay": 0.999},
        **changes,
    }
    return write(path, content)


def test_the_defaults_are_the_published_values() -> None:
    assert Recipe.model_validate({**ROOT, **OF_THE_SET, "scale": 4}) == PUBLISHED
    assert set(Recipe.model_fields) >= {*ROOT, *OF_THE_SET, "scale", "queue_size"}


def test_a_published_training_recipe_is_read_whole_and_keeps_its_pool(tmp_path: Path) -> None:
    recipe, idle = read(published_file(tmp_path / "a.yml", noise_range=[2, 3]))
    assert recipe == PUBLISHED.model_copy(update={"queue_size": 180, "noise_range": (2.0, 3.0)})
    assert recipe.once_a_batch
    assert not PUBLISHED.once_a_batch
    assert len(idle) == 1
    assert "blur_kernel_size has no effect" in idle[0]


def test_the_degradation_keys_alone_are_a_recipe(tmp_path: Path) -> None:
    recipe, idle = read(write(tmp_path / "a.yml", {"scale": 2, "blur_sigma": [1, 2]}))
    assert (recipe.scale, recipe.blur_sigma, idle) == (2, (1, 2), [])
    assert recipe.noise_range == PUBLISHED.noise_range


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text("scale: 4\ndatasets:\n  train:\n    kernel_porb: [1]\nnoise_rnge: [1, 2]\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert "line 4: kernel_porb: there is no such key; is kernel_prob meant?" in str(caught.value)
    assert "line 5: noise_rnge: there is no such key; is noise_range meant?" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", 0),
        ("jpeg_range", [0, 50]),
        ("jpeg_range", [60, 50]),
        ("jpeg_range", [50, 101]),
        ("noise_range", [-1, 1]),
        ("noise_range", [1]),
        ("blur_sigma", [0, 1]),
        ("resize_prob", [0, 0, 0]),
        ("resize_prob", [1, 1]),
        ("resize_range", [1.1, 1.5]),
        ("betag_range", [0.5, 0.9]),
        ("gray_noise_prob", 1.5),
        ("gray_noise_prob", float("nan")),
        ("kernel_list", ["iso", "round"]),
        ("kernel_prob", [1.0]),
        ("kernel_list2", []),
        ("queue_size", -1),
        ("real_formats", ["gif"]),
        ("real_crf_range", [30, 20]),
        ("scale", True),
        ("sinc_prob", True),
        ("noise_range", [True, 30]),
        ("noise_range", [1, 1e300]),
        ("blur_sigma", [1e-300, 1]),
        ("kernel_prob", [1e308] * 6),
        ("kernel_prob", [5e-324, 0, 0, 0, 0, 0]),
        ("jpeg_range", [1e-300, 50]),
        ("datasets", {"trian": {"sinc_prob": 0.2}}),
        ("datasets", {"train": 5}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=key):
        read(write(tmp_path / "a.yml", {key: value}))


def test_the_most_extreme_values_allowed_still_make_pictures() -> None:
    picture = torch.rand(1, 3, 12, 12)
    extremes: list[dict[str, Any]] = [
        {"blur_sigma": (1e-3, 1e-3)},
        {"blur_sigma": (1e3, 1e3)},
        {"noise_range": (1e6, 1e6), "poisson_scale_range": (1e6, 1e6)},
        {"jpeg_range": (0.01, 0.01), "jpeg_range2": (100, 100)},
        {"resize_range": (1e-3, 64.0)},
        {"betag_range": (1e-3, 64.0), "betap_range": (1e-3, 64.0)},
    ]
    for changes in extremes:
        for number in range(6):
            result = apply(picture, [draw(0, number, Recipe(**changes))])
            assert 0 <= result.min() <= result.max() <= 1, changes


def test_overrides_change_what_the_file_says(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yml", {"noise_range": [3, 4], "sinc_prob": 0.5})
    recipe, _ = read(path, ["noise_range=[5, 6]", "jpeg_tables = standard"])
    assert (recipe.noise_range, recipe.sinc_prob, recipe.jpeg_tables) == ((5, 6), 0.5, "standard")
    assert read(None, ["scale=2"])[0] == PUBLISHED.model_copy(update={"scale": 2})


@pytest.mark.parametrize(
    "override", ["noise_range", "noise_rage=[1, 2]", "noise_range=", "noise_range=[2", "a b", "#=3"]
)
def test_an_override_that_makes_no_sense_is_refused(override: str) -> None:
    with pytest.raises(UsageError, match="`?set`?"):
        read(None, [override])
