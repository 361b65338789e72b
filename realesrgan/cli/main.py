"""The `realesrgan` command: picks the sub-command, and nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from . import interrupts

COMMANDS = {
    "image": "restore pictures (the same as inference_realesrgan.py)",
    "video": "restore videos (the same as inference_realesrgan_video.py)",
    "serve": "a page and an HTTP interface for the same, on this machine",
    "degrade": "make pictures as bad as real ones are: see, use and replay the degradation model",
    "calibrate": "measure bad pictures, and propose the recipe that makes such ones",
    "evaluate": "measure results against their originals",
    "train": "train a network by a recipe (the same as realesrgan/train.py)",
    "finetune": "adapt a model to pictures of your own, in half an hour",
    "weights": "list, fetch and check the models' weights; inspect and convert files of your own",
    "export": "write a model as ONNX for other programs",
    "multiscale": "make smaller copies of pictures, to train on (generate_multiscale_DF2K.py)",
    "subimages": "cut pictures into pieces, to train on (extract_subimages.py)",
    "lists": "list pictures to train on (generate_meta_info.py)",
    "pairs": "list pairs of pictures to train on (generate_meta_info_pairdata.py)",
}


def image() -> int:
    """Run the picture command as inference_realesrgan.py does."""
    return _run("image", sys.argv[1:], "inference_realesrgan.py")


def video() -> int:
    """Run the video command as inference_realesrgan_video.py does."""
    return _run("video", sys.argv[1:], "inference_realesrgan_video.py")


def script(command: str) -> int:
    """Run a command as the script of its published name, which is the process's, does."""
    return _run(command, sys.argv[1:], Path(sys.argv[0]).name)


def train() -> int:
    """Run the train command as realesrgan/train.py does."""
    return _run("train", sys.argv[1:], "realesrgan/train.py")


def _run(name: str, argv: Sequence[str], prog: str) -> int:
    with interrupts.starting():
        command = importlib.import_module(f".{name}", __package__)
        code: int = command.main(argv, prog=prog)
        return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run `realesrgan COMMAND …` with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return _run(argv[0], argv[1:], f"realesrgan {argv[0]}")
    if argv and argv[0] in ("-V", "--version"):
        from .. import __version__

        print(f"realesrgan {__version__}")
        return 0
    wants_help = bool(argv) and argv[0] in ("-h", "--help")
    lines = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    usage = "\n".join(["usage: realesrgan COMMAND [options]", "", *lines, "", "realesrgan COMMAND --help tells more."])
    print(usage, file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else 2
