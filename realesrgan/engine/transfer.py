"""Between host and device. A GPU reads and writes pinned memory by itself, while both sides go on computing.

Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host, on `device`. To a GPU it crosses while the caller goes on, and may be changed meanwhile."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same tensors, on the host. Those of a GPU cross while the caller deals with the one before."""
    before: _Crossing | None = None
    for tensor in tensors:
        if tensor.device.type != "cuda":
            yield tensor.cpu()
            continue
        crossing = _Crossing(tensor)
        if before is not None:
            yield before.arrived()
        before = crossing
    if before is not None:
        yield before.arrived()


class _Crossing:
    """A tensor on its way from a GPU; torch keeps pinned memory that is let go of for the next one."""

    def __init__(self, tensor: Tensor) -> None:
        self._room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._room.copy_(tensor, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()

    def arrived(self) -> Tensor:
        self._event.synchronize()
        return self._room


class SideStream:
    """What is computed on it does not wait for what other threads compute on the same GPU. A CPU has no lanes."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @contextmanager
    def use(self) -> Iterator[None]:
        """Compute on the lane what the block asks for: after what was asked for before it, before what comes after."""
        if self._stream is None:
            yield
            return
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            outside.wait_stream(self._stream)
