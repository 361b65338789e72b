"""Weights files are written whole or not at all, for everybody to read, and refusals are said in the system's words."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from realesrgan.errors import WeightsError
from realesrgan.weights.write import write_safetensors, write_torch

STATE = {"weight": torch.zeros(50_000)}
WAYS: list[Callable[[Path], None]] = [
    lambda path: write_torch(path, STATE),
    lambda path: write_safetensors(path, STATE, {"format": "pt"}),
]


class FullDisk(io.RawIOBase):
    """Takes a little, then no more."""

    taken = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += len(data)
        if self.taken > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)


@pytest.mark.parametrize("write", WAYS, ids=["torch", "safetensors"])
def test_a_full_disk_is_called_one(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", lambda *arguments: FullDisk())
    with pytest.raises(WeightsError, match=rf"weights: cannot be written \({os.strerror(errno.ENOSPC)}\)"):
        write(tmp_path / "weights")


@pytest.mark.parametrize("write", WAYS, ids=["torch", "safetensors"])
def test_others_may_read_what_is_written_as_any_new_file(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "plain").touch()
    write(tmp_path / "below" / "weights")
    modes = [path.stat().st_mode for path in (tmp_path / "plain", tmp_path / "below" / "weights")]
    assert modes[0] == modes[1]
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["weights"]


@pytest.mark.parametrize("write", WAYS, ids=["torch", "safetensors"])
def test_a_place_that_is_taken_leaves_nothing_beside_it(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(WeightsError, match="cannot be written"):
        write(tmp_path / "weights")
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
