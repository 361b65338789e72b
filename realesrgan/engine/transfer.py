"""Transfers between host and device. A GPU copies pinned memory by itself, while both sides go on computing.

Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to `device`. To a GPU this is asynchronous, and `tensor` may be changed meanwhile."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Copy tensors to the host. From a GPU, each is copied while the caller deals with the one before."""
    before: _Download | None = None
    for tensor in tensors:
        if tensor.device.type != "cuda":
            yield tensor.cpu()
            continue
        download = _Download(tensor)
        if before is not None:
            yield before.wait()
        before = download
    if before is not None:
        yield before.wait()


class _Download:
    """A copy from a GPU to the host that is under way; torch reuses the pinned memory for the next one."""

    def __init__(self, tensor: Tensor) -> None:
        self._pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._pinned.copy_(tensor, non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()

    def wait(self) -> Tensor:
        self._event.synchronize()
        return self._pinned


class SideStream:
    """A CUDA stream of one worker, so that workers on the same GPU overlap. Does nothing on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @contextmanager
    def use(self) -> Iterator[None]:
        """Run the block's work on this stream: after all that was queued before it, before all that comes after."""
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
