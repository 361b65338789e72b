"""What calibration reads of a picture: planted JPEG, noise, blur and cut-off come back, as exactly as the docs say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from realesrgan.arrays import Array
from realesrgan.degradation import kernels
from realesrgan.degradation.calibration import history, jpeg_tables, sample
from realesrgan.degradation.calibration.measuring import LEAST_SIDE, Measurement, measure, read_tables
from realesrgan.image import files
from realesrgan.image.files import Picture


@pytest.fixture(scope="module")
def photograph() -> Array:
    """(320, 400, 3) BGR, sharp and nearly without noise."""
    return np.ascontiguousarray(data.coffee()[40:360, 100:500, ::-1])  # type: ignore[no-untyped-call]


def levels(picture: Array) -> Array:
    rounded: Array = np.rint(picture).clip(0, 255).astype(np.uint8)
    return rounded


def noisy(picture: Array, sigma: float, *, coloured: bool = True) -> Array:
    shape = (*picture.shape[:2], 3 if coloured else 1)
    return levels(picture + np.random.default_rng(0).normal(0, sigma, shape))


def through_file(folder: Path, picture: Array, quality: int) -> Measurement:
    path = folder / "a.jpg"
    files.write(path, Picture(picture), quality)
    return measure(files.read(path).pixels, read_tables(path))


def noise_of(measured: Measurement) -> Any:
    assert measured.noise is not None
    return measured.noise


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
@pytest.mark.parametrize("gray", [False, True])
def test_the_quality_of_libjpeg_is_read_from_the_tables(tmp_path: Path, flags: list[int], gray: bool) -> None:
    pixels = np.zeros((16, 16) if gray else (16, 16, 3), np.uint8)
    for quality in (*range(1, 100, 7), 75, 95, 100):
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, *flags])[1]
        (tmp_path / "a.jpg").write_bytes(encoded.tobytes())
        tables = jpeg_tables.read(tmp_path / "a.jpg")
        assert tables is not None
        assert (tables.chroma is None) == gray
        assert jpeg_tables.fit(tables) == jpeg_tables.Fit(quality, 0.0)


@pytest.mark.parametrize(("factor", "halved"), [(0x111111, False), (0x221111, True), (0x211111, True)])
def test_halved_chroma_is_told_by_the_sampling(tmp_path: Path, factor: int, halved: bool) -> None:
    flags = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    encoded = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), flags)[1]
    (tmp_path / "a.jpg").write_bytes(encoded.tobytes())
    tables = jpeg_tables.read(tmp_path / "a.jpg")
    assert tables is not None
    assert tables.halved == halved


def test_tables_of_others_are_named_as_such_with_the_quality_they_come_near() -> None:
    flat = jpeg_tables.Tables(np.full((8, 8), 20.0), None)
    assert not jpeg_tables.fit(flat).is_own
    between = jpeg_tables.Tables(np.clip(jpeg_tables.LUMA * 0.47, 1, 255), None)
    fit = jpeg_tables.fit(between)
    assert fit.is_own
    assert fit.quality == pytest.approx(76.5, abs=0.5)


@pytest.mark.parametrize("length", [0, 2, 3, 10, 30, 100])
def test_what_is_no_whole_jpeg_has_no_tables(tmp_path: Path, length: int) -> None:
    encoded = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(encoded[:length])
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + encoded)
    assert jpeg_tables.read(tmp_path / "a.jpg") is None
    assert jpeg_tables.read(tmp_path / "a.png") is None


@pytest.mark.parametrize("quality", [20, 50, 75, 90])
def test_a_picture_that_once_was_a_jpeg_says_so_also_when_cropped_or_turned(photograph: Array, quality: int) -> None:
    decoded = cv2.imdecode(cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    assert decoded is not None
    past = history.find(sample.patches(np.ascontiguousarray(decoded[3:, 5:])))
    assert past is not None
    assert (past.top, past.left, past.turned) == (5, 3, False)
    assert past.quality == pytest.approx(quality, abs=1)
    turned = history.find(sample.patches(np.ascontiguousarray(np.rot90(decoded))))
    assert turned is not None
    assert turned.turned
    assert turned.quality == pytest.approx(quality, abs=1)


def test_a_picture_that_never_was_a_jpeg_or_was_resized_since_has_no_trace_of_it(photograph: Array) -> None:
    assert history.find(sample.patches(photograph)) is None
    assert history.find(sample.patches(noisy(photograph, 10))) is None
    decoded = cv2.imdecode(cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)
    assert decoded is not None
    assert history.find(sample.patches(cv2.resize(decoded, None, fx=0.8, fy=0.8))) is None


def test_the_worse_of_two_compressions_counts(tmp_path: Path, photograph: Array) -> None:
    first = cv2.imdecode(cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)
    assert first is not None
    measured = through_file(tmp_path, np.ascontiguousarray(first), 90)
    assert measured.quality == pytest.approx(50, abs=1)
    assert measured.tables is not None
    assert measured.tables.quality == 90


@pytest.mark.parametrize("coloured", [False, True])
@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_is_read_within_a_tenth(photograph: Array, sigma: float, coloured: bool) -> None:
    noise = noise_of(measure(noisy(photograph, sigma, coloured=coloured)))
    assert noise.strength == pytest.approx(sigma, rel=0.1)
    assert noise.colour == coloured
    assert noise.grows is False


@pytest.mark.parametrize(("sigma", "quality"), [(5, 75), (10, 50), (10, 30), (20, 30)])
def test_noise_is_read_within_a_sixth_behind_jpeg(
    tmp_path: Path, photograph: Array, sigma: float, quality: int
) -> None:
    noise = noise_of(through_file(tmp_path, noisy(photograph, sigma, coloured=False), quality))
    assert noise.luma == pytest.approx(sigma, rel=1 / 6)


def test_noise_that_jpeg_hides_is_not_taken_for_none(tmp_path: Path, photograph: Array) -> None:
    noise = noise_of(through_file(tmp_path, noisy(photograph, 2), 30))
    assert noise.luma == 0
    assert 2 < noise.hidden < 10


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_noise_of_photons_is_told_by_its_growth(photograph: Array, scale: float) -> None:
    light = photograph / 255
    shot = levels((light + (np.random.default_rng(0).poisson(light * 256) / 256 - light) * scale) * 255)
    noise = noise_of(measure(shot))
    assert noise.grows
    assert noise.poisson_scale == pytest.approx(scale, rel=0.2)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("noise", [0, 5])
def test_blur_is_read_within_a_third_of_a_pixel(photograph: Array, sigma: float, noise: float) -> None:
    measured = measure(noisy(cv2.GaussianBlur(photograph, (0, 0), sigma), noise))
    assert measured.blur == pytest.approx(sigma, abs=0.33)


def test_a_sharp_picture_has_little_blur_and_no_cutoff(photograph: Array) -> None:
    measured = measure(photograph)
    assert measured.blur is not None
    assert measured.blur < 0.7
    assert measured.cutoff == math.pi


@pytest.mark.parametrize("share", [0.3, 0.4, 0.5, 0.6, 0.8])
@pytest.mark.parametrize("noise", [0, 3])
def test_a_cutoff_is_read_within_a_twentieth_of_all_frequencies(photograph: Array, share: float, noise: float) -> None:
    kernel = kernels.sinc(21, share * math.pi)
    filtered = levels(cv2.filter2D(photograph.astype(float), -1, kernel))
    measured = measure(noisy(filtered, noise))
    assert measured.cutoff == pytest.approx(share * math.pi, abs=0.05 * math.pi)


def odd_pictures() -> Iterator[Any]:
    small = np.random.default_rng(0).integers(0, 256, (LEAST_SIDE, LEAST_SIDE, 4), np.uint8)
    yield pytest.param(np.full((200, 300, 3), 128, np.uint8), id="flat")
    yield pytest.param(np.zeros((200, 300), np.uint8), id="black")
    yield pytest.param(np.full((64, 64), 65535, np.uint16), id="white, 16 bit")
    yield pytest.param(small[..., :3].astype(np.uint16) * 257, id="16 bit")
    yield pytest.param(small, id="alpha")
    yield pytest.param(small * np.array([1, 1, 1, 0], np.uint8), id="invisible")
    yield pytest.param(small[..., 0], id="gray")
    yield pytest.param(np.zeros((64, 70001), np.uint8), id="a long line")


@pytest.mark.parametrize("pixels", list(odd_pictures()))
def test_no_picture_is_too_odd_to_be_measured(pixels: Array) -> None:
    measured = measure(pixels)
    assert all(isinstance(fact, str) for fact in measured.facts())
    assert measured.blur is None or measured.blur >= 0


def test_sixteen_bits_read_as_eight_do(photograph: Array) -> None:
    picture = noisy(photograph, 5)
    eight, sixteen = measure(picture), measure(picture.astype(np.uint16) * 257)
    assert noise_of(sixteen).luma == pytest.approx(noise_of(eight).luma, abs=0.01)
    assert sixteen.blur == pytest.approx(eight.blur, abs=0.01)
    assert sixteen.cutoff == eight.cutoff


def test_what_is_hidden_by_transparency_does_not_count(photograph: Array) -> None:
    picture = cv2.cvtColor(noisy(photograph, 5), cv2.COLOR_BGR2BGRA)
    picture[:, :200, :3] = np.linspace(100, 150, 200)[:, None]  # flatter than all the rest
    picture[:, :200, 3] = 0
    assert noise_of(measure(picture)).strength == pytest.approx(5, rel=0.15)


def test_of_a_large_picture_a_limited_part_is_looked_at_always_the_same() -> None:
    large = np.zeros((3000, 4000), np.uint8)
    large[:] = np.arange(4000) % 251
    patches = sample.patches(large)
    assert sum(patch.luma.size for patch in patches) <= sample.MOST_PIXELS
    assert sum(patch.luma.size for patch in patches) > sample.MOST_PIXELS / 2
    assert {patch.luma.shape for patch in patches} == {(sample.SIDE, sample.SIDE)}
    again = sample.patches(large)
    assert all(np.array_equal(one.luma, other.luma) for one, other in zip(patches, again, strict=True))
    starts = {int(patch.luma[0, 0]) for patch in patches}
    assert len(starts) > 1


@pytest.mark.parametrize(("height", "width"), [(3000, 4000), (100, 100_000), (20_000, 300), (1449, 1449)])
def test_patches_lie_within_the_picture_and_on_the_blocks_of_jpeg(height: int, width: int) -> None:
    column = (np.arange(width) % 256).astype(np.uint8)
    patches = sample.patches(np.broadcast_to(column, (height, width)))
    assert patches
    assert all(patch.luma[0, 0] % 16 == 0 for patch in patches)
    assert all(min(patch.luma.shape) >= min(sample.SIDE, height // 8 * 8) for patch in patches)
