"""Families of networks: one record holds all that is known of a family, and no other code asks which one it is."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import picture, save_weights, tiny_rrdbnet
from torch import Tensor, nn

import realesrgan.engine.planning
from realesrgan import families
from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.export.job import export_onnx
from realesrgan.families import FAMILIES, family_of
from realesrgan.families.family import Family, Shapes
from realesrgan.families.row_graph import Graph, Result
from realesrgan.upsampler import RealESRGANer
from realesrgan.weights.inspection import inspect

PACKAGE = Path(families.__file__).parents[1]
# Rooms that may name a network: those that define it, and the table of published models.
MAY_NAME_NETWORKS = ("archs", "families", "model_zoo.py")


class Softening(nn.Module):
    """A third kind of network: one convolution between the picture and its enlargement."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.soften = nn.Conv2d(3, 3 * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.soften(x), self.scale)


@dataclasses.dataclass(frozen=True)
class SofteningSpec:
    scale: int
    num_in_ch: int = 3
    num_out_ch: int = 3
    size_multiple: int = 1
    receptive_radius: int = 1

    @property
    def multiply_adds(self) -> float:
        return 9 * 3 * 3 * self.scale**2

    def bytes_per_pixel(self, feature_itemsize: int) -> float:
        return 12 * self.scale**2 * feature_itemsize

    def build(self) -> Softening:
        return Softening(self.scale)


def softening_graph(network: Softening, height: int, width: int, dtype: torch.dtype, write) -> Graph:
    graph = Graph(3, height, width, dtype)
    graph.add(network.soften, graph.picture, result=Result(write, network.scale))
    return graph


def softening_spec_of(shapes: Shapes) -> SofteningSpec | None:
    return SofteningSpec(round((shapes["soften.bias"][0] / 3) ** 0.5)) if "soften.bias" in shapes else None


SOFTENING = Family(
    name="Softening",
    spec_of=softening_spec_of,
    rename_old_keys=lambda state: {key.replace("blur.", "soften."): value for key, value in state.items()},
    ncnn_names=lambda count, kinds: None,
    network_class=lambda: Softening,
    full_precision_layers=lambda network, rounds_results: (network.soften,),
    fold=lambda network: 1,
    row_graph=softening_graph,
)


@pytest.fixture
def third_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, SOFTENING))


@pytest.mark.usefixtures("third_family")
@pytest.mark.parametrize(("engine", "in_strips"), [("torch", False), ("torch", True), ("auto", True)])
def test_a_family_needs_nothing_but_its_record_and_its_place_in_the_list(engine, in_strips, tmp_path, monkeypatch):
    network = Softening(2)
    state = {key.replace("soften.", "blur."): value for key, value in network.state_dict().items()}
    torch.save(state, tmp_path / "third.pth")
    monkeypatch.setattr(realesrgan.engine.planning, "WHOLE_ON_CPU_BYTES", 0 if in_strips else 10**9)
    upsampler = RealESRGANer(None, tmp_path / "third.pth", pre_pad=0, device="cpu", engine=engine)
    assert upsampler.scale == 2
    assert (upsampler.engine.planner.plan(9, 8, 0, 0).strip is not None) == in_strips
    image = picture(9, 8)
    x = torch.from_numpy(image[..., ::-1] / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        wanted = 255 * network(x)[0].permute(1, 2, 0).flip(2).clamp(0, 1).numpy()
    assert np.abs(upsampler.enhance(image)[0] - wanted).max() < 0.51


@pytest.mark.usefixtures("third_family")
def test_a_family_is_inspected_and_exported_by_its_record_alone(tmp_path):
    network = Softening(2)
    torch.save({"blur." + key.removeprefix("soften."): value for key, value in network.state_dict().items()},
               tmp_path / "third.pth")  # fmt: skip
    found = inspect(tmp_path / "third.pth")
    assert found.network is not None
    assert (found.network.family, found.network.reach, found.renamed) == ("Softening", 1, True)
    done = export_onnx(tmp_path / "third.onnx", model_path=tmp_path / "third.pth")
    assert done.checked is not None
    assert done.checked.largest < 1e-5


@pytest.mark.usefixtures("third_family")
def test_a_refusal_names_every_family(tmp_path):
    torch.save({"gamma": torch.ones(1)}, tmp_path / "net.pth")
    with pytest.raises(families.WeightsError, match="neither RRDBNet nor SRVGGNetCompact nor Softening"):
        RealESRGANer(None, tmp_path / "net.pth", device="cpu")


class OtherForward(RRDBNet):
    """The same keys, but not the same computation."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(1 - x)


def test_only_a_familys_own_class_is_of_it():
    assert family_of(tiny_rrdbnet()).name == "RRDBNet"
    assert family_of(OtherForward(3, 3)) is None
    assert family_of(nn.Conv2d(3, 3, 3)) is None


def test_a_subclass_that_computes_something_else_is_not_streamed_as_its_parent(tmp_path, monkeypatch):
    own = OtherForward(3, 3, num_feat=8, num_block=1, num_grow_ch=4)
    path = save_weights(tiny_rrdbnet(), tmp_path / "net.pth")
    image = picture(20, 20)
    wanted = RealESRGANer(4, path, device="cpu").enhance(255 - image)[0].astype(int)
    monkeypatch.setattr(realesrgan.engine.planning, "WHOLE_ON_CPU_BYTES", 0)
    assert np.abs(RealESRGANer(4, path, model=own, device="cpu").enhance(image)[0] - wanted).max() <= 1


def names_in(module: Path) -> set[str]:
    """The variables that a file uses and the modules that it imports from."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    variables = {node.id for node in nodes if isinstance(node, ast.Name)}
    return variables | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_no_other_room_names_a_network():
    modules = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in MAY_NAME_NETWORKS]
    names = {name.lower(): path.name for path in modules for name in names_in(path)}
    assert "families" in names
    assert {name: path for name, path in names.items() if "rrdb" in name or "srvgg" in name} == {}


def test_what_is_known_without_the_weights_is_known_without_torch():
    modules = "realesrgan.model_zoo, realesrgan.families, realesrgan.weights.store, realesrgan.weights.check"
    script = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
