"""Run a network over a picture, in pieces if it must be, and survive what memory and half precision do to it.

Knows nothing of colours, depths or files: it reads tensors and hands tensors on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import RealESRGANError
from ..families import cast_convolutions, family_of
from ..families.family import NetworkSpec
from .device import Precision, choose_precision, is_out_of_memory
from .planning import Plan, Planner
from .progress import WorkMeter
from .streaming import stream
from .tiling import Box, Tile
from .transfer import SideStream

log = logging.getLogger(__name__)

Read = Callable[[Box], Tensor]
Write = Callable[[Box, Tensor], None]

MEASURED_SIDE = 96  # pixels: enough to be typical, a second or two on a slow CPU
MEASURED_S = 0.5  # at least, so that a moment of other work does not count


class _Overflow(Exception):
    """The result of a strip is not finite, and what the strips after it would need is lost."""


class Engine:
    """A network on a device at a precision.

    Args:
        network: the generator; moved to `device` and cast in place.
        spec: its numbers, or None for somebody else's network.
        scale: how many times larger its output is.
        reduced: allow less than fp32 where the device is good at it.
        max_memory: bytes this process may hold, on the device if that is a GPU; None takes a safe share of the free.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec | None,
        scale: int,
        device: torch.device,
        *,
        reduced: bool,
        max_memory: int | None = None,
    ) -> None:
        self.spec = spec
        self.scale = scale
        self.device = device
        self.precision = choose_precision(device, reduced=reduced)
        self._keeps_stream = family_of(network) is not None
        if self.precision is Precision.MIXED_BF16 and not self._keeps_stream:
            self.precision = Precision.FP32  # somebody else's network: all of it in bf16 would be visible
        self.network = self._cast(network.to(device))
        self.meter = WorkMeter(self.network)
        self.planner = Planner(
            self.network, spec, scale, device, self.precision, self.input_dtype, max_memory=max_memory
        )
        self._side_stream = SideStream(device)
        self._overflow_told = False

    @property
    def input_dtype(self) -> torch.dtype:
        """What the network wants to be fed: fp32, unless it is somebody else's and was cast to half as a whole."""
        return torch.float16 if self.precision is Precision.HALF and not self._keeps_stream else torch.float32

    @property
    def size_multiple(self) -> int:
        """Height and width of an input must be multiples of this."""
        return self.planner.size_multiple

    def expect_work(self, plan: Plan, passes: int) -> None:
        """Tell the meter how much work `passes` runs of `plan` will be."""
        if self.spec is not None:
            self.meter.expect(passes * plan.area_seen * self.spec.multiply_adds)

    def run(self, plan: Plan, read: Read, write: Write) -> None:
        """Compute every pixel: `read` gives (1, 3, h, w) for a box of the input, `write` takes the result.

        Results come from top to bottom within a piece. A piece that runs out of memory is begun again, in which case
        its pixels come twice, the same both times.

        Raises:
            DeviceError: memory does not even suffice for the smallest piece.
            RealESRGANError: the result is not finite, even in fp32.
        """
        while plan.pieces:
            piece = plan.pieces[0]
            try:
                with self._side_stream.use():
                    if plan.strip is None:
                        self._compute_at_once(piece, read, write)
                    else:
                        self._compute_in_strips(piece, plan.strip, read, write)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                plan = self.planner.smaller(plan, error)
            else:
                plan = replace(plan, pieces=plan.pieces[1:])
                continue
            # Only here is the failed attempt's memory free to give back: the error's traceback held its tensors.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _compute_at_once(self, piece: Tile, read: Read, write: Write) -> None:
        result = self.forward(read(piece.padded))
        keep = piece.core.relative_to(piece.padded).scaled(self.scale)
        write(piece.core.scaled(self.scale), result[(..., *keep.slices)])

    def _compute_in_strips(self, piece: Tile, strip: int, read: Read, write: Write) -> None:
        """`piece` is as high as the picture."""
        try:
            self._stream(piece, strip, read, write)
        except _Overflow:
            if self.precision is Precision.FP32:
                raise _not_finite() from None
            self._say_overflow()
            self.network.float()
            try:
                self._stream(piece, strip, read, write)
            except _Overflow:
                raise _not_finite() from None
            finally:
                self._cast(self.network)

    def _stream(self, piece: Tile, strip: int, read: Read, write: Write) -> None:
        core, seen = piece.core, piece.padded
        kept = core.relative_to(seen).scaled(self.scale)

        def read_rows(top: int, bottom: int) -> Tensor:
            return read(Box(top, seen.left, bottom, seen.right)).to(self.input_dtype)

        def write_rows(top: int, rows: Tensor) -> None:
            rows = rows[..., kept.left : kept.right].float()
            if not _is_finite(rows):
                raise _Overflow
            edges = core.scaled(self.scale)
            write(Box(top, edges.left, top + rows.shape[2], edges.right), rows)

        torch.get_num_threads()  # see forward
        stream(self.network, seen.height, seen.width, strip, read_rows, write_rows, on_work=self.meter.add)

    def forward(self, x: Tensor) -> Tensor:
        """The network on (1, 3, H, W); the result is fp32 and finite."""
        torch.get_num_threads()  # until asked, a new thread's convolutions use all cores, whatever torch was told
        result: Tensor = self.network(x.to(self.input_dtype)).float()
        if _is_finite(result):
            return result
        if self.precision is not Precision.FP32:
            self._say_overflow()
            self.network.float()
            try:
                result = self.network(x.float()).float()
            finally:
                self._cast(self.network)
        if not _is_finite(result):
            raise _not_finite()
        return result

    def multiply_adds_per_second(self) -> float:
        """Measure this engine's speed on a small picture; the fastest run counts."""
        assert self.spec is not None
        side = MEASURED_SIDE
        x = torch.zeros(1, 3, side, side, device=self.device)
        runs: list[float] = []
        while len(runs) < 2 or sum(runs) < MEASURED_S:
            started = time.perf_counter()
            self.forward(x)  # waits for the device: the finite check reads its result
            runs.append(time.perf_counter() - started)
        return side * side * self.spec.multiply_adds / min(runs)

    def _cast(self, network: nn.Module) -> nn.Module:
        if self._keeps_stream:
            cast_convolutions(network, self.precision.dtype)
        elif self.precision is Precision.HALF:
            network.half()
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _say_overflow(self) -> None:
        """Warn, once."""
        if not self._overflow_told:
            self._overflow_told = True
            log.warning("%s overflowed; what it touched is computed again in fp32", self.precision.value)


def _is_finite(result: Tensor) -> bool:
    """Whether all its values are: what is not makes the sum so, which is twenty times as fast as asking each.

    Values that only add up to more than fp32 holds are refused too; they are no colours.
    """
    return bool(torch.isfinite(result.sum()))


def _not_finite() -> RealESRGANError:
    return RealESRGANError("the network gives values that are not numbers; its weights are damaged")
