"""The published command lines: every flag in every spelling with its default, and all of them in the help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, get_args

import pytest

from realesrgan.cli import image, video
from realesrgan.cli.options import ImageOptions, ModelOptions, VideoOptions, parse
from realesrgan.cli.serve_options import ServeOptions
from realesrgan.restorer import EngineKind


@dataclass(frozen=True)
class Flag:
    """A flag in all its spellings, its default, and words to follow it with what they mean (None: it takes none)."""

    spellings: tuple[str, ...]
    default: Any
    words: str | None = None
    value: Any = True


SHARED = {
    "model_name": Flag(("-n", "--model_name"), None, "RealESRGAN_x2plus", "RealESRGAN_x2plus"),  # default: by command
    "output": Flag(("-o", "--output"), "results", "there", "there"),
    "denoise_strength": Flag(("-dn", "--denoise_strength"), 0.5, "0.25", 0.25),
    "outscale": Flag(("-s", "--outscale"), 4.0, "3.5", 3.5),
    "suffix": Flag(("--suffix",), "out", "x4", "x4"),
    "tile": Flag(("-t", "--tile"), 0, "64", 64),
    "tile_pad": Flag(("--tile_pad",), None, "5", 5),
    "pre_pad": Flag(("--pre_pad",), 0, "7", 7),
    "face_enhance": Flag(("--face_enhance",), False),
    "fp32": Flag(("--fp32",), False),
    "alpha_upsampler": Flag(("--alpha_upsampler",), "realesrgan", "bicubic", "bicubic"),
    "ext": Flag(("--ext",), "auto", "jpg", "jpg"),
    "gpu_id": Flag(("-g", "--gpu-id"), None, "0,1", "0,1"),
}
PUBLISHED: dict[type[ModelOptions], dict[str, Flag]] = {
    ImageOptions: SHARED
    | {
        "input": Flag(("-i", "--input"), ("inputs",), "a.png", ("a.png",)),
        "model_path": Flag(("--model_path",), None, "mine.pth", "mine.pth"),
    },
    VideoOptions: SHARED
    | {
        # Published "inputs", which holds pictures; the sample clip lies below it.
        "input": Flag(("-i", "--input"), ("inputs/video",), "a.mp4", ("a.mp4",)),
        "fps": Flag(("--fps",), None, "30", "30"),
        "ffmpeg_bin": Flag(("--ffmpeg_bin",), "ffmpeg", "/bin/ffmpeg", "/bin/ffmpeg"),
        "extract_frame_first": Flag(("--extract_frame_first",), False),
        # Published 1; nothing but the speed shows how many there are.
        "num_process_per_gpu": Flag(("--num_process_per_gpu",), None, "2", 2),
    },
}
OF_OURS = {
    "skip_existing",
    "dry_run",
    "engine",
    "max_memory",
    "face_model",
    "face_weight",
    "only_center_face",
    "save_faces",
    "ray",
    "mixed",
}
OURS: dict[type[ModelOptions], set[str]] = {
    ImageOptions: OF_OURS | {"recursive", "quality", "compare"},
    VideoOptions: OF_OURS
    | {"start", "end", "codec", "crf", "preset", "pix_fmt", "strict", "repeat_damaged", "keep_segments", "model_path"},
}


EACH = [
    pytest.param(kind, name, flag, id=f"{kind.__name__}-{name}")
    for kind, flags in PUBLISHED.items()
    for name, flag in flags.items()
]


@pytest.mark.parametrize(("kind", "name", "flag"), EACH)
def test_every_published_flag_has_its_published_default(kind: type[ModelOptions], name: str, flag: Flag) -> None:
    assert getattr(parse(kind, [], "prog", ""), name) == flag.default


@pytest.mark.parametrize(("kind", "name", "flag"), EACH)
def test_every_published_spelling_is_accepted_and_sets_nothing_else(
    kind: type[ModelOptions], name: str, flag: Flag
) -> None:
    default = vars(parse(kind, [], "prog", ""))
    for spelling in flag.spellings:
        argv = [spelling] if flag.words is None else [spelling, flag.words]
        assert vars(parse(kind, argv, "prog", "")) == default | {name: flag.value}


@pytest.mark.parametrize(("kind", "main"), [(ImageOptions, image.main), (VideoOptions, video.main)])
def test_the_help_names_every_flag_and_no_field_is_forgotten_here(
    kind: type[ModelOptions], main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert set(PUBLISHED[kind]) | OURS[kind] == {field.name for field in fields(kind)}
    assert all(spelling in told for flag in PUBLISHED[kind].values() for spelling in flag.spellings)
    assert all(f"--{name}" in told for name in OURS[kind])


@pytest.mark.parametrize("engine", get_args(EngineKind))
@pytest.mark.parametrize("options", [ImageOptions, VideoOptions, ServeOptions])
def test_every_kind_of_engine_can_be_asked_for(options: type[Any], engine: EngineKind) -> None:
    assert parse(options, ["--engine", engine], "prog", "").engine == engine
