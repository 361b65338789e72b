"""A training that is killed and resumed ends with the same bits; so do parts of a batch, to rounding, and processes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny import picture
from torch import Tensor

from realesrgan.cli.degrade import main as degrade
from realesrgan.degradation.pixels import to_pixels
from realesrgan.errors import Cancelled, RealESRGANError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Reporter
from realesrgan.training import data, loop
from realesrgan.training.checkpoint import Checkpoints
from realesrgan.training.datasets import OnTheFly, stack
from realesrgan.training.loop import Ended, Pace, Training, _Loop, train
from realesrgan.training.machine import Machine
from realesrgan.training.recipe import TrainingRecipe
from realesrgan.training.state import Starts, begin, losses_of

ADAM = {"type": "Adam", "lr": 1e-3, "betas": (0.9, 0.99)}
L1 = {"type": "L1Loss", "loss_weight": 1.0}


class Log(Reporter):
    """Records what is said; cancels after an iteration."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.checks = stop_after, 0
        self.lines: list[str] = []

    def check(self) -> None:
        self.checks += 1
        if self.stop_after is not None and self.checks > self.stop_after:
            raise Cancelled

    def remark(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        smooth = cv2.resize(picture(9, 10, seed=number), (80, 70 + number), interpolation=cv2.INTER_CUBIC)
        files.write(folder / f"{number}.png", Picture(smooth))
    return folder


def recipe(pictures: Path, *, stage: int = 1, held_out: bool = False, **changes: Any) -> TrainingRecipe:
    train_set = {"type": "RealESRGANDataset", "dataroot_gt": pictures, "batch_size_per_gpu": 4, "crop_pad_size": 48}
    content: dict[str, Any] = {
        "name": "tiny",
        "model_type": "RealESRNetModel" if stage == 1 else "RealESRGANModel",
        "scale": 2,
        "gt_size": 32,
        "datasets": {"train": train_set, **({"val": {"dataroot_gt": pictures}} if held_out else {})},
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 2},
        "train": {"optim_g": ADAM, "total_iter": 6, "pixel_opt": L1, "ema_decay": 0.9},
    }
    if stage == 2:
        content["network_d"] = {"type": "UNetDiscriminatorSN", "num_feat": 4}
        content["train"] |= {"optim_d": ADAM, "gan_opt": {"type": "GANLoss", "loss_weight": 0.1}}
    made = TrainingRecipe.model_validate(content | changes)
    return made.degraded_by(made.degradation.model_copy(update={"scale": 2}))


def training(
    recipe: TrainingRecipe, folder: Path, *, pace: Pace | None = None, resume: bool = False, **options: Any
) -> Training:
    machine = Machine("cpu")
    state = begin(recipe, Starts(), machine, Reporter())
    if resume:
        checkpoint, _ = Checkpoints(folder).load_last()
        if checkpoint is not None:
            state.go_on_from(checkpoint, machine)
    found = data.find(recipe, Reporter())
    samples = data.samples(recipe, found, global_batch=4)
    held_out = data.find_held_out(recipe, Reporter())
    pace = pace or Pace(total=6, log_every=2, save_every=2, validate_every=3)
    folder.mkdir(exist_ok=True)
    return Training(
        recipe, folder, pace, machine, state, losses_of(recipe, None, machine), samples, held_out, **options
    )


def weights(folder: Path, iteration: int = 6) -> dict[str, Tensor]:
    """All tensors of a run's end."""
    checkpoint = Checkpoints(folder).load(iteration)
    return {f"{name}.{key}": value for name, state in checkpoint.networks.items() for key, value in state.items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float = 0.0) -> None:
    assert first.keys() == second.keys()
    for key in first:
        assert torch.allclose(first[key], second[key], rtol=0, atol=tolerance), key


