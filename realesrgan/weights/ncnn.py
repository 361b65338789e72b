"""Read the weights of a generator out of ncnn's .param (text) and .bin (numbers) files.

Only the layers these networks have are understood: convolutions with fp16 or fp32 weights, and PReLU. Layers come in
the network's own order, from which they get their names back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import families
from ..errors import WeightsError

PARAM_MAGIC = "7767517"
FP16_TAG = 0x01306B47
FP32_TAG = 0
KERNEL_SIZE = 3  # of every convolution in RRDBNet and SRVGGNetCompact


@dataclass(frozen=True)
class _Layer:
    kind: str
    options: dict[str, str]


def read_ncnn(path: Path, param: Path, binary: Path) -> dict[str, Tensor]:
    """Read a pair of ncnn files into a state dict with PyTorch's names, fp16 or fp32 as they are stored.

    Errors name `path`, the one that was given.

    Raises:
        WeightsError: one of the pair is missing or damaged, or the network is of no known family.
    """
    for part in (param, binary):
        if not part.is_file():
            raise WeightsError(f"{path}: ncnn weights are a pair of files, and {part.name} is not beside it")
    try:
        layers = _parse_param(param.read_text(encoding="ascii"))
        contents = _read_numbers(layers, binary.read_bytes())
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise WeightsError(f"{path}: damaged, or not the ncnn form of a Real-ESRGAN network ({error})") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    count = len(contents)
    names = families.ncnn_names(count, {layer.kind for layer in layers})
    if names is None:
        raise WeightsError(f"{path}: its {count} layers with weights fit neither {families.family_names('nor')}")
    named = zip(names, contents, strict=True)
    return {f"{name}.{kind}": tensor for name, content in named for kind, tensor in content.items()}


def _parse_param(text: str) -> list[_Layer]:
    lines = text.splitlines()
    if not lines or lines[0].strip() != PARAM_MAGIC:
        raise ValueError("the .param file does not begin with ncnn's magic number")
    words = [line.split() for line in lines[2:] if line.strip()]
    return [_Layer(line[0], dict(word.split("=", 1) for word in line if "=" in word)) for line in words]


def _read_numbers(layers: list[_Layer], binary: bytes) -> list[dict[str, Tensor]]:
    """Weight and, for convolutions, bias of every layer that has them, in the order of the files."""
    contents: list[dict[str, Tensor]] = []
    at = 0

    def take(dtype: str, count: int, *shape: int) -> Tensor:
        nonlocal at
        if count < 0:  # to NumPy that is "all there is"
            raise ValueError(f"a layer has {count} numbers")
        values = np.frombuffer(binary, dtype, count, at)
        at += -(-values.nbytes // 4) * 4  # everything is padded to 4 bytes
        return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")).reshape(shape or count))

    for layer in layers:
        if layer.kind == "PReLU":
            contents.append({"weight": take("<f4", int(layer.options["0"]))})
        elif layer.kind == "Convolution":
            tag = int(np.frombuffer(binary, "<u4", 1, at)[0])
            at += 4
            if tag not in (FP16_TAG, FP32_TAG):
                raise ValueError(f"a convolution is stored in an unknown way, tag {tag:#010x}")
            shape = int(layer.options["0"]), -1, KERNEL_SIZE, KERNEL_SIZE
            weight = take("<f2" if tag == FP16_TAG else "<f4", int(layer.options["6"]), *shape)
            contents.append({"weight": weight, "bias": take("<f4", shape[0])})
    if at != len(binary):
        raise ValueError(f"the .bin file has {len(binary)} bytes, its .param describes {at}")
    return contents
