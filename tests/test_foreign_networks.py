"""Networks of other projects, through spandrel: each kind it knows is restored with, or refused in words."""

from __future__ import annotations

import json
import pickle
import sys
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from foreign import KINDS, stand_in_for_torchvision
from tiny import picture, save_weights
from torch import nn

from realesrgan.cli import image, weights
from realesrgan.engine import measuring
from realesrgan.engine.device import Precision
from realesrgan.errors import UsageError, WeightsError
from realesrgan.families.foreign import ForeignSpec
from realesrgan.loading import NetworkFacts, Settings, check, load, network_facts
from realesrgan.model_zoo import DEFAULT_IMAGE_MODEL
from realesrgan.restorer import Reporter
from realesrgan.upsampler import RealESRGANer, load_upsampler
from realesrgan.weights.load import load_network

pytest.importorskip("einops", reason="needs spandrel, which make test installs")
stand_in_for_torchvision()
spandrel = pytest.importorskip("spandrel", reason="needs spandrel, which make test installs")

OWN = {"Compact": "SRVGGNetCompact", "ESRGAN": "RRDBNet"}
REFUSED = {
    "GFPGAN": "the GFPGAN face restorer, which face_enhance uses by itself",
    "LaMa": "LaMa, which fills in what a mask marks",
    "RestoreFormer": "RestoreFormer ×1, which restores faces that are cut out; face_enhance does that",
}
WORKING = sorted(set(KINDS) - set(OWN) - set(REFUSED))
HEIGHT, WIDTH = 20, 24


@pytest.fixture(autouse=True)
def measured_on_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SIDE", 16)


def file_of(name: str, folder: Path) -> tuple[nn.Module, Path]:
    network = KINDS[name].build()
    return network, save_weights(network, folder / f"{name}.pth", "params")


def directly(network: nn.Module, image: np.ndarray) -> np.ndarray:
    """What spandrel makes of (H, W, 3) BGR bytes, mirrored to a size that needs no padding."""
    descriptor = spandrel.ModelLoader().load_from_state_dict(network.state_dict())
    height, width = image.shape[:2]
    right, below = descriptor.size_requirements.get_padding(width, height)
    padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    x = torch.from_numpy(padded[..., ::-1] / np.float32(255)).permute(2, 0, 1)[None]
    parts = x.split(descriptor.input_channels, 1)  # one for gray pictures restores each colour by itself
    rgb = torch.cat([descriptor(part) for part in parts], 1)[0].permute(1, 2, 0).numpy()
    rgb = rgb[: height * descriptor.scale, : width * descriptor.scale]
    return (255 * rgb[..., ::-1]).round().astype(np.uint8)


def test_every_architecture_of_spandrel_is_tried():
    known = {arch.architecture.id for arch in spandrel.MAIN_REGISTRY.architectures()}
    assert {kind.arch for kind in KINDS.values()} == known


