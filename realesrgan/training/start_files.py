"""Which published weights training can start from, under which names, and their traps. Reads no files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..model_zoo import MODELS, TRAINING_MODELS, WeightFile

if TYPE_CHECKING:
    from .recipe import TrainingRecipe

# Of each model whose discriminator was released; of the small networks none was.
DISCRIMINATORS = {name: TRAINING_MODELS[f"{name}_netD"].weights for name in MODELS if f"{name}_netD" in TRAINING_MODELS}
START_FILES = {
    file.name: file for models in (MODELS, TRAINING_MODELS) for model in models.values() for file in model.files
}

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
