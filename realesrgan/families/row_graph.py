"""Layers that work down a picture a few rows at a time, each row once.

Knows signals and 3×3 convolutions, but no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Emit = Callable[[int, Tensor, list[Tensor]], None]


@dataclass(frozen=True)
class Activation:
    """`into` applies it to its first argument and writes into the second; if it `copies`, by way of another tensor."""

    into: Callable[[Tensor, Tensor], object]
    copies: bool = False


class Signal:
    """What flows between layers: of `height` rows the first `done` exist, and those still needed are kept.

    The zeros that a convolution sees around the picture are kept with them, as row -1 and row `height`.
    """

    def __init__(self, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
        self.channels, self.height, self.width, self.dtype = channels, height, width, dtype
        self.done = 0
        self.reader: Layer | None = None  # the last one in order, so the one that is furthest behind
        self.first_window_reader: Layer | None = None
        self.window_reader: Layer | None = None  # the last one whose convolution reads it
        self._kept: Tensor | None = None  # (N, channels, kept rows, width)
        self._store: Tensor | None = None  # where they lie between steps
        self._top = -1  # the row of the picture that is the first in `_kept`
        self._converted: Tensor | None = None  # kept rows in the type of the convolutions, where that is another
        self._converted_top = -1

    @property
    def row_bytes(self) -> int:
        return self.channels * self.width * self.dtype.itemsize

    @property
    def bytes_held(self) -> int:
        return sum(rows.nbytes for rows in (self._kept, self._converted) if rows is not None)

    def append_rows(self, rows: int, like: Tensor) -> Tensor:
        """Where the next rows must now be written: (N, channels, rows, width), N and the device as those of `like`."""
        start = self._kept.shape[2] if self._kept is not None else int(self.done == 0)
        end = start + rows
        self.done += rows
        complete = self.done == self.height
        shape = (like.shape[0], self.channels, end + int(complete), self.width)
        grown = torch.empty(shape, dtype=self.dtype, device=like.device, memory_format=torch.channels_last)
        if start:
            grown[:, :, :start] = 0 if self._kept is None else self._kept
        if complete:
            grown[:, :, end] = 0
        self._kept, self._converted = grown, None
        return grown[:, :, start:end]

    def rows(self, top: int, bottom: int) -> Tensor:
        """Rows [top, bottom) as (N, channels, rows, width)."""
        assert self._kept is not None
        return self._kept[:, :, top - self._top : bottom - self._top]

    def rows_as(self, dtype: torch.dtype, top: int, bottom: int) -> Tensor:
        """`rows` for a convolution in `dtype`, the same for all that read this signal; converted once for them."""
        if dtype == self.dtype:
            return self.rows(top, bottom)
        if self._converted is None:
            assert self._kept is not None
            assert self.window_reader is not None
            self._converted_top = self.window_reader.first_row_needed(self)
            self._converted = self._kept[:, :, self._converted_top - self._top :].to(dtype)
        return self._converted[:, :, top - self._converted_top : bottom - self._converted_top]

    def trim(self, reader: Layer) -> None:
        """Free what nobody will need any more, now that `reader` has gone on."""
        if reader is self.window_reader:
            self._converted = None
        if reader is not self.reader or self._kept is None:
            return
        needed = reader.first_row_needed(self)
        gone = needed - self._top
        self._kept = self._stored(self._kept[:, :, gone:]) if gone < self._kept.shape[2] else None
        self._top = needed

    def _stored(self, rows: Tensor) -> Tensor:
        """A copy, since a view would hold the whole strip; and always in the same place: hundreds of small blocks that
        come and go between large ones would keep the large ones' memory from being used again."""
        count = rows.shape[2]
        if self._store is not None and rows.untyped_storage().data_ptr() == self._store.untyped_storage().data_ptr():
            return rows  # nothing new came since the last time
        if self._store is None or self._store.shape[2] < count:
            self._store = torch.empty_like(rows, memory_format=torch.channels_last)
        return self._store[:, :, :count].copy_(rows)

    def clear(self) -> None:
        self._kept = self._store = self._converted = None


