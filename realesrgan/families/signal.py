"""What flows between the layers of a row graph: rows of features, kept only while a layer still needs them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Reader(Protocol):
    """A layer, as the signals that it reads know it."""

    def first_row_needed(self, signal: Signal) -> int:
        """The first row of `signal` that it will read again."""
        ...


class Signal:
    """Features of `height` rows, of which the first `done` have been computed and those still needed are kept.

    The zeros that a convolution sees above and below the picture are kept with them, as rows -1 and `height`.
    """

    def __init__(self, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
        self.channels, self.height, self.width, self.dtype = channels, height, width, dtype
        self.done = 0
        self.reader: Reader | None = None  # the last in order, so the furthest behind
        self.first_window_reader: Reader | None = None
        self.window_reader: Reader | None = None  # the last one whose convolution reads it
        self._kept: Tensor | None = None  # (N, channels, kept rows, width)
        self._store: Tensor | None = None  # where they lie between steps
        self._top = -1  # the number of the first row in `_kept`
        self._converted: Tensor | None = None  # the same rows in the type of the convolutions, if that is another
        self._converted_top = -1

    @property
    def row_bytes(self) -> int:
        return self.channels * self.width * self.dtype.itemsize

    @property
    def bytes_held(self) -> int:
        return sum(rows.nbytes for rows in (self._kept, self._converted) if rows is not None)

    @property
    def bytes_between_steps(self) -> int:
        """What is kept for the reader that is furthest behind."""
        return self._rows_to_keep(self.reader) * self.row_bytes

    def bytes_to_grow(self, strip: int) -> int:
        """What `append_rows` takes for a strip: the new rows, and those kept once more, as they move in with them."""
        return strip * self.row_bytes + self.bytes_between_steps

    def bytes_to_convert(self, dtype: torch.dtype, strip: int) -> int:
        """What `rows_as` takes for a strip."""
        if dtype == self.dtype:
            return 0
        rows = strip + self._rows_to_keep(self.window_reader)
        return rows * self.channels * self.width * dtype.itemsize

    def _rows_to_keep(self, reader: Reader | None) -> int:
        """How many of the existing rows `reader` still needs."""
        assert reader is not None
        return self.done - reader.first_row_needed(self)

    def append_rows(self, rows: int, like: Tensor) -> Tensor:
        """Make space for the next rows and return it, to be written: (N, channels, rows, width).

        N and the device are those of `like`. The rows kept so far are copied, so that all lie in one tensor.
        """
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
        """`rows` in the one type of the convolutions that read this signal, converted once for all of them."""
        if dtype == self.dtype:
            return self.rows(top, bottom)
        if self._converted is None:
            assert self._kept is not None
            assert self.window_reader is not None
            self._converted_top = self.window_reader.first_row_needed(self)
            self._converted = self._kept[:, :, self._converted_top - self._top :].to(dtype)
        return self._converted[:, :, top - self._converted_top : bottom - self._converted_top]

    def trim(self, reader: Reader) -> None:
        """Free the rows that no layer needs any more, now that `reader` has moved on."""
        if reader is self.window_reader:
            self._converted = None
        if reader is not self.reader or self._kept is None:
            return
        needed = reader.first_row_needed(self)
        gone = needed - self._top
        self._kept = self._stored(self._kept[:, :, gone:]) if gone < self._kept.shape[2] else None
        self._top = needed

    def _stored(self, rows: Tensor) -> Tensor:
        """Copy `rows`, since a view would keep the whole strip alive, and always to the same place: hundreds of small
        blocks allocated and freed between large ones would fragment memory."""
        count = rows.shape[2]
        if self._store is not None and rows.untyped_storage().data_ptr() == self._store.untyped_storage().data_ptr():
            return rows  # a view of the store: nothing was appended since
        if self._store is None or self._store.shape[2] < count:
            self._store = torch.empty_like(rows, memory_format=torch.channels_last)
        return self._store[:, :, :count].copy_(rows)

    def clear(self) -> None:
        """Free everything."""
        self._kept = self._store = self._converted = None
