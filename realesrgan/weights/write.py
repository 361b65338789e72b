"""Write weights files, which appear by rename. Knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..errors import WeightsError
from ..outputs import part_of


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


def _write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            save(file)
        part.replace(path)
    except (OSError, RuntimeError) as error:
        if (refusal := _refusal(error)) is None:
            raise
        raise WeightsError(f"{path}: cannot be written ({refusal.strerror or refusal})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _refusal(error: BaseException | None) -> OSError | None:
    """What the system said; torch hides it behind an error about positions in its archive."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error
