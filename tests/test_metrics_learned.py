"""Learned metrics with a stand-in for pyiqa: what it is asked and given, and what becomes of its errors."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.metrics import learned, metric
from realesrgan.restorer import Reporter


class Heard(Reporter):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, message: str) -> None:
        self.remarks.append(message)


class Network:
    """As what pyiqa.create_metric gives: the value is the mean difference, or the mean without an original."""

    def __init__(self, mode: str, lower_better: bool) -> None:
        self.metric_mode, self.lower_better = mode, lower_better
        self.seen: list[tuple[torch.Tensor, ...]] = []

    def __call__(self, *pictures: torch.Tensor) -> torch.Tensor:
        self.seen.append(pictures)
        if min(pictures[0].shape[2:]) < 8:
            raise AssertionError("the picture is too small\nand more")
        if len(pictures) == 2:
            return (pictures[0] - pictures[1]).abs().mean().reshape(1, 1)
        return pictures[0].mean()


class StandIn:
    """A module like pyiqa."""

    def __init__(self) -> None:
        self.networks = {"lpips": Network("FR", True), "niqe": Network("NR", True), "musiq": Network("NR", False)}
        self.devices: list[Any] = []

    def list_models(self) -> list[str]:
        return [*self.networks, "fid", "fid_dinov2", "inception_score", "clipscore"]

    def create_metric(self, name: str, device: Any = None) -> Network:
        self.devices.append(device)
        return self.networks[name]


@pytest.fixture
def pyiqa() -> StandIn:
    return StandIn()


def load(pyiqa: Any, *names: str) -> list[metric.Metric]:
    return learned.load(names, Reporter(), pyiqa)


def test_a_metric_gets_rgb_from_0_to_1_of_result_and_original(pyiqa: StandIn) -> None:
    result = np.zeros((9, 8, 3), np.uint8)
    result[..., 2] = 255  # red, in OpenCV's order
    load(pyiqa, "lpips")[0].measure(result, np.full((9, 8, 3), 65535, np.uint16))
    ours, theirs = pyiqa.networks["lpips"].seen[0]
    assert ours.shape == theirs.shape == (1, 3, 9, 8)
    assert ours.dtype == theirs.dtype == torch.float32
    assert ours[0, :, 0, 0].tolist() == [1, 0, 0]
    assert theirs.eq(1).all()


def test_a_metric_without_reference_never_sees_the_original(pyiqa: StandIn) -> None:
    result = np.full((9, 8, 3), 51, np.uint8)
    assert load(pyiqa, "niqe")[0].measure(result, result * 0) == pytest.approx(0.2)
    assert len(pyiqa.networks["niqe"].seen[0]) == 1


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_transparent_pictures_have_three_channels_for_it(pyiqa: StandIn, channels: int) -> None:
    one: Array = picture(9, 8, channels)
    load(pyiqa, "lpips")[0].measure(one, one)
    assert pyiqa.networks["lpips"].seen[0][0].shape == (1, 3, 9, 8)


def test_which_way_is_better_comes_from_pyiqa_and_is_said(pyiqa: StandIn) -> None:
    reporter = Heard()
    made = learned.load(["lpips", "musiq"], reporter, pyiqa)
    assert [one.lower_is_better for one in made] == [True, False]
    assert [line for line in reporter.remarks if "lower is better" in line] == ["lpips: lower is better"]
    assert [one.worst([0.1, 0.3, float("nan")]) for one in made] == [0.3, 0.1]


def test_the_licence_and_the_download_are_said_in_one_line(pyiqa: StandIn) -> None:
    reporter = Heard()
    learned.load(["niqe"], reporter, pyiqa)
    (line,) = [line for line in reporter.remarks if "licence" in line]
    assert "niqe" in line
    assert "non-commercial" in line
    assert "download" in line


@pytest.mark.parametrize(("default", "used"), [("cpu", "cpu"), ("cuda:0", "cuda:0"), ("mps", "cpu")])
def test_it_computes_on_the_gpu_if_that_has_double_precision(
    pyiqa: StandIn, default: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned, "default_device", lambda: torch.device(default))
    load(pyiqa, "niqe")
    assert pyiqa.devices == [torch.device(used)]


@pytest.mark.parametrize("name", ["fid", "fid_dinov2", "inception_score", "clipscore", "nothing"])
def test_what_is_no_metric_of_one_picture_is_refused(pyiqa: StandIn, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        load(pyiqa, name)


def test_a_misspelt_metric_is_told_its_neighbour(pyiqa: StandIn) -> None:
    with pytest.raises(UsageError, match="did you mean lpips"):
        load(pyiqa, "lpipps")


def test_what_fails_in_a_metric_is_one_line_with_its_name(pyiqa: StandIn) -> None:
    small = picture(4, 4)
    with pytest.raises(RealESRGANError) as raised:
        load(pyiqa, "lpips")[0].measure(small, small)
    assert raised.value.message == "lpips cannot be computed (the picture is too small)"


def test_a_metric_that_cannot_be_made_is_one_line(pyiqa: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, device: Any = None) -> Network:
        raise OSError("no network")

    monkeypatch.setattr(pyiqa, "create_metric", fail)
    with pytest.raises(UsageError, match="niqe.*no network"):
        load(pyiqa, "niqe")


def test_without_pyiqa_the_line_has_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(UsageError) as raised:
        learned.load(["lpips"], Reporter())
    assert 'pip install "realesrgan[metrics]"' in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'torchvision'", name="torchvision"), RuntimeError("nms is missing")]
)
def test_an_installation_that_does_not_fit_together_is_said(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(UsageError, match=str(error)) as raised:
        learned.load(["lpips"], Reporter())
    assert learned.INSTALL not in raised.value.message


def test_pyiqa_is_imported_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    assert [one.name for one in metric.choose(["ssim", "psnr"], Reporter(), luma=True)] == [
        *("ssim", "ssim_y", "psnr", "psnr_y")
    ]


def test_metrics_come_in_the_order_asked_for_and_each_once(pyiqa: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda name: pyiqa)
    chosen = metric.choose(["niqe", "psnr", "lpips", "psnr", "niqe"], Reporter(), luma=True)
    assert [one.name for one in chosen] == ["niqe", "psnr", "psnr_y", "lpips"]


@pytest.mark.parametrize("names", [[], [""], ["psnr", ""]])
def test_an_empty_name_is_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match="metrics"):
        metric.choose(names, Reporter())
