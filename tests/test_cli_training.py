"""`realesrgan train` and `finetune`: from a recipe or a folder to weights that the picture command uses."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from tiny import picture, save_weights, tiny_srvgg

from realesrgan import load_upsampler
from realesrgan.cli.finetune import main as finetune
from realesrgan.cli.train import main as train
from realesrgan.cli.training_options import RECIPE_KEYS, FinetuneOptions, TrainOptions
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.outputs import part_of
from realesrgan.training import check as checking
from realesrgan.training import loop, validation
from realesrgan.training.check import _estimate
from realesrgan.training.plan import Request
from realesrgan.training.recipes import default_recipe

PROJECT = Path(__file__).resolve().parent.parent
RECIPES = sorted((PROJECT / "options").glob("*.yml"))
# So that a few steps take a moment: small networks, small crops, no start files.
SMALL = ["datasets:train:dataroot_gt=pictures", "datasets:train:batch_size_per_gpu=2", "train:total_iter=2"]
SMALL += ["datasets:train:num_worker_per_gpu=0", "logger:use_tb_logger=false", "num_gpu=0"]
SMALL += ["path:pretrain_network_g=null", "path:pretrain_network_d=null"]
TINY_RRDB = ["network_g:num_feat=8", "network_g:num_block=1", "network_g:num_grow_ch=4"]
TINY_SRVGG = ["network_g:num_feat=8", "network_g:num_conv=1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The working folder has pictures/, and torch's number of threads is kept."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for number in range(5):
        smooth = cv2.resize(picture(9, 10, seed=number), (96, 80), interpolation=cv2.INTER_CUBIC)
        files.write(Path(f"pictures/{number}.png"), Picture(smooth))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def changes(recipe: Path, *more: str) -> list[str]:
    """--force_yml with all that makes a recipe small."""
    text = recipe.read_text(encoding="utf-8")
    wanted = [*SMALL, *(TINY_RRDB if "type: RRDBNet" in text else TINY_SRVGG)]
    wanted += ["network_d:num_feat=4", "train:net_d_init_iters=0"] if "network_d:" in text else []
    paired = "RealESRGANPairedDataset" in text
    wanted += ["datasets:train:dataroot_lq=low", "datasets:train:gt_size=64"] if paired else ["gt_size=64"]
    wanted += ["queue_size=4"] if "queue_size" in text else []
    wanted += ["datasets:train:meta_info=null", *more]
    return ["--force_yml", *wanted, "--no-perceptual"]


def make_low() -> None:
    Path("low").mkdir()
    for path in Path("pictures").iterdir():
        files.write(Path("low", path.name), Picture(cv2.resize(files.read(path).pixels, None, fx=0.25, fy=0.25)))


def make_pairs(low: list[tuple[int, int]]) -> None:
    """sharp/N.png and low/N.png; `low` has the heights and widths of the latter."""
    for number, (height, width) in enumerate(low):
        for folder, scale in (("sharp", 4), ("low", 1)):
            Path(folder).mkdir(exist_ok=True)
            content = picture(scale * height, scale * width, seed=number)
            files.write(Path(folder, f"{number}.png"), Picture(content))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_trains(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_low()
    assert train(["-opt", str(recipe), *changes(recipe)]) == 0
    (folder,) = Path("experiments").iterdir()
    printed = capsys.readouterr()
    assert f"to use it: realesrgan image -i PICTURES --model_path {folder}/{folder.name}.pth" in printed.out
    made = {path.name for path in folder.iterdir() if path.is_file()}
    assert made == {f"{folder.name}.pth", f"{folder.name}.safetensors", "metrics.jsonl", "report.html"}
    upsampler = load_upsampler(model_path=folder / f"{folder.name}.pth")
    scale = int(re.search(r"^scale: (\d)", recipe.read_text(encoding="utf-8"), re.MULTILINE)[1])  # type: ignore[index]
    assert upsampler.enhance(np.zeros((8, 8, 3), np.uint8))[0].shape == (8 * scale, 8 * scale, 3)


def small_recipe(*more: str) -> list[str]:
    recipe = PROJECT / "options" / "train_realesrnet_animevideov3.yml"
    return ["-opt", str(recipe), *changes(recipe, "name=mine", *more)]


def test_an_earlier_training_is_put_aside_or_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(small_recipe("logger:save_checkpoint_freq=1")) == 0
    first = Path("experiments/mine/models/net_g_2.pth").read_bytes()
    assert train([*small_recipe("train:total_iter=3"), "--auto_resume"]) == 0
    assert "going on after iteration 2" in capsys.readouterr().err
    assert Path("experiments/mine/models/net_g_3.pth").exists()
    assert train(small_recipe()) == 0
    assert "held an earlier training" in capsys.readouterr().err
    names = sorted(path.name for path in Path("experiments").iterdir())
    assert names[0] == "mine"
    assert names[1].startswith("mine_archived_")
    assert torch.load("experiments/mine/models/net_g_2.pth", weights_only=True).keys() == {"params", "params_ema"}
    assert first


def test_stage_2_starts_from_the_last_weights_of_stage_1(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (PROJECT / "options" / f"train_realesr{kind}_animevideov3.yml" for kind in ("net", "gan"))
    start = yaml.safe_load(second.read_text(encoding="utf-8"))["path"]["pretrain_network_g"]
    more = ["logger:save_checkpoint_freq=1", "train:total_iter=3"]
    assert train(["-opt", str(first), *changes(first, *more)]) == 0
    assert train(["-opt", str(second), *changes(second, f"path:pretrain_network_g={start}")]) == 0
    assert f"SRVGGNetCompact starts from {start}" in capsys.readouterr().err
    assert Path(start).read_bytes() == Path(start).with_name("net_g_3.pth").read_bytes()
    assert len(list(Path("experiments").glob("*/models/net_d_latest.pth"))) == 1


def test_a_recipe_names_a_state_to_go_on_from(capsys: pytest.CaptureFixture[str]) -> None:
    steps = ["logger:save_checkpoint_freq=1", "datasets:val={dataroot_gt: pictures}", "val:val_freq=1"]
    assert train(small_recipe(*steps)) == 0
    states = Path("experiments/mine/training_states")
    first, second = (f"path:resume_state={states}/{iteration}.state" for iteration in (1, 2))
    assert train(small_recipe(*steps, first, "name=again")) == 0
    mine, again = (Path(f"experiments/{name}/models/net_g_2.pth") for name in ("mine", "again"))
    assert_same_weights(mine, again)
    assert not Path("experiments/again/models/net_g_1.pth").exists()
    capsys.readouterr()
    assert train([*small_recipe(*steps, first), "--check"]) == 0
    assert "going on" not in capsys.readouterr().err  # what is tried are the first steps
    assert train(small_recipe(*steps, first)) == 2
    assert "experiments/mine goes on to iteration 2; --auto_resume goes on from there" in capsys.readouterr().err
    assert train([*small_recipe(*steps, first, "train:total_iter=3"), "--auto_resume"]) == 0
    assert "going on after iteration 2" in capsys.readouterr().err
    (states / "3.state").unlink()
    assert train(small_recipe(*steps, second, "train:total_iter=4")) == 0
    assert "going on after iteration 2" in capsys.readouterr().err
    assert sorted(path.name for path in Path("experiments").iterdir()) == ["again", "mine"]


def test_the_best_of_another_training_is_not_looked_for_in_ones_own() -> None:
    steps = ["logger:save_checkpoint_freq=1", "datasets:val={dataroot_gt: pictures}", "val:val_freq=1"]
    steps.append("train:optim_g:lr=1e-30")  # so that nothing gets better than the other's best
    assert train(small_recipe(*steps)) == 0
    state = "experiments/mine/training_states/1.state"
    assert train(small_recipe(*steps, "name=again", f"path:resume_state={state}")) == 0
    assert Path("experiments/again/again.pth").exists()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("nowhere/training_states/1.state", "there is no such state"),
        ("pictures/0.png", "a state is called FOLDER/training_states/ITERATION.state"),
    ],
)
@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_state_that_is_none_is_refused(
    state: str, reason: str, check: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train([*small_recipe(f"path:resume_state={state}"), *check]) == (1 if check else 2)
    assert f"resume_state {state}: {reason}" in capsys.readouterr().err


def test_a_state_without_its_weights_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(small_recipe()) == 0
    Path("experiments/mine/models/net_g_2.pth").unlink()
    state = "experiments/mine/training_states/2.state"
    assert train(small_recipe(f"path:resume_state={state}", "name=again")) == 1
    assert "net_g_2.pth is missing" in capsys.readouterr().err


def assert_same_weights(*paths: Path) -> None:
    first, second = (torch.load(path, weights_only=True) for path in paths)
    for which in ("params", "params_ema"):
        assert all(torch.equal(value, second[which][key]) for key, value in first[which].items())


@pytest.mark.parametrize(
    ("rate", "words"), [("1", "by PSNR the start is still better"), ("1e-30", "by PSNR the start is still as good")]
)
def test_a_start_that_nothing_learned_beats_is_told_at_the_end_and_on_the_page(
    rate: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["datasets:val={dataroot_gt: pictures}", f"train:optim_g:lr={rate}", "train:ema_decay=0"]
    assert train(small_recipe(*more)) == 0
    printed = capsys.readouterr()
    assert re.search(rf"mine\.pth and .*, the best of \d+ \(.* dB\); {words} \(\d", printed.out)
    assert "the best so far but for the start" in printed.err
    assert words in Path("experiments/mine/report.html").read_text()
    assert train([*small_recipe(*more, "train:total_iter=3"), "--auto_resume"]) == 0
    assert words in capsys.readouterr().out  # the start was measured by the first run


def test_a_start_that_is_beaten_is_not_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(small_recipe("datasets:val={dataroot_gt: pictures}", "train:ema_decay=0")) == 0
    printed = capsys.readouterr()
    assert ", the best so far\n" in printed.err
    assert "by PSNR" not in printed.out
    assert "by PSNR" not in Path("experiments/mine/report.html").read_text()


def test_a_recipe_says_how_psnr_is_measured() -> None:
    metric = "val:metrics:psnr={type: calculate_psnr, crop_border: 0, test_y_channel: true}"
    found = []
    for more in ([], [metric]):
        assert train(small_recipe("datasets:val={dataroot_gt: pictures}", *more)) == 0
        found.append(json.loads(Path("experiments/mine/metrics.jsonl").read_text().splitlines()[0])["validation"])
    assert found[0]["psnr"] != found[1]["psnr"]
    assert found[0]["ssim"] == found[1]["ssim"]
    assert "of luma, without 0 pixels on each side" in Path("experiments/mine/report.html").read_text()


def test_finetune_needs_a_folder_only_and_ends_with_weights(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-i", "pictures", "-n", "realesr-animevideov3", "-o", "out", "--iterations", "2", "-g", "cpu"]
    assert finetune([*arguments, "--set", "jpeg_range=[10,20]"]) == 0
    printed = capsys.readouterr()
    assert "out/finetune_realesr-animevideov3.pth" in printed.out
    assert "dB on held-out pictures" in printed.err
    line = json.loads(Path("out/metrics.jsonl").read_text().splitlines()[0])
    assert line["iteration"] == 0
    assert list(line["each"]) == [f"0.png, {variant}" for variant in (1, 2, 3, 4)]
    assert "data:image" in Path("out/report.html").read_text()
    assert finetune([*arguments[:-4], "--iterations", "3", "-g", "cpu"]) == 0
    assert "going on after iteration 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-opt", "nowhere.yml"], "nowhere.yml"),
        (small_recipe("train:total_itre=3"), "total_itre: there is no such key; is total_iter meant?"),
        (small_recipe("datasets:train:dataroot_gt=nowhere"), "nowhere"),
        (small_recipe("path:pretrain_network_g=nowhere.pth"), "nowhere.pth: there is no such weights file"),
        ([*small_recipe(), "--accumulate", "0"], "--accumulate 0"),
        ([*small_recipe(), "-g", "toaster"], "-g toaster"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(arguments) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert "Traceback" not in said


def test_check_says_that_all_is_well_and_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    assert train([*small_recipe(), "--check"]) == 0
    printed = capsys.readouterr()
    assert "ready to train" in printed.out
    assert "5 pictures, 5 of them read" in printed.err
    assert "an iteration" in printed.err
    assert sorted(path.name for path in Path().iterdir()) == ["pictures"]


def test_check_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    content = Path("pictures/3.png").read_bytes()
    Path("pictures/3.png").write_bytes(content[: len(content) * 2 // 3])
    save_weights(tiny_srvgg(), Path("other.pth"))
    assert train([*small_recipe("path:pretrain_network_g=other.pth", "network_g:num_feat=4"), "--check"]) == 1
    printed = capsys.readouterr()
    assert "3.png: damaged or cut short" in printed.err
    assert "other.pth: does not fit SRVGGNetCompact" in printed.err
    assert "2 faults" in printed.out


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process of its own")
def test_ctrl_c_saves_and_the_same_command_goes_on() -> None:
    command = [sys.executable, "-m", "realesrgan", "train", *small_recipe("train:total_iter=100000"), "--auto_resume"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 100
        while not Path("experiments/mine/metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert "stopping after this iteration" in said
    assert "the same command with --auto_resume goes on from here" in said
    assert "stopped after iteration" in printed
    assert list(Path("experiments/mine/training_states").iterdir())
    assert Path("experiments/mine/mine.pth").exists()


def test_the_published_script_is_the_same_command() -> None:
    script = subprocess.run(
        [sys.executable, str(PROJECT / "realesrgan" / "train.py"), "--help"], capture_output=True, text=True, check=True
    )
    for flag in ("-opt", "--launcher", "--auto_resume", "--debug", "--local_rank", "--force_yml"):
        assert flag in script.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="starts processes that talk through gloo")
def test_two_processes_that_share_a_batch_learn_what_one_learns() -> None:
    steps = ["train:total_iter=3", "logger:save_checkpoint_freq=3"]
    assert train(small_recipe(*steps, "datasets:train:batch_size_per_gpu=4")) == 0
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = [str(PROJECT / "realesrgan" / "train.py"), *small_recipe(*steps, "name=two"), "--launcher", "pytorch"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launched, *script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (
        torch.load(f"experiments/{name}/models/net_g_3.pth", weights_only=True)["params"] for name in ("mine", "two")
    )
    assert all(torch.allclose(one[key], two[key], atol=1e-5) for key in one)
    lines = [Path(f"experiments/{name}/metrics.jsonl").read_text().splitlines()[-1] for name in ("mine", "two")]
    first, second = (json.loads(line) for line in lines)
    assert first["pictures"] == second["pictures"] == 12
    assert first["losses"]["l_pix"] == pytest.approx(second["losses"]["l_pix"], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([*small_recipe(), "--minutes", "-1"], "--minutes -1: must be at least 0"),
        ([*small_recipe(), "--minutes", "nan"], "--minutes nan: must be at least 0"),
        ([*small_recipe(), "--keep", "0"], "--keep 0"),
        (small_recipe("name=.."), "name: must be the name of a folder below experiments/, not '..'"),
        (small_recipe("num_gpu=-1"), "num_gpu: should be auto or a number of GPUs; 0 is the CPU"),
        (small_recipe("datasets:train:dataroot_gt=null"), "dataroot_gt: should be the path of a file or folder"),
        (small_recipe("train:scheduler:milestones=abc"), "milestones: should be a list"),
    ],
)
def test_values_that_make_no_sense_are_refused_in_plain_words(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(arguments) == 2
    assert reason in capsys.readouterr().err
    assert not Path("experiments").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-i", "pictures", "--iterations", "0"], "--iterations 0: must be a whole number from 1"),
        (["-i", "pictures", "--seed", "-1"], "--seed -1: must be a whole number from 0"),
        (["-i", ""], "-i (empty): there is no such folder"),
        (["-i", "empty"], "-i empty: no pictures to train on"),
        (["-i", "pictures", "--low_quality", "nowhere"], "--low_quality nowhere: there is no such file or folder"),
        (["-i", "pictures", "--model_path", "nowhere.pth"], "--model_path nowhere.pth: there is no such weights file"),
        (["-i", "pictures", "-o", "a file"], "-o a file: cannot be written"),
    ],
)
def test_finetune_refuses_in_the_words_of_its_own_options(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("a file").touch()
    assert finetune(["-n", "realesr-animevideov3", "-g", "cpu", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_finetune_says_what_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-i", "pictures", "-n", "realesr-animevideov3", "-g", "cpu", "--model_path", "nowhere.pth"]
    finetune([*arguments, "--set", "scale=2"])
    assert "scale 2 has no effect: realesr-animevideov3 enlarges 4 times" in capsys.readouterr().err
    finetune([*arguments, "--set", "jpeg_range=[5,15]", "--low_quality", "pictures"])
    assert "--recipe and --set have no effect beside --low_quality" in capsys.readouterr().err
    finetune([*arguments, "--set", "jpeg_range=[5,15]"])
    assert "no effect" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("low", "model", "more", "size"),
    [((33, 40), "realesr-animevideov3", [], 132), ((21, 40), "RealESRGAN_x4plus", ["--gan"], 80)],
)
def test_finetune_fits_its_crops_to_the_smallest_pair_and_says_so(
    low: tuple[int, int], model: str, more: list[str], size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pairs([(70, 70), low, (70, 70), (70, 70), (15, 99)])
    arguments = ["-i", "sharp", "--low_quality", "low", "-n", model, "-g", "cpu", "-o", "out", *more]
    finetune([*arguments, "--no-perceptual", "--model_path", "nowhere.pth"])
    whole, (height, width) = 256 if "anime" in model else 128, (4 * side for side in low)
    line = f"crops have {size} pixels a side, not {whole}: sharp/1.png is {width}×{height}"
    said = capsys.readouterr().err
    assert said.splitlines().count(line) == 1
    assert "left out" in said
    assert f"sharp/4.png: is 396×60, smaller than gt_size {size}" in said


def test_finetune_learns_from_small_pairs() -> None:
    make_pairs([(16, 20)] * 5)
    arguments = ["-i", "sharp", "--low_quality", "low", "-n", "realesr-animevideov3", "-g", "cpu", "-o", "out"]
    assert finetune([*arguments, "--iterations", "1"]) == 0
    assert list(Path("out").glob("*.pth"))


def test_finetune_refuses_pairs_too_small_to_measure_on(capsys: pytest.CaptureFixture[str]) -> None:
    make_pairs([(15, 99)])
    arguments = ["-i", "sharp", "--low_quality", "low", "-n", "realesr-animevideov3", "-g", "cpu"]
    assert finetune(arguments) == 2
    assert "is 396×60, smaller than gt_size 64" in capsys.readouterr().err


def test_large_pairs_leave_the_crops_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    make_pairs([(64, 64), (70, 80)])
    arguments = ["-i", "sharp", "--low_quality", "low", "-n", "realesr-animevideov3", "-g", "cpu"]
    finetune([*arguments, "--model_path", "nowhere.pth"])
    assert "crops have" not in capsys.readouterr().err


def test_what_training_calls_an_option_is_a_flag_or_a_key_of_recipes() -> None:
    flags = {one.name for options in (TrainOptions, FinetuneOptions) for one in fields(options)}
    for path in (PROJECT / "realesrgan" / "training").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        messages = [node for node in ast.walk(tree) if isinstance(node, ast.Raise | ast.Call | ast.Assign | ast.Return)]
        for message in messages:
            words = [node.value for node in ast.walk(message) if isinstance(node, ast.Constant)]
            named = {name for word in words if isinstance(word, str) for name in re.findall(r"`([a-z_]+)`", word)}
            assert named <= flags | RECIPE_KEYS.keys(), path


def test_an_earlier_training_stays_where_it_is_if_the_new_one_cannot_begin(capsys: pytest.CaptureFixture[str]) -> None:
    earlier = Path("experiments/mine/models/net_g_5.pth")
    earlier.parent.mkdir(parents=True)
    earlier.write_text("precious")
    Path("cut.pth").write_bytes(save_weights(tiny_srvgg(), Path("whole.pth")).read_bytes()[:500])
    assert train(small_recipe("path:pretrain_network_g=cut.pth")) == 1
    assert "cut.pth: cut short" in capsys.readouterr().err
    assert earlier.read_text() == "precious"


def test_an_earlier_training_stays_where_it_is_if_the_state_to_go_on_from_is_damaged() -> None:
    assert train(small_recipe("name=other")) == 0
    assert train(small_recipe()) == 0
    state = Path("experiments/other/training_states/2.state")
    state.write_bytes(state.read_bytes()[:500])
    assert train(small_recipe(f"path:resume_state={state}")) == 1
    assert sorted(path.name for path in Path("experiments").iterdir()) == ["mine", "other"]


@pytest.mark.parametrize("more", [[], ["--auto_resume"]])
def test_two_trainings_never_write_into_one_folder(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("experiments/mine/models").mkdir(parents=True)
    with FileLock("experiments/mine/.training.lock"):
        assert train([*small_recipe(), *more]) == 2
    assert "experiments/mine: another training is writing into it" in capsys.readouterr().err
    assert [path.name for path in Path("experiments").iterdir()] == ["mine"]
    assert train([*small_recipe(), *more]) == 0


def test_what_a_killed_training_left_is_removed_by_the_next() -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = [part_of(Path("experiments/mine", place, "x.pth")).name for place in ("", "models", "training_states")]
    for place, name in zip(("", "models", "training_states"), left, strict=True):
        path = Path("experiments/mine", place, name.replace(str(os.getpid()), ended.stdout.decode().strip()))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("experiments/mine/training-pictures-0123456789abcdef.cache").touch()
    assert train([*small_recipe(), "--auto_resume"]) == 0
    assert not [path for path in Path("experiments/mine").rglob("*") if path.suffix in (".part", ".cache", ".lock")]
    assert not list(Path("experiments/mine").rglob(".*"))


def test_tensorboard_that_cannot_be_written_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tb_logger").touch()
    assert train(small_recipe("logger:use_tb_logger=true")) == 0
    assert "no files for TensorBoard are written: tb_logger/mine: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("taken", ["models", "training_states", "mine.pth/x"])
def test_a_place_that_is_taken_fails_in_a_sentence(taken: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("experiments/mine", taken)
    path.parent.mkdir(parents=True)
    path.touch()
    assert train([*small_recipe(), "--auto_resume"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"error: experiments/mine/.*: cannot be written \([A-Z][a-z ]*\)", said)


def test_a_damaged_pair_is_named_and_not_measured_on(capsys: pytest.CaptureFixture[str]) -> None:
    make_low()
    for number in (5, 6, 7, 8):
        for folder in ("pictures", "low"):
            Path(folder, f"{number}.png").write_bytes(Path(folder, "1.png").read_bytes())
    content = Path("low/0.png").read_bytes()
    Path("low/0.png").write_bytes(content[: len(content) // 2])
    recipe = ["datasets:train:type=RealESRGANPairedDataset", "datasets:train:dataroot_lq=low"]
    recipe += ["high_order_degradation=false", "datasets:train:gt_size=64"]
    recipe += ["datasets:val:dataroot_gt=pictures", "datasets:val:dataroot_lq=low"]
    assert train(small_recipe(*recipe)) == 0
    said = capsys.readouterr().err
    assert "failed: pictures/0.png: low/0.png: damaged or cut short" in said
    assert "dB on held-out pictures" in said


def test_a_recipe_that_changed_between_two_runs_is_told_by_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    rate = "train:optim_g:lr=0.0001"
    assert train(small_recipe(rate)) == 0
    assert train([*small_recipe(rate, "train:total_iter=3"), "--auto_resume"]) == 0
    assert "changed" not in capsys.readouterr().err
    sizes = ["datasets:train:batch_size_per_gpu=3", "datasets:train:crop_pad_size=96"]
    other = ["train:optim_g:lr=0.001", *sizes, "jpeg_range=[10,20]", "manual_seed=5"]
    assert train([*small_recipe(*other, "train:total_iter=4"), "--auto_resume"]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "changed since" in line]
    for change in ("train.optim_g.lr 0.0001, now 0.001", "manual_seed 0, now 5", "crop_pad_size 400, now 96"):
        assert change in said
    assert "batch_size_per_gpu of all processes 2, now 3" in said
    assert "jpeg_range [30.0, 95.0], now [10.0, 20.0]" in said
    assert said.count(", now ") == 5
    (drawn,) = re.findall(r"Samples are drawn differently because of (.*?)\. Training goes on, but not as", said)
    assert {key.split(".")[-1].split()[0] for key in drawn.split(", ")} == {
        *("manual_seed", "jpeg_range", "crop_pad_size", "batch_size_per_gpu")
    }
    assert train([*small_recipe("train:total_iter=5", rate, *other[1:]), "--auto_resume"]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "changed since" in line]
    assert said.endswith(
        "changed since: train.optim_g.lr 0.001, now 0.0001. Training goes on, but not as it would have"
    )


@pytest.mark.parametrize("taken", ["experiments", "experiments/mine"])
def test_check_looks_at_the_folder_of_results_too(taken: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(taken).parent.mkdir(exist_ok=True)
    Path(taken).touch()
    assert train([*small_recipe(), "--check"]) == 1
    assert "fault: experiments/mine: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (None, "10 min 0 s for 1200 iterations"),
        (30, "10 min 0 s for 1200 iterations"),
        (2, "240 iterations in 2 min 0 s"),
        (0, "0 iterations in 0.0 s"),
    ],
)
def test_a_check_estimates_how_far_a_training_comes_in_its_time(minutes: float | None, words: str) -> None:
    recipe = default_recipe("realesr-animevideov3", Path("pictures"), iterations=1200)
    assert _estimate(Request(recipe, minutes=minutes), 0.5) == words


def test_a_check_of_a_fine_tune_estimates_for_the_minutes_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-i", "pictures", "-n", "realesr-animevideov3", "-g", "cpu", "--check"]
    assert finetune([*arguments, "--minutes", "0.001"]) == 0
    assert re.search(r"an iteration, \d+ iterations? in 0\.1 s", capsys.readouterr().err)
    assert finetune([*arguments, "--minutes", "0.001", "--iterations", "4"]) == 0
    assert "for 4 iterations" in capsys.readouterr().err


def test_a_check_times_iterations_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = [0.0]
    step, measure = loop._Loop._step, validation.measure

    def take_two_seconds(self: loop._Loop, parts: Any) -> Any:
        now_s[0] += 2
        return step(self, parts)

    def take_half_a_second_each(*arguments: Any, check: Callable[[], None] = lambda: None, **more: Any) -> Any:
        def counted() -> None:
            now_s[0] += 0.5
            check()

        return measure(*arguments, check=counted, **more)

    monkeypatch.setattr(loop._Loop, "_step", take_two_seconds)
    monkeypatch.setattr(validation, "measure", take_half_a_second_each)
    monkeypatch.setattr(checking, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    more = ["datasets:val={dataroot_gt: pictures}", "train:total_iter=60"]
    assert train([*small_recipe(*more), "--check", "--minutes", "1"]) == 0
    assert "about 2.0 s an iteration, 30 iterations in 1 min 0 s" in capsys.readouterr().err


def test_a_check_that_was_stopped_never_says_that_all_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = loop._Loop._step

    def interrupted(self: loop._Loop, parts: Any) -> Any:
        self.reporter.to.stop.set()  # type: ignore[attr-defined]
        return taken(self, parts)

    monkeypatch.setattr(loop._Loop, "_step", interrupted)
    assert train([*small_recipe(), "--check"]) == 130
    printed = capsys.readouterr()
    assert "ready" not in printed.out
    assert "interrupted" in printed.err
