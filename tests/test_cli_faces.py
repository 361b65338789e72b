"""--face_enhance as a user types it, with weights of the right shapes in weights/: what is found, printed, written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import Clip, decoded, frame_times, moving
from faces import TEMPLATE, face, fake_networks, portrait
from tiny import picture
from torch import nn

from realesrgan.archs.gfpgan_arch import GFPGANv1Clean
from realesrgan.archs.parsenet_arch import ParseNet
from realesrgan.archs.retinaface_arch import RetinaFace
from realesrgan.cli import video as video_command
from realesrgan.cli.image import main
from realesrgan.cli.options import ImageOptions, VideoOptions, parse
from realesrgan.face.alignment import FACE_SIDE
from realesrgan.face.enhancer import GFPGANer
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.model_zoo import FACE_MODELS

Command = Callable[[list[str]], int]
LARGEST_PRIOR = 512  # pixels, the second of each cell of the coarsest grid
SURE = 9.0  # of both classes' scores: e^18 to one


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write(Path("portrait.png"), Picture(portrait()))


@pytest.fixture
def small(srvgg_file: Path) -> list[str]:
    return ["--model_path", str(srvgg_file), "--fp32", "-g", "cpu"]


def faked(monkeypatch: pytest.MonkeyPatch, *found: Any) -> list[str]:
    """Replace the loader of the face networks; returns the list of versions that are loaded."""
    asked = []

    def load(version: str, **options: Any) -> GFPGANer:
        asked.append(version)
        return GFPGANer("unused", networks=fake_networks(*found, restore=lambda x: torch.full_like(x, 0.9)))

    monkeypatch.setattr("realesrgan.face.enhancer.load_face_restorer", load)
    monkeypatch.setattr("realesrgan.weights.store.obtain", lambda files, report=None: [])
    return asked


def result(name: str = "results/portrait_out.png") -> Any:
    return files.read(Path(name)).pixels


def random_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Small random values for all of a network's tensors, drawn once for each shape: only their layout matters."""
    return {
        name: torch.ones(()).expand(tensor.shape).clone()
        if name.endswith("running_var")
        else torch.randn(tensor.shape) * 0.02
        for name, tensor in network.state_dict().items()
    }


@pytest.fixture
def random_face_weights() -> None:
    """Files as published except for their values; the detector finds faces of 512 pixels around some cells."""
    with torch.device("meta"):
        detector, parser = RetinaFace("resnet50"), ParseNet(512, 512)
        gfpgan = GFPGANv1Clean(512, channel_multiplier=2, input_is_latent=True, different_w=True, sft_half=True)
    found = random_state(detector)
    for name in list(found):
        if "Head" in name:
            found[name] = torch.zeros_like(found[name])
    for level in range(3):
        found[f"ClassHead.{level}.conv1x1.bias"] = torch.tensor([SURE, -SURE, SURE, -SURE])
    found["ClassHead.2.conv1x1.bias"][2:] = torch.tensor([-SURE, SURE])
    offsets = (TEMPLATE - FACE_SIDE / 2) / 5 / (0.1 * LARGEST_PRIOR)  # a fifth of the frame's size
    found["LandmarkHead.2.conv1x1.bias"][10:] = torch.from_numpy(offsets.ravel())
    Path("weights").mkdir()
    torch.save({"params_ema": random_state(gfpgan)}, "weights/GFPGANv1.3.pth")
    torch.save({f"module.{name}": tensor for name, tensor in found.items()}, "weights/detection_Resnet50_Final.pth")
    torch.save(random_state(parser), "weights/parsing_parsenet.pth")


