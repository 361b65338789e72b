"""Plan the pieces in which a picture is computed (whole, strips, tiles), and smaller ones when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil
import torch
from torch import nn

from ..errors import DeviceError
from ..families.family import NetworkSpec
from ..families.foreign import ForeignSpec
from .device import Precision, free_memory_bytes, out_of_memory
from .seams import Context
from .streaming import bytes_per_column, can_stream
from .tiling import DEFAULT_TILE_PAD, Tile, columns, whole

if TYPE_CHECKING:
    from .kernels.native import NativeNetwork

log = logging.getLogger(__name__)

MEMORY_SHARE = 0.6  # share of the free memory that a plan may use

# Streaming a picture takes up to a tenth longer than computing it whole, and a small fraction of the memory. On a CPU,
# whose memory others want too, pictures that would take more than this are streamed; on a GPU, those that do not fit.
WHOLE_ON_CPU_BYTES = 1_000_000_000
# Rows of a strip. On a CPU 64 run at 0.97 of the whole picture's speed, 16 at 0.94 (RealESRGAN_x4plus, mixed bf16, one
# thread): it gets 64 while that takes little memory, and at least 16 while memory allows. A GPU needs more to be busy.
MOST_ROWS_ON_CPU = 64
MOST_ROWS_ON_GPU = 256
FEWEST_GOOD_ROWS = 16
LITTLE_MEMORY_BYTES = 800_000_000
FRAGMENTATION = 1.2  # growth of the process ÷ size of the tensors of its strips (measured: 1.15 to 1.34)
# Of the compiled kernels: about so many pixels of a layer at a time for each thread. Fewer mean that weights are read
# and threads meet more often, more that rows do not stay in the cache and memory grows.
NATIVE_PIXELS = 1500
FEWEST_NATIVE_ROWS, MOST_NATIVE_ROWS = 4, 16  # multiples of the rows of Winograd's tiles
SMALLEST_BLOCK = 32  # columns; if a strip of one row and this width does not fit, nothing will

# An unknown network cannot be streamed, so it gets tiles with this much context: within 1.4 levels of the uncut result
# (measured on a photograph with RealESRGAN_x4plus); the published 10 leaves up to 49.
AUTOMATIC_TILE_PAD = 64
PUBLISHED_MULTIPLES = {2: 2, 1: 4}  # by scale: the multiples to which the published program pads any network's input
SMALLEST_TILE = 32  # if even this does not fit, nothing will


@dataclass(frozen=True)
class Plan:
    """How to compute a picture of height × width.

    Attributes:
        pieces: computed one after the other.
        pad: how many pixels around a piece the network sees.
        strip: compute each piece in strips of so many rows, as the network's first layer sees them; None: at once.
        requested: the pieces are tiles the user asked for, with their published seams.
        held_bytes: what the picture and its result take.
    """

    height: int
    width: int
    pieces: Sequence[Tile]
    pad: int = 0
    strip: int | None = None
    requested: bool = False
    held_bytes: int = 0

    @property
    def area_seen(self) -> int:
        """How many pixels the network sees; those that several pieces see count for each."""
        return sum(piece.padded.area for piece in self.pieces)


class Planner:
    """Plans by how much memory a network takes on a device, and corrects itself when memory runs out.

    Args:
        network: on `device`, in its final types.
        spec: its numbers, or None for a network this project does not know.
        input_dtype: the type of its input.
        native: the network in the compiled kernels, which always compute in strips; None if torch computes.
        max_memory: bytes this process may hold, on the device if that is a GPU; None is a safe share of what is free.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec | None,
        scale: int,
        device: torch.device,
        precision: Precision,
        input_dtype: torch.dtype,
        native: NativeNetwork | None = None,
        *,
        max_memory: int | None,
    ) -> None:
        self.network = network
        self.spec = spec
        self.scale = scale
        self.device = device
        self._feature_itemsize = precision.dtype.itemsize
        self.input_dtype = input_dtype
        self.max_memory = max_memory
        self.workers = 1  # how many compute on the device at the same time and share its memory
        self.size_multiple = spec.size_multiple if spec is not None else PUBLISHED_MULTIPLES.get(scale, 1)
        self._foreign = spec if isinstance(spec, ForeignSpec) else None
        self.tile_multiple = self._foreign.tile_multiple if self._foreign is not None else self.size_multiple
        self.context: Context | None = None  # of another project's network's tiles: measured, as may be their grid
        self._streams = spec is not None and can_stream(network)
        self._native = native
        self._used_at_first = _bytes_in_use(device)
        self._largest_tile: int | None = None  # this and the next two are learnt when memory runs out
        self._largest_whole: int | None = None
        self.most_rows = MOST_ROWS_ON_CPU if device.type == "cpu" else MOST_ROWS_ON_GPU
        if native is not None:
            self.most_rows = MOST_NATIVE_ROWS
        self._logged: set[str] = set()

    def plan(self, height: int, width: int, tile: int, pad: int | None, held_bytes: int = 0) -> Plan:
        """Decide how to compute an input of height × width, multiples of `size_multiple`.

        `tile` and `pad` request tiles of this side with this much context; None is the published one or, for another
        project's network, `context`. With tile 0 the free memory decides, of which the picture and its result will
        hold `held_bytes`.

        Raises:
            DeviceError: a network that has to see the whole picture finds too little memory for it.
        """
        plan = Plan(height, width, [whole(height, width)], held_bytes=held_bytes)
        if tile:
            side = min(tile, self._largest_tile or tile)
            return self._in_requested_tiles(plan, side, pad)
        budget = self._budget_bytes(held_bytes)
        if self._fits_whole(height * width, budget):
            return plan
        if self._streams:
            return self._in_strips(plan, budget)
        self._check_seams(height * width, budget)
        plan = replace(plan, pad=self._automatic_pad)
        return self._in_tiles(plan, self._automatic_tile(height, width, budget))

    def needs_context(self, height: int, width: int, tile: int, pad: int | None, held_bytes: int) -> bool:
        """Whether `plan` will cut a picture, and `context` is to be measured on it first."""
        if self._foreign is None or self.context is not None or (tile and pad is not None):
            return False
        side = min(tile, self._largest_tile or tile)
        return (
            side < max(height, width) if tile else not self._fits_whole(height * width, self._budget_bytes(held_bytes))
        )

    def lacks_context(self, requested: bool) -> bool:
        """Whether a picture would be cut now, in tiles that nobody requested, without knowing the context they need."""
        return self._foreign is not None and self.context is None and not requested

    def affordable_side(self, most: int) -> int:
        """The side of the largest square that fits into the free memory, up to `most` pixels."""
        budget = self._budget_bytes(0)
        if budget is None or self.spec is None:
            return most
        return min(most, int((budget / self.spec.bytes_per_pixel(self._feature_itemsize)) ** 0.5))

    def up_to_date(self, plan: Plan) -> Plan:
        """`plan` in pieces as small as turned out to be necessary since it was made."""
        area = plan.height * plan.width
        side = max(max(piece.core.height, piece.core.width) for piece in plan.pieces)
        if plan.strip is not None:
            return replace(plan, strip=min(plan.strip, self.most_rows))
        if self._largest_tile is not None and side > self._largest_tile:
            pad = plan.pad if plan.requested else self._automatic_pad
            return self._in_tiles(replace(plan, pad=pad), self._largest_tile)
        if self._streams and not plan.requested and self._largest_whole is not None and area > self._largest_whole:
            return self._in_strips(plan, self._budget_bytes(plan.held_bytes))
        return plan

    def _budget_bytes(self, held_bytes: int) -> float | None:
        """How much memory computing may take; None where that is unknown."""
        if self.max_memory is not None:
            return max(0.0, (self.max_memory - self._used_at_first) / self.workers - held_bytes)
        free = free_memory_bytes(self.device)
        if free is None:
            return None
        if self.device.type == "cpu":  # a result takes no memory before it is written
            free -= self.workers * held_bytes
        if self._native is not None:
            free += self._native.bytes_idle
        return max(0.0, MEMORY_SHARE * free / self.workers)

    def _fits_whole(self, area: int, budget: float | None) -> bool:
        if self._largest_whole is not None and area > self._largest_whole:
            return False
        if self.spec is None:
            return self._largest_tile is None
        if self._native is not None:
            return False
        needed = area * self.spec.bytes_per_pixel(self._feature_itemsize)
        if self._streams and self.device.type == "cpu" and needed > WHOLE_ON_CPU_BYTES:
            return False
        return budget is None or needed <= budget

    @property
    def _automatic_pad(self) -> int:
        """The context of tiles that nobody requested."""
        return AUTOMATIC_TILE_PAD if self.context is None else self.context.pad

    def _in_requested_tiles(self, plan: Plan, side: int, pad: int | None) -> Plan:
        if pad is None:
            pad = DEFAULT_TILE_PAD if self._foreign is None else self._automatic_pad
            if self._foreign is not None and side < max(plan.height, plan.width):
                self._log_context(side)
        return self._in_tiles(replace(plan, requested=True, pad=pad), side)

    def _log_context(self, side: int) -> None:
        """Say how tiles of another project's network are seen, and whether their seams are."""
        if self._foreign is None:
            return
        line = f"{self._foreign.name}: tiles of {side} with {self._automatic_pad} pixels of context"
        if self.context is None:
            self._log(f"{line}, by default: the picture is too small to measure how many it needs", kind="context")
        elif self.context.hides_seams:
            line += ", so seams are below half a level"
            self._log(line, kind="context", level=logging.INFO)
        else:
            line += f"; it looks farther than that, and seams of {self.context.levels:.0f} levels were measured"
            self._log(line, kind="context")

    def _check_seams(self, area: int, budget: float | None) -> None:
        """Raise DeviceError for tiles with visible seams of a network that is known to look at the whole picture."""
        if self._foreign is None or not self._foreign.needs_whole or self.context is None or self.context.hides_seams:
            return
        needed = area * self._foreign.bytes_per_pixel(self._feature_itemsize)
        free = "" if budget is None else f", and {max(budget, 1e6) / 1e9:.1f} GB may be used"
        raise DeviceError(
            f"{self._foreign.name} looks at the whole picture, which takes about {needed / 1e9:.1f} GB{free}; tiles "
            f"would show seams of up to {self.context.levels:.0f} levels: take them all the same with `tile` 512, "
            "or make the picture smaller"
        )

    def _in_tiles(self, plan: Plan, side: int) -> Plan:
        """What `plan` still has to do, in tiles of `side`; 0 leaves it whole."""
        if not side:
            return plan
        return replace(plan, pieces=[tile for piece in plan.pieces for tile in self._cut(piece, side, side, plan)])

    def _cut(self, piece: Tile, rows: int, columns: int, plan: Plan) -> list[Tile]:
        return piece.cut(rows, columns, plan.pad, plan.height, plan.width, self.tile_multiple)

    def _in_strips(self, plan: Plan, budget: float | None) -> Plan:
        """What `plan` still has to do, in strips as wide as the picture.

        Where memory is short, strips are lower, and finally cut into blocks of columns. A block sees as many columns to
        its left and right as its result depends on, so cuts cannot be seen, but those columns are computed twice.
        """
        assert self.spec is not None
        width, multiple = plan.width, self.size_multiple
        rows, blocks = self.rows_for(width), 1
        while self.device.type == "cpu" and rows > FEWEST_GOOD_ROWS:
            if self._strip_bytes(plan, blocks, rows) <= LITTLE_MEMORY_BYTES:
                break
            rows //= 2
        while budget is not None and self._strip_bytes(plan, blocks, rows) > budget:
            if rows > 1:
                rows = rows // 2
            elif width // (blocks + 1) >= SMALLEST_BLOCK:
                blocks += 1
            else:
                self._log("memory may not suffice even for the smallest strips", kind="short")
                break
        block = -(-width // blocks // multiple) * multiple if blocks > 1 else width
        if self._native is None or blocks > 1:
            self._log_strips(width, plan.height, rows * multiple, blocks)
        return self._in_blocks(replace(plan, strip=rows, pad=self.spec.receptive_radius), block)

    def rows_for(self, width: int) -> int:
        """How many rows of a picture of this width to compute at a time while memory allows."""
        if self._native is None:
            return self.most_rows
        fitting = NATIVE_PIXELS * torch.get_num_threads() // max(1, width // self.size_multiple)
        return min(self.most_rows, max(FEWEST_NATIVE_ROWS, fitting // 4 * 4))

    def _in_blocks(self, plan: Plan, block: int) -> Plan:
        """What `plan` still has to do, in blocks of so many columns."""
        return replace(
            plan, pieces=[part for piece in plan.pieces for part in self._cut(piece, plan.height, block, plan)]
        )

    def _strip_bytes(self, plan: Plan, blocks: int, rows: int) -> float:
        assert self.spec is not None
        width = plan.width
        block = -(-width // blocks) + 2 * (self.spec.receptive_radius + self.size_multiple)
        seen = width if blocks == 1 else min(width, block)
        if self._native is not None:
            return self._native.bytes_held(plan.height, seen, rows, torch.get_num_threads())
        return FRAGMENTATION * seen * bytes_per_column(self.network, rows, self.input_dtype)

    def _automatic_tile(self, height: int, width: int, budget: float | None) -> int:
        """The side of tiles for a network that cannot be streamed; 0 if one holds all."""
        sides = [self._largest_tile] if self._largest_tile else []
        if budget is not None and self.spec is not None:
            affordable = budget / self.spec.bytes_per_pixel(self._feature_itemsize)
            if height * width > affordable:
                sides.append(max(SMALLEST_TILE, int(affordable**0.5) - 2 * self._automatic_pad))
        side = max(1, min(sides) // self.tile_multiple) * self.tile_multiple if sides else 0
        if side >= max(height, width):
            return 0
        if side:
            self._log_context(side)
        if side and self._largest_tile is None:  # else the shortage was reported when it occurred
            message = f"a picture of {width}×{height} is too large for the free memory: cut into tiles of {side} pixels"
            self._log(message, kind="too large")
        return side

    def rest(self, plan: Plan, row: int) -> Plan:
        """What remains of `plan` once the result of its first piece has been handed out down to `row`, exclusive."""
        first = plan.pieces[0].below(row, self.scale, plan.pad, plan.height, plan.width, self.tile_multiple)
        return replace(plan, pieces=[first, *plan.pieces[1:]])

    def part(self, plan: Plan, left: int, right: int) -> Plan:
        """The part of a `plan` of strips that computes columns [left, right), in one block."""
        block = columns(plan.height, plan.width, right - left, plan.pad, self.size_multiple, left, right)
        return replace(plan, pieces=block)

    def smaller(self, plan: Plan, error: BaseException) -> Plan:
        """What `plan` still has to do, in smaller pieces after memory ran out; later pictures begin with these.

        Tiles, requested or of a network that cannot be streamed, get half the side. Other pictures go from whole to
        strips, from there to strips of half the rows, and from strips of one row to blocks of half the columns.

        Raises:
            DeviceError: there is nothing smaller.
        """
        if plan.requested or not self._streams:
            return self._in_halved_tiles(plan, error)
        if plan.strip is None:
            return self._in_first_strips(plan)
        if plan.strip > 1:
            return self._in_lower_strips(plan, plan.strip // 2)
        return self._in_narrower_blocks(plan, error)

    def _in_halved_tiles(self, plan: Plan, error: BaseException) -> Plan:
        failed = max(plan.pieces[0].core.height, plan.pieces[0].core.width)
        smallest = -(-SMALLEST_TILE // self.tile_multiple) * self.tile_multiple
        side = max(smallest, failed // 2 // self.tile_multiple * self.tile_multiple)
        if side >= failed:
            raise out_of_memory(self.device, f"a tile of {smallest} pixels") from error
        if not plan.requested:
            self._check_seams(plan.height * plan.width, self._budget_bytes(plan.held_bytes))
            self._log_context(side)
        self._log(f"{self.device} is out of memory: going on with tiles of at most {side} pixels")
        self._largest_tile = side
        self._largest_whole = plan.pieces[0].padded.area - 1
        return self._in_tiles(replace(plan, pad=plan.pad if plan.requested else self._automatic_pad), side)

    def _in_first_strips(self, plan: Plan) -> Plan:
        self._largest_whole = plan.height * plan.width - 1
        self._log(f"{self.device} is out of memory: going on in strips", kind="strips")
        return self._in_strips(plan, None)

    def _in_lower_strips(self, plan: Plan, rows: int) -> Plan:
        self.most_rows = rows
        self._log(f"{self.device} is out of memory: going on in lower strips", kind="lower")
        return replace(plan, strip=rows)

    def _in_narrower_blocks(self, plan: Plan, error: BaseException) -> Plan:
        failed = plan.pieces[0].core.width
        block = failed // 2 // self.size_multiple * self.size_multiple
        if block < SMALLEST_BLOCK:
            raise out_of_memory(self.device, f"a strip of one row and {failed} columns") from error
        self._log(f"{self.device} is out of memory: going on in blocks of columns", kind="blocks")
        return self._in_blocks(plan, block)

    def _log_strips(self, width: int, height: int, rows: int, blocks: int) -> None:
        how = f"strips of {rows} rows" if blocks == 1 else f"{blocks} blocks of columns, each in strips of {rows} rows"
        message = f"a picture of {width}×{height} is computed in {how}; that does not change the result"
        self._log(message, kind="in strips", level=logging.INFO)

    def _log(self, message: str, kind: str | None = None, level: int = logging.WARNING) -> None:
        """Log one message of each `kind`, which by default is the message itself."""
        if (kind or message) not in self._logged:
            self._logged.add(kind or message)
            log.log(level, message)


def _bytes_in_use(device: torch.device) -> int:
    """How much memory of `device` this process holds now."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)