class Layer:
    """A 3×3 convolution, what its result is added to or passed through, and where it goes.

    Layers are made, and run, in the order in which they read from each other.

    Args:
        conv: computes in the type of its weights. It is only read, so that several threads can share it.
        sources: what it reads, channel after channel.
        out: takes the result.
        enlarge: the sources are enlarged so many times first, by repeating pixels.
        activation: what the result passes through.
        residuals: to the first of these signals the result is added, multiplied by the number; to the next, that sum.
        not_ahead_of: a signal that `out` is never to be ahead of.
        emit: is given the top row, the result and the same rows of the residuals, instead of `out`.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        sources: tuple[Signal, ...],
        out: Signal,
        *,
        enlarge: int = 1,
        activation: Activation | None = None,
        residuals: tuple[tuple[Signal, float], ...] = (),
        not_ahead_of: Signal | None = None,
        emit: Emit | None = None,
    ) -> None:
        self.conv, self.sources, self.out, self.enlarge = conv, sources, out, enlarge
        self.activation, self.residuals, self.not_ahead_of, self.emit = activation, residuals, not_ahead_of, emit
        self.inputs = tuple(dict.fromkeys((*sources, *(signal for signal, _ in residuals))))
        for signal in self.inputs:
            signal.reader = self
        for signal in sources:
            signal.first_window_reader = signal.first_window_reader or self
            signal.window_reader = self

    @property
    def dtype(self) -> torch.dtype:
        return self.conv.weight.dtype

    def rows_ready(self) -> int:
        """How many output rows the available inputs suffice for."""
        rows = self.out.height
        for signal in self.sources:
            if signal.done < signal.height:
                rows = min(rows, signal.done * self.enlarge - 1)
        for signal, _ in self.residuals:
            rows = min(rows, signal.done)
        return rows if self.not_ahead_of is None else min(rows, self.not_ahead_of.done)

    def first_row_needed(self, signal: Signal) -> int:
        """The first row of `signal` that this layer will read again."""
        done = self.out.done
        if done == self.out.height:
            return signal.height + 1
        return (done - 1) // self.enlarge if signal in self.sources else done

    def run(self, most: int) -> int:
        """Compute the next rows, at most so many; the multiply-adds that took, 0 if there was nothing to do."""
        top = self.out.done
        count = min(most, self.rows_ready() - top)
        if count <= 0:
            return 0
        result = F.conv2d(self._window(top - 1, top + count + 1), self.conv.weight, self.conv.bias, padding=(0, 1))
        work = result[:, 0].numel() * self.conv.weight.numel()
        if self.emit is not None:
            self.emit(top, result, [signal.rows(top, top + count) for signal, _ in self.residuals])
            self.out.done += count
        else:
            self._keep(result, top)
        for signal in self.inputs:
            signal.trim(self)
        return work

    def working_bytes(self, rows: int) -> int:
        """Roughly the most that `run` takes for so many rows, beside what signals hold before and after it."""
        pixels, itemsize = rows * self.out.width, self.dtype.itemsize
        result = pixels * self.conv.out_channels * itemsize
        window = pixels * self.conv.in_channels * itemsize if len(self.sources) > 1 or self.enlarge > 1 else 0
        if not self.residuals:
            copied = result if self.activation is not None and self.activation.copies else 0
            return result + max(window, copied)
        # To sum two types, torch first makes one of them. Who is handed residuals sums and shuffles.
        copies = 2 if self.emit is not None else int(self.dtype != self.out.dtype)
        return result + max(window, copies * pixels * self.conv.out_channels * self.out.dtype.itemsize)

    def _window(self, top: int, bottom: int) -> Tensor:
        """What the convolution sees for rows [top + 1, bottom - 1)."""
        low, high = top // self.enlarge, -(-bottom // self.enlarge)
        parts = [signal.rows_as(self.dtype, low, high) for signal in self.sources]
        window = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        if self.enlarge == 1:
            return window
        enlarged = F.interpolate(window, scale_factor=self.enlarge, mode="nearest")
        return enlarged[:, :, top - low * self.enlarge : bottom - low * self.enlarge]

    def _keep(self, result: Tensor, top: int) -> None:
        room = self.out.append_rows(result.shape[2], result)
        if self.activation is not None:
            self.activation.into(result, room)
        elif not self.residuals:
            room.copy_(result)
        for signal, scale in self.residuals:
            torch.add(signal.rows(top, top + room.shape[2]), result, alpha=scale, out=room)
            result = room  # is overwritten by its own sum, element by element
