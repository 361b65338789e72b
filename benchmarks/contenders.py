"""What can compute a network on a CPU: this project in its ways, OpenVINO and onnxruntime, which read ONNX, and ncnn.

The others are imported where they are loaded, so any may be missing. Knows nothing of how they are measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import nn

from realesrgan import load_upsampler
from realesrgan.arrays import Array
from realesrgan.engine.device import cpu_has_bf16, prepare_cpu
from realesrgan.export.form import Form
from realesrgan.families.family import NetworkSpec
from realesrgan.restorer import EngineKind

Compute = Callable[[Array], Array]


class Loaded(NamedTuple):
    """An engine ready to compute.

    `compute` takes and gives (H, W, 3) BGR bytes, or (3, H, W) RGB fp32, 1 the brightest, which is not clamped and is
    valid until the next call.
    """

    precision: str
    compute: Compute
    takes_bytes: bool = False


class Unsuited(Exception):
    """An engine cannot compute this network here; the message says why."""


@dataclass(frozen=True)
class Task:
    """What an engine gets ready for.

    Attributes:
        model: its name in the zoo.
        weights: the file that all read, .pth or ncnn's .param.
        onnx: the same network, written by `write_onnx`; missing if that was not possible.
        width, height: of every picture to come.
    """

    model: str
    weights: Path
    onnx: Path
    width: int
    height: int
    threads: int


def write_onnx(network: nn.Module, spec: NetworkSpec, task: Task) -> None:
    """Write the file `task.onnx`, for pictures of any size, if the package onnx is installed."""
    with contextlib.suppress(ImportError):
        from realesrgan.export.onnx_model import as_onnx

        task.onnx.write_bytes(as_onnx(network, spec, Form(), {}).SerializeToString())


def this_project(task: Task, kind: EngineKind, *, fp32: bool) -> Loaded:
    """This project, in full precision with `fp32`, else as the processor suits.

    Raises:
        UsageError: the compiled kernels cannot compute this here.
    """
    prepare_cpu()  # as the command line does
    # Of a pair of weights files, the others have only the first too.
    upsampler = load_upsampler(task.model, device="cpu", engine=kind, fp32=fp32, denoise_strength=1)
    precision = upsampler.engine.choice.precision.value
    return Loaded(precision, lambda picture: upsampler.enhance(picture)[0], takes_bytes=True)


def openvino(task: Task, precision: str) -> Compute:
    """OpenVINO, set for a short time a picture, in "bf16" or "f32".

    Raises:
        ImportError: it is not installed.
        Unsuited: there is no ONNX file, or the processor has no bfloat16.
    """
    from openvino import Core

    core = Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unsuited("this processor does not multiply bfloat16")
    hints = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": task.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.read_model(_onnx_file(task))
    model.reshape([1, 3, task.height, task.width])  # it is faster at a size that it knows
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    # Sharing spares it two copies.
    return lambda rgb: np.asarray(request.infer([rgb[None]], share_inputs=True, share_outputs=True)[0][0])


def onnxruntime(task: Task) -> Compute:
    """onnxruntime in fp32, the only precision of its convolutions on a CPU.

    Raises:
        ImportError: it is not installed.
        Unsuited: there is no ONNX file.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = task.threads
    for axis, size in (("batch", 1), ("height", task.height), ("width", task.width)):
        options.add_free_dimension_override_by_name(axis, size)
    session = InferenceSession(_onnx_file(task), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rgb: np.asarray(session.run(None, {name: rgb[None]})[0][0])


def _onnx_file(task: Task) -> str:
    if not task.onnx.exists():
        raise Unsuited("the network cannot be given to it without the package onnx")
    return str(task.onnx)


def ncnn(task: Task, *, bf16: bool) -> Compute:
    """ncnn on the CPU, in fp32 or with features and weights kept in bfloat16.

    Raises:
        ImportError: it is not installed.
        Unsuited: the weights are not in ncnn's form, or the processor has no bfloat16.
    """
    from ncnn import Mat, Net

    if task.weights.suffix != ".param":
        raise Unsuited(f"it cannot read {task.weights.name}")
    if bf16 and not cpu_has_bf16():
        raise Unsuited("this processor does not multiply bfloat16")
    net = Net()
    net.opt.num_threads = task.threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = bf16
    if net.load_param(str(task.weights)) or net.load_model(str(task.weights.with_suffix(".bin"))):
        raise Unsuited(f"it cannot read {task.weights.name}")
    (source,), (result,) = net.input_names(), net.output_names()

    def compute(rgb: Array) -> Array:
        extractor = net.create_extractor()
        extractor.input(source, Mat(rgb))
        return np.array(extractor.extract(result)[1])

    return compute


ENGINES: dict[str, tuple[str, Callable[[Task], Loaded]]] = {
    "native": ("this project, compiled kernels", partial(this_project, kind="native", fp32=False)),
    "native-fp32": ("this project, compiled kernels", partial(this_project, kind="native", fp32=True)),
    "torch": ("this project by torch", partial(this_project, kind="torch", fp32=False)),
    "torch-fp32": ("this project by torch", partial(this_project, kind="torch", fp32=True)),
    "openvino": ("OpenVINO", lambda task: Loaded("bf16", openvino(task, "bf16"))),
    "openvino-fp32": ("OpenVINO", lambda task: Loaded("fp32", openvino(task, "f32"))),
    "onnxruntime": ("onnxruntime", lambda task: Loaded("fp32", onnxruntime(task))),
    "ncnn": ("ncnn", lambda task: Loaded("bf16", ncnn(task, bf16=True))),
    "ncnn-fp32": ("ncnn", lambda task: Loaded("fp32", ncnn(task, bf16=False))),
}
READ_ONNX = {"openvino", "openvino-fp32", "onnxruntime"}
