"""The options of `realesrgan export`."""

from __future__ import annotations

from dataclasses import dataclass

from ..model_zoo import DEFAULT_IMAGE_MODEL
from .options import MODEL, RESULT, WHAT, option


@dataclass(frozen=True)
class ExportOptions:
    """Options of `realesrgan export`."""

    output: str | None = option(
        None, "-o", "--output", topic=WHAT, metavar="FILE", help="the .onnx file (default: called after the model)"
    )
    model_name: str | None = option(
        None,
        "-n",
        "--model_name",
        topic=MODEL,
        metavar="NAME",
        help=f"which model (default: {DEFAULT_IMAGE_MODEL}); `realesrgan weights list` names them all",
    )
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
    fp32: bool = option(False, topic=RESULT, help="full precision (the default)")
    fp16: bool = option(False, topic=RESULT, help="weights of 16 bits: half the size, for GPUs")
    uint8: bool = option(False, topic=RESULT, help="take and give bytes, 0 to 255, instead of numbers from 0 to 1")
    layout: str = option(
        "nchw",
        topic=RESULT,
        choices=("nchw", "nhwc"),
        help="order of the axes: channels before or after height and width (default: %(default)s)",
    )
    colour_order: str = option("rgb", topic=RESULT, choices=("rgb", "bgr"), help="of the channels (default: rgb)")
