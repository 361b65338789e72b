"""Every kind of moving picture, recognised by its content: each frame at its time, for as long as it was shown."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import pyvips
from clips import Clip, Sound, decoded, frame_times, moving
from test_video_writer import Run
from tiny import picture

from realesrgan.errors import VideoFileError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.video.probe import probe
from realesrgan.video.sources.source import Frame, Losses
from realesrgan.video.sources.webp import probe_webp

COUNT = 10
LUMA = np.array([0.114, 0.587, 0.299])  # of BGR; colours of single pixels are not kept by 4:2:0
DELAYS_MS = (100, 50, 200, 100)
EVEN = [Fraction(number, 25) for number in range(COUNT)]
HUNDREDTHS = (0, 10, 30, 40, 60)
X264 = {"crf": "15", "preset": "veryfast", "bf": "3"}


def video(name: str, codec: str = "libx264", sound: str = "aac", **options: str) -> Callable[[Path], Path]:
    sounds = [Sound(sound)] if sound else []
    options = options or (X264 if codec == "libx264" else {})
    return lambda folder: Clip(moving(COUNT), codec=codec, options=options, sounds=sounds).write(folder / name)


def animation(name: str, codec: str, pixel_format: str) -> Callable[[Path], Path]:
    frames = moving(len(HUNDREDTHS), pixel_format=pixel_format)
    clip = Clip(frames, HUNDREDTHS, Fraction(1, 100), codec, pixel_format=pixel_format, options={})
    return lambda folder: clip.write(folder / name)


def webp(folder: Path, bands: int = 3, delays: tuple[int, ...] = DELAYS_MS) -> Path:
    """An animated WebP file; its pictures are flat, and so come back as they were."""
    rng = np.random.default_rng(0)
    pages = [np.full((48, 64, bands), rng.integers(30, 220, bands), np.uint8) for _ in delays]
    strip = pyvips.Image.new_from_array(np.concatenate(pages)).copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", 48)
    strip.set_type(pyvips.GValue.array_int_type, "delay", list(delays))
    path = folder / "a.webp"
    strip.webpsave(str(path), lossless=True)
    return path


def still(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        files.write(folder / name, Picture(picture(48, 64)))
        return folder / name

    return write


SECONDS = [Fraction(when, 100) for when in HUNDREDTHS]
WEBP_TIMES = [Fraction(when, 1000) for when in itertools.accumulate(DELAYS_MS[:-1], initial=0)]
KINDS: dict[str, tuple[Callable[[Path], Path], list[Fraction]]] = {
    "mp4": (video("a.mp4"), EVEN),
    "mov": (video("a.mov"), EVEN),
    "mkv": (video("a.mkv"), EVEN),
    "webm": (video("a.webm", "libvpx-vp9", "libopus", crf="30", b="0"), EVEN),
    "flv": (video("a.flv"), EVEN),
    "flv of old": (video("a.flv", "flv", ""), EVEN),
    "ts": (video("a.ts"), EVEN),
    "m2ts": (video("a.m2ts"), EVEN),
    "mpg": (video("a.mpg", "mpeg2video", "mp2", bf="2"), EVEN),
    "avi": (video("a.avi"), EVEN),
    "avi of whole pictures": (video("a.avi", "ffv1", "pcm_s16le", level="3"), EVEN),
    "gif": (animation("a.gif", "gif", "rgb8"), SECONDS),
    "apng": (animation("a.apng", "apng", "rgb24"), SECONDS),
    "webp": (webp, WEBP_TIMES),
    "still png": (still("a.png"), [Fraction(0)]),
    "still jpg": (still("a.jpg"), [Fraction(0)]),
    "still webp": (still("a.webp"), [Fraction(0)]),
    "still tiff": (still("a.tiff"), [Fraction(0)]),
}


def read(path: Path) -> tuple[list[Frame], Losses]:
    reading = probe(path).frames()
    return list(reading), reading.losses


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_keeps_its_frames_and_times_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    write, wanted = KINDS[kind]
    made = write(tmp_path)
    path = made.rename(tmp_path / 'it\'s no "text" ü.txt')
    frames, losses = read(path)
    assert (losses.missing_s, losses.concealed, losses.reasons) == (0, 0, [])
    run = Run(path)
    times = frame_times(run.path)
    lead = times[0]  # sound that begins a little earlier, as the encoder's delay, begins the file
    assert 0 <= lead < Fraction(3, 100)
    assert [float(when - lead) for when in times] == pytest.approx([float(when) for when in wanted], abs=0.001)
    assert len(decoded(run.path)) == len(frames) == len(wanted)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    for frame, shown in zip(frames, decoded(run.path, "bgr24"), strict=True):
        assert np.abs((frame.pixels.astype(float) - shown) @ LUMA).mean() < 3  # limited range and rounding


def test_pictures_of_an_animated_webp_are_its_own_for_as_long_as_it_says(tmp_path: Path) -> None:
    path = webp(tmp_path)
    strip = pyvips.Image.new_from_file(str(path), n=-1).numpy()
    frames, _ = read(path)
    assert [frame.duration for frame in frames] == list(DELAYS_MS)
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.pixels[..., ::-1], strip[48 * number : 48 * (number + 1)])


def test_transparency_of_an_animated_webp_is_reported_and_dropped(tmp_path: Path) -> None:
    path = webp(tmp_path, bands=4)
    assert probe(path).has_alpha
    assert {frame.pixels.shape for frame in read(path)[0]} == {(48, 64, 3)}


def test_delays_too_short_for_browsers_last_as_long_as_there(tmp_path: Path) -> None:
    assert [frame.duration for frame in read(webp(tmp_path, delays=(0, 20, 10)))[0]] == [100, 20, 100]


def test_a_damaged_webp_is_named_and_what_decodes_is_kept(tmp_path: Path) -> None:
    path = webp(tmp_path)
    content = path.read_bytes()
    (tmp_path / "header.webp").write_bytes(content[:40])
    with pytest.raises(VideoFileError, match="an animated WebP file, but damaged"):
        probe(tmp_path / "header.webp")
    assert probe_webp(still("b.webp")(tmp_path)) is None
