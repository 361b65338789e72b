"""The `realesrgan` command: picks the sub-command, nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "image": "restore pictures (the same as inference_realesrgan.py)",
    "video": "restore videos (the same as inference_realesrgan_video.py)",
    "weights": "list, fetch and check the models' weights",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `realesrgan COMMAND …` with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        command = importlib.import_module(f".{argv[0]}", __package__)
        code: int = command.main(argv[1:], prog=f"realesrgan {argv[0]}")
        return code
    if argv and argv[0] in ("-V", "--version"):
        from .. import __version__

        print(f"realesrgan {__version__}")
        return 0
    asked = bool(argv) and argv[0] in ("-h", "--help")
    lines = [f"  {name:8} {what}" for name, what in COMMANDS.items()]
    usage = "\n".join(["usage: realesrgan COMMAND [options]", "", *lines, "", "realesrgan COMMAND --help tells more."])
    print(usage, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
