"""`realesrgan train` and `finetune`: from a recipe or a folder to weights that the picture command uses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from tiny import picture, save_weights, tiny_srvgg

from realesrgan import load_upsampler
from realesrgan.cli.finetune import main as finetune
from realesrgan.cli.train import main as train
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.outputs import part_of

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


def test_a_recipe_says_how_psnr_is_measured() -> None:
    metric = "val:metrics:psnr={type: calculate_psnr, crop_border: 0, test_y_channel: true}"
    found = []
    for more in ([], [metric]):
        assert train(small_recipe("datasets:val={dataroot_gt: pictures}", *more)) == 0
        found.append(json.loads(Path("experiments/mine/metrics.jsonl").read_text().splitlines()[0])["validation"])
    assert found[0]["psnr"] != found[1]["psnr"]
    assert found[0]["ssim"] == found[1]["ssim"]
    assert "of luma, without 0 pixels on each side" in Path("experiments/mine/report.html").read_text()


def test_what_a_killed_run_left_half_written_is_removed() -> None:
    assert train(small_recipe()) == 0
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for name in ("report.html", "models/net_g_2.pth", "training_states/2.state"):
        part = part_of(Path("experiments/mine", name))
        part.with_name(part.name.replace(f"-{os.getpid()}.", f"-{ended.pid}.")).touch()
    assert train([*small_recipe(), "--auto_resume"]) == 0
    assert not list(Path("experiments").rglob("*.part*"))


def test_a_training_that_goes_on_with_other_samples_says_which_keys_have_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(small_recipe()) == 0
    again = ["train:total_iter=3", "datasets:train:crop_pad_size=96", "jpeg_range=[40, 50]"]
    assert train([*small_recipe(*again), "--auto_resume"]) == 0
    said = capsys.readouterr().err
    assert "crop_pad_size was 400, is 96; jpeg_range was [30.0, 95.0], is [40.0, 50.0]: it goes on, but not as" in said
    assert train([*small_recipe("train:total_iter=4", *again[1:]), "--auto_resume"]) == 0
    assert "not as it would have" not in capsys.readouterr().err


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
