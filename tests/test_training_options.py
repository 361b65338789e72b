"""Every recipe in options/ is read without a fault, and those of published names have the published values."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from realesrgan import families
from realesrgan.cli.options import parse
from realesrgan.cli.training_options import FinetuneOptions, LearningOptions, TrainOptions
from realesrgan.degradation import recipe_file as degradation_file
from realesrgan.degradation.recipe import PUBLISHED
from realesrgan.model_zoo import MODELS
from realesrgan.training.recipe import TrainingRecipe
from realesrgan.training.recipe_file import read, to_yaml
from realesrgan.training.start_files import START_FILES, published

OPTIONS = Path(__file__).parents[1] / "options"
FILES = sorted(path.stem for path in OPTIONS.glob("*.yml"))
IDLE_BLUR = ["datasets.train.blur_kernel_size", "datasets.train.blur_kernel_size2", "datasets.train.gt_size"]
IDLE_LOADER = ["datasets.train.use_shuffle", "dist_params"]


@dataclass(frozen=True)
class Published:
    """What tells the published recipes apart."""

    name: str
    stage: int
    scale: int
    start: str
    strict: bool = True
    iterations: int = 400_000
    lr: float = 1e-4
    discriminator: str | None = None


NET_D = "RealESRGAN_x4plus_netD.pth"
PUBLISHED_RECIPES = {
    "train_realesrnet_x4plus": Published(
        "train_RealESRNetx4plus_1000k_B12G4",
        1,
        4,
        "ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
        iterations=1_000_000,
        lr=2e-4,
    ),
    "train_realesrnet_x2plus": Published(
        "train_RealESRNetx2plus_1000k_B12G4",
        1,
        2,
        "RealESRGAN_x4plus.pth",
        strict=False,
        iterations=1_000_000,
        lr=2e-4,
    ),
    "train_realesrgan_x4plus": Published("train_RealESRGANx4plus_400k_B12G4", 2, 4, "RealESRNet_x4plus.pth"),
    "train_realesrgan_x2plus": Published("train_RealESRGANx2plus_400k_B12G4", 2, 2, "RealESRNet_x2plus.pth"),
    # Published with RealESRNet_x4plus.pth, and with instructions to take this file.
    "finetune_realesrgan_x4plus": Published(
        "finetune_RealESRGANx4plus_400k", 2, 4, "RealESRGAN_x4plus.pth", discriminator=NET_D
    ),
    "finetune_realesrgan_x4plus_pairdata": Published(
        "finetune_RealESRGANx4plus_400k_pairdata", 2, 4, "RealESRGAN_x4plus.pth", discriminator=NET_D
    ),
}
OURS = [stem for stem in FILES if stem not in PUBLISHED_RECIPES]


def recipe_of(stem: str) -> tuple[TrainingRecipe, list[str]]:
    return read(OPTIONS / f"{stem}.yml")


def name_of(path: str | None) -> str | None:
    return None if path is None else Path(path).name


@pytest.mark.parametrize("stem", PUBLISHED_RECIPES)
def test_a_published_recipe_has_the_published_values(stem: str) -> None:
    recipe, _ = recipe_of(stem)
    wanted = PUBLISHED_RECIPES[stem]
    train, path = recipe.train, recipe.path
    assert (recipe.name, recipe.stage, recipe.scale, recipe.network_g.scale) == (
        wanted.name,
        wanted.stage,
        wanted.scale,
        wanted.scale,
    )
    assert (name_of(path.pretrain_network_g), path.strict_load_g, path.param_key_g) == (
        wanted.start,
        wanted.strict,
        "params_ema",
    )
    assert (name_of(path.pretrain_network_d), path.strict_load_d) == (wanted.discriminator, True)
    assert (train.total_iter, train.optim_g.lr, train.optim_g.betas) == (wanted.iterations, wanted.lr, (0.9, 0.99))
    assert train.optim_d == (train.optim_g if wanted.stage == 2 else None)
    assert all(train.rate(train.optim_g, iteration) == wanted.lr for iteration in (1, wanted.iterations))
    assert (train.ema_decay, recipe.gt_size, recipe.datasets.train.batch_size_per_gpu) == (0.999, 256, 12)
    assert (recipe.datasets.train.use_hflip, recipe.datasets.train.use_rot) == (True, False)
    assert recipe.network_g.model_dump(exclude={"type", "scale"}) == {
        "num_in_ch": 3,
        "num_out_ch": 3,
        "num_feat": 64,
        "num_block": 23,
        "num_grow_ch": 32,
    }


@pytest.mark.parametrize("stem", [stem for stem in PUBLISHED_RECIPES if not stem.endswith("pairdata")])
def test_a_published_recipe_degrades_as_published_and_mixes_batches(stem: str) -> None:
    recipe, _ = recipe_of(stem)
    assert recipe.degradation == PUBLISHED.model_copy(update={"scale": recipe.scale, "queue_size": 180})
    alone, _ = degradation_file.read(OPTIONS / f"{stem}.yml")
    assert alone == recipe.degradation


def test_the_losses_of_stage_2_are_the_published_ones() -> None:
    recipe, _ = recipe_of("train_realesrgan_x4plus")
    perceptual, gan = recipe.train.perceptual_opt, recipe.train.gan_opt
    assert perceptual is not None
    assert gan is not None
    assert perceptual.layer_weights == {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1, "conv4_4": 1, "conv5_4": 1}
    assert (perceptual.perceptual_weight, perceptual.style_weight, perceptual.criterion) == (1, 0, "l1")
    assert (gan.gan_type, gan.loss_weight, gan.real_label_val, gan.fake_label_val) == ("vanilla", 0.1, 1, 0)
    assert (recipe.l1_gt_usm, recipe.percep_gt_usm, recipe.gan_gt_usm) == (True, True, False)
    assert (recipe.train.net_d_iters, recipe.train.net_d_init_iters) == (1, 0)


@pytest.mark.parametrize("stem", FILES)
def test_a_recipe_is_read_without_a_fault_and_only_published_ones_have_keys_without_effect(stem: str) -> None:
    recipe, remarks = recipe_of(stem)
    named = [name for remark in remarks for name in re.findall(r"line \d+: ([\w.]+) \(", remark)]
    idle = [] if stem in OURS else IDLE_LOADER if recipe.paired else [*IDLE_BLUR, *IDLE_LOADER]
    assert sorted(named) == sorted(idle)
    others = [remark for remark in remarks if "without effect" not in remark]
    assert len(others) == (stem == "train_realesrgan_x2plus")


def test_the_start_file_that_was_never_released_is_said_to_be_so_and_what_to_take_instead() -> None:
    _, remarks = recipe_of("train_realesrgan_x2plus")
    assert "RealESRNet_x2plus.pth was never released" in remarks[-1]
    offered = re.findall(r"options/(\w+)\.yml does|options/(\w+)\.yml,", remarks[-1])
    assert {name for pair in offered for name in pair if name} <= set(FILES)
    assert "RealESRGAN_x2plus.pth" in START_FILES


def test_the_published_start_of_a_fine_tune_is_accepted_with_a_remark() -> None:
    change = "path:pretrain_network_g=experiments/pretrained_models/RealESRNet_x4plus.pth"
    recipe, remarks = read(OPTIONS / "finetune_realesrgan_x4plus.yml", [change])
    assert name_of(recipe.path.pretrain_network_g) == "RealESRNet_x4plus.pth"
    assert "to fine-tune, start from RealESRGAN_x4plus.pth" in remarks[-1]


@pytest.mark.parametrize("stem", OURS)
def test_a_recipe_of_ours_says_so_and_starts_from_what_there_is(stem: str) -> None:
    text = (OPTIONS / f"{stem}.yml").read_text(encoding="utf-8")
    assert text.startswith("# Of this project, not published: ")
    recipe, _ = recipe_of(stem)
    made = {f"experiments/{recipe_of(other)[0].name}/models/net_g_latest.pth" for other in FILES}
    for start in filter(None, (recipe.path.pretrain_network_g, recipe.path.pretrain_network_d)):
        assert start in made or published(start) is not None


def test_every_released_network_has_a_recipe() -> None:
    networks = [recipe_of(stem)[0].network_g for stem in FILES]
    for model in MODELS.values():
        fitting = [
            network.model_dump(exclude={"type"})
            for network in networks
            if network.type == families.name_of(model.network)
        ]
        assert any(type(model.network)(**numbers) == model.network for numbers in fitting), model.name


def test_names_are_not_shared_because_results_would_be() -> None:
    names = [recipe_of(stem)[0].name for stem in FILES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("stem", FILES)
def test_a_recipe_written_and_read_again_is_the_same(stem: str, tmp_path: Path) -> None:
    recipe, _ = recipe_of(stem)
    (tmp_path / "again.yml").write_text(to_yaml(recipe), encoding="utf-8")
    assert read(tmp_path / "again.yml")[0] == recipe


def test_the_page_about_recipes_has_each_of_them_and_its_start_files() -> None:
    rows = {
        row.split("|")[1].strip().strip("`"): row
        for row in (OPTIONS / "README.md").read_text(encoding="utf-8").splitlines()
        if row.startswith("| `")
    }
    assert {f"{stem}.yml" for stem in FILES} <= set(rows)
    for stem in FILES:
        path = yaml.safe_load((OPTIONS / f"{stem}.yml").read_text(encoding="utf-8"))["path"]
        for start in filter(None, (path["pretrain_network_g"], path.get("pretrain_network_d"))):
            assert published(start) is None or Path(start).name in rows[f"{stem}.yml"]


def test_the_published_flags_of_training_have_their_published_defaults() -> None:
    options = parse(TrainOptions, ["-opt", "a.yml"], "train", "")
    assert (options.opt, options.launcher, options.auto_resume, options.debug) == ("a.yml", "none", False, False)
    assert (options.local_rank, options.force_yml) == (0, None)
    given = parse(
        TrainOptions,
        ["-opt", "a.yml", "--launcher", "pytorch", "--auto_resume", "--debug", "--local-rank=1"]
        + ["--force_yml", "a:b=1", "c=2", "--force_yml", "d=3"],
        "train",
        "",
    )
    assert (given.launcher, given.auto_resume, given.debug, given.local_rank) == ("pytorch", True, True, 1)
    assert given.force_yml == ("a:b=1", "c=2", "d=3")


def test_fine_tuning_takes_pictures_and_nothing_else() -> None:
    options = parse(FinetuneOptions, ["-i", "photos"], "finetune", "")
    assert (options.input, options.model_name, options.minutes) == ("photos", "RealESRGAN_x4plus", 30)
    assert not options.gan


@pytest.mark.parametrize(("kind", "needed"), [(TrainOptions, "-opt"), (FinetuneOptions, "-i")])
def test_every_flag_is_in_the_help_and_what_is_needed_is_asked_for(
    kind: type[LearningOptions], needed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def leaves(argv: list[str]) -> Any:
        with pytest.raises(SystemExit) as left:
            parse(kind, argv, "prog", "")
        return left.value.code, capsys.readouterr()

    code, told = leaves(["--help"])
    assert code == 0
    for one in fields(kind):
        assert all(flag in told.out for flag in one.metadata["flags"] or (f"--{one.name}",))
    code, told = leaves([])
    assert code == 2
    assert needed in told.err
