"""A training recipe is read whole or refused with every fault, each at its line and in words that say what to type."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from realesrgan.degradation import recipe_file as degradation_file
from realesrgan.degradation.draw import draw
from realesrgan.degradation.recipe import PUBLISHED, Recipe
from realesrgan.degradation.steps import Blur, Resize
from realesrgan.errors import UsageError
from realesrgan.training.recipe import TrainingRecipe, TrainSet
from realesrgan.training.recipe_checks import least_crop, nearest_multiple
from realesrgan.training.recipe_file import read, to_yaml
from realesrgan.training.recipe_parts import CosineOptions, MultiStepOptions, OptimizerOptions, TrainOptions
from realesrgan.training.recipes import default_recipe

STAGE_1 = """\
name: tiny
model_type: RealESRNetModel
scale: 4
gt_size: 64
datasets:
  train:
    type: RealESRGANDataset
    dataroot_gt: pictures
    batch_size_per_gpu: 4
network_g:
  type: RRDBNet
  num_block: 1
path:
  pretrain_network_g: null
train:
  optim_g: {type: Adam, lr: 1e-4}
  total_iter: 100
  pixel_opt: {type: L1Loss}
"""
OF_STAGE_2 = """\
network_d: {type: UNetDiscriminatorSN}
"""
STAGE_2 = (
    STAGE_1.replace("RealESRNetModel", "RealESRGANModel").replace("train:\n  optim_g", OF_STAGE_2 + "train:\n  optim_g")
    + "  optim_d: {lr: 1e-4}\n  gan_opt: {type: GANLoss}\n  perceptual_opt: {type: PerceptualLoss}\n"
)
PAIRS = (
    STAGE_1.replace("RealESRGANDataset", "RealESRGANPairedDataset")
    .replace("gt_size: 64\n", "")
    .replace("    batch_size", "    dataroot_lq: degraded\n    gt_size: 32\n    batch_size")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.yml"


def parse(file: Path, text: str, *overrides: str, debug: bool = False) -> tuple[TrainingRecipe, list[str]]:
    file.write_text(text, encoding="utf-8")
    return read(file, overrides, debug=debug)


def refusal(file: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse(file, text, *overrides)
    return [line.removeprefix(f"{file}: ").strip() for line in str(caught.value).splitlines()]


def test_a_small_recipe_has_the_published_values_for_all_it_leaves_out(file: Path) -> None:
    recipe, remarks = parse(file, STAGE_2)
    assert remarks == []
    assert (recipe.stage, recipe.scale, recipe.gt_size, recipe.paired) == (2, 4, 64, False)
    assert recipe.degradation == PUBLISHED
    assert (recipe.train.ema_decay, recipe.train.optim_g.betas) == (0.999, (0.9, 0.99))
    assert recipe.train.gan_opt is not None
    assert recipe.train.gan_opt.loss_weight == 0.1
    assert recipe.train.perceptual_opt is not None
    assert recipe.train.perceptual_opt.layer_weights["conv1_2"] == 0.1
    assert (recipe.l1_gt_usm, recipe.percep_gt_usm, recipe.gan_gt_usm) == (True, True, False)


def test_of_pairs_the_set_says_how_large_crops_are_and_nothing_is_degraded(file: Path) -> None:
    recipe, remarks = parse(file, PAIRS + "jpeg_range: [1, 2]\n")
    assert (recipe.gt_size, recipe.paired, recipe.high_order_degradation) == (32, True, False)
    assert ": jpeg_range (the pairs are degraded already)" in remarks[0]


FAULTS_AT_EVERY_LEVEL = [
    ("gt_size: 64", "gt_sise: 64", "line 4: gt_sise: there is no such key; is gt_size meant?"),
    ("gt_size: 64", "noise_rnge: [1, 2]", "line 4: noise_rnge: there is no such key; is noise_range meant?"),
    ("  train:\n", "  trian:\n", "line 6: datasets.trian: there is no such key; is train meant?"),
    (
        "dataroot_gt: pictures",
        "dataroot_gt: a\n    use_hflp: true",
        "line 9: datasets.train.use_hflp: there is no such key; is use_hflip meant?",
    ),
    ("    batch_size_", "    sinc_porb: 1\n    batch_size_", "is sinc_prob meant?"),
    ("num_block: 1", "num_blocks: 1", "line 12: network_g.num_blocks: there is no such key; is num_block meant?"),
    (
        "num_block: 1",
        "num_conv: 1",
        "line 12: network_g.num_conv: there is no such key for this type",
    ),
    ("lr: 1e-4", "lr: 1e-4, beta: [0, 0]", "line 16: train.optim_g.beta: there is no such key; is betas meant?"),
    ("type: L1Loss", "type: L1Loss, weight: 2", "line 18: train.pixel_opt.weight: there is no such key"),
    (
        "total_iter: 100",
        "total_iter: 100\n  gt_usm: true",
        "line 18: train.gt_usm: there is no such key here; it belongs at the top",
    ),
    (
        "name: tiny",
        "name: tiny\nlogger: {wandb: {projekt: a}}",
        "logger.wandb.projekt: there is no such key; is pro",
    ),
    (
        "name: tiny",
        "name: tiny\nval: {metrics: {psnr: {type: calculate_psnr, crop_boarder: 4}}}",
        "line 2: val.metrics.psnr.crop_boarder: there is no such key; is crop_border meant?",
    ),
    ("scale: 4", "scale: four", "line 3: scale: input should be a valid integer"),
    ("name: tiny", "name: a/b", "line 1: name: must be the name of a folder"),
    ("lr: 1e-4", "lr: fast", "line 16: train.optim_g.lr: input should be a valid number"),
    ("lr: 1e-4", "lr: 0", "line 16: train.optim_g.lr: input should be greater than 0"),
    ("type: RRDBNet", "type: RRDBNett", "line 10: network_g: type RRDBNett: input should be 'RRDBNet' or 'SRVGGNet"),
    ("type: RRDBNet", "num_feat: 64", "line 10: network_g: type is missing"),
    ("{type: L1Loss}", "5", "line 18: train.pixel_opt: should hold keys with values"),
    ("RealESRNetModel", "ESRGAN", "line 2: model_type: input should be 'RealESRNetModel' or 'RealESRGANModel'"),
    ("    type: RealESRGANDataset\n", "", "line 6: datasets.train.type: is missing"),
    ("scale: 4\n", "", "scale: is missing"),
    (
        "total_iter: 100\n",
        "noise_range: [2, 1]\n",
        "train.noise_range: there is no such key here; it belongs at the top",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "words"), FAULTS_AT_EVERY_LEVEL, ids=lambda text: text[:24])
def test_a_planted_fault_is_named_with_its_line_and_what_may_be_meant(
    file: Path, right: str, wrong: str, words: str
) -> None:
    assert right in STAGE_1
    assert any(words in line for line in refusal(file, STAGE_1.replace(right, wrong, 1)))


DO_NOT_GO_TOGETHER = [
    (STAGE_2, OF_STAGE_2, "", "network_d: is missing; RealESRGANModel trains with a discriminator"),
    (STAGE_2, "  optim_d: {lr: 1e-4}\n", "", "train.optim_d: is missing; RealESRGANModel trains with"),
    (STAGE_2, "  gan_opt: {type: GANLoss}\n", "", "train.gan_opt: is missing; RealESRGANModel trains with"),
    (STAGE_1, "  pixel_opt: {type: L1Loss}\n", "", "there is nothing to learn from"),
    (STAGE_1, "scale: 4", "scale: 2", "network_g.scale: is 4 unless given, but scale at the top is 2"),
    (STAGE_1, "num_block: 1", "scale: 2", "line 12: network_g.scale: 2, but scale at the top is 4"),
    (
        STAGE_1,
        "gt_size: 64",
        "gt_size: 66",
        "66 will not do: the generator takes multiples of 4; the nearest is 64",
    ),
    (STAGE_2, "gt_size: 64", "gt_size: 68", "the discriminator takes multiples of 8; the nearest is 64"),
    (STAGE_1, "gt_size: 64", "gt_size: 404", "404 is more than the 400 pixels"),
    (
        STAGE_1,
        "    type",
        "    crop_pad_size: 60\n    type",
        "line 7: datasets.train.crop_pad_size: 60 is less than gt_size",
    ),
    (
        STAGE_1,
        "    type",
        "    crop_pad_size: 102\n    type",
        "102 is no multiple of the scale, 4, so results would be",
    ),
    (
        STAGE_1,
        "    type",
        "    crop_pad_size: 72\n    type",
        "72 is too small: resize_range leaves 10 pixels a side to be blurred, and kernels of 21 pixels take 11; "
        "the smallest is 76",
    ),
    (
        STAGE_1,
        "    type",
        "    resize_range: [0.02, 1]\n    type",
        "400 is too small: resize_range leaves 8 pixels a side",
    ),
    (STAGE_2, "gt_size: 64", "gt_size: 8", "gt_size: 8 is too small for perceptual_opt"),
    (STAGE_1, "gt_size: 64", "queue_size: 181", "181 must be a multiple of batch_size_per_gpu, 4; the nearest is 180"),
    (PAIRS, "    dataroot_lq: degraded\n", "", "datasets.train.dataroot_lq: is missing; RealESRGANPairedDataset takes"),
    (PAIRS, "gt_size: 32", "gt_size: 33", "line 9: datasets.train.gt_size: 33 will not do"),
    (
        STAGE_1,
        "type: RealESRGAND",
        "dataroot_lq: d\n    type: RealESRGAND",
        "line 7: datasets.train.dataroot_lq: ",
    ),
    (PAIRS, "name: tiny", "name: tiny\nhigh_order_degradation: true", "must be false with RealESRGANPairedDataset"),
    (
        STAGE_1,
        "name: tiny",
        "name: tiny\nhigh_order_degradation: false",
        "must be true with RealESRGANDataset, or",
    ),
    (
        STAGE_1,
        "    type",
        "    io_backend: {type: lmdb}\n    type",
        "datasets.train.io_backend.type: database",
    ),
    (STAGE_1, "    type", "    mean: [0, 0, 0]\n    type", "line 7: datasets.train.mean: pictures stay in the range"),
    (
        STAGE_1,
        "name: tiny",
        "name: tiny\ngt_usm: true\nsharpen: false",
        "line 3: sharpen: must be as gt_usm, which is t",
    ),
    (
        STAGE_2,
        "  total_iter: 100",
        "  total_iter: 100\n  net_d_init_iters: 100",
        "leaves none of the 100 iterations to",
    ),
    (STAGE_1, "gt_size: 64", "sinc_prob: 0\ngt_size: 64\nkernel_list: [iso]", "kernel_list and kernel_prob must be of"),
    (
        STAGE_1,
        "dataroot_gt: pictures",
        "dataroot_gt: pictures\n    scale: 4",
        "line 9: scale: is given twice, also as scale",
    ),
]


@pytest.mark.parametrize(("text", "right", "wrong", "words"), DO_NOT_GO_TOGETHER, ids=lambda text: text[:24])
def test_what_does_not_go_together_is_said_in_words(file: Path, text: str, right: str, wrong: str, words: str) -> None:
    assert right in text
    (line,) = refusal(file, text.replace(right, wrong, 1))
    assert words in line


def test_crops_suit_what_the_generator_folds_and_what_the_discriminator_halves(file: Path) -> None:
    folding = STAGE_1.replace("scale: 4", "scale: 2").replace("num_block: 1", "scale: 2")
    (line,) = refusal(file, folding.replace("gt_size: 64", "gt_size: 66"))
    assert "the generator takes multiples of 4; the nearest is 64" in line
    thirds = STAGE_2.replace("scale: 4", "scale: 3").replace("RRDBNet\n  num_block: 1", "SRVGGNetCompact\n  upscale: 3")
    (line,) = refusal(file, thirds)
    assert line.endswith("64 will not do: the generator takes multiples of 3; the nearest is 72")


def test_what_two_readers_look_at_is_refused_once(file: Path) -> None:
    for right, wrong in (("scale: 4", "scale: four"), ("gt_size: 64", "gt_usm: often")):
        assert len(refusal(file, STAGE_1.replace(right, wrong))) == 1


def test_numbers_may_be_written_with_an_exponent(file: Path) -> None:
    recipe, _ = parse(file, STAGE_1.replace("total_iter: 100", "total_iter: 4e5\n  warmup_iter: !!float 1e1"))
    assert (recipe.train.total_iter, recipe.train.warmup_iter) == (400_000, 10)
    (line,) = refusal(file, STAGE_1.replace("total_iter: 100", "total_iter: 1e-5"))
    assert "line 17: train.total_iter: input should be a valid integer" in line


def test_pairs_need_no_pool_so_its_size_may_be_any(file: Path) -> None:
    assert parse(file, PAIRS + "queue_size: 7\n")[0].paired


def test_all_faults_are_said_at_once_in_the_order_of_the_file(file: Path) -> None:
    text = STAGE_2.replace("gt_size: 64", "gt_sise: 64\nqueue_size: 7").replace("lr: 1e-4}\n  total", "lr: x}\n  total")
    lines = refusal(file, text.replace("optim_g: {type: Adam, lr: x}", "optim_g: {lr: 1, wieght_decay: 0}"))
    assert lines[0] == "3 errors"
    assert [line.split(":")[0] for line in lines[1:]] == ["line 4", "line 5", "line 18"]


def test_a_fault_that_may_only_follow_from_another_is_not_said(file: Path) -> None:
    (line,) = refusal(file, STAGE_1.replace("scale: 4", "scale: 2").replace("num_block: 1", "scale: two"))
    assert "network_g.scale: input should be 1, 2 or 4" in line


def test_force_yml_changes_keys_by_their_published_paths(file: Path) -> None:
    changes = ["train:optim_g:lr=2e-5", "val:val_freq = 7", "path:resume_state=a/1.state", "jpeg_range=[10, 20]"]
    recipe, _ = parse(file, STAGE_1, *changes, "datasets:train:use_hflip=False", "path:pretrain_network_g=~")
    assert recipe.train.optim_g.lr == 2e-5
    assert (recipe.val.val_freq, recipe.path.resume_state, recipe.path.pretrain_network_g) == (
        7,
        Path("a/1.state"),
        None,
    )
    assert recipe.degradation.jpeg_range == (10, 20)
    assert not recipe.datasets.train.use_hflip


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train:optim_g:lr=slow", "force_yml: train.optim_g.lr: input should be a valid number"),
        ("train:optim_g:lrr=1", "force_yml: train.optim_g.lrr: there is no such key; is lr meant?"),
        ("gt_size", "force_yml gt_size: write keys=value, as in train:optim_g:lr=1e-5"),
        ("train::lr=1", "write keys=value"),
        ("scale:deep=1", "force_yml: scale has no keys of its own"),
        ("gt_size=[1", "force_yml gt_size=[1: not valid YAML"),
        ("gt_size=66", "force_yml: gt_size: 66 will not do"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_by_its_own_name(file: Path, override: str, words: str) -> None:
    (line,) = refusal(file, STAGE_1, override)
    assert words in line


def test_debug_validates_and_saves_often_under_a_name_of_its_own(file: Path) -> None:
    recipe, _ = parse(file, STAGE_1 + "jpeg_range: [10, 20]\n", debug=True)
    assert (recipe.name, recipe.val.val_freq) == ("debug_tiny", 8)
    assert parse(file, STAGE_1.replace("tiny", "debug_tiny"), debug=True)[0].name == "debug_tiny"
    assert (recipe.logger.print_freq, recipe.logger.save_checkpoint_freq, recipe.logger.use_tb_logger) == (1, 8, False)
    assert recipe.degradation.jpeg_range == (10, 20)


def test_keys_without_effect_are_accepted_and_named_with_their_lines(file: Path) -> None:
    idle = "    blur_kernel_size: 21\n    gt_size: 64\n    use_shuffle: true\n"
    text = STAGE_1.replace("    batch", idle + "    batch", 1) + OF_STAGE_2 + "dist_params: {port: 29500}\n"
    _, (remark,) = parse(file, text)
    assert re.findall(r"line (\d+): ([\w.]+) \(", remark) == [
        ("9", "datasets.train.blur_kernel_size"),
        ("10", "datasets.train.gt_size"),
        ("11", "datasets.train.use_shuffle"),
        ("22", "network_d"),
        ("23", "dist_params"),
    ]


def test_what_the_published_program_read_and_this_one_does_not_is_named(file: Path) -> None:
    text = STAGE_1.replace("pretrain_network_g: null", "ignore_resume_networks: [network_g]").replace(
        "    batch", "    prefetch_mode: cuda\n    pin_memory: true\n    dataset_enlarge_ratio: 100\n    batch"
    )
    _, (remark,) = parse(file, text + "val: {val_freq: 5, pbar: true}\nlogger: {wandb: {project: mine}}\n")
    assert {name for _, name in re.findall(r"line (\d+): ([\w.]+) \(", remark)} == {
        *(f"datasets.train.{key}" for key in ("prefetch_mode", "pin_memory", "dataset_enlarge_ratio")),
        "path.ignore_resume_networks",
        "val.pbar",
        "logger.wandb",
    }


def test_of_each_kind_of_metric_the_first_counts_and_others_are_named(file: Path) -> None:
    metrics = "psnr: {type: calculate_psnr, test_y_channel: true}, again: {type: calculate_psnr}"
    ssim = "ssim: {type: calculate_ssim, better: lower}"
    recipe, (remark,) = parse(file, f"{STAGE_1}val: {{metrics: {{{metrics}, {ssim}}}}}\n")
    first = recipe.val.metric("calculate_psnr")
    assert first is not None
    assert first.test_y_channel
    names = [name for _, name in re.findall(r"line (\d+): ([\w.]+) \(", remark)]
    assert names == ["val.metrics.again", "val.metrics.ssim.better"]


@pytest.mark.parametrize(
    "degradation",
    [Recipe(), Recipe(scale=2, resize_range=(0.5, 1)), Recipe(scale=3, second_blur_prob=0), Recipe(orders=1)],
    ids=["published", "mild", "no second blur", "classical"],
)
def test_the_smallest_crop_is_the_smallest_that_no_kernel_is_too_large_for(degradation: Recipe) -> None:
    """By trying the strongest shrinking: as drawn with the smallest factor, and nothing else in between."""
    least = least_crop(degradation, degradation.scale)

    def smallest_blurred(crop: int) -> int:
        fixed = {"resize_range": (degradation.resize_range[0], 1), "resize_prob": (0, 1, 0)}
        sides = []
        for number in range(40):
            side = (crop, crop)
            for step in draw(0, number, degradation.model_copy(update=fixed)).steps:
                if isinstance(step, Blur):
                    sides.append(min(side))
                if isinstance(step, Resize):
                    strongest = step.model_copy(update={"factor": degradation.resize_range[0]})
                    step = strongest if step.of == "current" else step
                    side = step.size_after(side, (crop, crop), degradation.scale)
        return min(sides)

    assert smallest_blurred(least) > 10 >= smallest_blurred(least - degradation.scale)


def test_the_crop_that_is_degraded_is_the_published_one_unless_the_recipe_says_otherwise(file: Path) -> None:
    recipe, _ = parse(file, STAGE_1)
    assert recipe.datasets.train.crop_pad_size == 400
    assert "crop_pad_size" not in to_yaml(recipe)
    smaller, remarks = parse(file, STAGE_1, "datasets:train:crop_pad_size=96")
    assert (smaller.datasets.train.crop_pad_size, remarks) == (96, [])
    assert parse(file, to_yaml(smaller))[0] == smaller


def test_pairs_are_degraded_already_so_the_crop_to_degrade_may_be_any(file: Path) -> None:
    _, (remark,) = parse(file, PAIRS, "datasets:train:crop_pad_size=7")
    assert "datasets.train.crop_pad_size (the pairs are degraded already)" in remark


def test_gt_usm_false_leaves_the_degraded_picture_unsharpened_too(file: Path) -> None:
    recipe, _ = parse(file, STAGE_1 + "gt_usm: false\n")
    assert not recipe.degradation.sharpen
    degradation, _ = degradation_file.read(file)
    assert degradation == recipe.degradation


@pytest.mark.parametrize("text", [STAGE_1, STAGE_2, PAIRS, STAGE_1 + "queue_size: 8\njpeg_range: [3, 4]\n"])
def test_a_recipe_written_and_read_again_is_the_same(file: Path, text: str) -> None:
    recipe, _ = parse(file, text)
    assert "ema_decay" not in to_yaml(recipe)  # keys that say nothing new would only be in the way
    assert parse(file, to_yaml(recipe))[0] == recipe


def test_degrade_knows_which_keys_are_of_training_alone() -> None:
    def keys(model: Any) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    assert keys(TrainingRecipe) - {"scale"} == degradation_file.OF_TRAINING
    assert keys(TrainSet) == degradation_file.OF_A_DATASET
    assert not keys(Recipe) & keys(TrainSet)


def test_a_recipe_does_not_change() -> None:
    recipe = default_recipe("realesr-animevideov3", Path("pictures"))
    with pytest.raises(ValidationError):
        recipe.scale = 2  # type: ignore[misc]
    assert recipe.degraded_by(Recipe(queue_size=4)) != recipe
    assert recipe.queue_size == 0


def test_the_rate_falls_behind_each_milestone() -> None:
    steps = MultiStepOptions(type="MultiStepLR", milestones=(3, 5), gamma=0.5)
    assert [steps.rate(8.0, iteration) for iteration in range(1, 8)] == [8, 8, 8, 4, 4, 2, 2]


def test_the_rate_of_a_cosine_is_whole_at_a_restart_and_half_in_the_middle() -> None:
    cosine = CosineOptions(type="CosineAnnealingRestartLR", periods=(4, 8), restart_weights=(1, 0.5), eta_min=0.0)
    rates = [cosine.rate(8.0, iteration) for iteration in range(1, 20)]
    assert rates[0] == 8
    assert math.isclose(rates[2], 4)
    assert math.isclose(rates[4], 0, abs_tol=1e-12)  # as published, the last point of a period is its end
    assert math.isclose(rates[8], 2)
    assert all(math.isclose(rate, 0, abs_tol=1e-12) for rate in rates[12:])


def test_the_rate_rises_from_nothing_while_warming_up() -> None:
    optimizer = OptimizerOptions(lr=1.0)
    train = TrainOptions(optim_g=optimizer, total_iter=10, warmup_iter=4)
    assert [train.rate(optimizer, iteration) for iteration in range(1, 6)] == [0.25, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize(("number", "of", "near"), [(180, 16, 176), (7, 4, 8), (6, 4, 4), (1, 8, 8), (181, 12, 180)])
def test_the_nearest_multiple_is_never_nothing(number: int, of: int, near: int) -> None:
    assert nearest_multiple(number, of) == near


def test_this_file_plants_its_faults_in_recipes_that_are_right(file: Path) -> None:
    for text in (STAGE_1, STAGE_2, PAIRS):
        assert yaml.safe_load(text)["name"] == parse(file, text)[0].name
