"""Networks that users bring along, of every scale and every kind of picture: from a weights file to a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import picture, save_weights
from torch import nn

import realesrgan.engine.planning
from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.arrays import LUMA, Array
from realesrgan.cli.image import main
from realesrgan.engine.engine import Engine
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.upsampler import RealESRGANer

SPECS: list[NetworkSpec] = [
    RRDBNetSpec(1, 1, 2, 8, 1, 4, unshuffle=1),
    RRDBNetSpec(1, 1, 2, 8, 1, 4),
    RRDBNetSpec(4, 4, 1, 8, 1, 4, unshuffle=1, plus=True),
    RRDBNetSpec(4, 4, 4, 8, 1, 4),
    RRDBNetSpec(3, 3, 1, 8, 1, 4, unshuffle=1),
    RRDBNetSpec(3, 3, 8, 8, 1, 4, plus=True),
    RRDBNetSpec(3, 3, 16, 8, 1, 4),
    SRVGGNetCompactSpec(1, 1, 8, 2, 3),
    SRVGGNetCompactSpec(4, 4, 8, 2, 2),
]
GRAY, RGBA, RGB = (next(spec for spec in SPECS if spec.num_in_ch == channels) for channels in (1, 4, 3))
every_network = pytest.mark.parametrize("spec", SPECS, ids=str)
every_picture = pytest.mark.parametrize("channels", [1, 3, 4], ids=["gray", "RGB", "RGBA"])


def network_of(spec: NetworkSpec) -> nn.Module:
    """Random but fixed, with results around the middle of the range that depend on their pictures by tens of levels."""
    torch.manual_seed(3)
    network = spec.build().requires_grad_(False).eval()
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    assert last.bias is not None
    if isinstance(network, RRDBNet):
        for conv in (*network.upsamplings, network.conv_hr):
            conv.weight.mul_(2)  # else each of them makes the result flatter
        last.weight.mul_(2)
        last.bias.fill_(0.5)
    return network


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., RealESRGANer]:
    def load(spec: NetworkSpec, **options) -> RealESRGANer:
        path = save_weights(network_of(spec), tmp_path / "own.pth")
        return RealESRGANer(None, path, device="cpu", **{"pre_pad": 0, **options})

    return load


def through(spec: NetworkSpec, planes: Array) -> Array:
    """(H, W, C) in [0, 1] with the network's channels → the same, restored and clamped."""
    multiple = spec.size_multiple
    height, width = planes.shape[:2]
    padded = np.pad(planes, ((0, -height % multiple), (0, -width % multiple), (0, 0)), "reflect")
    with torch.no_grad():
        result = network_of(spec)(torch.from_numpy(padded).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    return result.clip(0, 1)[: height * spec.scale, : width * spec.scale]


def expected(spec: NetworkSpec, image: Array) -> Array:
    """The picture that users expect, in levels before rounding, as OpenCV has it: gray, BGR or BGRA."""
    planes = image.reshape(*image.shape[:2], -1).astype(np.float32) / np.iinfo(image.dtype).max
    gray, alpha = planes.shape[2] == 1, planes[..., 3:]
    rgb = planes if gray else planes[..., 2::-1]
    if spec.num_in_ch == 1:
        result = np.concatenate([through(spec, planes[..., c : c + 1]) for c in range(planes.shape[2])], 2)
    else:
        colour = np.broadcast_to(rgb, (*rgb.shape[:2], 3))
        if spec.num_in_ch == 4:
            opaque = np.ones((*rgb.shape[:2], 1), np.float32)
            result = through(spec, np.concatenate((colour, alpha if alpha.size else opaque), 2))
        else:
            result = through(spec, np.ascontiguousarray(colour))
            if alpha.size:
                restored = through(spec, np.repeat(alpha, 3, 2)) @ np.float32(LUMA)
                result = np.concatenate((result, restored[..., None]), 2)
        if gray:
            result = (result[..., :3] @ np.float32(LUMA))[..., None]
        else:
            result = result[..., [2, 1, 0, 3][: planes.shape[2]]]
    return result.squeeze() * np.iinfo(image.dtype).max


@pytest.mark.parametrize("engine", ["torch", "auto"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@every_picture
@every_network
def test_every_network_restores_every_kind_of_picture(load, spec, channels, dtype, engine):
    image = picture(9, 7, channels, dtype)
    result, mode = load(spec, engine=engine).enhance(image)
    wanted = expected(spec, image)
    assert (mode, result.dtype) == ({1: "L", 3: "RGB", 4: "RGBA"}[channels], dtype)
    assert result.shape == wanted.shape
    assert wanted.std() > 0.01 * np.iinfo(dtype).max
    assert np.abs(result - wanted).max() <= (0.51 if dtype == np.uint8 else 6)


@pytest.mark.parametrize("engine", ["torch", "auto"])
@every_picture
@every_network
def test_strips_and_blocks_of_columns_show_nowhere(load, spec, channels, engine, monkeypatch):
    image = picture(29, 71, channels)
    at_once, _ = load(spec).enhance(image)
    monkeypatch.setattr(realesrgan.engine.planning, "WHOLE_ON_CPU_BYTES", 0)
    monkeypatch.setattr(realesrgan.engine.planning, "FEWEST_NATIVE_ROWS", 4)
    upsampler = load(spec, engine=engine)
    upsampler.engine.planner.most_rows = 3
    assert np.abs(upsampler.enhance(image)[0].astype(int) - at_once).max() <= 1
    monkeypatch.setattr(upsampler.engine.planner, "_strip_bytes", lambda plan, blocks, rows: 1e18 if blocks < 2 else 0)
    assert len(upsampler.engine.planner.plan(32, 72, 0, 0).pieces) == 2
    assert np.abs(upsampler.enhance(image)[0].astype(int) - at_once).max() <= 1


@every_picture
@every_network
def test_another_size_is_resized_from_the_networks(load, spec, channels):
    result, _ = load(spec).enhance(picture(9, 8, channels), outscale=1.5)
    assert result.shape[:2] == (13, 12)
    whole, _ = load(spec).enhance(picture(9, 8, channels))
    assert np.abs(result.mean((0, 1)) - whole.mean((0, 1))).max() < 8


@pytest.mark.parametrize("cut", [{"tile": 8, "tile_pad": 60}, {"pre_pad": 3}], ids=["tiles", "pre_pad"])
@every_picture
@pytest.mark.parametrize("spec", [GRAY, RGBA], ids=str)
def test_tiles_with_all_context_and_padding_change_little(load, spec, channels, cut):
    image = picture(18, 20, channels)
    difference = load(spec, **cut).enhance(image)[0].astype(int) - load(spec).enhance(image)[0]
    inside = slice(None) if "tile" in cut else slice(0, -12 * spec.scale)
    assert np.abs(difference[inside, inside]).max() <= (1 if "tile" in cut else 255)
    assert difference.shape[:2] == (18 * spec.scale, 20 * spec.scale)


@pytest.mark.parametrize(
    ("spec", "channels", "passes"), [(GRAY, 1, 1), (GRAY, 3, 3), (GRAY, 4, 4), (RGBA, 1, 1), (RGBA, 3, 1), (RGBA, 4, 1)]
)
def test_transparency_takes_no_second_pass_through_a_network_that_has_it(load, spec, channels, passes, monkeypatch):
    calls, run = [], Engine.run
    monkeypatch.setattr(Engine, "run", lambda *arguments: calls.append(1) or run(*arguments))
    told: list[float] = []
    load(spec).enhance(picture(9, 8, channels), progressed=told.append)
    assert len(calls) == passes
    assert told == sorted(told)
    assert told[-1] == 1


def test_a_picture_without_transparency_is_an_opaque_one(load):
    image = picture(9, 8, 4)
    image[..., 3] = 255
    with_alpha, _ = load(RGBA).enhance(image)
    assert np.array_equal(load(RGBA).enhance(image[..., :3])[0], with_alpha[..., :3])
    assert (with_alpha[..., 3] == 255).all()


def test_a_network_for_rgba_sees_hidden_colours_and_others_do_not(load):
    image = picture(20, 20, 4)
    image[:, :10, 3] = 0
    other = image.copy()
    other[:, :8, :3] = 255 - other[:, :8, :3]
    for spec, sees in ((RGBA, True), (GRAY, False), (RGB, False)):
        first, second = (load(spec).enhance(each)[0] for each in (image, other))
        assert np.array_equal(first, second) != sees


def test_transparency_may_be_interpolated_instead(load):
    image = picture(9, 8, 4)
    kept = {
        how: load(spec).enhance(image, alpha_upsampler=how)[0] for spec in (RGBA,) for how in ("realesrgan", "bicubic")
    }
    assert np.array_equal(kept["realesrgan"][..., :3], kept["bicubic"][..., :3])
    assert np.array_equal(kept["bicubic"][..., 3], image[..., 3])  # at scale 1 nothing is left to interpolate


@pytest.mark.parametrize("tile", [0, 8])
@every_network
def test_the_published_steps_take_the_channels_of_the_network(load, spec, tile):
    upsampler = load(spec, tile=tile, tile_pad=60)
    planes = picture(9, 8, spec.num_in_ch).reshape(9, 8, -1) / np.float32(255)
    upsampler.pre_process(planes)
    assert upsampler.img.shape[1] == spec.num_in_ch
    upsampler.tile_process() if tile else upsampler.process()
    output = upsampler.post_process()[0].permute(1, 2, 0).numpy()
    if spec.scale > 2:  # as published, networks of scale 1 and 2 get pictures of whole multiples
        assert np.abs(output.clip(0, 1) - through(spec, planes)).max() < 1e-4
    assert output.shape == (9 * spec.scale, 8 * spec.scale, spec.num_out_ch)


@every_picture
@every_network
def test_the_command_restores_pictures_with_weights_of_ones_own(spec, channels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_weights(network_of(spec), tmp_path / "own.pth")
    image = picture(6, 5, channels)
    files.write(Path("a.png"), Picture(image))
    assert main(["-i", "a.png", "--model_path", "own.pth", "-s", str(spec.scale), "--fp32"]) == 0
    written = files.read(Path("results/a_out.png")).pixels
    assert written.shape == (6 * spec.scale, 5 * spec.scale, channels)[: 2 if channels == 1 else 3]
    assert np.abs(written - expected(spec, image)).max() <= 0.51


def test_half_precision_restores_gray_and_rgba_pictures(load, monkeypatch):
    monkeypatch.setattr(
        "realesrgan.engine.choice.choose_precision", lambda *_, **__: realesrgan.engine.device.Precision.MIXED_BF16
    )
    for spec in (GRAY, RGBA):
        image = picture(9, 8, spec.num_in_ch)
        mixed = load(spec, half=True, engine="torch")
        assert "bf16" in str(mixed).lower() or "bfloat16" in str(mixed)
        assert np.abs(mixed.enhance(image)[0] - expected(spec, image)).max() < 8
