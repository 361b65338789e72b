"""Compare an exported model, computed by onnxruntime, with what this project computes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .. import arrays
from ..arrays import Array
from ..errors import WeightsError
from ..families.family import NetworkSpec
from .form import TO_NCHW, TO_NHWC, Form

# Pictures, height, width: an even size, two pictures of an odd one, and the smallest there is.
SHAPES = ((1, 24, 32), (2, 13, 7), (1, 1, 1))
MOST_FP32 = 1e-4  # of difference, where 1.0 is white or, if results are larger, of the largest
MOST_LEVELS = 1  # of bytes, where values lie on the border between two
MOST_FP16 = 0.05  # of the same; see docs/models.md for what is usual
NOT_IN_HALF = "16 bits do not suffice for these weights: leave `fp16` out"


@dataclass(frozen=True)
class Checked:
    """How far the results of onnxruntime and of this project are apart, for pictures of SHAPES.

    Attributes:
        largest: difference, in levels of 255 if `levels`, else where 1.0 is white.
        different: how many of the `total` numbers differ at all.
    """

    largest: float
    different: int
    total: int
    levels: bool

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} of {width}×{height}" for count, height, width in SHAPES)
        largest = f"{self.largest:.1e}"
        if self.levels:
            largest = f"{self.largest:g} of 255 levels, in {self.different} of {self.total} bytes"
        return f"the largest difference to this project's results is {largest} (pictures: {sizes} pixels)"


def check(model: bytes, network: nn.Module, spec: NetworkSpec, form: Form) -> Checked | None:
    """Compute pictures with onnxruntime and with `network`, in fp32; None where onnxruntime is not installed.

    Raises:
        WeightsError: the results differ by more than rounding explains.
    """
    try:
        from onnxruntime import InferenceSession, SessionOptions
    except ImportError:
        return None
    options = SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    largest, different, total, peak = 0.0, 0, 0, 1.0
    for number, shape in enumerate(SHAPES):
        batch = pictures(shape, spec.num_in_ch, form, seed=number)
        found = session.run(None, {name: batch})[0].astype(np.float64)
        wanted = expected(batch, network, spec, form).astype(np.float64)
        if found.shape != wanted.shape:
            raise WeightsError(f"onnxruntime gives results of {found.shape} instead of {wanted.shape}")
        largest = max(largest, float(np.nan_to_num(np.abs(found - wanted), nan=np.inf).max()))
        different, total = different + int((found != wanted).sum()), total + found.size
        peak = max(peak, float(np.abs(wanted).max()))
    checked = Checked(largest, different, total, form.uint8)
    _refuse_difference(checked, form, peak)
    return checked


def refuse_overflow(network: nn.Module, spec: NetworkSpec) -> None:
    """Refuse weights with which values between layers do not fit into 16 bits, as GPUs compute them.

    onnxruntime would not show it on a CPU, where it computes in 32 bits.

    Raises:
        WeightsError: a result for a small picture is not finite.
    """
    form = Form(fp16=True)
    half = copy.deepcopy(network).half()
    batch = pictures(SHAPES[0], spec.num_in_ch, form, seed=0)
    if not np.isfinite(expected(batch, half, spec, form)).all():
        raise WeightsError(f"values between the layers do not fit into 16 bits; {NOT_IN_HALF}")


def pictures(shape: tuple[int, int, int], channels: int, form: Form, *, seed: int) -> Array:
    """A batch in `form` of smooth pictures with a little noise; `shape` is number, height and width."""
    count, height, width = shape
    random = np.random.default_rng(seed)
    coarse = random.random((count, channels, height // 6 + 2, width // 6 + 2))
    smooth = np.kron(coarse, np.ones((6, 6)))[..., :height, :width]
    batch = np.clip(smooth + 0.05 * random.standard_normal(smooth.shape), 0, 1).astype(np.float32)
    if form.uint8:
        batch = arrays.quantise(batch, np.dtype(np.uint8))
    elif form.fp16:
        batch = batch.astype(np.float16)
    return np.ascontiguousarray(batch.transpose(TO_NHWC)) if form.layout == "nhwc" else batch


def expected(batch: Array, network: nn.Module, spec: NetworkSpec, form: Form) -> Array:
    """What this project makes of a batch in `form`: bytes for bytes, else fp32."""
    x = batch.transpose(TO_NCHW) if form.layout == "nhwc" else batch
    x = x / np.float32(arrays.peak_of(batch.dtype)) if form.uint8 else x.astype(np.float32)
    height, width = x.shape[2:]
    padded = np.stack([_padded(picture, spec.size_multiple) for picture in _in_order(x, form)])
    with torch.no_grad():
        result = network(torch.from_numpy(padded).to(next(network.parameters()).dtype)).float()
    y = _in_order(result[:, :, : height * spec.scale, : width * spec.scale].numpy(), form)
    y = y.transpose(TO_NHWC) if form.layout == "nhwc" else y
    return arrays.quantise(y, batch.dtype) if form.uint8 else y


def _padded(picture: Array, multiple: int) -> Array:
    """(C, H, W) as this project pads it for a network."""
    height, width = picture.shape[1:]
    pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
    return arrays.pad_bottom_right(pixels, -height % multiple, -width % multiple).transpose(2, 0, 1)


def _in_order(batch: Array, form: Form) -> Array:
    """(N, C, H, W) with RGB and the form's order of colours exchanged."""
    order: Sequence[int] | None = form.order(batch.shape[1])
    return batch if order is None else batch[:, order]


def _refuse_difference(checked: Checked, form: Form, peak: float) -> None:
    if form.fp16:
        most = MOST_FP16 * (255 if checked.levels else peak)
        advice = NOT_IN_HALF
    else:
        most = MOST_LEVELS if checked.levels else MOST_FP32 * peak
        advice = "nothing was written"
    if checked.largest > most:
        raise WeightsError(f"onnxruntime computes something else, {checked}; {advice}")