@pytest.mark.parametrize("name", WORKING)
def test_the_image_command_gives_what_the_network_gives(name, tmp_path, capsys):
    network, path = file_of(name, tmp_path)
    pixels = picture(HEIGHT, WIDTH)
    wanted = directly(network, pixels)
    cv2.imwrite(str(tmp_path / "in.png"), pixels)
    argv = ["-i", str(tmp_path / "in.png"), "-o", str(tmp_path / "out"), "--model_path", str(path), "-g", "cpu"]
    code = image.main([*argv, "-s", str(wanted.shape[0] // HEIGHT)])
    assert code == 0, capsys.readouterr().err
    result = cv2.imread(str(tmp_path / "out" / "in_out.png"), cv2.IMREAD_UNCHANGED)
    assert result.shape == wanted.shape
    assert np.abs(result.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("name", ["Uformer", "UpCunet3x", "SAFMN"])
@pytest.mark.parametrize("size", [(1, 1), (20, 24), (7, 150)])
def test_any_size_is_taken_and_enlarged_exactly(name, size, tmp_path):
    network, spec = load_network([file_of(name, tmp_path)[1]])
    with torch.no_grad():
        result = network(torch.rand(1, 3, *size))
    assert result.shape == (1, 3, spec.scale * size[0], spec.scale * size[1])


def test_results_are_not_clamped_so_that_overflows_are_seen(tmp_path):
    network, _ = load_network([file_of("SPAN", tmp_path)[1]])
    with torch.no_grad():
        result = network(torch.rand(1, 3, HEIGHT, WIDTH))
    assert result.min() < 0
    assert result.max() > 1


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_is_not_for_pictures_is_refused_with_what_it_is(name, tmp_path):
    with torch.device("meta") if name == "LaMa" else nullcontext():  # which has 51 million weights, told by their names
        state = KINDS[name].build().state_dict()
    torch.save(
        {key: torch.zeros(1) if tensor.is_meta else tensor for key, tensor in state.items()}, tmp_path / "net.pth"
    )
    with pytest.raises(WeightsError, match=f"this is {REFUSED[name]}"):
        load_network([tmp_path / "net.pth"])


@pytest.mark.parametrize("name", OWN)
def test_this_projects_own_networks_are_never_left_to_spandrel(name, tmp_path, monkeypatch):
    _, path = file_of(name, tmp_path)
    monkeypatch.setattr(spandrel.ModelLoader, "load_from_state_dict", lambda *_: pytest.fail("spandrel was asked"))
    network, spec = load_network([path])
    assert type(network).__name__ == OWN[name]
    assert not isinstance(spec, ForeignSpec)


def test_inspecting_one_says_what_it_is(tmp_path, capsys):
    _, file = file_of("SPAN", tmp_path)
    assert weights.main(["inspect", str(file)]) == 0
    text = capsys.readouterr().out
    assert "SPAN ×" in text
    assert "of another project" in text
    assert weights.main(["inspect", "--json", str(file)]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["network"]["family"], told["network"]["streams"], told["network"]["reach"]) == ("SPAN", False, None)
    assert told["reason"] is None


def test_exporting_one_is_refused(tmp_path):
    from realesrgan.export.job import export_onnx

    _, path = file_of("SPAN", tmp_path)
    with pytest.raises(
        UsageError, match="SPAN.pth holds SPAN ×2, 8nf; only RRDBNet and SRVGGNetCompact can be exported"
    ):
        export_onnx(tmp_path / "span.onnx", model_path=path)


def test_channels_that_no_picture_has_are_refused(tmp_path):
    build = sys.modules["spandrel.architectures.SPAN"].SPAN
    path = save_weights(build(num_in_ch=5, num_out_ch=3, feature_channels=8, upscale=2), tmp_path / "span.pth")
    with pytest.raises(WeightsError, match="this is SPAN ×2.*pictures of 5 channels in and 3 out"):
        load_network([path])


# What a file may be.


def test_without_spandrel_the_refusal_says_how_to_install_it(tmp_path, monkeypatch):
    _, path = file_of("SPAN", tmp_path)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(WeightsError, match=r'neither RRDBNet.*pip install "realesrgan\[models\]"$'):
        load_network([path])


def test_a_spandrel_that_cannot_be_loaded_is_said_with_its_reason(tmp_path, monkeypatch):
    _, path = file_of("SPAN", tmp_path)
    monkeypatch.delitem(sys.modules, "spandrel")
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    (tmp_path / "spandrel.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    with pytest.raises(WeightsError, match=r"cannot be loaded \(operator torchvision::nms does not exist\): pip"):
        load_network([path])


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_of_both_formats_are_read(suffix, tmp_path):
    from safetensors.torch import save_file

    network, path = file_of("FDAT", tmp_path)
    if suffix == "safetensors":
        path = tmp_path / "net.safetensors"
        save_file(network.state_dict(), path)
    assert load_network([path])[1].name == "FDAT"


@pytest.mark.parametrize("damage", ["lacks", "has another shape"])
def test_a_damaged_file_is_refused_with_what_it_was_taken_for(damage, tmp_path):
    state = KINDS["OmniSR"].build().state_dict()
    last = list(state)[-1]
    if damage == "lacks":
        del state[last]
    else:
        state[last] = torch.zeros(7)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="spandrel takes it for OmniSR, which it does not fit"):
        load_network([tmp_path / "net.pth"])


def test_what_nobody_knows_is_refused_as_that(tmp_path):
    torch.save({"gamma": torch.ones(3)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="neither RRDBNet nor SRVGGNetCompact.*spandrel does not know it either"):
        load_network([tmp_path / "net.pth"])


class Calls:
    """Pickled, it calls a function when it is read."""

    def __reduce__(self):
        return (exec, ("import builtins; builtins.executed = True",))


def test_a_file_that_would_execute_code_never_reaches_spandrel(tmp_path, monkeypatch):
    monkeypatch.setattr(spandrel.ModelLoader, "load_from_state_dict", lambda *_: pytest.fail("spandrel was asked"))
    (tmp_path / "net.pth").write_bytes(pickle.dumps({"params": Calls()}))
    with pytest.raises(WeightsError):
        load_network([tmp_path / "net.pth"])
    import builtins

    assert not hasattr(builtins, "executed")


def test_two_files_are_blended(tmp_path):
    paths = [save_weights(KINDS["FDAT"].build(seed), tmp_path / f"{seed}.pth") for seed in (1, 2)]
    network, spec = load_network(paths, [0.25, 0.75])
    one, two = (KINDS["FDAT"].build(seed).state_dict() for seed in (1, 2))
    for key, tensor in network.network.state_dict().items():
        wanted = 0.25 * one[key] + 0.75 * two[key] if one[key].is_floating_point() else one[key]
        torch.testing.assert_close(tensor, wanted)


# What results may be.


@pytest.mark.parametrize(("channels", "depth"), [(1, np.uint8), (3, np.uint16), (4, np.uint8), (4, np.uint16)])
@pytest.mark.parametrize("outscale", [None, 1.5])
def test_layout_and_depth_are_kept(channels, depth, outscale, tmp_path):
    _, path = file_of("PLKSR", tmp_path)
    pixels = picture(HEIGHT, WIDTH, channels, depth)
    result, _ = load_upsampler(model_path=path, device="cpu").enhance(pixels, outscale)
    scale = outscale or 2
    assert result.dtype == depth
    assert result.shape == (round(HEIGHT * scale), round(WIDTH * scale), *pixels.shape[2:])


@pytest.mark.parametrize(("name", "precision"), [("SPAN", Precision.HALF), ("DRCT", Precision.FP32)])
def test_fp16_is_used_where_the_network_is_made_for_it(name, precision, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "realesrgan.engine.choice.choose_precision",
        lambda device, *, reduced: Precision.HALF if reduced else Precision.FP32,
    )
    _, path = file_of(name, tmp_path)
    upsampler = RealESRGANer(None, path, half=True, device="cpu")
    assert upsampler.engine.precision is precision
    wanted = RealESRGANer(None, path, device="cpu").enhance(picture(HEIGHT, WIDTH))[0]
    assert np.abs(upsampler.enhance(picture(HEIGHT, WIDTH))[0].astype(int) - wanted).max() <= 40


@pytest.mark.parametrize("name", ["SwinIR", "SPAN", "DRUNet", "DITN"])
def test_tiles_equal_the_whole_within_half_a_level(name, tmp_path):
    _, path = file_of(name, tmp_path)
    upsampler = RealESRGANer(None, path, tile=72, tile_pad=None, pre_pad=0, device="cpu")
    rgb = picture(200, 196)[..., ::-1] / np.float32(255)
    upsampler.pre_process(rgb)
    upsampler.process()
    whole = upsampler.post_process().clamp(0, 1)
    upsampler.tile_process()
    tiles = upsampler.post_process().clamp(0, 1)
    assert upsampler.engine.planner.context.hides_seams
    assert 0 < 255 * (tiles - whole).abs().max() <= 0.5 or torch.equal(tiles, whole)


def test_one_network_of_another_project_serves_videos(tmp_path):
    from realesrgan import restore_video

    _, path = file_of("SAFMN", tmp_path)
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        cv2.imwrite(str(frames / f"{number}.png"), picture(HEIGHT, WIDTH, seed=number))
    result = restore_video(frames, tmp_path / "out", model_path=path, outscale=2, fps=5, gpu_id="cpu")
    video = cv2.VideoCapture(str(result))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 3
    assert (video.get(cv2.CAP_PROP_FRAME_HEIGHT), video.get(cv2.CAP_PROP_FRAME_WIDTH)) == (2 * HEIGHT, 2 * WIDTH)


@pytest.mark.parametrize("name", ["SPAN", "SwinIR", "DnCNN_gray"])
def test_the_facts_of_one_are_what_an_engine_measures(name, tmp_path):
    setup = check(Settings(model_path=file_of(name, tmp_path)[1], gpu_id="cpu"), DEFAULT_IMAGE_MODEL)
    facts = network_facts(setup)
    assert facts == NetworkFacts(name, load(setup, Reporter()).multiply_adds(1.0), kernels=False)
    assert facts.multiply_adds > 100


def test_a_dry_run_estimates_the_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("realesrgan.engine.engine.MEASURED_SIDE", 16)
    _, path = file_of("SPAN", tmp_path)
    cv2.imwrite(str(tmp_path / "in.png"), picture(HEIGHT, WIDTH))
    assert image.main(["-i", str(tmp_path / "in.png"), "--model_path", str(path), "-g", "cpu", "--dry_run"]) == 0
    assert "the network would take about" in capsys.readouterr().out
