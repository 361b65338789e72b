"""The table of models against an independent copy of the published facts."""

from __future__ import annotations

import re

import pytest

from realesrgan.errors import UsageError
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import (
    MODELS,
    TRAINING_MODELS,
    VGG19,
    VGG19_MIRROR,
    find_any_model,
    find_model,
    published_file,
)

RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"

# Name: network, scale, millions of multiply-adds per input pixel.
PUBLISHED_MODELS = {
    "RealESRGAN_x4plus": (RRDBNetSpec(3, 3, 4, 64, 23, 32), 4, 17.93),
    "RealESRNet_x4plus": (RRDBNetSpec(3, 3, 4, 64, 23, 32), 4, 17.93),
    "RealESRGAN_x4plus_anime_6B": (RRDBNetSpec(3, 3, 4, 64, 6, 32), 4, 5.71),
    "RealESRGAN_x2plus": (RRDBNetSpec(3, 3, 2, 64, 23, 32), 2, 4.48),
    "realesr-animevideov3": (SRVGGNetCompactSpec(3, 3, 64, 16, 4, "prelu"), 4, 0.62),
    "realesr-general-x4v3": (SRVGGNetCompactSpec(3, 3, 64, 32, 4, "prelu"), 4, 1.21),
}

# File: release, bytes, SHA-256.
PUBLISHED_FILES = {
    "RealESRGAN_x4plus.pth": ("v0.1.0", 67040989, "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1"),
    "RealESRNet_x4plus.pth": ("v0.1.1", 67040989, "a820b9bde89a874d7599d545567308ce6c128fc8754a53208eda016d40aa81df"),
    "RealESRGAN_x4plus_anime_6B.pth": (
        "v0.2.2.4",
        17938799,
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    ),
    "RealESRGAN_x2plus.pth": ("v0.2.1", 67061725, "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb"),
    "realesr-animevideov3.pth": (
        "v0.2.5.0",
        2504012,
        "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
    ),
    "realesr-general-x4v3.pth": (
        "v0.2.5.0",
        4885111,
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
    "realesr-general-wdn-x4v3.pth": (
        "v0.2.5.0",
        4885111,
        "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
    ),
}

FILES = {file.name: file for model in MODELS.values() for file in model.files}


def test_the_table_holds_the_published_models_and_no_others():
    assert list(MODELS) == list(PUBLISHED_MODELS)
    assert all(name == model.name for name, model in MODELS.items())


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_a_model_has_the_published_network_and_scale(name):
    network, scale, _ = PUBLISHED_MODELS[name]
    assert MODELS[name].network == network
    assert MODELS[name].scale == network.scale == scale


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_a_model_costs_the_published_work_per_pixel(name):
    millions = PUBLISHED_MODELS[name][2]
    assert MODELS[name].network.multiply_adds / 1e6 == pytest.approx(millions, abs=0.005)


def test_only_models_that_unshuffle_pixels_need_even_sizes():
    assert {name: model.network.size_multiple for name, model in MODELS.items() if model.scale != 4} == {
        "RealESRGAN_x2plus": 2
    }
    assert all(model.network.size_multiple == 1 for model in MODELS.values() if model.scale == 4)


def test_every_model_comes_from_the_file_of_its_name():
    assert all(model.weights.name == f"{name}.pth" for name, model in MODELS.items())


def test_only_the_general_model_has_a_twin_to_blend_with():
    twins = {name: model.weak_denoise.name for name, model in MODELS.items() if model.weak_denoise}
    assert twins == {"realesr-general-x4v3": "realesr-general-wdn-x4v3.pth"}


def test_at_full_strength_only_the_first_of_two_files_is_needed():
    for model in MODELS.values():
        assert model.files_for(1) == (model.weights,)
        assert model.files_for(0) == model.files_for(0.5) == model.files
    assert len(MODELS["realesr-general-x4v3"].files) == 2


def test_the_models_for_drawings_are_those_of_anime():
    assert {name for name, model in MODELS.items() if model.for_drawings} == {
        name for name in MODELS if "anime" in name
    }


@pytest.mark.parametrize("name", PUBLISHED_FILES)
def test_a_file_has_the_published_address_size_and_hash(name):
    release, size, sha256 = PUBLISHED_FILES[name]
    file = FILES[name]
    assert file.url == f"{RELEASES}/{release}/{name}"
    assert (file.size_bytes, file.sha256) == (size, sha256)


def test_the_table_names_no_other_files_and_every_address_is_https():
    assert FILES.keys() == PUBLISHED_FILES.keys()
    assert all(file.url.startswith("https://") for file in FILES.values())
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in FILES.values())