def test_as_much_is_degraded_as_the_recipe_says(pictures: Path) -> None:
    made = recipe(pictures)
    samples = data.samples(made, data.find(made, Reporter()), global_batch=4)
    assert isinstance(samples, OnTheFly)
    assert samples.crop(0)[0].shape == (48, 48, 3)


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_training_stopped_and_resumed_ends_with_the_same_bits(
    pictures: Path, tmp_path: Path, stage: int, stop_after: int
) -> None:
    wanted = recipe(pictures, stage=stage)
    train(training(wanted, tmp_path / "whole"), Log())
    ended = train(training(wanted, tmp_path / "parts"), Log(stop_after))
    assert (ended.reason, ended.iteration) == ("stopped", stop_after)
    assert train(training(wanted, tmp_path / "parts", resume=True), Log()) == Ended(
        "finished", 6, None, tmp_path / "parts" / "report.html"
    )
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    logged = [[line for line in journal(tmp_path / name) if "losses" in line] for name in ("whole", "parts")]
    assert logged[0] == logged[1]


@pytest.mark.parametrize("ignored", ["network_g", "network_d"])
def test_a_network_that_is_ignored_stays_as_it_starts_and_the_others_go_on(
    pictures: Path, tmp_path: Path, ignored: str
) -> None:
    wanted = recipe(pictures, stage=2)
    train(training(wanted, tmp_path / "run"), Log())
    checkpoint, _ = Checkpoints(tmp_path / "run").load_last()
    assert checkpoint is not None
    resumed, fresh = (training(wanted, tmp_path / "new").state for _ in range(2))
    resumed.go_on_from(checkpoint, Machine("cpu"), [ignored])
    assert resumed.iteration == 6
    found, start = (state.checkpoint(Machine("cpu"), 0) for state in (resumed, fresh))
    for name in ("g", "g_ema", "d"):
        is_ignored = name[0] == ignored[-1]
        assert_same(found.networks[name], (start if is_ignored else checkpoint).networks[name])
    assert [name for name in ("g", "d") if not found.optimizers[name]["state"]] == [ignored[-1]]


class Killed(BaseException):
    """Ends a run as kill -9 does: nothing is saved after it."""


@pytest.mark.parametrize("killed_at", [1, 3, 4, 5])
def test_a_training_killed_at_any_moment_goes_on_from_its_last_checkpoint(
    pictures: Path, tmp_path: Path, killed_at: int
) -> None:
    class Killing(Log):
        def check(self) -> None:
            super().check()
            if self.checks > killed_at:
                raise Killed

    wanted = recipe(pictures, stage=2, held_out=True)
    train(training(wanted, tmp_path / "whole"), Log())
    with pytest.raises(Killed):
        train(training(wanted, tmp_path / "parts"), Killing())
    train(training(wanted, tmp_path / "parts", resume=True), Log())
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert journal(tmp_path / "whole") == journal(tmp_path / "parts")


