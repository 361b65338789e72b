"""A network's steps as nodes of an ONNX graph. Knows nothing of how pictures come in and go out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from ..arrays import Array
from .steps import PICTURE, Step

# The oldest set of operators that has all that is used here: the fewer programs are too old to read it, the better.
OPSET = 17
IR_VERSION = 8  # of that time


class Nodes:
    """Nodes and constants, under names of which each is used once."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: dict[str, str] = {}

    def add(self, op: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Append a node with one output, which has its name; returns that."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: Array, name: str) -> str:
        """Append a constant, unless there is one of this name; returns its name."""
        if name not in self._known:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
            self._known[name] = name
        return name

    def integers(self, *values: int) -> str:
        """A constant list of whole numbers."""
        return self.constant(np.array(values, np.int64), f"integers_{'_'.join(map(str, values))}")

    def weights(self, tensor: Tensor, name: str) -> str:
        """A constant in the type that the network computes in."""
        return self.constant(tensor.detach().to("cpu", self.dtype).numpy(), name)

    def enlarge(self, x: str, times: int, name: str) -> str:
        """Repeat each pixel of (N, C, H, W) `times` times each way."""
        scales = self.constant(np.array([1, 1, times, times], np.float32), f"scales_{times}")
        ways = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", x, "", scales, name=name, **ways)


def add_steps(nodes: Nodes, steps: Sequence[Step], picture: str) -> str:
    """Append a network that reads `picture`, (N, C, H, W) and folded; returns its result, enlarged and not clamped."""
    made = {PICTURE: picture}
    for step in steps:
        made[step.name] = _add_step(nodes, step, made)
    return made[steps[-1].name]


def _add_step(nodes: Nodes, step: Step, made: dict[str, str]) -> str:
    name, conv = step.name, step.conv
    x = made[step.sources[0]]
    if len(step.sources) > 1:
        x = nodes.add("Concat", *(made[source] for source in step.sources), name=f"{name}.read", axis=1)
    if step.enlarge > 1:
        x = nodes.enlarge(x, step.enlarge, f"{name}.enlarged")
    inputs = [x, nodes.weights(conv.weight, f"{name}.weight")]
    if conv.bias is not None:
        inputs.append(nodes.weights(conv.bias, f"{name}.bias"))
    x = nodes.add("Conv", *inputs, name=f"{name}.conv", kernel_shape=conv.kernel_size, pads=[*conv.padding] * 2)
    if step.slopes is not None:
        x = _add_activation(nodes, step.slopes, x, name)
    if step.shuffle is not None:
        return _add_result(nodes, step, x, made)
    for number, (residual, scale) in enumerate(step.residuals):
        if scale != 1:
            factor = nodes.weights(torch.tensor(scale), f"factor_{scale:g}")
            x = nodes.add("Mul", x, factor, name=f"{name}.scaled{number}")
        x = nodes.add("Add", made[residual], x, name=f"{name}.sum{number}")
    return x


def _add_activation(nodes: Nodes, slopes: float | Tensor, x: str, name: str) -> str:
    if isinstance(slopes, Tensor):
        return nodes.add("PRelu", x, nodes.weights(slopes.reshape(-1, 1, 1), f"{name}.slopes"), name=f"{name}.active")
    return nodes.add("LeakyRelu", x, name=f"{name}.active", alpha=slopes)


def _add_result(nodes: Nodes, step: Step, x: str, made: dict[str, str]) -> str:
    assert step.shuffle is not None
    if step.shuffle > 1:
        x = nodes.add("DepthToSpace", x, name=f"{step.name}.shuffled", blocksize=step.shuffle, mode="CRD")
    for number, (residual, _) in enumerate(step.residuals):
        base = made[residual]
        if step.shuffle > 1:
            base = nodes.enlarge(base, step.shuffle, f"{step.name}.base{number}")
        x = nodes.add("Add", base, x, name=f"{step.name}.sum{number}")
    return x