def test_the_whole_command_runs_with_weights_of_the_published_shapes(
    random_face_weights: None, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    assert main(["-i", "portrait.png", "--face_enhance", "--only_center_face", "-s", "2", *small]) == 0
    out, err = capsys.readouterr()
    assert "GFPGANv1.3 on cpu, fp32" in err
    assert "1 face" in out
    assert result().shape == (304, 256, 3)


def test_missing_face_weights_are_all_named_before_any_work(
    small: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for version, model in FACE_MODELS.items():
        assert main(["-i", "portrait.png", "--face_enhance", "--face_model", version, *small]) == 1
        err = capsys.readouterr().err
        for file in model.files:
            assert file.name in err
            assert file.url in err
            assert f"{file.size_bytes / 1e6:.1f} MB" in err  # type: ignore[operator]
        assert str(tmp_path / "weights") in err
    assert list(Path("results").iterdir()) == []


def test_weights_missing_for_faces_and_picture_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-i", "portrait.png", "--face_enhance", "-n", "RealESRGAN_x2plus"]) == 1
    err = capsys.readouterr().err
    wanted = ("RealESRGAN_x2plus.pth", "GFPGANv1.3.pth", "detection_Resnet50_Final.pth", "parsing_parsenet.pth")
    assert all(err.count(f"{name} is not on this machine") == 1 for name in wanted)


def test_a_file_that_is_none_of_the_face_networks_is_named(
    small: list[str], srvgg_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("gfpgan/weights").mkdir(parents=True)
    for file in FACE_MODELS["1.3"].files:  # where the published program puts them
        Path("gfpgan/weights", file.name).write_bytes(srvgg_file.read_bytes())
    assert main(["-i", "portrait.png", "--face_enhance", *small]) == 1
    err = capsys.readouterr().err
    assert "GFPGANv1.3.pth: does not hold GFPGAN's face restorer" in err


def test_the_faces_are_counted_for_each_picture_and_in_all(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, face(60, 70), face(40, 30, confidence=0.98))
    files.write(Path("other.png"), Picture(portrait()))
    assert main(["-i", "portrait.png", "other.png", "--face_enhance", *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["2 faces" in line for line in lines[:2]] == [True, True]
    assert lines[-1].startswith("2 restored, 4 faces")


def test_without_a_face_the_result_is_that_without_the_flag(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch)
    assert main(["-i", "portrait.png", "-o", "plain", *small]) == 0
    assert "face" not in capsys.readouterr().out
    assert main(["-i", "portrait.png", "--face_enhance", *small]) == 0
    assert "0 faces" in capsys.readouterr().out
    assert np.array_equal(result(), result("plain/portrait_out.png"))


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (4, np.uint16)])
@pytest.mark.parametrize("outscale", ["1", "2.5", "4"])
def test_faces_land_in_the_enlarged_picture_of_every_kind(
    monkeypatch: pytest.MonkeyPatch, small: list[str], channels: int, dtype: Any, outscale: str
) -> None:
    faked(monkeypatch, face(60, 50))
    files.write(Path("a.png"), Picture(picture(90, 110, channels, dtype)))
    assert main(["-i", "a.png", "--face_enhance", "-s", outscale, *small]) == 0
    after, scale = result("results/a_out.png"), float(outscale)
    assert after.dtype == dtype
    middle = np.atleast_1d(after[int(50 * scale), int(60 * scale)])[:3] / np.iinfo(dtype).max
    assert middle == pytest.approx(np.full(middle.shape, 0.95), abs=0.01)


def test_weight_version_and_choice_of_face_reach_the_restorer(
    monkeypatch: pytest.MonkeyPatch, small: list[str]
) -> None:
    asked = faked(monkeypatch, face(20, 20), face(64, 76, confidence=0.98))
    base = ["-i", "portrait.png", "--face_enhance", "-s", "1", *small]
    assert main([*base, "-o", "none", "--face_weight", "0"]) == 0
    assert main(["-i", "portrait.png", "-s", "1", "-o", "plain", *small]) == 0
    assert np.array_equal(result("none/portrait_out.png"), result("plain/portrait_out.png"))
    assert main([*base, "-o", "both"]) == 0
    assert main([*base, "-o", "middle", "--only_center_face", "--face_model", "1.4"]) == 0
    both, middle, plain = (result(f"{folder}/portrait_out.png") for folder in ("both", "middle", "plain"))
    assert (both[20, 20] == 242).all()
    assert np.array_equal(middle[:20, :20], plain[:20, :20])
    assert (middle[76, 64] == 242).all()
    assert asked == ["1.3", "1.3", "1.4"]


def test_save_faces_writes_each_face_before_and_after(monkeypatch: pytest.MonkeyPatch, small: list[str]) -> None:
    faked(monkeypatch, face(60, 70), face(40, 30, confidence=0.98))
    Path("in/sub").mkdir(parents=True)
    for name in ("in/a.png", "in/sub/a.png"):
        files.write(Path(name), Picture(portrait()))
    assert main(["-i", "in", "-r", "--face_enhance", "--save_faces", "faces", *small]) == 0
    written = sorted(path.relative_to("faces").as_posix() for path in Path("faces").rglob("*.png"))
    names = [f"a_out_{n:02d}_{kind}.png" for n in range(2) for kind in ("cropped", "restored")]
    assert written == [*names, *(f"sub/{name}" for name in names)]
    assert (result("faces/a_out_00_restored.png") == 242).all()
    assert result("faces/a_out_00_cropped.png").shape == (FACE_SIDE, FACE_SIDE, 3)


def test_faces_that_cannot_be_saved_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, face(60, 70))
    assert main(["-i", "portrait.png", "--face_enhance", "--save_faces", "portrait.png/faces", *small]) == 2
    assert "--save_faces portrait.png/faces: cannot be written" in capsys.readouterr().err
    assert list(Path("results").iterdir()) == []


@pytest.mark.parametrize(("command", "source"), [(main, "portrait.png"), (video_command.main, "portrait.png")])
@pytest.mark.parametrize("name", ["realesr-animevideov3", "RealESRGAN_x4plus_anime_6B"])
def test_anime_models_restore_no_faces_and_say_so(
    monkeypatch: pytest.MonkeyPatch,
    srvgg_file: Path,
    capsys: pytest.CaptureFixture[str],
    command: Command,
    source: str,
    name: str,
) -> None:
    def no_faces(*_: Any, **__: Any) -> None:
        raise AssertionError("faces are turned off")

    monkeypatch.setattr("realesrgan.face.enhancer.load_face_restorer", no_faces)
    assert command(["-i", source, "--face_enhance", "-n", name, "-s", "1", "--tile", "0", "-g", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert f"--face_enhance is for photographs, and {name} is for drawings: it is turned off" in err
    assert " face" not in out


@pytest.mark.parametrize("options", [ImageOptions, VideoOptions])
def test_both_commands_have_the_flags_of_faces_and_their_published_meaning_by_default(options: Any) -> None:
    default = parse(options, [], "prog", "")
    assert (default.face_model, default.face_weight) == ("1.3", 1.0)
    assert (default.only_center_face, default.save_faces) == (False, None)


def test_each_device_loads_the_face_networks_once(monkeypatch: pytest.MonkeyPatch, small: list[str]) -> None:
    asked = faked(monkeypatch, face(60, 70))
    torch.set_num_threads(2)
    assert main(["-i", "portrait.png", "--face_enhance", *small, "-g", "cpu,cpu"]) == 0
    assert asked == ["1.3"]


def test_a_video_with_faces_keeps_its_frames_and_counts_the_faces(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    faked(monkeypatch, face(30, 24, scale=0.1))
    source = Clip(moving(7)).write(Path("a.mp4"))
    argv = ["-i", "a.mp4", "-s", "1", "--face_enhance", "--save_faces", "faces", *small]
    assert video_command.main([*argv, "--keep_segments"]) == 0
    assert "7 frames, 7 faces" in capsys.readouterr().out
    result = Path("results/a_out.mp4")
    assert frame_times(result) == frame_times(source)
    assert all((frame[24, 30] > 225).all() for frame in decoded(result, "rgb24"))
    assert len(list(Path("faces").iterdir())) == 2 * 7
    assert Path("faces/a_out_frame000006_00_restored.png").exists()
    # The finished segments are of this choice of faces only.
    assert video_command.main([*argv, "--face_weight", "0.5"]) == 0
    assert "started over" in capsys.readouterr().err
    assert all((frame[24, 30] < 225).any() for frame in decoded(result, "rgb24"))
