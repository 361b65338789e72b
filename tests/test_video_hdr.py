"""HDR stays HDR: depth, tags, mastering display and light levels, wherever the encoder can write them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clips import BT2020, PQ, Clip, flat
from test_video_writer import Run

from realesrgan.video.probe import probe
from realesrgan.video.request import Request, plan_job
from realesrgan.video.sources.hdr import Hdr, Mastering, hdr_of

SCREEN = Mastering(
    red=(Fraction(34, 50), Fraction(32, 100)),
    green=(Fraction(265, 1000), Fraction(69, 100)),
    blue=(Fraction(15, 100), Fraction(6, 100)),
    white=(Fraction(3127, 10000), Fraction(329, 1000)),
    darkest=Fraction(5, 1000),
    brightest=Fraction(1000),
)
LEVELS = (1000, 400)
X265 = "log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
HLG = BT2020 | {"color_trc": 18}


def hdr_clip(path: Path, parameters: str = f"{X265}:max-cll=1000,400", tags: dict[str, int] = PQ) -> Path:
    frames = [flat((300 + 20 * number, 500, 520), pixel_format="yuv420p10le") for number in range(4)]
    options = {"x265-params": parameters, "preset": "ultrafast"}
    return Clip(frames, codec="libx265", pixel_format="yuv420p10le", options=options, tags=tags).write(path)


def close(one: Mastering | None, other: Mastering) -> bool:
    if one is None:
        return False
    pairs = [(one.darkest, other.darkest), (one.brightest, other.brightest)]
    for name in ("red", "green", "blue", "white"):
        pairs += zip(getattr(one, name), getattr(other, name), strict=True)
    return all(float(a) == pytest.approx(float(b), abs=1e-3) for a, b in pairs)


def test_static_metadata_is_read(tmp_path: Path) -> None:
    assert probe(hdr_clip(tmp_path / "a.mkv")).hdr == Hdr(SCREEN, LEVELS)
    assert probe(hdr_clip(tmp_path / "b.mkv", X265)).hdr == Hdr(SCREEN, None)
    assert probe(hdr_clip(tmp_path / "c.mkv", "log-level=error")).hdr is None


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_screen_and_light_levels_are_in_the_result(tmp_path: Path, codec: str, extension: str) -> None:
    result = probe(Run(hdr_clip(tmp_path / "a.mkv"), codec=codec, extension=extension, crf=20).path)
    assert result.hdr is not None
    assert close(result.hdr.mastering, SCREEN)
    assert result.hdr.levels == LEVELS
    assert (result.depth_bits, result.colour.tags) == (10, PQ)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_finds_them_too(tmp_path: Path) -> None:
    path = Run(hdr_clip(tmp_path / "a.mkv"), codec="libx265", crf=20).path
    argv = ["ffprobe", "-v", "error", "-show_frames", "-read_intervals", "%+#1", "-of", "json", str(path)]
    found = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    data = {one["side_data_type"]: one for one in found["frames"][0]["side_data_list"]}
    assert data["Mastering display metadata"]["max_luminance"] == "10000000/10000"
    assert data["Content light level metadata"]["max_content"] == 1000


@pytest.mark.parametrize("tags", [PQ, HLG], ids=["PQ", "HLG"])
def test_the_default_encoder_keeps_depth_and_tags(tmp_path: Path, tags: dict[str, int]) -> None:
    run = Run(hdr_clip(tmp_path / "a.mkv", "log-level=error", tags))
    result = probe(run.path)
    assert (run.encoding.codec, run.encoding.pixel_format) == ("libx264", "yuv420p10le")
    assert (result.depth_bits, result.colour.tags) == (10, tags)


def test_what_an_encoder_cannot_write_is_reported(tmp_path: Path) -> None:
    path = hdr_clip(tmp_path / "a.mkv")
    lines = {}
    for codec in ("libx265", "libvpx-vp9"):
        lines[codec] = [line for line in plan_job(path, Request(codec=codec)).facts() if "mastering" in line]
    assert lines["libx265"] == []
    (line,) = lines["libvpx-vp9"]
    assert "mastering-display and light-level data are lost: libvpx-vp9" in line


def side_data(kind: str, data: bytes) -> Any:
    class Data(bytes):
        type = SimpleNamespace(name=kind)

    return SimpleNamespace(side_data=[Data(data)])


@pytest.mark.parametrize(
    "numbers",
    [
        [1, 2] * 10 + [0, 1],  # says itself that it has no colours
        [1, 2] * 10 + [1, 0],
        [1, 0] * 10 + [1, 1],  # divided by zero
        [3, 2] * 8 + [0, 1, 9, 1] + [1, 1],  # outside of all colours
        [1, 2] * 8 + [9, 1, 9, 1] + [1, 1],  # nothing is darker than its brightest
    ],
)
def test_nonsense_reaches_no_encoder(numbers: list[int]) -> None:
    assert hdr_of(side_data("MASTERING_DISPLAY_METADATA", struct.pack("=22i", *numbers))) is None
    assert hdr_of(side_data("MASTERING_DISPLAY_METADATA", b"short")) is None
    assert hdr_of(side_data("CONTENT_LIGHT_LEVEL", struct.pack("=2I", 0, 0))) is None


def test_dynamic_metadata_is_noticed() -> None:
    assert hdr_of(side_data("DYNAMIC_HDR_PLUS", b"")) == Hdr(dynamic=True)
