"""What flows between the layers of a row graph: rows of features, kept only as long as a layer needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .row_graph import Layer


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

    def _rows_to_keep(self, reader: Layer | None) -> int:
        """How many of the existing rows `reader` still needs."""
        assert reader is not None
        return self.done - reader.first_row_needed(self)

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
