"""Measure what one forward pass of a network takes, where nothing is known of its layers: its work and its memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..families.foreign import ForeignSpec, Measured
from .progress import WorkMeter, counting

SIDE = 64  # pixels: several windows of most networks, and a fraction of a second on a CPU
# What is held beside the tensors that are counted: the buffers of convolutions and products of matrices, on a CPU.
UNCOUNTED = 1.5


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps count of the bytes of all tensors that operations of this thread make, as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._storages: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._hold(value.untyped_storage())
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        address = storage._cdata  # several tensors may share a storage
        if address not in self._storages:
            self._storages[address] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._release, address)

    def _release(self, address: int) -> None:
        self._now -= self._storages.pop(address)


@torch.no_grad()
def measured(spec: ForeignSpec, network: nn.Module, device: torch.device, dtype: torch.dtype) -> ForeignSpec:
    """`spec` with what `network` takes for each pixel, counted while it computes a small gray picture.

    Args:
        network: on `device`, in its final types, its layers counted by `progress.count_layers`.
        dtype: of the network's input.
    """
    side = -(-SIDE // spec.tile_multiple) * spec.tile_multiple
    x = torch.full((1, spec.num_in_ch, side, side), 0.5, dtype=dtype, device=device)
    meter = WorkMeter(0.0)
    with counting(meter):
        held = _peak_on_gpu(network, x) if device.type == "cuda" else UNCOUNTED * _peak_on_cpu(network, x)
    # A network without layers that can be counted takes longer for more pixels all the same.
    return replace(spec, measured=Measured(max(1.0, meter.done / side**2), held / side**2))


def _peak_on_gpu(network: nn.Module, x: Tensor) -> float:
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    network(x)
    return float(torch.cuda.max_memory_allocated(x.device) - before)


def _peak_on_cpu(network: nn.Module, x: Tensor) -> float:
    with _LiveBytes() as live:
        network(x)
    return float(live.peak)
