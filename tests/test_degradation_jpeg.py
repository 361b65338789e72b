"""JPEG does what real files do, or what the published one does, to each picture by its own quality."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from realesrgan.degradation import jpeg
from realesrgan.degradation.jpeg import compress

# What the published JPEG (basicsr 1.4.2, fp32) makes of `pattern`, in levels: three pixels at each of three qualities,
# the last one continued in black beyond its border.
PUBLISHED = {
    30.0: [[223.8104, 59.6590, 197.3226], [180.8121, 44.9008, 152.0838], [131.0871, 70.2794, 90.8003]],
    57.3: [[213.2410, 83.3401, 147.3451], [219.0572, 28.9493, 177.6380], [135.4471, 72.0043, 102.0755]],
    95.0: [[216.9624, 70.9152, 169.0613], [199.0466, 39.2019, 144.1380], [162.5067, 60.3898, 153.1829]],
}


def pictures(count: int = 1, height: int = 48, width: int = 64, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Smooth pictures with some noise."""
    coarse = torch.rand(count, 3, 4, 5, dtype=dtype)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return (0.1 + 0.8 * smooth + 0.02 * torch.randn(count, 3, height, width, dtype=dtype)).clamp(0, 1)


def pattern() -> torch.Tensor:
    """A picture (1, 3, 20, 37) that a formula gives."""
    y, x = torch.arange(20.0)[:, None], torch.arange(37.0)
    planes = (torch.sin(0.3 * x + 0.2 * y), torch.cos(0.5 * x - 0.1 * y), torch.sin(0.05 * x * y))
    return torch.stack([0.5 + 0.4 * plane for plane in planes])[None]


