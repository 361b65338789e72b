"""Side by side with the published packages, where they import: each takes the other's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faces import all_skin, face, fake_networks, portrait
from tiny import picture, save_weights

from realesrgan import GFPGANer, RealESRGANer
from realesrgan.arrays import Array


def published(module: str, name: str) -> Any:
    """Something of the published packages; skips the test where it does not import, and says why."""
    try:
        return getattr(__import__(module, fromlist=[name]), name)
    except Exception as error:  # these packages fail to import in many ways
        return pytest.skip(f"{module} does not import here: {error}")


@pytest.mark.filterwarnings("ignore")
def test_the_published_rrdbnet_works_as_model_and_gives_the_same_picture(tmp_path: Path) -> None:
    theirs = published("basicsr.archs.rrdbnet_arch", "RRDBNet")(3, 3, num_feat=8, num_block=1, num_grow_ch=4)
    weights = save_weights(theirs, tmp_path / "theirs.pth")
    image = picture(20, 24)
    given = RealESRGANer(4, weights, model=theirs, pre_pad=0).enhance(image)[0]
    assert np.array_equal(given, RealESRGANer(4, weights, pre_pad=0).enhance(image)[0])


@pytest.mark.filterwarnings("ignore")
def test_the_published_face_restorer_takes_this_upsampler_and_gives_the_same_picture(srvgg_file: Path) -> None:
    helper_class = published("facexlib.utils.face_restoration_helper", "FaceRestoreHelper")
    theirs = object.__new__(published("gfpgan.utils", "GFPGANer"))  # its constructor downloads
    upsampler = RealESRGANer(4, srvgg_file, pre_pad=0)
    found = face(64, 70)
    row = np.array([[*found.box, found.confidence, *found.landmarks.ravel()]], np.float32)

    class Detector:
        def detect_faces(self, image: Array, least: float) -> Array:
            return row

    helper = object.__new__(helper_class)
    helper.upscale_factor, helper.face_size, helper.use_parse, helper.device = 4, (512, 512), True, torch.device("cpu")
    helper.template_3points = helper.pad_blur = False
    helper.face_template = np.array(
        [
            (192.98138, 239.94708),
            (318.90277, 240.1936),
            (256.63416, 314.01935),
            (201.26117, 371.41043),
            (313.08905, 371.15118),
        ]
    )
    helper.face_det, helper.face_parse = Detector(), lambda x: [all_skin(x)]
    theirs.upscale, theirs.bg_upsampler, theirs.device, theirs.face_helper = 4, upsampler, torch.device("cpu"), helper
    theirs.gfpgan = lambda x, return_rgb, weight: [x * 0.8]
    wanted = theirs.enhance(portrait())[2]
    ours = GFPGANer("unused", 4, bg_upsampler=upsampler, networks=fake_networks(found, restore=lambda x: x * 0.8))
    result = ours.enhance(portrait())[2]
    assert result is not None
    assert np.abs(result.astype(int) - wanted).max() <= 1


def test_any_upsampler_with_the_published_interface_makes_the_background() -> None:
    class Theirs:
        """The published signature, which returns more than the picture."""

        def enhance(self, img: Array, outscale: Any = None, alpha_upsampler: str = "realesrgan") -> tuple[Array, str]:
            return np.repeat(np.repeat(img, outscale, 0), outscale, 1), "RGB"

    image = picture(30, 40)
    result = GFPGANer("unused", 2, bg_upsampler=Theirs(), networks=fake_networks()).enhance(image)[2]
    assert np.array_equal(result, np.repeat(np.repeat(image, 2, 0), 2, 1))


def test_this_upsampler_has_the_interface_a_published_face_restorer_calls(srvgg_file: Path) -> None:
    output, mode = RealESRGANer(scale=4, model_path=str(srvgg_file), pre_pad=0).enhance(picture(8, 9), outscale=2)
    assert (output.shape, mode) == ((16, 18, 3), "RGB")
