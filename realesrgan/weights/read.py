"""Read a weights file of any of the three formats into a state dict. Knows nothing of where files come from."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError
from .ncnn import read_ncnn

StateDict = dict[str, Tensor]

# Under which key a checkpoint keeps its tensors, the averaged ones first; `None` is a bare state dict.
_CONTAINERS = ("params_ema", "params", "state_dict", None)

# How torch.load names the class or function it refuses to call.
_GLOBAL_REFUSED = re.compile(r"GLOBAL (\S+) (?:was not an allowed|whose module)")


def read_weights(path: Path) -> StateDict:
    """Read `path`, a .pth, .safetensors, or ncnn (.param or .bin, the other beside it) file, into fp32 CPU tensors.

    Raises:
        WeightsError: the file is missing, damaged, of another format, or would execute code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    if path.suffix in (".param", ".bin"):
        state: StateDict = read_ncnn(path)
    elif path.suffix == ".safetensors":
        state = _read_safetensors(path)
    else:
        state = _unwrap(_read_torch(path), path)
    return {key.removeprefix("module."): tensor.float() for key, tensor in state.items()}


def _read_safetensors(path: Path) -> StateDict:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable .safetensors file, or cut short ({error})") from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and archive kinds: the errors below say what matters
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # damage makes torch.load raise nearly any kind
        if isinstance(error, pickle.UnpicklingError) and (asked_for := _GLOBAL_REFUSED.search(str(error))):
            raise WeightsError(
                f"{path}: refused, because reading this file would execute code stored in it ({asked_for[1]}); "
                "ask its author for plain tensors or a .safetensors file"
            ) from error
        raise WeightsError(_unreadable(path)) from error


def _unreadable(path: Path) -> str:
    size = path.stat().st_size
    if size == 0:
        return f"{path}: an empty file; delete it and fetch it again"
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(-min(size, 1 << 16), os.SEEK_END)
        end = file.read()
    if start == b"PK\x03\x04" and b"PK\x05\x06" not in end:  # an archive without the directory that closes it
        return f"{path}: cut short at {size} bytes, as an interrupted download is; delete it and fetch it again"
    return f"{path}: not a PyTorch weights file, or a damaged one; wanted are .pth, .safetensors, or ncnn .param + .bin"


def _unwrap(content: Any, path: Path) -> StateDict:
    for container in _CONTAINERS:
        state = content if container is None else _get(content, container)
        if _is_state_dict(state):
            return dict(state)
    found = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
    raise WeightsError(f"{path}: holds no network weights (found: {found or 'nothing'})")


def _is_state_dict(content: Any) -> bool:
    if not isinstance(content, Mapping) or not content:
        return False
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())


def _get(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, Mapping) else None


def blend(strong: StateDict, weak: StateDict, strength: float) -> StateDict:
    """Interpolate two checkpoints of the same network, key by key.

    `strength` is the share of `strong`: 1.0 returns it unchanged. This is deep network interpolation
    (Wang et al., arXiv:1811.10515), which users know as --denoise_strength.

    Raises:
        WeightsError: the two checkpoints differ in keys or shapes.
    """
    if {key: value.shape for key, value in strong.items()} != {key: value.shape for key, value in weak.items()}:
        raise WeightsError("these two checkpoints cannot be blended: they are of different networks")
    return {key: strength * strong[key] + (1 - strength) * weak[key] for key in strong}
