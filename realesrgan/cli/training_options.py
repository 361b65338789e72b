"""The options of the commands that train, in the manner of `options.py`. No logic here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..model_zoo import DEFAULT_IMAGE_MODEL
from .options import CHANCE, MACHINE, MODEL, RESULT, UNUSED, WHAT, option

# Keys of recipes that messages name, and what they are among the options of `finetune`, which takes no recipe.
RECIPE_KEYS = {
    "batch_size_per_gpu": None,
    "crop_pad_size": None,
    "dataroot_gt": "-i",
    "dataroot_lq": "--low_quality",
    "gt_size": None,
    "lr": None,
    "meta_info": None,
    "name": "-o",
    "num_worker_per_gpu": None,
    "pretrain_network_d": None,
    "pretrain_network_g": "--model_path",
    "resume_state": None,
}

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def _check(what: str) -> Any:
    text = f"only check {what}, the weights, memory and disk, take one step without keeping it, and estimate the time"
    return option(False, "--check", topic=WHAT, help=text)


@dataclass(frozen=True)
class LearningOptions:
    """Options of both commands that train: on what, how precisely, and what is kept."""

    no_perceptual: bool = option(
        False,
        "--no-perceptual",
        "--no_perceptual",
        topic=MODEL,
        help="without the perceptual loss, which takes VGG19's weights, an 80 MB download",
    )
    gpu_id: str | None = option(
        None,
        "-g",
        "--gpu-id",
        topic=MACHINE,
        metavar="DEVICE",
        help="0, cuda:1, mps, cpu, or several as in 0,1 (default: the best there is)",
    )
    precision: Precision = option(
        "auto",
        topic=MACHINE,
        choices=PRECISIONS,
        help="fp32 as published, or mixed: bf16, fp16 (default: auto, bf16 where the GPU has it, else fp32)",
    )
    accumulate: int = option(
        1,
        topic=MACHINE,
        metavar="N",
        help="compute each batch in N parts, to save memory; the result is that of the whole (default: 1)",
    )
    compile: bool = option(
        False,
        topic=MACHINE,
        help="compile the generator, which takes a minute or more and a C++ compiler; prints what that gains, and goes "
        "on without it if that is nothing",
    )
    keep: int = option(
        3,
        topic=RESULT,
        metavar="N",
        help="checkpoints to keep beside the best, the latest ones (default: %(default)s)",
    )


@dataclass(frozen=True)
class TrainOptions(LearningOptions):
    """Options of `realesrgan train` and realesrgan/train.py."""

    opt: str = option("", "-opt", "--opt", topic=WHAT, required=True, metavar="FILE", help="the recipe; see options/")
    auto_resume: bool = option(
        False, topic=WHAT, help="go on from the latest state, if there is one, as if never interrupted"
    )
    check: bool = _check("the recipe, its files and pictures")
    minutes: float | None = option(None, topic=WHAT, type=float, metavar="M", help="stop after so many minutes")
    debug: bool = option(
        False, topic=WHAT, help="a trial under the name debug_…: validates and saves every 8 iterations, prints each"
    )
    force_yml: tuple[str, ...] | None = option(
        None,
        topic=WHAT,
        action="extend",
        nargs="+",
        metavar="KEYS=VALUE",
        help="change keys of the recipe, as in train:optim_g:lr=1e-5",
    )
    launcher: str = option(
        "none",
        topic=UNUSED,
        choices=("none", "pytorch", "slurm"),
        help="torchrun and srun are recognised anyway",
    )
    local_rank: int = option(0, "--local_rank", "--local-rank", topic=UNUSED, metavar="N", help="the same")


@dataclass(frozen=True)
class FinetuneOptions(LearningOptions):
    """Options of `realesrgan finetune`."""

    input: str = option(
        "",
        "-i",
        "--input",
        topic=WHAT,
        required=True,
        metavar="DIR",
        help="folder of sharp pictures of the kind to be restored; they are degraded on the fly",
    )
    low_quality: str | None = option(
        None,
        "--low_quality",
        topic=WHAT,
        metavar="DIR",
        help="the same pictures degraded, matched by name",
    )
    output: str | None = option(
        None,
        "-o",
        "--output",
        topic=WHAT,
        metavar="DIR",
        help="folder for weights and report (default: experiments/finetune_MODEL)",
    )
    minutes: float = option(30.0, topic=WHAT, metavar="M", help="stop after so many minutes (default: %(default)g)")
    iterations: int | None = option(None, topic=WHAT, type=int, metavar="N", help="stop after so many iterations")
    fresh: bool = option(
        False, topic=WHAT, help="begin anew in a folder that has states (default: go on from the latest)"
    )
    check: bool = _check("the pictures")
    model_name: str = option(
        DEFAULT_IMAGE_MODEL,
        "-n",
        "--model_name",
        topic=MODEL,
        metavar="NAME",
        help="which model to tune (default: %(default)s); `realesrgan weights list` names them all",
    )
    model_path: str | None = option(
        None, topic=MODEL, metavar="FILE", help="weights to start from, of that model's network"
    )
    gan: bool = option(
        False,
        topic=MODEL,
        help="train with a discriminator and the perceptual loss, which keeps texture: for a GPU and for hours "
        "(default: by L1 alone, which is safe and makes results a little softer)",
    )
    recipe: str | None = option(
        None,
        topic=CHANCE,
        metavar="FILE",
        help="YAML with degradation keys: what the pictures to be restored have been through (default: as published)",
    )
    set: tuple[str, ...] | None = option(
        None, topic=CHANCE, action="extend", nargs="+", metavar="KEY=VALUE", help="change degradation keys"
    )
    seed: int = option(0, topic=CHANCE, metavar="N", help="another seed draws other crops (default: 0)")
