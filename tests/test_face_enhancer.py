"""GFPGANer with networks that do little: what goes in and comes out, in every layout and depth."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from faces import all_skin, face, fake_networks, portrait
from tiny import picture
from torch import Tensor

from realesrgan import GFPGANer
from realesrgan.arrays import Array
from realesrgan.errors import DeviceError, RealESRGANError, UsageError
from realesrgan.face import networks
from realesrgan.face.alignment import FACE_SIDE
from realesrgan.face.detector import Face

LEFT, RIGHT = face(40, 50, confidence=0.99), face(95, 60, angle=20, confidence=0.98)


class Background:
    """An upsampler with the published interface that enlarges by repetition."""

    def enhance(self, img: Array, outscale: float | None = None) -> tuple[Array, str]:
        assert outscale is not None
        size = (int(img.shape[1] * outscale), int(img.shape[0] * outscale))
        return cv2.resize(img, size, interpolation=cv2.INTER_NEAREST), "RGB"


def brighter(x: Tensor) -> Tensor:
    return x + 0.5


def restorer(*found: Face, upscale: float = 2, background: Any = None, **parts: Any) -> GFPGANer:
    return GFPGANer("unused.pth", upscale, bg_upsampler=background, networks=fake_networks(*found, **parts))


def pasted(gfpganer: GFPGANer, image: Array, **options: Any) -> Array:
    result = gfpganer.enhance(image, **options)[2]
    assert result is not None
    return result


@pytest.mark.parametrize("background", [None, Background()])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_layout_and_depth_are_kept_and_faces_have_the_right_brightness(
    channels: int, dtype: Any, background: Any
) -> None:
    image = picture(100, 130, channels, dtype)
    before = pasted(restorer(upscale=2, background=background), image)
    after = pasted(restorer(LEFT, restore=lambda x: torch.full_like(x, -0.2), background=background), image)
    assert (after.shape, after.dtype) == ((200, 260, *image.shape[2:]), image.dtype)
    centre = np.atleast_1d(after[100, 80]).astype(float)[:3] / np.iinfo(dtype).max
    assert centre == pytest.approx(np.full(centre.shape, 0.4), abs=1 / 255)
    assert (after[:, 180:] == before[:, 180:]).all()
    if channels == 4:
        assert (after[..., 3] == before[..., 3]).all()


def test_without_a_face_the_picture_is_enlarged_as_usual() -> None:
    image = picture(40, 50)
    cropped, restored, result = restorer(background=Background()).enhance(image)
    assert (cropped, restored) == ([], [])
    assert np.array_equal(result, Background().enhance(image, 2)[0])


def test_a_face_with_nonsensical_landmarks_is_left_as_it_is() -> None:
    senseless = Face(np.array([10, 10, 60, 60]), np.full((5, 2), 30, np.float32), 0.99)
    assert np.array_equal(pasted(restorer(senseless), picture(80, 90)), pasted(restorer(), picture(80, 90)))


def test_faces_come_cut_out_and_restored_the_most_confident_first() -> None:
    image = portrait()
    cropped, restored, _ = restorer(LEFT, RIGHT, restore=brighter).enhance(image)
    assert [one.shape for one in (*cropped, *restored)] == [(FACE_SIDE, FACE_SIDE, 3)] * 4
    for before, after in zip(cropped, restored, strict=True):
        wanted = np.clip(before / 255 + 0.25, 0, 1) * 255
        assert np.abs(after - wanted).max() <= 0.51
    only_left = restorer(LEFT).enhance(image)[0][0]
    assert np.array_equal(cropped[0], only_left)


def test_only_center_face_restores_only_the_face_nearest_to_the_middle() -> None:
    image = picture(100, 130)  # its middle is (65, 50): LEFT is 25 pixels away, RIGHT 32
    both = restorer(RIGHT, LEFT)
    assert len(both.enhance(image)[0]) == 2
    (middle,) = both.enhance(image, only_center_face=True)[0]
    assert np.array_equal(middle, restorer(LEFT).enhance(image)[0][0])


def test_the_order_in_which_faces_are_found_does_not_matter() -> None:
    image = picture(100, 130)
    overlapping = face(60, 55, confidence=0.985)
    one = pasted(restorer(LEFT, RIGHT, overlapping, restore=brighter), image)
    other = pasted(restorer(overlapping, LEFT, RIGHT, restore=brighter), image)
    assert np.array_equal(one, other)


def test_an_identity_changes_nothing_outside_the_mask_and_less_than_a_level_inside() -> None:
    ramp = np.linspace(20, 200, 240)[None] + np.linspace(0, 40, 200)[:, None]
    image = np.rint(np.dstack((ramp, ramp / 2, 240 - ramp))).astype(np.uint8)
    whole = (face(90, 90, confidence=0.99), face(140, 110, angle=20, confidence=0.98))  # the picture's edge is far
    result = pasted(restorer(*whole, upscale=1), image)
    assert np.abs(result.astype(int) - image).max() <= 1
    nowhere = pasted(restorer(LEFT, RIGHT, upscale=1, restore=brighter, parse=lambda x: all_skin(x).flip(1)), image)
    assert np.array_equal(nowhere, image)


def test_an_aligned_face_is_only_restored() -> None:
    image = portrait()
    cropped, restored, result = restorer(LEFT, restore=brighter).enhance(image, has_aligned=True)
    assert result is None
    assert np.array_equal(cropped[0], cv2.resize(image, (FACE_SIDE, FACE_SIDE)))
    assert restored[0].mean() > cropped[0].mean() + 30


def test_without_pasting_there_is_no_picture_and_no_background_is_made() -> None:
    class Untouchable:
        def enhance(self, img: Array, outscale: Any = None) -> tuple[Array, Any]:
            raise AssertionError("nobody needs a background")

    cropped, restored, result = restorer(LEFT, background=Untouchable()).enhance(portrait(), paste_back=False)
    assert (len(cropped), len(restored), result) == (1, 1, None)


def test_the_weight_changes_nothing_as_published() -> None:
    image = portrait()
    one, other = (pasted(restorer(LEFT, restore=brighter), image, weight=weight) for weight in (0.1, 0.9))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_restored_face_can_have_less_than_the_whole_share(share: float) -> None:
    image = np.full((100, 130, 3), 100, np.uint8)
    gfpganer = restorer(LEFT, restore=brighter)
    result = gfpganer.paste_faces(image.copy(), gfpganer.restore_faces(image), 1, share)
    assert result[50, 40] == pytest.approx(np.full(3, 100 + share * 0.25 * 255), abs=1)


def test_a_background_of_another_size_is_brought_to_the_wanted_one() -> None:
    class Twice(Background):
        def enhance(self, img: Array, outscale: float | None = None) -> tuple[Array, str]:
            return super().enhance(img, 2)

    assert pasted(restorer(LEFT, upscale=1.5, background=Twice()), picture(21, 31)).shape == (31, 46, 3)


def test_what_networks_get_is_rgb_between_minus_one_and_one_in_batches() -> None:
    seen: list[Tensor] = []
    image = np.zeros((100, 130, 3), np.uint8)
    image[...] = (0, 0, 255)  # red

    def remember(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x

    faces = [face(65, 50, confidence=0.99 - number / 1000) for number in range(networks.BATCH + 1)]
    restorer(*faces, restore=remember).enhance(image)
    assert [len(x) for x in seen] == [networks.BATCH, 1]
    assert seen[0].shape[1:] == (3, FACE_SIDE, FACE_SIDE)
    assert seen[0][0, :, 256, 256].tolist() == [1, -1, -1]


def test_running_out_of_memory_halves_the_batch_and_one_face_too_many_says_so() -> None:
    sizes: list[int] = []

    def small(most: int) -> Any:
        def restore(x: Tensor) -> Tensor:
            sizes.append(len(x))
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return x

        return restore

    faces = [face(65, 50, confidence=0.99 - number / 1000) for number in range(5)]
    assert len(restorer(*faces, restore=small(2)).enhance(portrait())[1]) == 5
    assert sizes == [4, 2, 2, 1]
    with pytest.raises(DeviceError, match="even for one face"):
        restorer(*faces, restore=small(0)).enhance(portrait())


def test_values_that_are_not_finite_are_an_error_and_never_pasted() -> None:
    with pytest.raises(RealESRGANError, match="damaged"):
        restorer(LEFT, restore=lambda x: x * float("nan")).enhance(portrait())


def test_other_architectures_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="original"):
        GFPGANer("unused.pth", arch="original", networks=fake_networks())


def test_the_picture_given_is_not_changed() -> None:
    image = picture(60, 70, 4)
    before = image.copy()
    for background in (None, Background()):
        restorer(LEFT, upscale=1, background=background, restore=brighter).enhance(image)
    assert np.array_equal(image, before)
