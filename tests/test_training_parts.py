"""The parts of training that stand alone: averages, rates, checkpoints, weights, initial values."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_rrdbnet, tiny_srvgg
from torch import nn

from realesrgan import load_upsampler
from realesrgan.errors import UsageError, WeightsError
from realesrgan.training.checkpoint import Checkpoint, Checkpoints
from realesrgan.training.ema import MovingAverage
from realesrgan.training.networks import build, start_from
from realesrgan.training.weights_out import write_weights

RRDB = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4}


def changed(network: nn.Module, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    return network


def test_the_average_is_the_weighted_sum_of_all_that_was_and_starts_as_a_copy() -> None:
    network = nn.Linear(3, 2)
    average = MovingAverage(network, 0.9)
    values = [network.weight.detach().clone()]
    for step in range(5):
        average.update(changed(network, step))
        values.append(network.weight.detach().clone())
    expected = 0.9**5 * values[0] + sum(0.1 * 0.9 ** (5 - n) * values[n] for n in range(1, 6))
    assert torch.allclose(average.network.weight, expected, atol=1e-6)  # type: ignore[arg-type]
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def checkpoint(iteration: int) -> Checkpoint:
    network = tiny_srvgg(seed=iteration)
    return Checkpoint(
        iteration=iteration,
        pictures=4 * iteration,
        networks={"g": network.state_dict(), "g_ema": tiny_srvgg(seed=iteration + 1).state_dict()},
        optimizers={"g": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}},
        pool=[torch.full((2, 3), float(iteration))],
        facts={"best": {"iteration": 1, "psnr": 20.5}},
    )


def test_a_checkpoint_comes_back_as_it_was_and_others_read_its_weights(tmp_path: Path) -> None:
    saved = checkpoint(7)
    path = Checkpoints(tmp_path).save(saved)
    loaded, remarks = Checkpoints(tmp_path).load_last()
    assert loaded is not None
    assert remarks == []
    assert (loaded.iteration, loaded.pictures, loaded.facts) == (7, 28, saved.facts)
    for name in ("g", "g_ema"):
        assert all(torch.equal(loaded.networks[name][key], value) for key, value in saved.networks[name].items())
    assert torch.equal(loaded.pool[0], saved.pool[0])
    assert loaded.optimizers["g"]["param_groups"] == saved.optimizers["g"]["param_groups"]
    assert path == tmp_path / "models" / "net_g_7.pth"
    assert set(torch.load(path, weights_only=True)) == {"params", "params_ema"}
    averaged = load_upsampler(model_path=path, fp32=True).model.state_dict()
    assert all(torch.equal(averaged[key].float(), value) for key, value in saved.networks["g_ema"].items())


def test_the_last_few_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for iteration in range(1, 7):
        checkpoints.save(checkpoint(iteration), best=min(iteration, 3))
    assert checkpoints.iterations() == [3, 5, 6]
    names = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert names == ["net_g_3.pth", "net_g_5.pth", "net_g_6.pth"]


@pytest.mark.parametrize("which", ["state", "network"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_passed_over_by_name(tmp_path: Path, which: str, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    for iteration in (1, 2):
        checkpoints.save(checkpoint(iteration))
    path = checkpoints.state_path(2) if which == "state" else checkpoints.network_path("g", 2)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    loaded, remarks = checkpoints.load_last()
    assert loaded is not None
    assert loaded.iteration == 1
    assert ["checkpoint 2 cannot be read" in line for line in remarks] == (
        [] if which == "state" and damage == "gone" else [True]
    )


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).load_last() == (None, [])


def test_a_disk_that_refuses_is_said_and_the_older_checkpoint_stays(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(checkpoint(1))
    checkpoints.state_path(2).mkdir()  # nothing can be renamed onto it
    with pytest.raises(WeightsError, match=r"2\.state: cannot be written"):
        checkpoints.save(checkpoint(2))
    checkpoints.state_path(2).rmdir()
    loaded, _ = checkpoints.load_last()
    assert loaded is not None
    assert loaded.iteration == 1
    assert not list(tmp_path.rglob("*.part*"))


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(checkpoint(1))
    torch.save({"iter": 1, "epoch": 0}, checkpoints.state_path(1))
    with pytest.raises(UsageError, match="can be resumed"):
        checkpoints.load(1)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first = build(RRDB, 5, "g").state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again, other = build(RRDB, 5, "g").state_dict(), build(RRDB, 6, "g").state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv_first.weight"], other["conv_first.weight"])


def test_dense_blocks_begin_small_and_without_bias() -> None:
    network = build({**RRDB, "num_feat": 64, "num_grow_ch": 32}, 0, "g")
    convolution = network.body[0].rdb1.conv1  # type: ignore[index,union-attr]
    fan_in = 64 * 9
    assert float(convolution.weight.detach().std()) == pytest.approx(0.1 * math.sqrt(2 / fan_in), rel=0.05)
    assert not convolution.bias.any()
    assert network.conv_first.bias.any()  # type: ignore[union-attr,operator]


def test_weights_of_the_key_that_is_meant_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"params": tiny_rrdbnet(seed=1).state_dict(), "params_ema": tiny_rrdbnet(seed=2).state_dict()}, path)
    for key, seed in (("params", 1), ("params_ema", 2), ("another", 2)):
        network = build(RRDB, 0, "g")
        assert start_from(network, path, key) == []
        assert torch.equal(network.conv_first.weight, tiny_rrdbnet(seed=seed).conv_first.weight)  # type: ignore[arg-type]


def test_not_strict_the_first_layer_of_a_twofold_network_stays_fresh(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"params_ema": tiny_rrdbnet(scale=4, seed=1).state_dict()}, path)
    network = build({**RRDB, "scale": 2}, 0, "g")
    fresh = network.conv_first.weight.detach().clone()  # type: ignore[operator,union-attr]
    with pytest.raises(WeightsError, match=r"conv_first\.weight"):
        start_from(network, path)
    assert start_from(network, path, strict=False) == ["conv_first.weight"]
    assert torch.equal(network.conv_first.weight, fresh)  # type: ignore[arg-type]
    assert torch.equal(network.conv_last.weight, tiny_rrdbnet(seed=1).conv_last.weight)  # type: ignore[arg-type]


def test_weights_of_another_network_are_refused_even_if_not_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"params": tiny_srvgg().state_dict()}, path)
    with pytest.raises(WeightsError, match="RRDBNet"):
        start_from(build(RRDB, 0, "g"), path, strict=False)


def test_finished_weights_are_read_here_and_say_how_they_were_made(tmp_path: Path) -> None:
    network = tiny_rrdbnet(seed=3)
    average = MovingAverage(changed(tiny_rrdbnet(seed=4), 0), 0.9)
    paths = write_weights(tmp_path / "mine", network, average, {"iterations": 12})
    assert [path.name for path in paths] == ["mine.pth", "mine.safetensors"]
    for path in paths:
        loaded = load_upsampler(model_path=path).model.state_dict()
        assert all(
            torch.allclose(loaded[key].float(), value, atol=1e-2) for key, value in average.network.state_dict().items()
        )
    assert torch.load(paths[0], weights_only=True)["training"] == {"iterations": 12}
    with safe_open(paths[1], "pt") as file:
        assert json.loads(file.metadata()["training"]) == {"iterations": 12}
