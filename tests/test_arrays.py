"""Pixels in, pixels out: nothing is lost, guessed or swapped between OpenCV's arrays and tensors."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import torch
from tiny import picture

from realesrgan import arrays
from realesrgan.engine import tensors

CPU = torch.device("cpu")
DEPTHS = (np.uint8, np.uint16)


def to_array(tensor: torch.Tensor, depth: np.dtype) -> np.ndarray:
    return np.concatenate(list(tensors.to_arrays(tensor, tensors.Levels(depth))))


def levels_of(dtype) -> np.ndarray:
    """All levels of a depth, as one gray row (1, levels, 1)."""
    return np.arange(np.iinfo(dtype).max + 1).astype(dtype)[None, :, None]


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_split_keeps_every_value_and_the_depth(channels, mode, dtype):
    image = picture(7, 5, channels, dtype)
    planes = arrays.split(image)
    together = [planes.colour[..., ::-1], *([planes.alpha] if planes.alpha is not None else [])]
    assert planes.mode == mode
    assert planes.colour.dtype == dtype
    assert np.array_equal(np.dstack(together).reshape(image.shape), image)


def test_split_turns_bgr_into_rgb_and_separates_alpha():
    blue_glass = np.array([[[200, 100, 50, 7]]], np.uint8)
    planes = arrays.split(blue_glass)
    assert planes.colour.tolist() == [[[50, 100, 200]]]
    assert planes.alpha.tolist() == [[7]]


def test_a_gray_picture_with_a_channel_axis_is_gray():
    image = picture(4, 6, 1)
    assert np.array_equal(arrays.split(image[..., None]).colour, arrays.split(image).colour)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0), (4, 4, 2), (4, 4, 5), (4,), (1, 4, 4, 3)])
def test_what_is_not_a_picture_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        arrays.split(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", DEPTHS)
def test_depth_is_what_the_array_says_however_dark_the_picture_is(dtype):
    dark = np.full((3, 3, 3), 5, dtype)
    assert arrays.split(dark).colour.dtype == dtype
    assert tensors.to_tensor(arrays.split(dark).colour, CPU).max() == pytest.approx(5 / np.iinfo(dtype).max)


@pytest.mark.parametrize(("brightest", "depth"), [(0, np.uint8), (200, np.uint8), (256, np.uint8), (257, np.uint16)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_arrays_of_other_types_are_levels_of_the_depth_their_values_need(brightest, depth, dtype):
    plane = arrays.split(np.full((2, 2), brightest, dtype)).colour
    assert plane.dtype == depth
    assert plane.max() == min(brightest, np.iinfo(depth).max)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_every_level_survives_the_way_to_a_tensor_and_back(dtype):
    levels = levels_of(dtype)
    tensor = tensors.to_tensor(levels, CPU)
    assert tensor.shape == (1, 3, 1, levels.size)
    assert (tensor.min(), tensor.max(), tensor.dtype) == (0, 1, torch.float32)
    assert np.array_equal(to_array(tensor, levels.dtype), levels.repeat(3, 2))


@pytest.mark.parametrize("dtype", DEPTHS)
def test_every_gray_level_survives_the_way_to_three_channels_and_back(dtype):
    levels = levels_of(dtype)
    gray = tensors.to_gray(tensors.to_tensor(levels, CPU))
    assert gray.shape == (1, 1, 1, levels.size)
    assert np.array_equal(to_array(gray, levels.dtype), levels)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_every_level_survives_quantising(dtype):
    levels = levels_of(dtype)
    assert np.array_equal(arrays.quantise(levels / np.float32(np.iinfo(dtype).max), levels.dtype), levels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_bands_of_rows_make_up_the_picture_and_colours_come_out_in_opencvs_order(monkeypatch, dtype, channels):
    monkeypatch.setattr(tensors, "BAND_BYTES_ON_CPU", 3 * 4 * channels * 9)  # three rows
    values = np.random.default_rng(0).random((1, channels, 10, 9), np.float32)
    bands = list(tensors.to_arrays(torch.from_numpy(values), tensors.Levels(np.dtype(dtype))))
    assert [band.shape for band in bands] == [(rows, 9, channels) for rows in (3, 3, 3, 1)]
    wanted = values[0].transpose(1, 2, 0)[..., ::-1]
    if dtype != np.float32:
        wanted = np.rint(wanted * np.float32(np.iinfo(dtype).max))
    assert {band.dtype for band in bands} == {np.dtype(dtype)}
    assert np.array_equal(np.concatenate(bands), wanted)


def test_floating_point_arrays_pass_unscaled_both_ways():
    image = np.random.default_rng(0).random((4, 5, 3), np.float32)
    assert np.array_equal(to_array(tensors.to_tensor(image, CPU), np.dtype(np.float32)), image[..., ::-1])


def test_a_tensor_keeps_rows_columns_and_channels_in_their_places():
    image = picture(4, 5, 3)
    tensor = tensors.to_tensor(image, CPU)
    assert tensor.shape == (1, 3, 4, 5)
    assert tensor[0, 2, 3, 1] * 255 == pytest.approx(image[3, 1, 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tensor_never_shares_memory_with_the_picture(dtype):
    image = np.full((3, 4, 3), 40, dtype)
    tensors.to_tensor(image, CPU).fill_(0.5)
    assert (image == 40).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_read_only_and_flipped_arrays_can_become_tensors(dtype):
    image = np.random.default_rng(0).random((3, 4, 3)).astype(dtype)
    image.flags.writeable = False
    flipped = tensors.to_tensor(image[::-1, ::-1], CPU)
    assert torch.equal(flipped, tensors.to_tensor(image, CPU).flip(2, 3))


def test_gray_is_the_luma_opencv_computes():
    image = np.random.default_rng(0).random((6, 5, 3), np.float32)
    ours = tensors.to_gray(tensors.to_tensor(image, CPU))[0, 0].numpy()
    assert ours == pytest.approx(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), abs=1e-6)


def test_gray_is_taken_after_clamping_each_colour():
    overshoot = torch.tensor([2.0, 0.0, -1.0]).view(1, 3, 1, 1)
    assert tensors.to_gray(overshoot).item() == pytest.approx(0.299)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_out_of_range_values_are_clamped_not_wrapped(dtype):
    tensor = torch.tensor([-0.5, 1.5, 0.5]).view(1, 1, 1, 3)
    low, high, middle = to_array(tensor, np.dtype(dtype)).ravel().tolist()
    peak = 1 if dtype == np.float32 else np.iinfo(dtype).max
    assert (low, high) == (0, peak)
    assert middle == pytest.approx(peak / 2, abs=0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (4, 1), (2, 3), (5, 7)])
@pytest.mark.parametrize(("bottom", "right"), [(0, 0), (1, 2), (3, 0), (0, 9), (25, 30)])
@pytest.mark.parametrize("channels", [1, 3])
def test_padding_mirrors_as_often_as_it_takes(height, width, bottom, right, channels, dtype):
    image = picture(height, width, 3)[..., :channels].astype(dtype)
    padded = arrays.pad_bottom_right(image, bottom, right)
    assert padded.dtype == dtype
    assert np.array_equal(padded, np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="reflect"))


def test_bleeding_leaves_visible_pixels_as_they_are():
    image = picture(20, 15, 4, seed=3)
    alpha = np.where(image[..., 3] > 128, image[..., 3], 0)
    colour = image[..., :3]
    bled = arrays.bleed_colour(colour, alpha)
    assert np.array_equal(bled[alpha > 0], colour[alpha > 0])
    assert not np.array_equal(bled, colour)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_hidden_pixels_take_the_colour_of_the_nearest_visible_one(dtype):
    colour = np.zeros((9, 9, 3), dtype)
    alpha = np.zeros((9, 9), dtype)
    red, blue = (250, 10, 10), (10, 10, 250)
    colour[4, 0], colour[4, 8] = red, blue
    alpha[4, 0], alpha[4, 8] = 1, np.iinfo(dtype).max
    bled = arrays.bleed_colour(colour, alpha)
    assert (bled[:, :4] == red).all()
    assert (bled[:, 5:] == blue).all()


def test_hidden_pixels_of_a_gray_plane_take_a_neighbours_level():
    bled = arrays.bleed_colour(np.array([[[9], [0], [0]]], np.uint8), np.array([[1, 0, 0]], np.uint8))
    assert (bled == 9).all()


def test_what_lies_hidden_has_no_influence_on_the_bled_picture():
    image = picture(20, 15, 4, seed=3)
    alpha = np.where(image[..., 3] > 100, image[..., 3], 0)
    black = np.where(alpha[..., None] > 0, image[..., :3], 0)
    assert np.array_equal(arrays.bleed_colour(image[..., :3], alpha), arrays.bleed_colour(black, alpha))


@pytest.mark.parametrize("level", [0, 1, 255])
def test_bleeding_changes_nothing_where_all_or_nothing_is_hidden(level):
    colour = picture(5, 4, 3)
    assert np.array_equal(arrays.bleed_colour(colour, np.full((5, 4), level, np.uint8)), colour)


SIZES = [((7, 9), (28, 36)), ((12, 10), (30, 25)), ((9, 13), (14, 13)), ((8, 8), (6, 5)), ((1, 1), (4, 4))]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize(("edge", "fade"), [(0, 1), (0, 2), (1, 3), (4, 4)])
def test_alpha_is_the_sources_far_from_edges_the_networks_at_them_and_fades_between(dtype, before, after, edge, fade):
    random = np.random.default_rng(0)
    peak = np.iinfo(dtype).max
    alpha = np.zeros(before, dtype)
    alpha[before[0] // 2 :, before[1] // 3 :] = peak
    alpha[0, 0] = peak // 3
    enlarged = random.integers(0, peak, after).astype(dtype)
    given = enlarged.copy()
    kept = arrays.keep_constant_alpha(alpha, enlarged, edge, fade)
    assert kept.dtype == dtype
    assert np.array_equal(enlarged, given)
    for y, x in np.ndindex(after):
        row, column = int((y + 0.5) * before[0] / after[0]), int((x + 0.5) * before[1] / after[1])
        squares = [
            alpha[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1]
            for r in range(edge + 1, edge + fade + 1)
        ]
        share = sum((square == alpha[row, column]).all() for square in squares) / fade
        wanted = (1 - share) * float(enlarged[y, x]) + share * float(alpha[row, column])
        assert abs(kept[y, x] - wanted) <= (0.51 if 0 < share < 1 else 0)


@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_alpha_that_is_the_same_everywhere_comes_back_as_it_was(value):
    off = np.full((4 * 300, 8), 3, np.uint8)
    assert (arrays.keep_constant_alpha(np.full((300, 2), value, np.uint8), off) == value).all()


def test_alpha_without_constant_areas_is_what_the_network_makes_of_it():
    alpha = np.arange(400, dtype=np.uint16).reshape(20, 20)
    enlarged = np.kron(alpha, np.ones((4, 4), np.uint16)) + 1
    assert np.array_equal(arrays.keep_constant_alpha(alpha, enlarged), enlarged)


def test_alpha_of_a_picture_taken_as_a_view_is_read_in_place():
    picture = np.zeros((40, 20, 4), np.uint8)
    picture[:20, :, 3] = 255
    kept = arrays.keep_constant_alpha(picture[..., 3], np.full((160, 80), 9, np.uint8))
    assert (kept[0] == 255).all()
    assert (kept[-1] == 0).all()
    assert (kept[80] == 9).all()
