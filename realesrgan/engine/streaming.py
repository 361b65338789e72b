"""Run a network down a picture strip by strip, with the same result as over the whole.

Every layer looks one row up and one row down, so a layer that keeps the last rows of its input can go on where it
stopped: no row is computed twice, there are no seams, and memory grows with the picture's width, not its area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..families import family_of
from ..families.family import Family

Read = Callable[[int, int], Tensor]

FAR_DOWN = 1 << 20  # rows: far from the top and bottom of a picture, as seen by any layer


def can_stream(network: nn.Module) -> bool:
    """Whether `stream` knows what the layers of `network` do."""
    return family_of(network) is not None


def stream(
    network: nn.Module,
    height: int,
    width: int,
    strip: int,
    read: Read,
    *,
    on_work: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Run `network` over a picture, each of its layers computing at most `strip` rows at a time.

    Yields a top row and (N, C, rows, width·scale) of the output, each row once, from top to bottom. Iterate
    without gradients. All state belongs to this call, so threads can share a network.

    Args:
        network: one that `can_stream`.
        height, width: of the input, multiples of what the network folds into channels.
        strip: rows; an RRDBNet of scale 2 or 1 counts folded rows, 2 or 4 of the input.
        read: returns rows [top, bottom) of the input, (N, C, bottom - top, width), in the type of the network's
            input; called for each row once, from top to bottom.
        on_work: called with the multiply-adds of each step. It may raise, as `read` may, to end the iteration.
    """
    family = _family(network)
    fold = family.fold(network)
    tops = range(0, height, strip * fold)
    strips = (F.pixel_unshuffle(read(top, min(height, top + strip * fold)), fold) for top in tops)
    first = next(strips)
    ready: list[tuple[int, Tensor]] = []

    def emit(top: int, rows: Tensor) -> None:
        ready.append((top, rows))

    graph = family.row_graph(network, height // fold, width // fold, first.dtype, emit)
    try:
        for rows in chain((first,), strips):
            graph.feed(rows)
            for _ in graph.advance(strip, on_work):
                while ready:
                    yield ready.pop(0)
        while not graph.finished:
            for _ in graph.advance(strip, on_work):
                while ready:
                    yield ready.pop(0)
    finally:
        graph.clear()


def bytes_per_column(network: nn.Module, strip: int, dtype: torch.dtype) -> float:
    """Roughly what `stream` holds at its peak for each column of the input, fed in `dtype`; the output not counted."""
    family = _family(network)
    graph = family.row_graph(network, 2 * FAR_DOWN, 1, dtype, lambda top, rows: None)
    return graph.peak_bytes(strip) / family.fold(network)


def _family(network: nn.Module) -> Family:
    family = family_of(network)
    assert family is not None, f"{type(network).__name__} cannot be streamed"
    return family
