"""The options of the commands that make pictures ready for training, in the manner of `options.py`. No logic here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .options import option


def _folders(*default: str, what: str) -> Any:
    return option(default, "-i", "--input", nargs="+", metavar="DIR", help=f"{what} (default: {' '.join(default)})")


def _output(default: str) -> Any:
    return option(default, "-o", "--output", metavar="DIR", help="folder for the results (default: %(default)s)")


def _meta_info(default: str) -> Any:
    return option(default, metavar="FILE", help="the list to write (default: %(default)s)")


@dataclass(frozen=True)
class PreparationOptions:
    """Options of all commands that make pictures ready for training."""

    input: tuple[str, ...] = ()
    recursive: bool = option(False, "-r", "--recursive", help="go into sub-folders")
    n_thread: int = option(
        20, metavar="N", help="threads, of which no more are started than there are processors (default: %(default)s)"
    )


@dataclass(frozen=True)
class MakingOptions(PreparationOptions):
    """Options of the two commands that make pictures out of pictures."""

    output: str = ""
    skip_existing: bool = option(False, help="leave out pictures whose results all exist")
    dry_run: bool = option(False, help="only print what would be made")


@dataclass(frozen=True)
class MultiscaleOptions(MakingOptions):
    """Options of `realesrgan multiscale` and generate_multiscale_DF2K.py."""

    input: tuple[str, ...] = _folders("datasets/DF2K/DF2K_HR", what="pictures, folders or patterns")
    output: str = _output("datasets/DF2K/DF2K_multiscale")
    no_enlarge: bool = option(False, help="leave T3 out where a side of the picture is shorter than T3's 400 pixels")


@dataclass(frozen=True)
class SubimagesOptions(MakingOptions):
    """Options of `realesrgan subimages` and extract_subimages.py."""

    input: tuple[str, ...] = _folders("datasets/DF2K/DF2K_HR", what="pictures, folders or patterns")
    output: str = _output("datasets/DF2K/DF2K_HR_sub")
    crop_size: int = option(480, metavar="PX", help="height and width of a piece (default: %(default)s)")
    step: int = option(240, metavar="PX", help="from one piece to the next (default: %(default)s)")
    thresh_size: int = option(
        0,
        metavar="PX",
        help="no further piece at the edge for a rest of so many pixels or fewer (default: %(default)s)",
    )
    compression_level: int = option(3, metavar="N", help="of PNG, 0 (fast) to 9 (small) (default: %(default)s)")
    keep_small: bool = option(False, help="cut pictures smaller than a piece as far as they go; else they give none")
    keep_names: bool = option(False, help="keep x2, x3, x4 and x8 in names (0801x4.png: 0801x4_s001.png)")


@dataclass(frozen=True)
class ListsOptions(PreparationOptions):
    """Options of `realesrgan lists` and generate_meta_info.py."""

    input: tuple[str, ...] = _folders(
        "datasets/DF2K/DF2K_HR", "datasets/DF2K/DF2K_multiscale", what="folders of pictures"
    )
    root: tuple[str, ...] = option(
        (),
        nargs="+",
        metavar="DIR",
        help="what paths are relative to, for each folder or for all (default: the folder above each)",
    )
    meta_info: str = _meta_info("datasets/DF2K/meta_info/meta_info_DF2Kmultiscale.txt")
    check: bool = option(False, help="decode every picture and leave out those that are damaged")


@dataclass(frozen=True)
class PairsOptions(ListsOptions):
    """Options of `realesrgan pairs` and generate_meta_info_pairdata.py."""

    input: tuple[str, ...] = _folders(
        "datasets/DF2K/DIV2K_train_HR_sub",
        "datasets/DF2K/DIV2K_train_LR_bicubic_X4_sub",
        what="the folder of the originals and that of the degraded pictures",
    )
    meta_info: str = _meta_info("datasets/DF2K/meta_info/meta_info_DIV2K_sub_pair.txt")
    filename_tmpl: str = option(
        "{}", metavar="NAME", help="a degraded picture's name, {} being its original's: {}x4 (default: %(default)s)"
    )
