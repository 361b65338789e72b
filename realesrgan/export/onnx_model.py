"""A network and what is around it as one ONNX model, with free height, width and number of pictures."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import torch
from onnx import TensorProto, checker, helper
from torch import nn

from .. import __version__
from ..errors import UsageError
from ..families import family_of
from ..families.family import NetworkSpec
from .form import Form
from .onnx_nodes import IR_VERSION, OPSET, Nodes, add_steps
from .onnx_pictures import add_cropped, add_folded, add_input, add_output, add_padded
from .steps import steps_of

INPUT, OUTPUT = "input", "output"
PRODUCER = "realesrgan"


def as_onnx(network: nn.Module, spec: NetworkSpec, form: Form, facts: Mapping[str, str]) -> onnx.ModelProto:
    """The model of `network`, which has fp32 weights; `facts` stand in its metadata.

    Raises:
        UsageError: the network is of no family.
    """
    family = family_of(network)
    if family is None:
        raise UsageError("only networks of this project can be exported")
    nodes = Nodes(torch.float16 if form.fp16 else torch.float32)
    picture = add_input(nodes, INPUT, form, spec.num_in_ch)
    padded = add_padded(nodes, picture, spec.size_multiple)
    folded = add_folded(nodes, padded, spec.num_in_ch, family.fold(network))
    result = add_steps(nodes, steps_of(network, family), folded)
    result = add_cropped(nodes, result, picture, spec.scale, spec.size_multiple)
    add_output(nodes, result, form, spec.num_out_ch, OUTPUT)
    model = _model(nodes, spec, form)
    helper.set_model_props(model, dict(facts))
    checker.check_model(model, full_check=True)
    return model


def _model(nodes: Nodes, spec: NetworkSpec, form: Form) -> onnx.ModelProto:
    kind = TensorProto.UINT8 if form.uint8 else TensorProto.FLOAT16 if form.fp16 else TensorProto.FLOAT
    taken = helper.make_tensor_value_info(INPUT, kind, form.axes(spec.num_in_ch))
    enlarged = {axis: f"{spec.scale}*{axis}" for axis in ("height", "width") if spec.scale > 1}
    axes = [enlarged.get(str(axis), axis) for axis in form.axes(spec.num_out_ch)]
    given = helper.make_tensor_value_info(OUTPUT, kind, axes)
    graph = helper.make_graph(nodes.nodes, str(spec), [taken], [given], nodes.constants)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=__version__,
    )
