"""Which published weights training can start from, under which names, and their traps. Reads no files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..model_zoo import MODELS, WeightFile

if TYPE_CHECKING:
    from .recipe import TrainingRecipe

_RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"

# Where the published recipes look for them, below the working directory.
PUBLISHED_FOLDER = "experiments/pretrained_models"

ESRGAN = WeightFile(
    "ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
    f"{_RELEASES}/v0.1.1/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
    sha256="ff704c30ff560305e48ed1f4db895e525ab6bc81a46fafe80c0094a271c806d9",
)
# Of discriminators neither size nor hash is public, so a download of one cannot be checked.
DISCRIMINATORS = {
    "RealESRGAN_x4plus": WeightFile("RealESRGAN_x4plus_netD.pth", f"{_RELEASES}/v0.2.2.3/RealESRGAN_x4plus_netD.pth"),
    "RealESRGAN_x2plus": WeightFile("RealESRGAN_x2plus_netD.pth", f"{_RELEASES}/v0.2.2.3/RealESRGAN_x2plus_netD.pth"),
    "RealESRGAN_x4plus_anime_6B": WeightFile(
        "RealESRGAN_x4plus_anime_6B_netD.pth", f"{_RELEASES}/v0.2.2.4/RealESRGAN_x4plus_anime_6B_netD.pth"
    ),
}
_OF_MODELS = [file for model in MODELS.values() for file in model.files]
START_FILES = {file.name: file for file in (*_OF_MODELS, ESRGAN, *DISCRIMINATORS.values())}

NEVER_RELEASED = "RealESRNet_x2plus.pth"


def published(path: str) -> WeightFile | None:
    """The published file that a recipe means by `path`, going by its name; None if it is a file of the user's own."""
    return START_FILES.get(PurePosixPath(path.replace("\\", "/")).name)


def advice(recipe: TrainingRecipe) -> Iterator[str]:
    """What to know about the files a recipe starts from."""
    generator = PurePosixPath(recipe.path.pretrain_network_g or "").name
    discriminator = PurePosixPath(recipe.path.pretrain_network_d or "").name
    if generator == NEVER_RELEASED:
        yield (
            f"{generator} was never released: make it with options/train_realesrnet_x2plus.yml, or start from "
            "RealESRGAN_x2plus.pth as options/finetune_realesrgan_x2plus.yml does"
        )
    if generator == "RealESRNet_x4plus.pth" and discriminator == DISCRIMINATORS["RealESRGAN_x4plus"].name:
        yield (
            f"the discriminator is that of RealESRGAN_x4plus, but the generator starts from {generator}, stage 1's "
            "result, as published; to fine-tune, start from RealESRGAN_x4plus.pth"
        )