def journal(folder: Path) -> list[dict[str, Any]]:
    """All lines, without the times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    times = {"seconds", "pictures_per_second", "waiting_share"}
    return [{key: value for key, value in line.items() if key not in times} for line in lines]


def test_the_published_pool_is_resumed_too(pictures: Path, tmp_path: Path) -> None:
    wanted = recipe(pictures)
    pooled = wanted.degraded_by(wanted.degradation.model_copy(update={"queue_size": 8}))
    train(training(pooled, tmp_path / "whole"), Log())
    train(training(pooled, tmp_path / "parts"), Log(3))
    train(training(pooled, tmp_path / "parts", resume=True), Log())
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    train(training(wanted, tmp_path / "plain"), Log())
    assert not torch.equal(
        weights(tmp_path / "plain")["g.body.0.weight"], weights(tmp_path / "whole")["g.body.0.weight"]
    )


@pytest.mark.parametrize("sharpen", [True, False])
def test_a_pool_gives_back_sharpened_targets_only_where_the_recipe_sharpens(
    pictures: Path, tmp_path: Path, sharpen: bool
) -> None:
    wanted = recipe(pictures, stage=2)
    changed = {"queue_size": 4, "sharpen": sharpen}
    made = training(wanted.degraded_by(wanted.degradation.model_copy(update=changed)), tmp_path / "run")
    batch = stack([made.samples[number] for number in range(4)])
    mixed = _Loop(made, Log())._mixed(batch, 0)
    assert torch.equal(mixed.target, batch.target)
    assert torch.equal(mixed.sharpened, mixed.target) != sharpen


@pytest.mark.parametrize("stage", [1, 2])
def test_parts_of_a_batch_and_other_processes_for_loading_change_nothing(
    pictures: Path, tmp_path: Path, stage: int
) -> None:
    wanted = recipe(pictures, stage=stage)
    train(training(wanted, tmp_path / "whole"), Log())
    train(training(wanted, tmp_path / "parts", accumulate=3), Log())
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"), tolerance=2e-4)
    if stage == 1:
        train(training(wanted, tmp_path / "workers", workers=1), Log())
        assert_same(weights(tmp_path / "whole"), weights(tmp_path / "workers"))


def test_what_is_measured_names_the_best_checkpoint_and_fills_the_page(pictures: Path, tmp_path: Path) -> None:
    log = Log()
    ended = train(training(recipe(pictures, held_out=True), tmp_path / "run"), log)
    assert ended.best is not None
    assert ended.best.iteration in Checkpoints(tmp_path / "run").iterations()
    assert f"net_g_{ended.best.iteration}.pth" in (tmp_path / "run" / "report.html").read_text()
    validated = [line for line in journal(tmp_path / "run") if "validation" in line]
    assert [line["iteration"] for line in validated] == [0, 3, 6]
    assert max(line["validation"]["psnr"] for line in validated[1:]) == pytest.approx(ended.best.psnr, abs=1e-6)
    assert any("dB on held-out pictures" in line for line in log.lines)
    assert any("pictures/s" in line for line in log.lines)


def test_results_are_written_if_the_recipe_says_so_and_a_disk_that_refuses_stops_nothing(
    pictures: Path, tmp_path: Path
) -> None:
    wanted = recipe(pictures, held_out=True, val={"save_img": True})
    train(training(wanted, tmp_path / "run"), Log())
    written = sorted(path.name for path in (tmp_path / "run" / "visualization" / "0").iterdir())
    assert written == ["0_3.png", "0_6.png"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "visualization").touch()
    log = Log()
    assert train(training(wanted, tmp_path / "other"), log).reason == "finished"
    (warning,) = [line for line in log.lines if "no more results are written" in line]
    assert "visualization" in warning


def test_a_time_limit_ends_a_training_and_saves_it(pictures: Path, tmp_path: Path) -> None:
    pace = Pace(total=10**9, log_every=1, save_every=10**9, validate_every=10**9, minutes=1e-9)
    ended = train(training(recipe(pictures), tmp_path / "run", pace=pace), Log())
    assert ended.reason == "time is up"
    assert Checkpoints(tmp_path / "run").iterations() == [ended.iteration]


def test_a_loss_that_is_no_number_stops_the_training_before_it_is_saved(pictures: Path, tmp_path: Path) -> None:
    made = training(recipe(pictures), tmp_path / "run", pace=Pace(total=9, log_every=4, save_every=4, validate_every=9))

    class Spoiling(Log):
        def check(self) -> None:
            super().check()
            if self.checks == 6:  # before iteration 6
                with torch.no_grad():
                    next(made.state.generator.network.parameters()).fill_(math.nan)

    with pytest.raises(
        RealESRGANError, match=r"l_pix is not a number from iteration 6 on: .* of iteration 4 is the last"
    ):
        train(made, Spoiling())
    assert Checkpoints(tmp_path / "run").iterations() == [4]


def test_the_batch_at_which_a_training_diverged_is_degraded_again_as_it_was(pictures: Path, tmp_path: Path) -> None:
    made = training(recipe(pictures), tmp_path / "run", pace=Pace(total=9, log_every=4, save_every=4, validate_every=9))
    with torch.no_grad():
        next(made.state.generator.network.parameters()).fill_(math.nan)
    with pytest.raises(RealESRGANError, match="realesrgan degrade -i .*/diverged_1 -o .* --replay .*jsonl"):
        train(made, Log())
    kept, again = tmp_path / "run" / "diverged_1", tmp_path / "again"
    assert degrade(["-i", str(kept), "-o", str(again), "--replay", str(kept / "degradations.jsonl"), "-g", "cpu"]) == 0
    for number in range(4):
        sample, (top, left) = made.samples[number], made.samples.corner(number)  # type: ignore[union-attr]
        side = sample.low.shape[-1]
        replayed = files.read(again / f"{number}.png").pixels[top : top + side, left : left + side]
        assert np.array_equal(replayed, to_pixels(sample.low[None]))


def test_without_memory_a_training_ends_in_a_sentence(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(loop, "stage1_step", fail)
    with pytest.raises(RealESRGANError, match="not enough memory on cpu for an iteration: accumulate 2 or more"):
        train(training(recipe(pictures), tmp_path / "run"), Log())


def test_what_was_learned_is_saved_where_no_more_pictures_come(pictures: Path, tmp_path: Path) -> None:
    made = training(recipe(pictures), tmp_path / "run", pace=Pace(total=9, save_every=9, validate_every=9))
    one = type(made.samples).__getitem__

    class Ending(type(made.samples)):  # type: ignore[misc]
        def __getitem__(self, number: int) -> Any:
            if number >= 12:
                raise RealESRGANError("the process was ended")
            return one(self, number)

    made.samples.__class__ = Ending
    with pytest.raises(RealESRGANError, match="the process was ended"):
        train(made, Log())
    assert Checkpoints(tmp_path / "run").iterations() == [3]


def test_a_page_that_cannot_be_written_is_told_once_and_stops_nothing(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    log = Log()
    ended = train(training(recipe(pictures, held_out=True), tmp_path / "run"), log)
    assert (ended.reason, ended.report) == ("finished", None)
    assert len([line for line in log.lines if "training goes on without the page" in line]) == 1


def test_settings_of_the_optimiser_are_those_of_the_recipe_after_a_resume_too(pictures: Path, tmp_path: Path) -> None:
    train(training(recipe(pictures), tmp_path / "run"), Log(2))
    wanted = recipe(pictures)
    changed = wanted.train.model_copy(
        update={"optim_g": wanted.train.optim_g.model_copy(update={"betas": (0.5, 0.6), "weight_decay": 0.1})}
    )
    made = training(wanted.model_copy(update={"train": changed}), tmp_path / "run", resume=True)
    (group,) = made.state.generator.optimizer.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.5, 0.6), 0.1)
    assert made.state.generator.optimizer.state_dict()["state"]


def test_the_loss_falls(pictures: Path, tmp_path: Path) -> None:
    pace = Pace(total=40, log_every=8, save_every=100, validate_every=100)
    train(training(recipe(pictures), tmp_path / "run", pace=pace), Log())
    losses = [line["losses"]["l_pix"] for line in journal(tmp_path / "run")]
    assert losses[-1] < 0.7 * losses[0]


def test_a_state_of_the_other_stage_or_another_network_is_refused(pictures: Path, tmp_path: Path) -> None:
    train(training(recipe(pictures), tmp_path / "run"), Log())
    with pytest.raises(RealESRGANError, match="other stage"):
        training(recipe(pictures, stage=2), tmp_path / "run", resume=True)
    larger = {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1, "upscale": 2}
    with pytest.raises(RealESRGANError, match="other networks"):
        training(recipe(pictures, network_g=larger), tmp_path / "run", resume=True)


def test_a_training_stopped_before_its_first_iteration_is_measured_once(pictures: Path, tmp_path: Path) -> None:
    samples = len(list(pictures.iterdir()))
    log = Log(stop_after=samples)  # one check before each picture that is measured, the next before the iteration
    ended = train(training(recipe(pictures, held_out=True), tmp_path / "run"), log)
    assert (ended.reason, ended.iteration) == ("stopped", 0)
    assert [line for line in log.lines if "dB" in line] == [log.lines[0]]
    assert Checkpoints(tmp_path / "run").iterations() == [0]
