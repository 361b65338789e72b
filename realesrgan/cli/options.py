"""The options of each command: a frozen dataclass for each, and a function that makes a parser of it.

No logic here: a field is a flag, in its published spelling, with its default and its help.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, TypeVar, get_args

from ..engine.tiling import DEFAULT_TILE_PAD
from ..loading import Settings
from ..model_zoo import DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL
from ..restorer import AlphaUpsampler, EngineKind

PICTURE_FORMATS = ("png", "jpg", "webp", "tiff", "bmp", "avif")
VIDEO_FORMATS = ("mp4", "mkv", "mov", "webm")

Options = TypeVar("Options")
Made = TypeVar("Made")


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists the options\n")


def option(default: Any, *flags: str, help: str, topic: str = "arguments", **argparse_arguments: Any) -> Any:
    """A dataclass field that `parse` turns into a command-line flag; without `flags`, into `--field_name`.

    In the help, flags are grouped by `topic`, in the order of TOPICS.
    """
    metadata = {"flags": flags, "topic": topic, "arguments": {"help": help, **argparse_arguments}}
    return field(default=default, metadata=metadata)


def parse(options: type[Options], argv: Sequence[str], prog: str, description: str, epilog: str = "") -> Options:
    """Parse `argv` into an instance of the dataclass `options`. Wrong usage prints one line and exits with 2."""
    parser = _Parser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = fields(options)  # type: ignore[arg-type]
    topics = {topic: None for topic in TOPICS if any(one.metadata["topic"] == topic for one in own)}
    groups = {topic: parser.add_argument_group(topic) for topic in topics}
    for one in own:
        flags = one.metadata["flags"] or (f"--{one.name}",)
        arguments = dict(one.metadata["arguments"])
        if isinstance(one.default, bool):
            arguments["action"] = "store_true"
        elif not {"nargs", "type", "action"} & set(arguments) and one.default is not None:
            arguments["type"] = type(one.default)
        if flags[0].startswith("-"):
            arguments["dest"] = one.name
        groups[one.metadata["topic"]].add_argument(*flags, default=one.default, **arguments)
    values = vars(parser.parse_intermixed_args(list(argv)))
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


WHAT, MODEL, RESULT, ENCODING = "input and output", "model", "size and result", "encoding"
CHANCE = "what happens to pictures"
FACES, MACHINE, UNUSED = "faces", "memory, devices and precision", "published, but not needed here"
ADDRESS, LIMITS, CLUSTER = "address", "files and limits", "cluster"
TOPICS = ("arguments", ADDRESS, LIMITS, WHAT, CHANCE, MODEL, RESULT, ENCODING, FACES, MACHINE, CLUSTER, UNUSED)


def _model_name(default: str) -> Any:
    text = f"which model (default: {default}); `realesrgan weights list` names them all"
    return option(None, "-n", "--model_name", topic=MODEL, metavar="NAME", help=text)


def engine_option() -> Any:
    return option(
        "auto",
        topic=MACHINE,
        choices=get_args(EngineKind),
        help="what computes: torch, the compiled kernels (native), or those where they can (auto, the default); the "
        "others name a variant of the kernels, which gives the same result on every processor that runs it",
    )


def input_option(default: str, what: str) -> Any:
    text = f"{what} (default: {default})"
    return option((default,), "-i", "--input", topic=WHAT, nargs="+", metavar="PATH", help=text)


def ray_option() -> Any:
    return option(
        None,
        topic=CLUSTER,
        metavar="ADDRESS",
        help="restore on the nodes of a Ray cluster: its head as HOST:PORT, auto for the one that this machine is part "
        "of, or local to make one of this machine's own devices",
    )


def mixed_option() -> Any:
    return option(
        False,
        topic=CLUSTER,
        help="let each node compute in its own best way (default: all alike, so that results are those of one machine)",
    )


@dataclass(frozen=True)
class ModelOptions:
    """Options of both commands that restore: which model, on what device, how, and where results go."""

    input: tuple[str, ...] = input_option("inputs", "what to restore")
    output: str = option(
        "results", "-o", "--output", topic=WHAT, metavar="DIR", help="folder for the results (default: %(default)s)"
    )
    suffix: str = option(
        "out", topic=WHAT, help="results are named {stem}_{suffix}; may be empty (default: %(default)s)"
    )
    skip_existing: bool = option(False, topic=WHAT, help="leave out inputs whose result exists")
    dry_run: bool = option(
        False, topic=WHAT, help="only print what would be done, the size of the results and about how long it takes"
    )
    model_name: str | None = _model_name("")
    model_path: str | None = option(
        None,
        topic=MODEL,
        metavar="FILE",
        help="your own weights, .pth, .safetensors or ncnn; the network is recognised from them",
    )
    denoise_strength: float = option(
        0.5,
        "-dn",
        "--denoise_strength",
        topic=MODEL,
        metavar="S",
        help="0 keeps noise, 1 removes it strongly; only realesr-general-x4v3 (default: %(default)s)",
    )
    outscale: float = option(
        4.0,
        "-s",
        "--outscale",
        topic=RESULT,
        metavar="X",
        help="final enlargement, resized from what the model gives (default: %(default)g)",
    )
    pre_pad: int = option(
        0, topic=RESULT, metavar="PX", help="pixels to mirror at the right and bottom first (default: %(default)s)"
    )
    alpha_upsampler: AlphaUpsampler = option(
        "realesrgan",
        topic=RESULT,
        choices=("realesrgan", "bicubic"),
        help="how to enlarge transparency (default: %(default)s)",
    )
    face_enhance: bool = option(False, topic=FACES, help="restore faces with GFPGAN and paste them in")
    face_model: str = option(
        "1.3", topic=FACES, choices=("1.3", "1.4"), help="version of GFPGAN (default: %(default)s)"
    )
    face_weight: float = option(
        1.0, topic=FACES, metavar="W", help="share of the restored face in the result, 0 to 1 (default: %(default)g)"
    )
    only_center_face: bool = option(False, topic=FACES, help="restore only the face nearest to the middle")
    save_faces: str | None = option(
        None, topic=FACES, metavar="DIR", help="also write each face, as cut out and as restored, here"
    )
    gpu_id: str | None = option(
        None,
        "-g",
        "--gpu-id",
        topic=MACHINE,
        metavar="DEVICE",
        help="0, cuda:1, mps, cpu, or several as in 0,1 to share the work out (default: the best there is)",
    )
    fp32: bool = option(
        False, topic=MACHINE, help="full precision everywhere (default: the fastest whose results look the same)"
    )
    engine: EngineKind = engine_option()
    max_memory: str | None = option(
        None,
        topic=MACHINE,
        metavar="SIZE",
        help="most memory to take, as 1.5GB or 800MB (default: a safe share of what is free)",
    )
    tile: int = option(
        0,
        "-t",
        "--tile",
        topic=MACHINE,
        metavar="PX",
        help="cut into tiles of this size, with their seams; 0: never (default: 0)",
    )
    tile_pad: int | None = option(
        None,
        topic=MACHINE,
        type=int,
        metavar="PX",
        help=f"pixels a tile sees beyond its border (default: {DEFAULT_TILE_PAD}, or as many as another project's "
        "network needs)",
    )
    ray: str | None = ray_option()
    mixed: bool = mixed_option()


@dataclass(frozen=True)
class ImageOptions(ModelOptions):
    """Options of `realesrgan image` and inference_realesrgan.py."""

    input: tuple[str, ...] = input_option("inputs", "pictures, folders or patterns")
    model_name: str | None = _model_name(DEFAULT_IMAGE_MODEL)
    recursive: bool = option(False, "-r", "--recursive", topic=WHAT, help="go into sub-folders and keep the tree")
    ext: str = option(
        "auto",
        topic=RESULT,
        choices=("auto", *PICTURE_FORMATS),
        help="format of the results; auto keeps the input's, PNG where there is transparency (default: auto)",
    )
    quality: int = option(95, topic=RESULT, metavar="Q", help="1 to 100, of jpg, webp and avif (default: %(default)s)")
    compare: bool = option(False, topic=RESULT, help="write a labelled before/after picture beside each result")


@dataclass(frozen=True)
class VideoOptions(ModelOptions):
    """Options of `realesrgan video` and inference_realesrgan_video.py."""

    input: tuple[str, ...] = input_option(
        "inputs/video", "videos, animated pictures, folders of videos or of frames (in natural order: f1, f2, f10)"
    )
    model_name: str | None = _model_name(DEFAULT_VIDEO_MODEL)
    start: str | None = option(None, topic=WHAT, metavar="TIME", help="begin here: seconds or hh:mm:ss")
    end: str | None = option(None, topic=WHAT, metavar="TIME", help="end here: seconds or hh:mm:ss of the input")
    fps: str | None = option(
        None,
        topic=WHAT,
        metavar="F",
        help="frames per second of a folder of frames (default: 24); re-times a video to constant F",
    )
    strict: bool = option(False, topic=WHAT, help="refuse a damaged input instead of keeping what can be decoded")
    repeat_damaged: bool = option(
        False, topic=WHAT, help="in a folder of frames, repeat the one before a damaged one instead of refusing"
    )
    keep_segments: bool = option(False, topic=WHAT, help="keep the working folder of finished segments")
    ext: str = option(
        "auto",
        topic=ENCODING,
        choices=("auto", *VIDEO_FORMATS, "jpg", "png"),
        help="container of the result; auto: mp4, or mkv where mp4 cannot hold a stream "
        "(jpg and png, once the format of extracted frames, mean auto)",
    )
    codec: str = option(
        "libx264",
        topic=ENCODING,
        metavar="NAME",
        help="encoder: libx264, libx265, libsvtav1, libvpx-vp9, prores_ks, ffv1, h264_nvenc… (default: %(default)s)",
    )
    crf: int | None = option(
        None, topic=ENCODING, type=int, metavar="Q", help="quality on the encoder's scale, less is better"
    )
    preset: str | None = option(None, topic=ENCODING, metavar="NAME", help="speed of the encoder, by its own name")
    pix_fmt: str | None = option(
        None, topic=ENCODING, metavar="NAME", help="pixel format (default: 8 or 10 bits 4:2:0, as the input)"
    )
    num_process_per_gpu: int | None = option(
        None,
        topic=MACHINE,
        type=int,
        metavar="N",
        help="copies of the network on each device (default: 2 on a GPU, so that it computes one frame while another "
        "is transferred; 1 on a CPU)",
    )
    extract_frame_first: bool = option(False, topic=UNUSED, help="frames are never stored as pictures")
    ffmpeg_bin: str = option("ffmpeg", topic=UNUSED, metavar="FILE", help="FFmpeg's libraries are built in")


def made_from(kind: type[Made], options: object, **others: Any) -> Made:
    """Make an instance of the dataclass `kind` from the options of its fields' names, and from `others`."""
    names = [one.name for one in fields(kind) if hasattr(options, one.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(options, name) for name in names} | others)


def settings_of(options: ModelOptions) -> Settings:
    """The options that say how to restore."""
    return made_from(Settings, options)


@dataclass(frozen=True)
class WeightsOptions:
    """Options of `realesrgan weights`."""

    action: str = option(
        "list",
        "action",
        choices=("list", "fetch", "verify", "inspect", "convert"),
        nargs="?",
        help="what to do (default: list)",
    )
    names: tuple[str, ...] = option(
        (), "names", nargs="*", metavar="NAME", help="models, none means all; files to inspect or to convert"
    )
    to: str | None = option(
        None,
        "--to",
        metavar="PATH",
        help="fetch into this folder, say weights/ to take along (default: the cache); the file to convert into",
    )
    fp16: bool = option(False, help="convert to weights of 16 bits, which are rounded")
    json: bool = option(False, help="inspect for programs: print a list of JSON")
