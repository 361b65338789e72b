"""Faces into GFPGAN's frame and back: laws of the transforms, and the published paste written plainly."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, portrait
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.face import alignment
from realesrgan.face.alignment import FACE_SIDE, TEMPLATE, back_into, cut_out, into_frame, paste, soft_mask

EVERYTHING = np.ones((FACE_SIDE, FACE_SIDE), np.float32)


def frame_of(x: float, y: float, **where: float) -> Array:
    matrix = into_frame(face(x, y, **where).landmarks)
    assert matrix is not None
    return matrix


def blurred(height: int, width: int, channels: int = 3, dtype: Any = np.uint8) -> Array:
    """A picture so smooth that interpolation is exact to a fraction of a level."""
    peak = np.iinfo(dtype).max
    ramps = [np.linspace(0.2, 0.7, width)[None] + np.linspace(0.25, 0, height)[:, None] * k for k in range(channels)]
    return np.rint(np.dstack(ramps) * peak).astype(dtype)


def plain_paste(background: Array, restored: Array, mask: Array, matrix: Array) -> Array:
    """The published paste: both warped over the whole canvas, mixed in double precision, cut down to integers."""
    size = (background.shape[1], background.shape[0])
    warped = cv2.warpAffine(restored, matrix, size)
    opacity = cv2.warpAffine(mask.astype(np.float64), matrix, size, flags=3)[..., None]
    return (opacity * warped + (1 - opacity) * background).astype(np.uint8)


def plain_mask(labels: Array) -> Array:
    mask = np.zeros(labels.shape)
    for kind in range(19):
        mask[labels == kind] = 0 if kind in (0, 14, 16, 17, 18) else 255
    mask = cv2.GaussianBlur(cv2.GaussianBlur(mask, (101, 101), 11), (101, 101), 11)
    mask[:10, :] = mask[-10:, :] = 0
    mask[:, :10] = mask[:, -10:] = 0
    return mask / 255


def test_landmarks_in_place_need_no_transform() -> None:
    assert into_frame(TEMPLATE.astype(np.float32)) == pytest.approx(np.array([(1, 0, 0), (0, 1, 0)]), abs=1e-4)


@pytest.mark.parametrize("angle", [-170, -45, 0, 10, 90])
@pytest.mark.parametrize("scale", [0.05, 0.5, 3])
def test_a_turned_and_enlarged_face_is_brought_onto_the_template(angle: float, scale: float) -> None:
    landmarks = face(300, 200, scale=scale, angle=angle).landmarks
    matrix = frame_of(300, 200, scale=scale, angle=angle)
    assert landmarks @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE, abs=0.05)


def test_one_landmark_far_off_is_outvoted() -> None:
    landmarks = face(300, 200).landmarks
    landmarks[2] += 40
    matrix = into_frame(landmarks)
    assert matrix is not None
    others = [0, 1, 3, 4]
    assert landmarks[others] @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(TEMPLATE[others], abs=0.5)


def test_landmarks_all_in_one_point_have_no_transform() -> None:
    assert into_frame(np.full((5, 2), 7, np.float32)) is None


@pytest.mark.parametrize("upscale", [0.5, 1])
def test_into_the_frame_and_back_is_the_identity_times_the_enlargement(upscale: float) -> None:
    matrix = frame_of(120, 80, scale=0.3, angle=33)
    there_and_back = back_into(matrix, upscale) @ np.vstack((matrix, (0, 0, 1)))
    assert there_and_back == pytest.approx(np.array([(upscale, 0, 0), (0, upscale, 0)]), abs=1e-6)


def test_when_enlarging_half_the_factor_is_added() -> None:
    matrix = frame_of(120, 80)
    assert back_into(matrix, 4) - 4 * back_into(matrix, 1) == pytest.approx(np.array([(0, 0, 2), (0, 0, 2)]), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("angle", [0, 25, 180])
def test_a_face_cut_out_and_pasted_back_unchanged_changes_the_picture_by_less_than_a_level(
    dtype: Any, angle: float
) -> None:
    before = blurred(200, 240, dtype=dtype)
    matrix = frame_of(120, 100, scale=0.25, angle=angle)
    after = before.copy()
    mask = soft_mask(np.ones((FACE_SIDE, FACE_SIDE), np.int64))
    paste(after, cut_out(before, matrix), mask, back_into(matrix, 1))
    level = np.iinfo(dtype).max / 255
    assert np.abs(after.astype(float) - before).max() <= level


@pytest.mark.parametrize(("x", "y"), [(5, 90), (120, 4), (235, 195), (-10, -10), (120, 100)])
@pytest.mark.parametrize("angle", [0, 45])
def test_nothing_changes_outside_the_mask_wherever_the_face_is(x: float, y: float, angle: float) -> None:
    before = picture(200, 240)
    matrix = back_into(frame_of(x, y, angle=angle), 1)
    mask = soft_mask(np.ones((FACE_SIDE, FACE_SIDE), np.int64))
    after = before.copy()
    paste(after, np.zeros((FACE_SIDE, FACE_SIDE, 3), np.uint8), mask, matrix)
    shown = cv2.warpAffine(mask, matrix, (240, 200)) > 0
    assert (after[~shown] == before[~shown]).all()
    assert (after[shown] != before[shown]).mean() > 0.5


def test_a_face_beyond_the_picture_changes_nothing_and_is_the_colour_of_outside() -> None:
    before = picture(50, 60)
    matrix = frame_of(-500, 700)
    assert (cut_out(before, matrix) == alignment.OUTSIDE_BGR).all()
    after = before.copy()
    paste(after, np.zeros((FACE_SIDE, FACE_SIDE, 3), np.uint8), EVERYTHING, back_into(matrix, 1))
    assert (after == before).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_half_visible_face_lacks_has_the_colour_of_outside(dtype: Any) -> None:
    cropped = cut_out(picture(100, 120, dtype=dtype), frame_of(0, 50))
    assert (cropped[:, :100] // (np.iinfo(dtype).max // 255) == alignment.OUTSIDE_BGR).all()


@pytest.mark.parametrize("upscale", [0.5, 1, 2, 3.5, 4])
@pytest.mark.parametrize("angle", [0, 40])
def test_the_paste_is_the_published_one_within_a_level(upscale: float, angle: float) -> None:
    small = portrait()
    matrix = back_into(frame_of(70, 60, angle=angle, jitter=3), upscale)
    background = cv2.resize(small, None, fx=upscale, fy=upscale, interpolation=cv2.INTER_CUBIC)
    restored = picture(FACE_SIDE, FACE_SIDE, seed=3)
    labels = np.random.default_rng(4).integers(0, 19, (16, 16)).repeat(32, 0).repeat(32, 1)
    wanted = plain_paste(background, restored, plain_mask(labels), matrix)
    paste(background, restored, soft_mask(labels), matrix)
    assert np.abs(background.astype(int) - wanted).max() <= 1


def test_on_a_large_canvas_only_the_surroundings_of_the_face_are_warped(monkeypatch: pytest.MonkeyPatch) -> None:
    restored, matrix = cv2.GaussianBlur(picture(FACE_SIDE, FACE_SIDE), (0, 0), 2), back_into(frame_of(300, 200), 2)
    whole, part = blurred(500, 700), blurred(500, 700)
    paste(whole, restored, EVERYTHING, matrix)
    sizes = []
    warp = cv2.warpAffine
    monkeypatch.setattr(cv2, "warpAffine", lambda x, m, size, **more: (sizes.append(size), warp(x, m, size, **more))[1])
    monkeypatch.setattr(alignment, "LARGEST_WARPED", 1000)
    paste(part, restored, EVERYTHING, matrix)
    assert np.abs(part.astype(int) - whole).max() <= 1
    assert max(map(max, sizes)) < 230


def test_a_picture_too_long_for_opencv_gives_and_takes_faces() -> None:
    long = np.tile(cv2.GaussianBlur(picture(60, 300), (0, 0), 3), (1, 110, 1))
    assert long.shape[1] == 33000
    near, far = frame_of(150, 30), frame_of(32850, 30)
    assert np.abs(cut_out(long, far).astype(int) - cut_out(long[:, :300], near)).max() <= 1
    black = np.zeros((FACE_SIDE, FACE_SIDE, 3), np.uint8)
    paste(long, black, EVERYTHING, back_into(far, 1))
    assert (long[30, 32850] < 3).all()


def test_the_share_says_how_much_of_the_face_shows() -> None:
    matrix = back_into(frame_of(60, 50), 1)
    white = np.full((FACE_SIDE, FACE_SIDE, 3), 255, np.uint8)
    centre = {}
    for share in (0.0, 0.5, 1.0):
        canvas = np.full((100, 120, 3), 55, np.uint8)
        paste(canvas, white, EVERYTHING, matrix, share)
        centre[share] = canvas[50, 60].tolist()
    assert centre == {0.0: [55] * 3, 0.5: [155] * 3, 1.0: [255] * 3}


@pytest.mark.parametrize("face_dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_gray_face_has_its_brightness_at_any_depth_and_in_any_layout(
    channels: int, dtype: Any, face_dtype: Any
) -> None:
    canvas = picture(100, 120, channels, dtype)
    before = canvas.copy()
    restored = np.full((FACE_SIDE, FACE_SIDE, 3), 0.4 * np.iinfo(face_dtype).max, face_dtype)
    paste(canvas, restored, EVERYTHING, back_into(frame_of(60, 50), 1))
    middle = canvas[50, 60] / np.iinfo(dtype).max
    assert np.atleast_1d(middle)[:3] == pytest.approx(0.4, abs=1 / 255)
    assert canvas.dtype == before.dtype
    if channels == 4:
        assert (canvas[..., 3] == before[..., 3]).all()


def test_a_gray_picture_takes_the_luma_of_a_coloured_face() -> None:
    canvas = picture(100, 120, 1)
    paste(
        canvas, np.full((FACE_SIDE, FACE_SIDE, 3), (200, 100, 50), np.uint8), EVERYTHING, back_into(frame_of(60, 50), 1)
    )
    assert canvas[50, 60] == pytest.approx(0.299 * 50 + 0.587 * 100 + 0.114 * 200, abs=0.51)


def test_the_mask_is_the_published_one() -> None:
    labels = np.random.default_rng(5).integers(0, 19, (8, 8)).repeat(64, 0).repeat(64, 1)
    assert soft_mask(labels) == pytest.approx(plain_mask(labels), abs=1e-5)


def test_the_mask_shows_skin_hides_what_is_not_face_and_never_reaches_the_edge() -> None:
    skin = soft_mask(np.ones((FACE_SIDE, FACE_SIDE), np.int64))
    assert skin[256, 256] == pytest.approx(1)
    assert max(skin[:10].max(), skin[-10:].max(), skin[:, :10].max(), skin[:, -10:].max()) == 0
    for hidden in alignment.NOT_PASTED:
        assert soft_mask(np.full((FACE_SIDE, FACE_SIDE), hidden)).max() == 0
