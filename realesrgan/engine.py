"""Run a network over a picture, in pieces if it must be, and survive what memory and half precision do to it.

Knows nothing of colours, depths or files: it reads tensors and hands tensors on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .archs.precision import cast_convolutions
from .archs.specs import UNSHUFFLE, NetworkSpec, RRDBNetSpec
from .device import Precision, choose_precision, free_memory_bytes, is_out_of_memory
from .errors import DeviceError, RealESRGANError
from .tiling import Box, Tile, grid
from .work import WorkMeter

log = logging.getLogger(__name__)

Read = Callable[[Box], Tensor]
Write = Callable[[Box, Tensor], None]

# When a picture has to be cut although nobody asked for tiles, this much context on each side keeps the cuts within
# 1.4 levels of the uncut result (measured on a photograph with RealESRGAN_x4plus); the published 10 leaves up to 49.
UNASKED_TILE_PAD = 64
MEASURED_SIDE = 96  # pixels: enough to be typical, a second or two on a slow CPU
MEASURED_S = 0.5  # at least, so that a moment of other work does not count
SMALLEST_TILE = 32  # if even this does not fit, nothing will
MEMORY_SHARE = 0.6  # of what is free may be planned for one forward pass


class Engine:
    """A network on a device at a precision.

    Args:
        network: the generator; moved to `device` and cast in place.
        spec: its numbers, or None for somebody else's network.
        scale: how many times larger its output is.
        reduced: allow less than fp32 where the device is good at it.
    """

    def __init__(
        self, network: nn.Module, spec: NetworkSpec | None, scale: int, device: torch.device, *, reduced: bool
    ) -> None:
        self.spec = spec
        self.scale = scale
        self.device = device
        self.size_multiple = spec.size_multiple if spec is not None else UNSHUFFLE.get(scale, 1)
        self.precision = choose_precision(device, reduced=reduced)
        self._keeps_stream = hasattr(network, "full_precision_layers")
        if self.precision is Precision.MIXED_BF16 and not self._keeps_stream:
            self.precision = Precision.FP32  # somebody else's network: all of it in bf16 would be visible
        self.network = self._cast(network.to(device))
        self.meter = WorkMeter(self.network)
        self._largest_tile: int | None = None  # learnt when memory ran out
        self._said: set[str] = set()

    @property
    def input_dtype(self) -> torch.dtype:
        """What the network wants to be fed: fp32, unless it is somebody else's and was cast to half as a whole."""
        return torch.float16 if self.precision is Precision.HALF and not self._keeps_stream else torch.float32

    def announce(self, height: int, width: int, tile: int, pad: int, passes: int) -> None:
        """Tell the meter how much work `passes` runs over an input of height × width will be."""
        if self.spec is not None:
            seen = sum(piece.padded.area for piece in self._plan(height, width, tile, pad))
            self.meter.expect(passes * seen * self.spec.multiply_adds)

    def run(self, height: int, width: int, tile: int, pad: int, read: Read, write: Write) -> None:
        """Compute every pixel once: `read` gives (1, 3, h, w) for a box of the input, `write` takes the result.

        Args:
            height, width: of the input, multiples of `size_multiple`.
            tile, pad: cut into tiles of this side with this much context; tile 0 does not cut unless memory forces it.

        Raises:
            DeviceError: memory does not even suffice for a tile of 32 pixels.
            RealESRGANError: the result is not finite, even in fp32.
        """
        todo = self._plan(height, width, tile, pad)
        while todo:
            piece = todo[0]
            try:
                result = self.forward(read(piece.padded))
                keep = piece.core.relative_to(piece.padded).scaled(self.scale)
                write(piece.core.scaled(self.scale), result[(..., *keep.slices)])
                del result
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                todo = self._halved(todo, height, width, pad if tile else UNASKED_TILE_PAD, error)
            else:
                todo.pop(0)
                continue
            # Only here is the failed attempt's memory free to give back: the error's traceback held its tensors.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def forward(self, x: Tensor) -> Tensor:
        """The network on (1, 3, H, W); the result is fp32 and finite."""
        torch.get_num_threads()  # until asked, a new thread's convolutions use all cores, whatever torch was told
        result: Tensor = self.network(x.to(self.input_dtype)).float()
        if torch.isfinite(result).all():
            return result
        if self.precision is not Precision.FP32:
            self._say(f"{self.precision.value} overflowed; what it touched is computed again in fp32")
            self.network.float()
            try:
                result = self.network(x.float()).float()
            finally:
                self._cast(self.network)
        if not torch.isfinite(result).all():
            raise RealESRGANError("the network gives values that are not numbers; its weights are damaged")
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

    def _plan(self, height: int, width: int, tile: int, pad: int) -> list[Tile]:
        if tile:
            side = min(tile, self._largest_tile or tile)
            return grid(height, width, side, pad, self.size_multiple)
        return grid(height, width, self._unasked_tile(height, width), UNASKED_TILE_PAD, self.size_multiple)

    def _unasked_tile(self, height: int, width: int) -> int:
        """0 if the whole picture is expected to fit into memory, else the side of a tile that is."""
        sides = [self._largest_tile] if self._largest_tile else []
        free = free_memory_bytes(self.device)
        if free is not None and self.spec is not None:
            affordable = MEMORY_SHARE * free / bytes_per_pixel(self.spec, self.precision)
            if height * width > affordable:
                sides.append(max(SMALLEST_TILE, int(affordable**0.5) - 2 * UNASKED_TILE_PAD))
        if not sides:
            return 0
        side = max(1, min(sides) // self.size_multiple) * self.size_multiple
        if side >= max(height, width):
            return 0
        if self._largest_tile is None:  # else the shortage has been told of when it came
            message = f"a picture of {width}×{height} is too large for the free memory: cut into tiles of {side} pixels"
            self._say(message, kind="too large")
        return side

    def _halved(self, todo: list[Tile], height: int, width: int, pad: int, error: BaseException) -> list[Tile]:
        """All that is still to do, in tiles of half the side."""
        failed = max(todo[0].core.height, todo[0].core.width)
        side = max(SMALLEST_TILE, failed // 2 // self.size_multiple * self.size_multiple)
        if side >= failed:
            raise DeviceError(
                f"{self.device} is out of memory even for a tile of {SMALLEST_TILE} pixels; "
                "close what else uses it, or compute with -g cpu"
            ) from error
        self._say(f"{self.device} is out of memory: going on with tiles of at most {side} pixels")
        self._largest_tile = side
        halved = []
        for piece in todo:
            for part in grid(piece.core.height, piece.core.width, side, 0):
                core = part.core.shifted(piece.core.top, piece.core.left)
                halved.append(Tile(core, core.grown(pad, height, width, self.size_multiple)))
        return halved

    def _say(self, message: str, kind: str | None = None) -> None:
        """Warn, but only once of each `kind` of thing, which by default is the message."""
        if (kind or message) not in self._said:
            self._said.add(kind or message)
            log.warning(message)


def bytes_per_pixel(spec: NetworkSpec, precision: Precision) -> float:
    """Roughly what one forward pass holds at its peak for each input pixel.

    RRDBNet peaks at the last convolution, at 16 times the area of its body: the features it reads in their own type
    and in fp32, and its result. SRVGGNetCompact holds two layers' features and the enlarged picture.
    """
    feature_bytes = spec.num_feat * (4 if precision is Precision.FP32 else 2)
    if isinstance(spec, RRDBNetSpec):
        return 16 * (feature_bytes + spec.num_feat * 4 + 24) / spec.size_multiple**2
    return 3 * feature_bytes + 12 * spec.num_out_ch * spec.scale**2
