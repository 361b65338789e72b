"""`realesrgan weights inspect`: what a weights file is, for people and for programs, never by executing it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from test_weights_read import RunsACommand, as_first_release, random_network, rounded_to_half, saved, write_ncnn
from tiny import save_weights, tiny_rrdbnet, tiny_srvgg

from realesrgan.cli.weights import main
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import LICENCE, MODELS, Model, WeightFile
from realesrgan.weights import store
from realesrgan.weights.inspection import inspect

SPEC = SRVGGNetCompactSpec(num_feat=8, num_conv=2)
SPECS: list[NetworkSpec] = [SPEC, RRDBNetSpec(num_feat=8, num_block=1, num_grow_ch=4)]
SPECS.append(RRDBNetSpec(scale=2, num_feat=5, num_block=2, num_grow_ch=3))


def told(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(["inspect", *argv]) == code
    return capsys.readouterr().out


def leaves(value: Any) -> Iterator[Any]:
    """Every number, word and truth in what JSON gave."""
    if isinstance(value, dict):
        for entry in value.values():
            yield from leaves(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry)
    elif value is not None:
        yield value


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_text_and_json_say_the_same(spec, tmp_path, capsys):
    state = random_network(spec).state_dict()
    extra = {"licence": "CC BY-NC 4.0", "iterations": 5000}
    path = str(saved({"params_ema": {key: value.half() for key, value in state.items()}, **extra}, tmp_path / "n.pth"))
    text = told(capsys, path)
    (found,) = json.loads(told(capsys, path, "--json"))
    network = found.pop("network")
    assert (network["scale"], network["summary"]) == (spec.scale, str(spec))
    work = network.pop("multiply_adds")
    assert f"{work / 1e6:.2f} M multiply-adds a pixel" in text
    assert ("streams    yes" in text) == network.pop("streams")
    assert [value for value in leaves([found, network]) if value is not False and str(value) not in text] == []


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_numbers_are_those_of_the_network(spec, tmp_path):
    network = random_network(spec)
    path = save_weights(network, tmp_path / "net.pth")
    found = inspect(path)
    assert found.network is not None
    assert type(spec)(**found.network.arguments) == spec
    assert (found.network.reach, found.network.multiply_adds) == (spec.receptive_radius, spec.multiply_adds)
    assert found.numbers == sum(value.numel() for value in network.state_dict().values())
    assert (found.tensors, found.bytes) == (len(network.state_dict()), path.stat().st_size)


def test_the_precision_is_that_of_the_file_whatever_its_format(tmp_path):
    state = tiny_srvgg().state_dict()
    save_file({key: value.bfloat16() for key, value in state.items()}, tmp_path / "net.safetensors")
    assert inspect(tmp_path / "net.safetensors").precisions == {"bfloat16": len(state)}
    assert inspect(saved(state, tmp_path / "net.pth")).precisions == {"float32": len(state)}
    ncnn = inspect(write_ncnn(tiny_srvgg(), tmp_path))
    assert ncnn.precisions == {"float16": 4, "float32": len(state) - 4}
    assert ncnn.bytes == sum((tmp_path / f"net.{part}").stat().st_size for part in ("param", "bin"))


def test_containers_and_old_names_are_told(tmp_path):
    state = {as_first_release(key, RRDBNetSpec()): value for key, value in tiny_rrdbnet().state_dict().items()}
    old = inspect(saved({"params": state}, tmp_path / "old.pth"))
    assert (old.container, old.renamed, old.format) == ("params", True, "PyTorch")
    new = inspect(save_weights(tiny_rrdbnet(), tmp_path / "new.pth", None))
    assert (new.container, new.renamed) == (None, False)


@pytest.mark.parametrize("key", ["license", "Licence", "modelspec.license"])
def test_a_licence_is_found_in_either_format(key, tmp_path, capsys):
    state = tiny_srvgg().state_dict()
    save_file(state, tmp_path / "net.safetensors", {key: "CC BY-NC-SA 4.0"})
    saved({"params": state, "about": {key: "CC BY-NC-SA 4.0"}}, tmp_path / "net.pth")
    for name in ("net.safetensors", "net.pth"):
        assert "licence    CC BY-NC-SA 4.0" in told(capsys, str(tmp_path / name))
    save_weights(tiny_srvgg(), tmp_path / "bare.pth")
    assert "licence    the file does not say" in told(capsys, str(tmp_path / "bare.pth"))


def test_plain_values_are_shown_and_others_left_out(tmp_path):
    content = {"params": tiny_srvgg().state_dict(), "epoch": 7, "loss": float("nan"), "optimizer": {"m": torch.ones(2)}}
    content |= {"training": {"name": "mine", "psnr": 31.5}, "long": "x" * 2_000_000}
    content |= {"large": 10**30, "by number": {1: 2}, "odd": r'["\ud800"]'}
    assert inspect(saved(content, tmp_path / "net.pth")).metadata == {
        "epoch": 7,
        "training": {"name": "mine", "psnr": 31.5},
        "odd": r'["\ud800"]',  # what no format can hold stays written as it was
    }


# Which published model it is.


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The zoo has one model, and nothing of it is on this machine. Returns its official file, which is elsewhere."""
    path = save_weights(random_network(SPEC), tmp_path / "official.pth")
    for name in list(MODELS):
        monkeypatch.delitem(MODELS, name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = WeightFile("one.pth", "https://example.invalid/one.pth", path.stat().st_size, digest)
    monkeypatch.setitem(MODELS, "one", Model("one", SPEC, file, "the first"))
    monkeypatch.setattr(store, "search_folders", lambda: [(tmp_path / "weights", "weights folder")])
    return path


def test_the_published_file_is_known_by_its_hash_under_any_name(published, capsys):
    assert "equals     -n one: this is the published file" in told(capsys, str(published))
    assert f"licence    {LICENCE}" in told(capsys, str(published))


def test_the_same_tensors_in_another_file_are_known_by_the_copy_that_is_here(published, tmp_path, capsys):
    other = saved({"params": random_network(SPEC).state_dict(), "epoch": 1}, tmp_path / "other.pth")
    assert inspect(other).equals is None
    (tmp_path / "weights").mkdir()
    copy = published.rename(tmp_path / "weights" / "one.pth")
    assert f"-n one: the same weights as {copy}" in told(capsys, str(other))


def test_the_installed_copies_of_16_bits_are_compared_within_their_rounding(published, tmp_path, monkeypatch):
    network = random_network(SPEC)
    copy = write_ncnn(network, tmp_path)
    monkeypatch.setattr(store, "_bundled_path", lambda file: copy)
    state = network.state_dict()
    exact = inspect(saved({**state, "body.0.bias": state["body.0.bias"] + 0}, tmp_path / "a.pth"))
    assert "within the rounding to 16 bits" in str(exact.equals)
    assert inspect(saved(rounded_to_half(state), tmp_path / "b.pth")).equals == exact.equals
    changed = state["body.2.weight"].clone()
    changed[0, 0, 0, 0] *= 1.002  # rounding changes it by a factor of 1.0005 at most
    assert inspect(saved(state | {"body.2.weight": changed}, tmp_path / "c.pth")).equals is None


@pytest.mark.usefixtures("published")
def test_other_weights_of_the_same_network_equal_none(tmp_path, capsys):
    path = save_weights(random_network(SPEC, seed=1), tmp_path / "mine.pth")
    assert "equals     no published model" in told(capsys, str(path))


# Failures.


def test_an_unknown_network_is_told_with_what_is_nearest_and_fails(tmp_path, capsys):
    state = tiny_srvgg().state_dict() | {"extra.weight": torch.zeros(7)}
    path = str(saved({"params": state}, tmp_path / "net.pth"))
    text = told(capsys, path, code=1)
    assert "nearest is SRVGGNetCompact ×4, 2 convolutions, 8 features, but the file has in addition extra" in text
    (found,) = json.loads(told(capsys, path, "--json", code=1))
    assert found["network"] is None
    assert found["reason"] in text
    assert found["tensors"] == len(state)


def test_a_file_that_fails_does_not_stop_the_others(srvgg_file, tmp_path, capsys):
    (tmp_path / "text.pth").write_text("hello")
    assert main(["inspect", str(tmp_path / "text.pth"), str(srvgg_file), "--json"]) == 1
    out, err = capsys.readouterr()
    assert [found["path"] for found in json.loads(out)] == [str(srvgg_file)]
    assert "text.pth: a text file" in err


def test_code_in_a_file_is_refused_and_not_executed(tmp_path, capsys):
    content = {"params": tiny_srvgg().state_dict(), "licence": RunsACommand(tmp_path / "proof")}
    assert told(capsys, str(saved(content, tmp_path / "net.pth")), code=1) == ""
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("value", ["\x1b[2J", "\x9b2J", "a\rb", "\x07"])
def test_what_a_file_says_cannot_command_the_terminal(value, tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    save_file(tiny_srvgg().state_dict(), path, {"license": value, f"key{value}": value})
    assert value not in told(capsys, str(path))
    assert value not in told(capsys, str(path), "--json")


@pytest.mark.parametrize("width", [100, 1000])
def test_a_small_file_that_repeats_its_values_costs_nothing(width, tmp_path):
    many = ["x"]
    for _ in range(3):
        many = [many] * width
    content = {"params": tiny_srvgg().state_dict(), "many": many, "epoch": 7}
    content |= {f"key{number}": "x" * 10_000 for number in range(width)}
    path = saved(content, tmp_path / "net.pth")
    found = inspect(path).metadata
    assert found["epoch"] == 7
    assert len(json.dumps(found)) < 2_000_000


def test_deeply_nested_metadata_costs_nothing(tmp_path):
    deep = {f"{depth} deep": "[" * depth + "]" * depth for depth in (9, 30_000)}
    save_file(tiny_srvgg().state_dict(), tmp_path / "net.safetensors", deep)
    assert inspect(tmp_path / "net.safetensors").metadata == deep  # as the words they are


def test_without_a_file_it_is_wrong_usage(capsys):
    assert main(["inspect"]) == 2
    assert "name the weights files to inspect" in capsys.readouterr().err
