"""Learned and no-reference metrics (LPIPS, DISTS, NIQE and many more) by pyiqa, an extra that is imported on demand."""

from __future__ import annotations

import difflib
import importlib
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..arrays import Array
from ..engine.device import default_device
from ..errors import RealESRGANError, UsageError
from ..restorer import Reporter
from .fidelity import PEAK, levels
from .metric import Metric

INSTALL = 'pip install "realesrgan[metrics]"'
# These measure a set of pictures, or a picture against words, and not one picture against another.
_OTHER_KINDS = ("fid", "inception_score", "clipscore")
_one_at_a_time = threading.Lock()  # the networks share a device, and some of pyiqa's steps set a global seed


def load(names: Sequence[str], reporter: Reporter, pyiqa: Any = None) -> list[Metric]:
    """Make pyiqa's metrics of these names, on the GPU if there is one. `pyiqa` is the module, by default imported.

    The weights of a metric are downloaded by pyiqa when it is first made.

    Raises:
        UsageError: pyiqa is missing or cannot be imported, has no such metric, or cannot make it.
    """
    pyiqa = pyiqa or _imported(names)
    known = [name for name in pyiqa.list_models() if not any(kind in name for kind in _OTHER_KINDS)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, (*known, "psnr_y", "ssim_y"))
            hint = f"did you mean {' or '.join(near)}?" if near else "pyiqa.list_models() names them"
            raise UsageError(f"`metrics` {name}: not a metric of one picture that pyiqa has; {hint}")
    reporter.remark(
        f"{', '.join(names)}: by pyiqa, which is licensed for non-commercial use; weights that are not on this machine "
        "are downloaded by it, each under a licence of its own"
    )
    return [_made(name, pyiqa, reporter) for name in names]


def _imported(names: Sequence[str]) -> Any:
    try:
        return importlib.import_module("pyiqa")
    except ModuleNotFoundError as error:
        if error.name != "pyiqa":
            raise UsageError(f"`metrics` {names[0]}: pyiqa lacks a module it needs ({error})") from error
        raise UsageError(f"`metrics` {names[0]}: comes with pyiqa, which is not installed: {INSTALL}") from None
    except Exception as error:  # versions of torchvision and others that do not fit each other fail in many ways
        raise UsageError(f"`metrics` {names[0]}: pyiqa cannot be imported ({error})") from error


def _made(name: str, pyiqa: Any, reporter: Reporter) -> Metric:
    device = default_device()
    if device.type == "mps":  # some of pyiqa computes in double precision, which it lacks
        device = torch.device("cpu")
    try:
        network = pyiqa.create_metric(name, device=device)
    except Exception as error:  # the network, the disk, a package that only this metric needs
        raise UsageError(f"`metrics` {name}: pyiqa cannot make it ({_line(error)})") from error
    if network.lower_better:
        reporter.remark(f"{name}: lower is better")
    needs_original = network.metric_mode == "FR"
    measure = partial(_measure, name, network, needs_original, device)
    return Metric(name, measure, lower_is_better=bool(network.lower_better))


def _measure(
    name: str, network: Any, needs_original: bool, device: torch.device, result: Array, original: Array
) -> float:
    try:
        with _one_at_a_time:
            pictures = [_tensor(one).to(device) for one in ((result, original) if needs_original else (result,))]
            return float(torch.as_tensor(network(*pictures)).item())
    except Exception as error:  # some need a least size, and say so by whatever fails first
        raise RealESRGANError(f"{name} cannot be computed ({_line(error)})") from error


def _tensor(pixels: Array) -> torch.Tensor:
    """A picture as OpenCV has it → (1, 3, H, W) RGB in [0, 1]; gray has three equal channels."""
    values = (levels(pixels) / PEAK).astype(np.float32)
    rgb = np.broadcast_to(values, (*values.shape[:2], 3))[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]


def _line(error: Exception) -> str:
    """The first line of an error's message, or its name if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
