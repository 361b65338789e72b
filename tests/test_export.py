"""`realesrgan export`: an ONNX model computes what this project computes, at any size, and says what it is."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from safetensors.torch import save_file
from test_weights_read import RunsACommand, random_network, saved
from tiny import picture, save_weights, tiny_rrdbnet, tiny_srvgg
from torch import nn

import realesrgan
from realesrgan import export_onnx
from realesrgan.cli.export import main
from realesrgan.cli.export_options import ExportOptions
from realesrgan.errors import UsageError, WeightsError
from realesrgan.export import checking
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import LICENCE, MODELS, Model, WeightFile
from realesrgan.upsampler import RealESRGANer
from realesrgan.weights import store
from realesrgan.weights.read import blend

# The layers of the released networks, with few features.
RELEASED = list(dict.fromkeys(model.network for model in MODELS.values()))
SPECS: list[NetworkSpec] = [
    dataclasses.replace(spec, num_feat=5, **({"num_grow_ch": 3} if isinstance(spec, RRDBNetSpec) else {}))  # type: ignore[type-var]
    for spec in RELEASED
]
SPECS += [RRDBNetSpec(scale=scale, num_feat=5, num_block=1, num_grow_ch=3) for scale in (1, 2, 4)]
SPECS += [
    SRVGGNetCompactSpec(num_feat=5, num_conv=1, upscale=upscale, act_type=act)
    for upscale in (1, 2, 3, 4)
    for act in ("prelu", "relu")
]
SIZES = [(1, 8, 12), (2, 7, 9), (1, 17, 5), (3, 1, 1), (1, 2, 3), (2, 1, 6)]  # pictures, height, width


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def write(network: nn.Module, path: Path) -> Path:
    """Write weights whose results go beyond black and white here and there."""
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:
            parameter.mul_(2)
    return save_weights(network, path)


def compute(model: Path, batch: Any) -> Any:
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": batch})[0]


def mirrored(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """(N, C, H, W) padded at the bottom and the right, pixel by pixel, to whole multiples."""
    for axis in (2, 3):
        rows = list(x.unbind(axis))
        way = list(range(len(rows))) + list(range(len(rows) - 2, 0, -1))  # there and back
        count = -(-len(rows) // multiple) * multiple
        x = torch.stack([rows[way[i % len(way)]] for i in range(count)], axis)
    return x


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_onnxruntime_computes_what_torch_computes_at_any_size(spec, tmp_path):
    network = random_network(spec)
    done = export_onnx("net.onnx", model_path=write(network, tmp_path / "net.pth"))
    assert done.checked is not None
    assert done.checked.largest < 1e-4
    for count, height, width in SIZES:
        x = torch.rand(count, 3, height, width)
        wanted = network(mirrored(x, spec.size_multiple))[..., : height * spec.scale, : width * spec.scale]
        found = torch.from_numpy(compute(done.path, x.numpy()))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("layout", "order"), list(product(("nchw", "nhwc"), ("rgb", "bgr"))))
@pytest.mark.parametrize("make", [tiny_rrdbnet, lambda: tiny_rrdbnet(2), lambda: tiny_rrdbnet(1), tiny_srvgg])
def test_bytes_come_out_as_this_project_makes_them(make, layout, order, tmp_path):
    path = write(make(), tmp_path / "net.pth")
    done = export_onnx("net.onnx", model_path=path, uint8=True, layout=layout, colour_order=order)
    upsampler = RealESRGANer(None, path, pre_pad=0, device="cpu", engine="torch")
    equal = total = 0
    for height, width in ((24, 30), (13, 7), (1, 1), (3, 2)):
        pictures = [picture(height, width, seed=seed) for seed in (1, 2)]
        batch = np.stack([one if order == "bgr" else one[..., ::-1] for one in pictures])
        found = compute(done.path, np.ascontiguousarray(batch if layout == "nhwc" else batch.transpose(0, 3, 1, 2)))
        assert found.dtype == np.uint8
        found = found if layout == "nhwc" else found.transpose(0, 2, 3, 1)
        found = found if order == "bgr" else found[..., ::-1]
        wanted = np.stack([upsampler.enhance(one)[0] for one in pictures])
        assert np.abs(found.astype(int) - wanted).max() <= 1
        equal, total = equal + (found == wanted).sum(), total + wanted.size
    assert equal > 0.999 * total
    assert wanted.std() > 1  # or anything would be equal


@pytest.mark.parametrize("uint8", [False, True])
def test_16_bits_are_near_and_half_as_large(uint8, tmp_path):
    network = random_network(RRDBNetSpec(num_feat=16, num_block=2, num_grow_ch=16))
    path = save_weights(network, tmp_path / "net.pth")
    full = export_onnx("full.onnx", model_path=path, uint8=uint8)
    half = export_onnx("half.onnx", model_path=path, uint8=uint8, fp16=True)
    assert half.path.stat().st_size < 0.6 * full.path.stat().st_size
    x = torch.rand(1, 3, 9, 7)
    batch = (255 * x).byte().numpy() if uint8 else x.numpy()
    wanted = compute(full.path, batch)
    found = compute(half.path, batch if uint8 else batch.astype(np.float16))
    assert found.dtype == (np.uint8 if uint8 else np.float16)
    near = 2 if uint8 else 0.01 * np.abs(wanted).max()
    assert 0 < np.abs(found.astype(np.float64) - wanted).max() <= near


@pytest.mark.parametrize("options", [{}, {"uint8": True, "layout": "nhwc"}, {"fp16": True, "colour_order": "bgr"}])
def test_the_file_is_valid_free_in_its_sizes_and_readable_by_old_programs(options, srvgg_file):
    model = onnx.load(export_onnx("net.onnx", model_path=srvgg_file, **options).path)
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import] == [17]
    assert (model.producer_name, model.producer_version) == ("realesrgan", realesrgan.__version__)
    ends = [(end.name, [axis.dim_param or axis.dim_value for axis in end.type.tensor_type.shape.dim])
            for end in (*model.graph.input, *model.graph.output)]  # fmt: skip
    taken, given = ["batch", 3, "height", "width"], ["batch", 3, "4*height", "4*width"]
    if options.get("layout") == "nhwc":
        taken, given = ["batch", "height", "width", 3], ["batch", "4*height", "4*width", 3]
    assert ends == [("input", taken), ("output", given)]
    assert not model.graph.initializer[0].external_data


def test_no_convolution_is_computed_twice(rrdbnet_file):
    """The row graph repeats the first one, to save memory."""
    model = onnx.load(export_onnx("net.onnx", model_path=rrdbnet_file).path)
    convolutions = [layer for layer in tiny_rrdbnet().modules() if isinstance(layer, nn.Conv2d)]
    assert [node.op_type for node in model.graph.node].count("Conv") == len(convolutions)


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_the_file_says_what_it_is(tmp_path):
    save_file(tiny_srvgg().state_dict(), tmp_path / "mine.safetensors", {"license": "CC BY-NC 4.0"})
    done = export_onnx(model_path=tmp_path / "mine.safetensors", uint8=True, layout="nhwc", colour_order="bgr")
    assert done.path == Path("mine.onnx")
    assert metadata(done.path) == {
        "name": "mine",
        "network": "SRVGGNetCompact ×4, 2 convolutions, 8 features",
        "scale": "4",
        "layout": "NHWC",
        "colour_order": "BGR",
        "value_range": "bytes, 0 to 255",
        "precision": "fp32",
        "reach": "4 pixels to each side",
        "licence": "CC BY-NC 4.0",
        "made_by": f"realesrgan {realesrgan.__version__}",
    }


def test_a_licence_nobody_stated_is_not_made_up(srvgg_file):
    assert metadata(export_onnx(model_path=srvgg_file).path)["licence"] == "not stated in the weights file"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model of the zoo with two files, which are in the weights folder."""
    (tmp_path / "weights").mkdir()
    files = []
    for number, name in enumerate(("strong.pth", "weak.pth")):
        save_weights(tiny_srvgg(seed=number), tmp_path / "weights" / name)
        files.append(WeightFile(name, f"https://example.invalid/{name}"))
    model = Model("pair", SRVGGNetCompactSpec(num_feat=8, num_conv=2), files[0], "two", weak_denoise=files[1])
    monkeypatch.setitem(MODELS, "pair", model)
    monkeypatch.setattr(store, "search_folders", lambda: [(tmp_path / "weights", "weights folder")])
    return model


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("strength", [0, 0.3, 1])
def test_denoise_strength_blends_as_for_restoring(strength):
    network = tiny_srvgg()
    network.load_state_dict(blend(tiny_srvgg(seed=0).state_dict(), tiny_srvgg(seed=1).state_dict(), strength))
    assert main(["-n", "pair", "-dn", str(strength)]) == 0
    x = torch.rand(1, 3, 9, 7)
    assert np.abs(compute(Path("pair.onnx"), x.numpy()) - network(x).numpy()).max() < 1e-5
    found = metadata(Path("pair.onnx"))
    assert (found["name"], found["licence"], found["denoise_strength"]) == ("pair", LICENCE, f"{strength:g}")