def quality_of(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def encoded(bgr: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) levels → the bytes of a 4:2:0 file, by libjpeg."""
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    done, file = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality, *sampling))
    assert done
    return file


def real_file(levels: torch.Tensor, quality: int) -> torch.Tensor:
    """(1, 3, H, W) RGB levels → (3, H, W) after a file."""
    bgr = np.ascontiguousarray(levels[0].flip(0).permute(1, 2, 0).numpy().astype(np.uint8))
    pixels = cv2.imdecode(encoded(bgr, quality), cv2.IMREAD_COLOR)
    return torch.from_numpy(pixels).permute(2, 0, 1).flip(0).float()


def tables_in(file: bytes) -> np.ndarray:
    """The two quantisation tables of a file, (2, 64), row by row."""
    # Diagonal by diagonal, up and down in turn, is the order in which files hold them.
    places = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    tables = np.zeros((2, 8, 8))
    for number, part in enumerate(file.split(b"\xff\xdb\x00\x43")[1:]):
        tables[number][tuple(np.transpose(places))] = list(part[1:65])
    return tables.reshape(2, 64)


@pytest.mark.parametrize("quality", PUBLISHED)
def test_published_tables_give_the_published_values(quality):
    result = compress(pattern(), quality_of(quality))[0] * 255
    picked = [result[:, 3, 5], result[:, 12, 20], result[:, 19, 36]]
    assert torch.allclose(torch.stack(picked), torch.tensor(PUBLISHED[quality]), rtol=0, atol=2e-4)


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 95, 100])
@pytest.mark.parametrize("size", [(48, 64), (41, 51)], ids=str)
def test_standard_tables_give_what_a_real_gray_file_gives(size, quality):
    """To half a level on average, because real files round luma and frequencies."""
    gray = pictures(1, *size)[:, :1].mul(255).round().expand(-1, 3, -1, -1)
    real = real_file(gray, quality)
    standard, published = (
        (compress(gray / 255, quality_of(quality), tables=tables)[0] * 255).round() - real
        for tables in ("standard", "published")
    )
    assert standard.abs().mean() < 0.5
    if 10 <= quality <= 75:
        assert published.abs().mean() > 2 * standard.abs().mean()


@pytest.mark.parametrize("quality", [10, 30, 75, 95])
def test_standard_tables_give_what_a_real_colour_file_gives(quality):
    """Luma to a level on average, colours to three, because libjpeg interpolates chroma."""
    levels = (pictures(1, 64, 80) * 255).round()
    result = compress(levels / 255, quality_of(quality), tables="standard")[0] * 255
    difference = result - real_file(levels, quality)
    luma = (difference * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    assert luma.abs().mean() < 1
    assert difference.abs().mean() < 3
    assert difference.mean((1, 2)).abs().max() < 0.5


@pytest.mark.parametrize("quality", [1, 7, 30, 49, 50, 77, 99, 100])
def test_standard_steps_are_those_in_real_files(quality):
    file = encoded(np.zeros((16, 16, 3), np.uint8), quality).tobytes()
    assert np.array_equal(jpeg._steps(quality, "standard"), tables_in(file))


def test_the_lowest_standard_quality_is_1():
    picture = pictures()
    lowest = compress(picture, quality_of(1), tables="standard")
    assert torch.equal(compress(picture, quality_of(0.2), tables="standard"), lowest)


def test_standard_qualities_are_whole_and_published_ones_are_not():
    picture = pictures()
    standard = [compress(picture, quality_of(value), tables="standard") for value in (59.6, 60.0, 60.4)]
    published = [compress(picture, quality_of(value)) for value in (59.6, 60.0)]
    assert torch.equal(standard[0], standard[1])
    assert torch.equal(standard[2], standard[1])
    assert not torch.equal(published[0], published[1])


@pytest.mark.parametrize("tables", ["published", "standard"])
def test_the_better_the_quality_the_closer_the_picture(tables):
    picture = pictures(1, 96, 96)
    errors = [(compress(picture, quality_of(value), tables=tables) - picture).abs().mean() for value in (5, 30, 60, 90)]
    assert errors == sorted(errors, reverse=True)


def test_quality_100_rounds_nothing():
    gray = pictures()[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(compress(gray, quality_of(100)), gray, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tables", ["published", "standard"])
@pytest.mark.parametrize("level", [0, 0.25, 1])
def test_a_flat_gray_picture_stays_flat_and_near_its_level(level, tables):
    """Only its mean is kept, rounded to a sixteenth of the first step."""
    flat = torch.full((1, 3, 32, 48), float(level))
    result = compress(flat, quality_of(50), tables=tables)
    assert result.max() - result.min() < 1e-6
    assert abs(result.mean() - level) <= 16 / 8 / 2 / 255 + 1e-6


def test_chroma_is_shared_by_four_pixels():
    dots = torch.zeros(1, 3, 32, 32)
    dots[:, 0, ::2, ::2] = 1
    result = compress(dots, quality_of(100))
    chroma = result - (result * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert (result[:, 1, ::2, ::2].mean() - result[:, 0, ::2, ::2].mean()).abs() < 0.3
    assert torch.allclose(chroma[..., 1::2, ::2], chroma[..., 1::2, 1::2], rtol=0, atol=1e-5)


def test_what_lies_beyond_the_border_is_black_only_in_the_published_kind():
    white = torch.ones(1, 3, 20, 20)
    assert compress(white, quality_of(30))[..., -4:].min() < 0.97
    assert compress(white, quality_of(30), tables="standard").min() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 3)], ids=str)
@pytest.mark.parametrize("tables", ["published", "standard"])
def test_every_size_is_kept_and_values_are_clamped(size, tables):
    wild = torch.rand(2, 3, *size) * 3 - 1
    result = compress(wild, quality_of(20, 80), tables=tables)
    assert result.shape == wild.shape
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(result, compress(wild.clamp(0, 1), quality_of(20, 80), tables=tables))


def test_fp32_is_as_good_as_fp64():
    picture = pictures(dtype=torch.float64)
    result = compress(picture, quality_of(40))
    assert result.dtype == torch.float64
    assert ((compress(picture.float(), quality_of(40)) - result).abs() > 1e-6).double().mean() < 0.01


@pytest.mark.parametrize("tables", ["published", "standard"])
def test_bytes_depend_neither_on_the_batch_nor_on_the_number_of_threads(tables):
    batch, quality = pictures(2, 203, 301), quality_of(31.5, 94.2)
    together = compress(batch, quality, tables=tables)
    alone = [compress(batch[i : i + 1], quality[i : i + 1], tables=tables) for i in range(2)]
    assert torch.equal(torch.cat(alone), together)
    torch.set_num_threads(2)
    assert torch.equal(compress(batch, quality, tables=tables), together)


def test_soft_rounding_keeps_the_third_power_of_what_it_rounds_off():
    rounded = jpeg._soft_round(torch.tensor([3.0, 0.2, -1.4, 2.7]))
    assert rounded.tolist() == pytest.approx([3, 0.2**3, -1 - 0.4**3, 3 - 0.3**3])


def test_the_differentiable_kind_is_close_and_passes_gradients():
    picture = pictures(dtype=torch.float64).requires_grad_()
    result = compress(picture, quality_of(60), differentiable=True)
    assert (result - compress(picture.detach(), quality_of(60))).abs().mean() < 0.02
    result.square().sum().backward()
    assert (picture.grad.abs() > 0).double().mean() > 0.9


def test_gradients_are_the_slopes_of_what_is_computed():
    picture = (0.3 + 0.4 * torch.rand(1, 3, 2, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: compress(x, quality_of(80), differentiable=True), (picture,))


@pytest.mark.parametrize("quality", [0, -3, 100.5, float("nan")])
def test_an_impossible_quality_is_refused(quality):
    with pytest.raises(ValueError, match="quality"):
        compress(pictures(2), quality_of(50, quality))
