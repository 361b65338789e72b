"""Devices, precision and several processes: the little that training needs of Lightning Fabric, behind one class."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from ..engine.device import device_name
from ..errors import UsageError

Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]  # auto: bf16 where a GPU has it, else fp32
_FABRICS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
INSTALL = 'pip install "realesrgan[train]"'


class Machine:
    """What computes: one device of this process, which may be one of several that share the work.

    Networks are not wrapped. Every process computes its share of a batch, and `average_gradients` makes their
    gradients the whole batch's, so accumulation and the two networks of stage 2 need no special cases.
    """

    def __init__(
        self,
        accelerator: str = "auto",
        devices: int | list[int] = 1,
        precision: Precision = "fp32",
        *,
        nodes: int = 1,
    ) -> None:
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise UsageError(f"training takes Lightning Fabric, which is not installed: {INSTALL}") from error
        if precision == "auto":
            on_gpu = accelerator in ("auto", "cuda") and torch.cuda.is_available()
            precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported() else "fp32"
        several = (devices if isinstance(devices, int) else len(devices)) > 1 or nodes > 1
        strategy = "ddp" if several else "auto"
        self._fabric: Any = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=_FABRICS[precision],  # type: ignore[arg-type]
            strategy=strategy,
        )
        self._fabric.launch()
        self.precision = precision

    @property
    def device(self) -> torch.device:
        return torch.device(self._fabric.device)

    @property
    def described(self) -> str:
        """What computes, in words."""
        times = f", {self.world} processes" if self.world > 1 else ""
        return f"{device_name(self.device)}, {self.precision}{times}"

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return int(self._fabric.global_rank)

    @property
    def world(self) -> int:
        """How many processes share the work."""
        return int(self._fabric.world_size)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """In this context, networks compute in the precision chosen."""
        context: AbstractContextManager[Any] = self._fabric.autocast()
        return context

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss; scaled, in fp16."""
        self._fabric.backward(loss)

    def prepare(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The optimizer to call `step` on: in fp16 it unscales, and skips steps that overflow."""
        prepared: torch.optim.Optimizer = self._fabric.setup_optimizers(optimizer)
        return prepared

    def average_gradients(self, network: nn.Module) -> None:
        """Make the gradients of all processes their average."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        averaged = self._fabric.all_reduce(flat, reduce_op="mean").split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, averaged, strict=True):
            gradient.copy_(part.view_as(gradient))

    def average(self, values: dict[str, float]) -> dict[str, float]:
        """The average of each number over all processes."""
        if self.world == 1:
            return values
        summed = self._fabric.all_reduce(torch.tensor(list(values.values()), device=self.device), reduce_op="mean")
        return dict(zip(values, summed.tolist(), strict=True))

    def from_leader(self, value: str | None) -> str | None:
        """What the leading process says, so that all do the same."""
        said: str | None = self._fabric.broadcast(value)
        return said

    def wait(self) -> None:
        """Wait until every process is here."""
        self._fabric.barrier()

    @property
    def scaler_state(self) -> dict[str, Any]:
        """What fp16 has learned about scaling; empty in other precisions."""
        return dict(self._fabric.strategy.precision.state_dict())

    @scaler_state.setter
    def scaler_state(self, state: dict[str, Any]) -> None:
        if state:
            self._fabric.strategy.precision.load_state_dict(state)
