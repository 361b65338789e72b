"""`realesrgan weights convert`: what comes out is what went in, to the bit, in every format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from test_weights_read import (
    NAMES,
    NCNN_SPECS,
    RunsACommand,
    as_today,
    random_network,
    rounded_to_half,
    saved,
    write_ncnn,
)
from tiny import save_weights, tiny_srvgg
from torch import Tensor

from realesrgan.cli.weights import main
from realesrgan.errors import WeightsError
from realesrgan.export import convert as conversion
from realesrgan.export.convert import convert
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import MODELS
from realesrgan.weights.read import read_contents, read_weights
from realesrgan.weights.store import _bundled_path

SPECS: list[NetworkSpec] = [*NCNN_SPECS, RRDBNetSpec(scale=1, num_feat=5, num_block=1, num_grow_ch=3)]
SPECS += [
    SRVGGNetCompactSpec(num_feat=5, num_conv=1, upscale=upscale, act_type=act)
    for upscale in (1, 2, 3, 4)
    for act in ("prelu", "relu")
]
SUFFIXES = [".pth", ".safetensors", ".param"]


def bits(state: dict[str, Tensor]) -> dict[str, bytes]:
    return {key: value.contiguous().view(torch.uint8).numpy().tobytes() for key, value in state.items()}


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_from_format_to_format_and_back_nothing_changes(spec, tmp_path):
    state = random_network(spec).state_dict()
    path = saved({"params": state}, tmp_path / "start.pth")
    for number, suffix in enumerate([*SUFFIXES, *reversed(SUFFIXES), ".param", ".pth", ".param"]):
        target = tmp_path / f"{number}{suffix}"
        done = convert(path, target)
        assert (done.spec, done.largest_change, done.renamed) == (spec, 0, False)
        assert target in done.files
        path = target
    assert bits(read_weights(path)) == bits(state)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_keep_their_types_where_the_format_has_them(suffix, dtype, tmp_path):
    state = {key: value.to(dtype) for key, value in tiny_srvgg().state_dict().items()}
    state["body.0.weight"][0, 0, 0, 0] = -0.0
    convert(saved({"params": state}, tmp_path / "a.pth"), tmp_path / f"b{suffix}")
    read = read_contents(tmp_path / f"b{suffix}").state
    if suffix == ".param":
        state = {key: value.float() for key, value in state.items()}
    assert bits(read) == bits(state)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_16_bits_are_what_ncnn_and_everybody_else_round_to(suffix, tmp_path, capsys):
    state = random_network(NCNN_SPECS[2]).state_dict()
    path = saved({"params": state}, tmp_path / "a.pth")
    assert main(["convert", str(path), "--to", str(tmp_path / f"b{suffix}"), "--fp16"]) == 0
    wanted = rounded_to_half(state) if suffix == ".param" else {k: v.half().float() for k, v in state.items()}
    assert bits(read_weights(tmp_path / f"b{suffix}")) == bits(wanted)
    largest = max((wanted[key] - state[key]).abs().max().item() for key in state)
    assert f"changes them by {largest:.1e} at most" in capsys.readouterr().err


def test_weights_too_large_for_16_bits_are_not_written(tmp_path):
    state = tiny_srvgg().state_dict()
    state["body.2.weight"][0, 0, 0, 0] = 1e5
    with pytest.raises(WeightsError, match=r"body\.2\.weight does not fit into 16 bits: leave fp16 out"):
        convert(saved({"params": state}, tmp_path / "a.pth"), tmp_path / "b.param", half=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_a_pth_file_is_as_the_published_ones(tmp_path):
    network = tiny_srvgg()
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.pth")
    content = torch.load(tmp_path / "b.pth", weights_only=True)
    assert list(content) == ["params_ema"]
    assert list(content["params_ema"]) == list(network.state_dict())  # in the order of the network


def test_metadata_goes_along_between_the_formats_that_have_it(tmp_path, capsys):
    entries = {"training": {"name": "mine", "steps": [1, 2]}, "licence": "CC BY 4.0", "epoch": 7}
    saved({"params": tiny_srvgg().state_dict(), **entries}, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["licence"] == "CC BY 4.0"
    convert(tmp_path / "b.safetensors", tmp_path / "c.pth")
    content = torch.load(tmp_path / "c.pth", weights_only=True)
    assert content["training"] == entries["training"]
    assert content["licence"] == "CC BY 4.0"
    assert main(["convert", str(tmp_path / "a.pth"), "--to", str(tmp_path / "d.param")]) == 0
    assert "no place for training, licence, epoch: left out" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("old", [name for name in NAMES.values() if name is not as_today])
def test_old_key_names_become_todays_and_it_is_said(old, suffix, tmp_path, capsys):
    spec = RRDBNetSpec(num_feat=4, num_block=11, num_grow_ch=2)
    state = random_network(spec).state_dict()
    path = saved({old(key, spec): value for key, value in state.items()}, tmp_path / "old.pth")
    assert main(["convert", str(path), "--to", str(tmp_path / f"new{suffix}")]) == 0
    assert "names of an older release" in capsys.readouterr().err
    assert bits(read_contents(tmp_path / f"new{suffix}").state) == bits(state)


def test_what_a_format_cannot_hold_is_left_out_by_name_and_costs_nothing_else(tmp_path):
    entries = {"losses": [0.123456789 + step for step in range(10_000)], "params_ema": "a word", "epoch": 7}
    saved({"params": tiny_srvgg().state_dict(), **entries}, tmp_path / "a.pth")
    done = convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert done.lost == ("losses",)
    assert convert(tmp_path / "b.safetensors", tmp_path / "c.pth").lost == ("params_ema",)
    assert read_contents(tmp_path / "c.pth").metadata == {"epoch": "7"}


# Refusals.


def test_an_input_is_never_overwritten(tmp_path, capsys):
    write_ncnn(tiny_srvgg(), tmp_path)
    save_weights(tiny_srvgg(), tmp_path / "net.pth")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for source, target in (("net.pth", "net.pth"), ("net.param", "net.param"), ("net.bin", "net.param")):
        assert main(["convert", str(tmp_path / source), "--to", str(tmp_path / target)]) == 2
        assert "is an input and would be overwritten: choose another --to" in capsys.readouterr().err
    (tmp_path / "link.pth").symlink_to(tmp_path / "net.pth")
    assert main(["convert", str(tmp_path / "net.pth"), "--to", str(tmp_path / "link.pth")]) == 2
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["net.onnx", "net", "net.bin", "net.ckpt"])
def test_another_ending_is_wrong_usage(name, srvgg_file, tmp_path, capsys):
    assert main(["convert", str(srvgg_file), "--to", str(tmp_path / name)]) == 2
    assert "--to " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [[], ["a.pth"], ["--to", "b.pth"], ["a.pth", "b.pth", "--to", "c.pth"]])
def test_anything_but_one_file_and_one_target_is_wrong_usage(argv, capsys):
    assert main(["convert", *argv]) == 2
    assert "name a file and what to make of it" in capsys.readouterr().err


def test_unknown_networks_and_files_that_would_execute_code_are_refused(tmp_path, capsys):
    saved({"params": {"gamma": torch.ones(3)}}, tmp_path / "unknown.pth")
    saved({"params": tiny_srvgg().state_dict(), "x": RunsACommand(tmp_path / "proof")}, tmp_path / "code.pth")
    (tmp_path / "text.pth").write_text("hello")
    before = set(tmp_path.iterdir())
    for name in ("unknown.pth", "code.pth", "text.pth", "none.pth"):
        assert main(["convert", str(tmp_path / name), "--to", str(tmp_path / "out.safetensors")]) == 1
        assert name in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_reads_back_as_something_else_is_removed(suffix, srvgg_file, tmp_path, monkeypatch):
    def faulty(path: Path) -> object:
        contents = read_contents(path)
        if path != srvgg_file:
            next(iter(contents.state.values())).view(torch.int32)[0] ^= 1  # the smallest change there is
        return contents

    monkeypatch.setattr(conversion, "read_contents", faulty)
    with pytest.raises(WeightsError, match="read back as something else than was written, so it was removed"):
        convert(srvgg_file, tmp_path / f"net{suffix}")
    assert list(tmp_path.iterdir()) == []


# ncnn.


def test_the_numbers_are_those_of_the_published_ncnn_files_byte_for_byte(tmp_path):
    param = _bundled_path(MODELS["realesr-animevideov3"].weights)
    assert param is not None
    convert(param, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "b.param", half=True)
    assert (tmp_path / "b.bin").read_bytes() == param.with_suffix(".bin").read_bytes()
