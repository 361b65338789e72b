"""How pictures come into an ONNX graph and go out: bytes, layouts, colours, padding, folding. Knows no network."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto

from .form import TO_NCHW, TO_NHWC, Form
from .onnx_nodes import Nodes

PEAK = 255.0
HEIGHT, WIDTH = 2, 3  # axes of (N, C, H, W)


def add_input(nodes: Nodes, x: str, form: Form, channels: int) -> str:
    """Append what makes of a batch in `form` one as networks read it: (N, C, H, W) RGB with 1.0 for white."""
    if form.layout == "nhwc":
        x = nodes.add("Transpose", x, name="channels_first", perm=TO_NCHW)
    if form.uint8:
        # Divided in fp32, whatever the network computes in, as this project does.
        x = nodes.add("Cast", x, name="levels", to=TensorProto.FLOAT)
        x = nodes.add("Div", x, nodes.constant(np.array(PEAK, np.float32), "peak"), name="shares")
        if nodes.dtype == torch.float16:
            x = nodes.add("Cast", x, name="shares_fp16", to=TensorProto.FLOAT16)
    return _ordered(nodes, x, form, channels, "rgb")


def add_output(nodes: Nodes, x: str, form: Form, channels: int, name: str) -> None:
    """Append what makes `name` of a network's (N, C, H, W): a batch in `form`."""
    x = _ordered(nodes, x, form, channels, "ordered")
    if form.uint8:
        if nodes.dtype == torch.float16:
            x = nodes.add("Cast", x, name="result_fp32", to=TensorProto.FLOAT)
        peak = nodes.constant(np.array(PEAK, np.float32), "peak")
        x = nodes.add("Mul", x, peak, name="result_levels")
        x = nodes.add("Round", x, name="result_rounded")  # halves to the even neighbour, as torch and NumPy do
        x = nodes.add("Clip", x, nodes.constant(np.array(0, np.float32), "zero"), peak, name="result_clamped")
        x = nodes.add("Cast", x, name="result_bytes", to=TensorProto.UINT8)
    if form.layout == "nhwc":
        x = nodes.add("Transpose", x, name="channels_last", perm=TO_NHWC)
    nodes.add("Identity", x, name=name)


def add_folded(nodes: Nodes, x: str, channels: int, side: int) -> str:
    """Append the folding of squares of `side` pixels into channels: each channel's pixels stay together."""
    if side == 1:
        return x
    # ONNX keeps the channels of a pixel together instead, so they are put in order.
    folded = nodes.add("SpaceToDepth", x, name="folded_by_pixel", blocksize=side)
    order = [pixel * channels + channel for channel in range(channels) for pixel in range(side**2)]
    return nodes.add("Gather", folded, nodes.integers(*order), name="folded", axis=1)


def add_padded(nodes: Nodes, x: str, multiple: int) -> str:
    """Append the mirroring of (N, C, H, W) at the bottom and the right up to whole multiples, for pictures of any size.

    By index, since ONNX's own padding mirrors once only, and a picture may be smaller than what is missing.
    """
    if multiple == 1:
        return x
    for axis, name in ((HEIGHT, "height"), (WIDTH, "width")):
        x = nodes.add("Gather", x, _mirrored(nodes, x, axis, multiple, name), name=f"padded_{name}", axis=axis)
    return x


def add_cropped(nodes: Nodes, x: str, picture: str, scale: int, multiple: int) -> str:
    """Append the cut that leaves of a result what belongs to `picture`, as it was before it was padded."""
    if multiple == 1:
        return x
    size = nodes.add("Shape", picture, name="size", start=HEIGHT)
    ends = nodes.add("Mul", size, nodes.integers(scale), name="final_size")
    return nodes.add("Slice", x, nodes.integers(0, 0), ends, nodes.integers(HEIGHT, WIDTH), name="cropped")


def _mirrored(nodes: Nodes, x: str, axis: int, multiple: int, name: str) -> str:
    """Indices 0, 1 … n-1, n-2 … up to a whole multiple; they go to and fro where n is small."""
    # A list of one number, and the numbers themselves, which Range wants.
    one, many = nodes.integers(1), nodes.integers(multiple)
    count = nodes.add("Shape", x, name=f"{name}_count", start=axis, end=axis + 1)
    more = nodes.add("Add", count, nodes.integers(multiple - 1), name=f"{name}_more")
    total = nodes.add("Mul", nodes.add("Div", more, many, name=f"{name}_multiples"), many, name=f"{name}_total")
    scalars = [nodes.constant(np.array(number, np.int64), f"number_{number}") for number in (0, 1)]
    end = nodes.add("Squeeze", total, name=f"{name}_end")
    steps = nodes.add("Range", scalars[0], end, scalars[1], name=f"{name}_steps")
    # There and back is 2 (n - 1) steps; a single pixel is its own mirror.
    back = nodes.add("Mul", nodes.add("Sub", count, one, name=f"{name}_last"), nodes.integers(2), name=f"{name}_back")
    period = nodes.add("Max", back, one, name=f"{name}_period")
    phase = nodes.add("Mod", steps, period, name=f"{name}_phase")
    return nodes.add("Min", phase, nodes.add("Sub", period, phase, name=f"{name}_return"), name=f"{name}_index")


def _ordered(nodes: Nodes, x: str, form: Form, channels: int, name: str) -> str:
    order = form.order(channels)
    return x if order is None else nodes.add("Gather", x, nodes.integers(*order), name=name, axis=1)
