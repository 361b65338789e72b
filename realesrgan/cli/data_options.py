"""The options of the commands around the degradation model, in the manner of `options.py`. No logic here."""

from __future__ import annotations

from dataclasses import dataclass

from .options import CHANCE, MACHINE, PICTURE_FORMATS, RESULT, WHAT, input_option, option


@dataclass(frozen=True)
class DegradeOptions:
    """Options of `realesrgan degrade`."""

    input: tuple[str, ...] = input_option("inputs", "pictures, folders or patterns")
    output: str = option("lq", "-o", "--output", topic=WHAT, metavar="DIR", help="folder for the results (default: lq)")
    originals: str | None = option(
        None,
        topic=WHAT,
        metavar="DIR",
        help="also write the originals here as PNG, cut to a multiple of the scale, under the names of the results",
    )
    suffix: str = option("", topic=WHAT, help="results are named {stem}_{suffix} (default: none, {stem})")
    recursive: bool = option(False, "-r", "--recursive", topic=WHAT, help="go into sub-folders and keep the tree")
    skip_existing: bool = option(False, topic=WHAT, help="leave out pictures whose results exist")
    dry_run: bool = option(False, topic=WHAT, help="only print what would be done")
    count: int = option(1, topic=WHAT, metavar="N", help="results of each picture, {stem}_1 to {stem}_N (default: 1)")
    sheet: str | None = option(
        None, topic=WHAT, metavar="DIR", help="also draw each step of each degradation, labelled, here"
    )
    gallery: str | None = option(
        None,
        topic=WHAT,
        metavar="DIR",
        help="only draw every kind of kernel, noise, resize and JPEG, with the first picture of the input, here",
    )
    recipe: str | None = option(
        None,
        topic=CHANCE,
        metavar="FILE",
        help="YAML with the degradation keys of the published recipes, or such a recipe whole (default: as published)",
    )
    scale: int | None = option(
        None,
        "-s",
        "--scale",
        topic=CHANCE,
        type=int,
        metavar="X",
        help="results are X times smaller (default: the recipe's, 4)",
    )
    classical: bool = option(False, topic=CHANCE, help="first order only: blur, resize, noise, JPEG")
    set: tuple[str, ...] | None = option(
        None, topic=CHANCE, action="extend", nargs="+", metavar="KEY=VALUE", help="change keys of the recipe"
    )
    seed: int = option(0, topic=CHANCE, metavar="N", help="another seed gives other degradations (default: 0)")
    first_number: int = option(
        0, topic=CHANCE, metavar="N", help="number of the first picture; chance is that of seed and number (default: 0)"
    )
    replay: str | None = option(
        None,
        topic=CHANCE,
        metavar="FILE",
        help="make the results of a degradations.jsonl again, to the byte; of lossy formats with the same --quality",
    )
    only: tuple[int, ...] = option(
        (), topic=CHANCE, nargs="+", type=int, metavar="N", help="with --replay: the pictures of these numbers"
    )
    ext: str = option("png", topic=RESULT, choices=PICTURE_FORMATS, help="format of the results (default: png)")
    quality: int = option(95, topic=RESULT, metavar="Q", help="1 to 100, of jpg, webp and avif (default: %(default)s)")
    gpu_id: str | None = option(
        None,
        "-g",
        "--gpu-id",
        topic=MACHINE,
        metavar="DEVICE",
        help="0, cuda:1, mps, cpu, or several as in cpu,cpu to share the pictures out (default: the best there is; a "
        "CPU works on as many pictures at a time as it has cores)",
    )


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of `realesrgan calibrate`."""

    input: tuple[str, ...] = input_option("inputs", "the bad pictures: files, folders or patterns")
    recursive: bool = option(False, "-r", "--recursive", topic=WHAT, help="go into sub-folders")
    output: str | None = option(
        None, "-o", "--output", topic=WHAT, metavar="FILE", help="also write the recipe here, say recipe.yml"
    )
    sheet: str | None = option(
        None,
        topic=WHAT,
        metavar="FILE",
        help="draw some of the pictures beside sharp ones after the recipe, labelled, into this picture",
    )
    sharp: tuple[str, ...] = option(
        (),
        topic=WHAT,
        nargs="+",
        metavar="PATH",
        help="the sharp ones: files, folders or patterns (default: the pictures themselves, half as large)",
    )
    scale: int = option(
        4, "-s", "--scale", topic=CHANCE, metavar="X", help="the recipe makes pictures X times smaller (default: 4)"
    )


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `realesrgan evaluate`."""

    results: tuple[str, ...] = option(
        (), "-r", "--results", nargs="+", required=True, metavar="PATH", help="pictures or videos, folders or patterns"
    )
    originals: tuple[str, ...] = option(
        (),
        "-t",
        "--originals",
        nargs="+",
        required=True,
        metavar="PATH",
        help="what they should be: files of the same names, with or without the suffix",
    )
    suffix: str = option(
        "out", help="a.png may be called {stem}_{suffix}, with any extension, among the results (default: %(default)s)"
    )
    recursive: bool = option(False, help="go into sub-folders; the path below the folder must be the same")
    metrics: str = option(
        "psnr,ssim",
        metavar="NAMES",
        help="psnr, ssim, psnr_y, ssim_y, and by pyiqa lpips, dists, niqe and many more (default: %(default)s)",
    )
    y: bool = option(False, help="psnr and ssim of luma as well")
    border: int = option(
        0,
        metavar="PX",
        help="pixels on each side that do not count; papers take the scale, say 4 (default: %(default)s)",
    )
    csv: str | None = option(None, metavar="FILE", help="write the values of each picture and video")
    json: str | None = option(None, metavar="FILE", help="the same as JSON")
    per_frame: bool = option(False, help="in these files, also each frame of videos")
    sheet: str | None = option(
        None, metavar="FILE", help="draw the worst five: original, result and difference, side by side"
    )
    workers: int | None = option(
        None, type=int, metavar="N", help="how many to measure at once (default: as many as there are processors)"
    )