def test_the_command_and_the_function_have_the_same_options():
    parameters = inspect.signature(export_onnx).parameters
    flags = {field.name: field.default for field in dataclasses.fields(ExportOptions)}
    assert set(parameters) - {"reporter"} == set(flags) - {"fp32"}
    assert {name: parameters[name].default for name in set(flags) - {"fp32"}} == {
        name: default for name, default in flags.items() if name != "fp32"
    }


def test_the_command_says_what_it_wrote_and_how_near_it_is(srvgg_file, capsys):
    argv = [
        "--model_path",
        str(srvgg_file),
        "-o",
        "new/net.onnx",
        "--uint8",
        "--layout",
        "nhwc",
        "--colour_order",
        "bgr",
    ]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert out.startswith(str(Path("new/net.onnx")))
    assert "takes and gives (batch, height, width, 3) in BGR order, bytes, 0 to 255" in err
    assert "checked with onnxruntime: the largest difference to this project's results is" in err
    assert "of 255 levels, in " in err


# Refusals.


def test_a_missing_package_is_one_sentence(srvgg_file, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("realesrgan.export.onnx_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["--model_path", str(srvgg_file)]) == 2
    assert capsys.readouterr().err == 'error: exporting needs the package onnx: pip install "realesrgan[export]"\n'
    assert list(Path().iterdir()) == []


def test_without_onnxruntime_the_file_is_written_and_said_to_be_unchecked(srvgg_file, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["--model_path", str(srvgg_file)]) == 0
    assert 'not checked, because onnxruntime is not installed: pip install "real' in capsys.readouterr().err
    assert onnx.load("tiny_srvgg.onnx").graph.node


@pytest.mark.parametrize(("uint8", "off"), [(False, 2e-4), (False, np.nan), (True, 2)])
def test_a_model_that_computes_something_else_is_refused_and_not_written(uint8, off, srvgg_file, monkeypatch):
    right = checking.expected

    def wrong(*arguments: Any) -> Any:
        result = right(*arguments).astype(np.float64)
        result[0, 0, 0, 0] += off
        return result

    monkeypatch.setattr(checking, "expected", wrong)
    with pytest.raises(WeightsError, match=r"onnxruntime computes something else, the largest difference .* written"):
        export_onnx(model_path=srvgg_file, uint8=uint8)
    assert list(Path().iterdir()) == []


def test_weights_that_16_bits_do_not_suffice_for_are_refused(tmp_path):
    large, growing = tiny_srvgg(), tiny_srvgg()
    large.body[2].weight[0, 0] = 1e5
    for layer, factor in ((0, 1e3), (2, 1e3), (4, 1e-6)):  # the weights fit, but not what is computed with them
        growing.body[layer].weight.mul_(factor)
    for number, network in enumerate((large, growing)):
        path = save_weights(network, tmp_path / f"{number}.pth")
        with pytest.raises(WeightsError, match="16 bits do not suffice for these weights: leave fp16 out"):
            export_onnx(model_path=path, fp16=True)
        assert list(Path().iterdir()) == []
        assert export_onnx(f"../{number}.onnx", model_path=path).checked is not None


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--fp16", "--fp32"], "--fp32 and --fp16 contradict each other"),
        (["-o", "net.pth"], "-o net.pth: name a file that ends in .onnx"),
        (["-dn", "2"], "--denoise_strength 2: must be between 0 and 1"),
        (["-n", "RealESRGAN_x5plus"], "Did you mean RealESRGAN_x4plus?"),
        (["--model_path", "none.pth"], "there is no such file"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_read(argv, says, capsys):
    assert main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("options", [{"layout": "hwc"}, {"colour_order": "yuv"}])
def test_a_form_there_is_not_is_refused_with_those_there_are(options, srvgg_file):
    with pytest.raises(UsageError, match=f"{next(iter(options))} .*: there is "):
        export_onnx(model_path=srvgg_file, **options)


def test_a_weights_file_is_never_overwritten(tmp_path):
    path = save_weights(tiny_srvgg(), tmp_path / "net.onnx")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is an input and would be overwritten"):
        export_onnx(path, model_path=path)
    assert path.read_bytes() == before


def test_files_that_cannot_be_used_fail_by_name_and_execute_nothing(rrdbnet_file, tmp_path, capsys):
    saved({"params": tiny_srvgg().state_dict(), "x": RunsACommand(tmp_path / "proof")}, tmp_path / "code.pth")
    saved({"params": {"gamma": torch.ones(3)}}, tmp_path / "unknown.pth")
    (tmp_path / "text.pth").write_text("hello")
    for name in ("code.pth", "unknown.pth", "text.pth"):
        assert main(["--model_path", str(tmp_path / name)]) == 1
        assert name in capsys.readouterr().err
    assert main(["-n", "realesr-animevideov3", "--model_path", str(rrdbnet_file)]) == 1
    assert "give --model_path without -n" in capsys.readouterr().err
    assert list(Path().iterdir()) == []
    assert not (tmp_path / "proof").exists()
