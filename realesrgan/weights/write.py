"""Write weights files, which appear by rename and survive a power cut. Knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..errors import WeightsError
from ..outputs import appearing


def write_torch(path: Path, content: object) -> None:
    """Write plain data and tensors as PyTorch's own files hold them.

    Raises:
        WeightsError: the disk refuses.
    """
    _write(path, lambda file: torch.save(content, file))


def write_safetensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write contiguous tensors as a .safetensors file.

    Raises:
        WeightsError: the disk refuses.
    """
    from safetensors.torch import save

    # Not save_file, whose files only their owner may read.
    _write(path, lambda file: file.write(save(dict(state), dict(metadata))))


def write_ncnn(param: Path, binary: Path, text: str, numbers: bytes) -> None:
    """Write the pair of files that ncnn reads, the layers last: with them the pair is whole.

    Raises:
        WeightsError: the disk refuses.
    """
    _write(binary, lambda file: file.write(numbers))
    _write(param, lambda file: file.write(text.encode("ascii")))


def _write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    # A RuntimeError is how torch covers what the system said.
    with appearing(path, WeightsError, also=(RuntimeError,), durable=True) as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:  # given a path, torch would not say what the system said
            save(file)