def test_the_weights_wheel_stands_in_for_three_files():
    assert {name: file.bundled for name, file in FILES.items() if file.bundled} == {
        "RealESRGAN_x4plus.pth": "REALESRGAN_X4PLUS_UP4X",
        "RealESRGAN_x4plus_anime_6B.pth": "REALESRGAN_X4PLUSANIME_UP4X",
        "realesr-animevideov3.pth": "REALESRGAN_ANIMAVIDEOV3_UP4X",
    }


@pytest.mark.parametrize("name", PUBLISHED_MODELS)
def test_a_model_is_found_by_its_name_with_and_without_pth(name):
    assert find_model(name) is find_model(f"{name}.pth") is MODELS[name]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("RealESRGAN_x4plu", "RealESRGAN_x4plus"),
        ("realesrgan_x4plus", "RealESRGAN_x4plus"),
        ("realesrgan-x4plus-anime", "RealESRGAN_x4plus_anime_6B"),
        ("animevideov3", "realesr-animevideov3"),
        ("RealESRGAN_x2", "RealESRGAN_x2plus"),
        ("realesr-general-v3.pth", "realesr-general-x4v3"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_and_all_names(wrong, meant):
    with pytest.raises(UsageError, match=re.escape(f"no model named {wrong}. Did you mean {meant}?")) as caught:
        find_model(wrong)
    assert all(name in str(caught.value) for name in MODELS)


def test_a_name_like_no_other_is_answered_with_all_names_and_no_guess():
    with pytest.raises(UsageError, match="no model named waifu2x. The models are: ") as caught:
        find_model("waifu2x")
    assert all(name in str(caught.value) for name in MODELS)


def test_a_published_address_gives_the_file_that_can_be_checked():
    for file in FILES.values():
        assert published_file(file.url) is file


def test_another_address_gives_a_file_that_cannot_be_verified():
    file = published_file("https://example.org/models/mine.safetensors?download=true")
    assert file.name.endswith("_mine.safetensors")
    assert (file.size_bytes, file.sha256, file.bundled) == (None, None, None)
    assert file.url == "https://example.org/models/mine.safetensors?download=true"


def test_files_of_one_name_at_two_addresses_are_two_files():
    assert published_file("https://a.example/net.pth").name != published_file("https://b.example/net.pth").name
    assert published_file("https://a.example/RealESRGAN_x4plus.pth").name not in {
        m.weights.name for m in MODELS.values()
    }


# What only training reads.


def test_vgg19_is_torchvisions():
    assert VGG19.url == f"https://download.pytorch.org/models/{VGG19.name}"
    assert VGG19.name == f"vgg19-{VGG19.sha256[:8]}.pth" == "vgg19-dcbb9e9d.pth"
    assert VGG19.size_bytes == 574673361
    assert VGG19_MIRROR.url == "https://huggingface.co/timm/vgg19.tv_in1k/resolve/main/model.safetensors"
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in (VGG19, VGG19_MIRROR))


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("ESRGAN_SRx4_DF2KOST_official-ff704c30", "v0.1.1"),
        ("RealESRGAN_x4plus_netD", "v0.2.2.3"),
        ("RealESRGAN_x2plus_netD", "v0.2.2.3"),
        ("RealESRGAN_x4plus_anime_6B_netD", "v0.2.2.4"),
    ],
)
def test_what_training_starts_from_has_the_published_address(name, release):
    (file,) = TRAINING_MODELS[name].files
    assert (file.name, file.url) == (f"{name}.pth", f"{RELEASES}/{release}/{name}.pth")
    assert published_file(file.url) is file


def test_no_hash_is_made_up_for_discriminators():
    without = {name for name, model in TRAINING_MODELS.items() if model.weights.sha256 is None}
    assert without == {name for name in TRAINING_MODELS if name.endswith("_netD")}


def test_what_only_training_reads_can_be_fetched_but_restores_nothing():
    for name, model in TRAINING_MODELS.items():
        assert find_any_model(name) is model
        with pytest.raises(UsageError, match="there is no model named"):
            find_model(name)
