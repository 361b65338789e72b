"""Write a model for other programs from the command line: `realesrgan export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..loading import prepare_process
from ..words import size
from . import console
from .export_options import ExportOptions
from .options import parse

if TYPE_CHECKING:
    from ..export.job import Exported

DESCRIPTION = "Write a model as an ONNX file for other programs, with free height, width and number of pictures."
EPILOG = """\
examples:
  %(prog)s -n RealESRGAN_x4plus -o x4plus.onnx
  %(prog)s --model_path weights/mine.pth -o mine.onnx --fp16
  %(prog)s -n realesr-animevideov3 --uint8 --layout nhwc --colour_order bgr    frames as OpenCV holds them
"""


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan export") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(ExportOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _export(options))


def _export(options: ExportOptions) -> int:
    prepare_process()
    if options.fp32 and options.fp16:
        raise UsageError("`fp32` and `fp16` contradict each other: give one")
    from ..export.job import INSTALL, export_onnx
    from .reporting import ConsoleReporter

    with ConsoleReporter() as reporter:
        done = export_onnx(
            options.output,
            model_name=options.model_name,
            model_path=options.model_path,
            denoise_strength=options.denoise_strength,
            fp16=options.fp16,
            uint8=options.uint8,
            layout=options.layout,  # type: ignore[arg-type]  # the parser takes no other words
            colour_order=options.colour_order,  # type: ignore[arg-type]
            reporter=reporter,
        )
    console.print_result(f"{done.path}  {size(done.path.stat().st_size)}")
    console.say(f"{done.spec}: takes and gives {_described(done)}")
    console.say(
        f"not checked, because onnxruntime is not installed: {INSTALL}"
        if done.checked is None
        else f"checked with onnxruntime: {done.checked}"
    )
    return console.DONE


def _described(done: Exported) -> str:
    axes = ", ".join(map(str, done.form.axes(done.spec.num_in_ch)))
    order = f" in {done.form.colour_order.upper()} order" if done.spec.num_in_ch >= 3 else ""
    return f"({axes}){order}, {done.form.value_range}"
