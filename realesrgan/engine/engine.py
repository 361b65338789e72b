"""Run a network over a picture, in pieces where it must, and recover when memory runs out or half precision overflows.

Knows nothing of files: it reads rows of a picture and yields those of the result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..arrays import Array
from ..errors import RealESRGANError
from ..families import cast_convolutions, family_of
from ..families.family import RGB_CHANNELS, NetworkSpec
from ..families.foreign import ForeignSpec
from ..restorer import EngineKind
from . import tensors
from .choice import choose, native_network
from .device import Precision, is_out_of_memory
from .measuring import measured
from .planning import Plan, Planner
from .probing import tell_context
from .progress import WorkMeter, count_layers, counting
from .streaming import stream
from .tensors import Levels
from .tiling import Box, Tile, whole
from .transfer import SideStream

log = logging.getLogger(__name__)

Read = Callable[[Box], Array]

MEASURED_SIDE = 96  # pixels: enough to be typical, a second or two on a slow CPU
MEASURED_S = 0.5  # at least, so that a moment of other work does not count


class _Overflow(Exception):
    """A result is not finite."""


class Engine:
    """A network on a device at a precision.

    Args:
        network: the generator; moved to `device` and cast in place.
        spec: its numbers, or None for a network this project does not know. One of another project is measured.
        scale: how many times larger its output is.
        reduced: allow less than fp32 where the device is good at it.
        kind: what computes; "auto" takes the compiled kernels where they can compute this network here.
        max_memory: bytes this process may hold, on the device if that is a GPU; None is a safe share of what is free.

    Raises:
        UsageError: the compiled kernels were asked for, and cannot compute this.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec | None,
        scale: int,
        device: torch.device,
        *,
        reduced: bool,
        kind: EngineKind = "auto",
        max_memory: int | None = None,
    ) -> None:
        self.scale = scale
        self.channels = spec.num_in_ch if spec is not None else RGB_CHANNELS  # of pictures and results
        self.device = device
        self._known = family_of(network) is not None
        reduced = reduced and not (isinstance(spec, ForeignSpec) and not spec.supports_half)
        self.choice = choose(network, device, reduced=reduced, kind=kind)
        self.precision = self.choice.precision
        self._in_channels_last = not isinstance(spec, ForeignSpec)  # other projects' code may rely on the usual order
        self.network = self._cast(network.to(device))
        self.native = native_network(self.network, self.choice.variant)
        count_layers(self.network)
        self.spec = measured(spec, self.network, device, self.input_dtype) if isinstance(spec, ForeignSpec) else spec
        self.planner = Planner(
            self.network, self.spec, scale, device, self.precision, self.input_dtype, self.native, max_memory=max_memory
        )
        self.side_stream = SideStream(device)
        self._warned_of_overflow = False

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of the network's input: fp32, unless it is unknown and was cast to fp16 as a whole."""
        return torch.float16 if self.precision is Precision.HALF and not self._known else torch.float32

    @property
    def size_multiple(self) -> int:
        """Height and width of an input must be multiples of this."""
        return self.planner.size_multiple

    def plan(
        self,
        height: int,
        width: int,
        tile: int,
        pad: int | None,
        picture: Array,
        held_bytes: int = 0,
        listener: Callable[[float], None] | None = None,
    ) -> Plan:
        """Plan as `Planner.plan` does, for `picture`, (H, W, C), before it is padded to height × width.

        How much context the tiles of another project's network need is measured on the first picture that is cut.
        """
        if self.planner.needs_context(height, width, tile, pad, held_bytes):
            with self.side_stream.use():
                own_height, own_width = picture.shape[:2]
                self._measure_context(own_height, own_width, lambda box: picture[box.slices], WorkMeter(1.0, listener))
        return self.planner.plan(height, width, tile, pad, held_bytes)

    def meter(self, plan: Plan, passes: int, listener: Callable[[float], None] | None) -> WorkMeter:
        """A meter of the progress of computing `plan` in so many passes."""
        return WorkMeter(passes * plan.area_seen * self.spec.multiply_adds if self.spec is not None else 0.0, listener)

    def run(
        self, plan: Plan, read: Read, levels: Levels, meter: WorkMeter | None = None
    ) -> Iterator[tuple[Box, Array]]:
        """Compute every pixel, and yield the rows of the result as they become ready.

        Within a piece, rows come from top to bottom, each once: when memory runs out or a value overflows, the piece
        is tried again from the first row that has not been handed out. Iterate without gradients, on `side_stream`.

        Args:
            plan: which pieces to compute, of a picture of its size.
            read: returns (h, w, `channels`), RGB or RGBA, or (h, w, 1), gray, for a box of the picture, of uint8,
                uint16 or, in [0, 1], of floating point.
            levels: in which form rows of the result are wanted.
            meter: counts the work done.

        Raises:
            DeviceError: memory does not suffice even for the smallest piece.
            RealESRGANError: the result is not finite, even in fp32.
        """
        in_fp32 = False  # whether the rest of this piece is computed in full precision
        while plan.pieces:
            piece = plan.pieces[0]
            edges = piece.core.scaled(self.scale)
            done = edges.top + piece.handed_out
            try:
                for top, rows in self._compute(piece, plan.strip, read, levels, meter, in_fp32=in_fp32):
                    part = rows[max(0, done - top) : max(0, edges.bottom - top)]
                    if len(part):
                        box = Box(done, edges.left, done + len(part), edges.right)
                        done = box.bottom
                        yield box, part
            except _Overflow:
                if in_fp32 or self.precision is Precision.FP32:
                    raise RealESRGANError(
                        "the network's output is not finite, even in fp32; its weights are damaged"
                    ) from None
                self._warn_of_overflow()
                in_fp32, plan = True, self.planner.rest(plan, done)
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # which held the failed attempt's tensors
            else:
                in_fp32, plan = False, replace(plan, pieces=plan.pieces[1:])
                continue
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if self.planner.lacks_context(plan.requested):
                self._measure_context(plan.height, plan.width, read, meter)
            plan = self.planner.smaller(self.planner.rest(plan, done), failure)

    def _compute(
        self, piece: Tile, strip: int | None, read: Read, levels: Levels, meter: WorkMeter | None, *, in_fp32: bool
    ) -> Iterator[tuple[int, Array]]:
        """Yield rows of the result of `piece`, as wide as its core, with the row they begin at.

        They come from top to bottom, and may begin above the core and end below it. `in_fp32` has torch compute, with
        the network cast.

        Raises:
            _Overflow: a value is not finite.
        """
        if self.native is not None and not in_fp32:
            yield from self._compute_natively(piece, strip, read, levels, meter)
            return
        seen = piece.padded
        inside = piece.core.relative_to(seen).scaled(self.scale)
        torch.get_num_threads()  # before this call, convolutions in a new thread use all cores, whatever torch was told
        dtype = torch.float32 if in_fp32 else self.input_dtype

        def read_rows(top: int, bottom: int) -> Tensor:
            rows = read(Box(seen.top + top, seen.left, seen.top + bottom, seen.right))
            return tensors.to_tensor(rows, self.device, self.channels).to(dtype)

        with self._cast_to_fp32() if in_fp32 else nullcontext():
            if strip is None:
                with counting(meter), self._as_planned(seen, meter):
                    results = iter([(0, self.network(read_rows(0, seen.height)).float())])
            else:
                count = meter.add if meter is not None else None
                results = stream(self.network, seen.height, seen.width, strip, read_rows, on_work=count)
            for top, rows in results:
                rows = rows[..., inside.left : inside.right].float()
                if not _is_finite(rows):
                    raise _Overflow
                top += seen.top * self.scale
                for part in tensors.to_arrays(rows, levels):
                    yield top, part
                    top += len(part)
                del rows  # before the next ones are computed

    def _compute_natively(
        self, piece: Tile, strip: int | None, read: Read, levels: Levels, meter: WorkMeter | None
    ) -> Iterator[tuple[int, Array]]:
        assert self.native is not None
        seen = piece.padded
        inside = piece.core.relative_to(seen).scaled(self.scale)

        def read_rows(top: int, bottom: int) -> Array:
            return read(Box(seen.top + top, seen.left, seen.top + bottom, seen.right))

        results = self.native.run(
            seen.height,
            seen.width,
            strip or self.planner.rows_for(seen.width),
            torch.get_num_threads(),
            read_rows,
            levels,
            on_work=meter.add if meter is not None else None,
        )
        try:
            for top, rows in results:
                yield seen.top * self.scale + top, rows[:, inside.left : inside.right]
        except ArithmeticError:
            raise _Overflow from None

    @contextmanager
    def _cast_to_fp32(self) -> Iterator[None]:
        self.network.float()
        try:
            yield
        finally:
            self._cast(self.network)

    def _as_planned(self, seen: Box, meter: WorkMeter | None) -> AbstractContextManager[None]:
        """Have `meter` count as much work for `seen` as was planned, where that is an estimate."""
        if meter is None or not isinstance(self.spec, ForeignSpec):
            return nullcontext()
        return meter.piece(seen.area * self.spec.multiply_adds)

    def _measure_context(self, height: int, width: int, read: Read, meter: WorkMeter | None) -> None:
        """Have the planner told how much context tiles need, measured on the picture that `read` gives."""

        def compute(pixels: Array) -> Tensor:
            with counting(None if meter is None else meter.at_rest()):
                x = tensors.to_tensor(pixels, self.device, self.channels)
                return self.network(x).float()  # type: ignore[no-any-return]

        # The rounding of fp16 depends on the size of what is computed, and is no seam.
        with self._cast_to_fp32() if self.precision is Precision.HALF else nullcontext():
            tell_context(self.planner, compute, read, height, width)

    def multiply_adds_per_second(self) -> float:
        """Measure this engine's speed on a small picture; the fastest run counts."""
        assert self.spec is not None
        side = MEASURED_SIDE
        picture = np.zeros((side, side, self.channels), np.uint8)
        plan = Plan(side, side, [whole(side, side)])
        runs: list[float] = []
        while len(runs) < 2 or sum(runs) < MEASURED_S:
            started = time.perf_counter()
            for _ in self.run(plan, lambda box: picture[box.slices], Levels(np.dtype(np.uint8))):
                pass
            runs.append(time.perf_counter() - started)
        return side * side * self.spec.multiply_adds / min(runs)

    def _cast(self, network: nn.Module) -> nn.Module:
        if self._known:
            cast_convolutions(network, self.precision.dtype, rounds_results=self.choice.variant is None)
        elif self.precision is Precision.HALF:
            network.half()
        if not self._in_channels_last:
            return network
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _warn_of_overflow(self) -> None:
        """Log a warning the first time."""
        if not self._warned_of_overflow:
            self._warned_of_overflow = True
            log.warning("%s overflowed; the pieces affected are computed again in fp32", self.precision.value)


def _is_finite(result: Tensor) -> bool:
    """Whether all values are finite, told by their sum, which takes a twentieth of the time of testing each.

    A sum beyond the range of fp32 counts as not finite, too: values that large are no colours.
    """
    return bool(torch.isfinite(result.sum()))
