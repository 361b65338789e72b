"""Read a weights file of any of the three formats into a state dict. Knows nothing of where files come from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError
from ..families.differences import shortened
from .check import ncnn_pair
from .metadata import Metadata, metadata_of
from .ncnn import read_ncnn
from .torch_file import described, read_torch

StateDict = dict[str, Tensor]

PYTORCH, SAFETENSORS, NCNN = "PyTorch", "safetensors", "ncnn"

# Under which key a checkpoint may keep the generator, averaged weights first; `None` is a bare state dict.
_CONTAINERS = ("params_ema", "g_ema", "ema", "params", "net_g", "generator", "model", "state_dict", None)
# What training programs and torch.compile put in front of every key.
_PREFIXES = ("module.", "_orig_mod.", "net.", "model.", "generator.")


@dataclass(frozen=True)
class Contents:
    """What a weights file holds.

    Attributes:
        state: tensors in the types that the file has them in, under its keys without common prefixes.
        format: PYTORCH, SAFETENSORS or NCNN.
        container: under which key of a PyTorch file the tensors stand; None: under none.
        metadata: plain values beside the tensors.
    """

    state: StateDict
    format: str
    container: str | None = None
    metadata: Metadata = field(default_factory=dict)


def read_weights(path: Path, own_keys: Set[str] | None = None) -> StateDict:
    """Read `path` into CPU tensors, all of them finite, floating-point ones in fp32. See `read_contents`."""
    state = read_contents(path, own_keys).state
    return {key: in_fp32(tensor) for key, tensor in state.items()}


def in_fp32(tensor: Tensor) -> Tensor:
    """`tensor` in fp32, unless it is of whole numbers: some networks keep their own sizes in such."""
    return tensor.float() if tensor.is_floating_point() else tensor


def read_contents(path: Path, own_keys: Set[str] | None = None) -> Contents:
    """Read `path` into CPU tensors, all of them plain and finite, with what stands beside them.

    The format is told from the content: PyTorch's, safetensors, or ncnn's (either file of the pair). Prefixes that all
    keys have in common, as training programs add them, are dropped, unless the keys are `own_keys` as they stand.

    Raises:
        WeightsError: the file is missing, damaged, of another format, or would execute code.
    """
    if not os.path.isfile(path):  # which, unlike Path.is_file, says False of names that are too long
        raise WeightsError(f"{path}: there is no such weights file")
    try:
        if pair := ncnn_pair(path):
            contents = Contents(read_ncnn(path, *pair), NCNN)
        else:
            contents = _read_safetensors(path) if _is_safetensors(path) else _unwrap(read_torch(path), path)
            if contents.state.keys() != own_keys:
                contents = replace(contents, state=_without_prefixes(contents.state))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    _check(contents.state, path)
    return contents


def _is_safetensors(path: Path) -> bool:
    """Whether the content is, or the name says so: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" or path.suffix.lower() == ".safetensors"


def _read_safetensors(path: Path) -> Contents:
    try:
        with safe_open(path, "pt") as file:
            strings = file.metadata() or {}
        return Contents(load_file(path), SAFETENSORS, metadata=metadata_of(strings))
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            what = described(file.read(512))
        reason = what or f"not a readable .safetensors file, or cut short ({error})"
        raise WeightsError(f"{path}: {reason}") from error


def _unwrap(content: Any, path: Path) -> Contents:
    for container in _CONTAINERS:
        state = content if container is None else _get(content, container)
        if _is_state_dict(state):
            # Tensors may repeat what the file has once, in no time filling memory when they are copied.
            if sum(tensor.numel() for tensor in state.values()) > path.stat().st_size:
                raise WeightsError(f"{path}: refused, because its tensors hold more numbers than the file has bytes")
            return Contents(dict(state), PYTORCH, container, {} if container is None else metadata_of(content))
    raise WeightsError(f"{path}: holds no network weights (found: {_contents(content)})")


def _contents(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    keys = (shortened(str(key)) if isinstance(key, str | int) else type(key).__name__ for key in list(content)[:5])
    return ", ".join(keys) or "nothing"


def _is_state_dict(content: Any) -> bool:
    if not isinstance(content, Mapping) or not content:
        return False
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())


def _get(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, Mapping) else None


def _without_prefixes(state: StateDict) -> StateDict:
    while prefix := next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), None):
        bare = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
        if any(key[:1].isdigit() for key in bare):
            break  # the layers of an nn.Sequential have no other name, as in ESRGAN's first release
        state = bare
    return state


def checked(state: StateDict, source: Path | str) -> StateDict:
    """`state` in fp32, if its tensors are plain ones with plain values.

    Raises:
        WeightsError: they are not; the message names `source`.
    """
    _check(state, source)
    return {key: tensor.float() for key, tensor in state.items()}


def _check(state: StateDict, source: Path | str) -> None:
    for key, tensor in state.items():
        if defect := next(_defects(tensor), None):
            raise WeightsError(f"{source}: {shortened(key)} {defect}")


def _defects(tensor: Tensor) -> Iterator[str]:
    kinds = {"a meta": tensor.is_meta, "a sparse": tensor.layout != torch.strided}
    kinds |= {"a quantised": tensor.is_quantized, "a complex": tensor.is_complex()}
    for kind, is_of_it in kinds.items():
        if is_of_it:
            yield f"is {kind} tensor; wanted are plain ones, of real numbers"
    # The sum says it in one pass; only what overflows it is looked at number by number.
    if not torch.isfinite(tensor.float().sum()) and not torch.isfinite(tensor.float()).all():
        yield "holds values that are not finite numbers: the file is damaged, or its training went wrong"


def blend(strong: StateDict, weak: StateDict, strength: float) -> StateDict:
    """Interpolate two checkpoints of the same network, key by key.

    `strength` is the share of `strong`: 1.0 returns it unchanged. Whole numbers are those of `strong`. This is deep
    network interpolation (Wang et al., arXiv:1811.10515), which users know as `denoise_strength`.

    Raises:
        WeightsError: the two checkpoints differ in keys or shapes.
    """
    if {key: value.shape for key, value in strong.items()} != {key: value.shape for key, value in weak.items()}:
        raise WeightsError("these two checkpoints cannot be blended: they are of different networks")
    return {
        key: strength * strong[key] + (1 - strength) * weak[key] if strong[key].is_floating_point() else strong[key]
        for key in strong
    }
