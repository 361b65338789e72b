"""A network as layers that work down a picture a few rows at a time, each row once.

All layers look at most one row up and one row down, so a layer that keeps the last rows of what it reads can go on
where it stopped. Knows signals and convolutions of 3×3 or 1×1 pixels, but no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..archs.enlarging import enlarged
from .signal import Signal

Write = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Activation:
    """An activation that multiplies what is below zero.

    Attributes:
        slopes: by what, a number or one for each channel.
        into: `into(x, out)` writes the activation of `x` into `out`.
        copies: whether that takes a temporary tensor.
    """

    slopes: float | Tensor
    into: Callable[[Tensor, Tensor], object]
    copies: bool = False


def leaky_relu(slope: float) -> Activation:
    """LeakyReLU, written where its result goes without a copy."""
    return Activation(slope, lambda x, out: torch.ops.aten.leaky_relu.out(x, slope, out=out))


@dataclass(frozen=True)
class Result:
    """What a last layer's rows become: its channels shuffled into pixels, added to the residual, if there is one.

    `write` takes a top row of the result, and (N, C, rows, W) from there down. The residual, the picture, is repeated
    `shuffle` times each way.
    """

    write: Write
    shuffle: int = 1

    def take(self, top: int, rows: Tensor, residuals: list[Tensor]) -> None:
        if residuals:
            rows = enlarged(residuals[0], rows, self.shuffle)
        elif self.shuffle > 1:
            rows = F.pixel_shuffle(rows, self.shuffle)
        self.write(top * self.shuffle, rows)


class Layer:
    """A 3×3 or 1×1 convolution, what its result passes through or is added to, and where it goes.

    Layers are made and run in the order in which they read from each other.

    Args:
        conv: computes in the type of its weights. It is only read, so that several threads can share it.
        sources: what it reads, channel after channel.
        out: takes the result.
        enlarge: enlarge the sources so many times first, by repeating pixels.
        activation: what the result passes through first.
        residuals: the result times the number is added to the first of these signals, that sum times the number to
            the next.
        not_ahead_of: a signal that `out` must not get ahead of.
        result: what the rows of a last layer become, instead of going to `out`.
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
        result: Result | None = None,
    ) -> None:
        self.conv, self.sources, self.out, self.enlarge = conv, sources, out, enlarge
        self.activation, self.residuals, self.not_ahead_of, self.result = activation, residuals, not_ahead_of, result
        self.reach = conv.kernel_size[0] // 2  # rows and columns to each side
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
                rows = min(rows, signal.done * self.enlarge - self.reach)
        for signal, _ in self.residuals:
            rows = min(rows, signal.done)
        return rows if self.not_ahead_of is None else min(rows, self.not_ahead_of.done)

    def first_row_needed(self, signal: Signal) -> int:
        """The first row of `signal` that this layer still has to read."""
        done = self.out.done
        if done == self.out.height:
            return signal.height + 1
        return (done - self.reach) // self.enlarge if signal in self.sources else done

    def run(self, most: int) -> int:
        """Compute at most `most` of the next rows; return the multiply-adds, 0 if there was nothing to do."""
        top = self.out.done
        count = min(most, self.rows_ready() - top)
        if count <= 0:
            return 0
        result = self._convolved(top - self.reach, top + count + self.reach)
        work = result[:, 0].numel() * self.conv.weight.numel()
        if self.result is not None:
            self.result.take(top, result, [signal.rows(top, top + count) for signal, _ in self.residuals])
            self.out.done += count
        else:
            self._keep(result, top)
        for signal in self.inputs:
            signal.trim(self)
        return work

    def working_bytes(self, rows: int) -> int:
        """Roughly the most that `run` takes for so many rows, on top of what signals hold before and after it."""
        pixels, itemsize = rows * self.out.width, self.dtype.itemsize
        result = pixels * self.conv.out_channels * itemsize
        window = pixels * self.conv.in_channels * itemsize if len(self.sources) > 1 or self.enlarge > 1 else 0
        if not self.residuals:
            copied = result if self.activation is not None and self.activation.copies else 0
            return result + max(window, copied)
        # To add two types, torch converts one first. A result is added to and shuffled, which takes two copies.
        copies = 2 if self.result is not None else int(self.dtype != self.out.dtype)
        return result + max(window, copies * pixels * self.conv.out_channels * self.out.dtype.itemsize)

    def _convolved(self, top: int, bottom: int) -> Tensor:
        # The window is not to be kept any longer: it may be the largest tensor of all.
        return F.conv2d(self._window(top, bottom), self.conv.weight, self.conv.bias, padding=(0, self.reach))

    def _window(self, top: int, bottom: int) -> Tensor:
        """Rows [top, bottom) of the sources, enlarged: what the convolution sees."""
        low, high = top // self.enlarge, -(-bottom // self.enlarge)
        parts = [signal.rows_as(self.dtype, low, high) for signal in self.sources]
        window = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        if self.enlarge == 1:
            return window
        enlarged = F.interpolate(window, scale_factor=self.enlarge, mode="nearest")
        return enlarged[:, :, top - low * self.enlarge : bottom - low * self.enlarge]

    def _keep(self, result: Tensor, top: int) -> None:
        space = self.out.append_rows(result.shape[2], result)
        if self.activation is not None:
            self.activation.into(result, space)
            result = space
        elif not self.residuals:
            space.copy_(result)
        for signal, scale in self.residuals:
            torch.add(signal.rows(top, top + space.shape[2]), result, alpha=scale, out=space)
            result = space  # the next sum overwrites it, element by element


class Graph:
    """The layers of a network, in the order in which they read from each other.

    Args:
        channels, height, width, dtype: of what the first layers read, after any folding of pixels into channels.
    """

    def __init__(self, channels: int, height: int, width: int, dtype: torch.dtype) -> None:
        self.picture = Signal(channels, height, width, dtype)
        self._layers: list[Layer] = []

    def add(
        self,
        conv: nn.Conv2d,
        *sources: Signal,
        dtype: torch.dtype | None = None,
        enlarge: int = 1,
        activation: Activation | None = None,
        residuals: tuple[tuple[Signal, float], ...] = (),
        not_ahead_of: Signal | None = None,
        result: Result | None = None,
    ) -> Signal:
        """Append a layer and return its output, in `dtype` or else in that of the convolution. See Layer."""
        height, width = sources[0].height * enlarge, sources[0].width * enlarge
        out = Signal(conv.out_channels, height, width, dtype or conv.weight.dtype)
        layer = Layer(
            conv,
            sources,
            out,
            enlarge=enlarge,
            activation=activation,
            residuals=residuals,
            not_ahead_of=not_ahead_of,
            result=result,
        )
        self._layers.append(layer)
        return out

    @property
    def finished(self) -> bool:
        last = self._layers[-1].out
        return last.done == last.height

    def feed(self, rows: Tensor) -> None:
        """Take the next rows of the (folded) picture, (N, channels, rows, width)."""
        self.picture.append_rows(rows.shape[2], rows).copy_(rows)

    def advance(self, strip: int, on_work: Callable[[int], None] | None) -> Iterator[None]:
        """Let each layer compute up to `strip` of the rows it can, enlarged ones until they can no more.

        Of those the last that can goes first: else the others would be ahead of it by more rows with each doubling.
        Pauses after each step that may have given rows of the result, so that they can be taken before there are more.
        """
        tail = [layer for layer in self._layers if self._is_enlarged(layer)]
        for layer in self._layers:
            if not self._is_enlarged(layer):
                _run(layer, strip, on_work)
        yield
        while any(_run(layer, strip, on_work) for layer in reversed(tail)):
            yield

    def clear(self) -> None:
        """Free what an interrupted picture left; layers and signals refer to each other and would keep it for long."""
        for signal in self._signals():
            signal.clear()

    def peak_bytes(self, strip: int) -> int:
        """Roughly what `advance` holds at its peak, far from the top and the bottom of a picture.

        For a graph made to ask this: rows that nobody computed are marked as done.
        """
        self.picture.done = self.picture.height // 2
        for layer in self._layers:
            layer.out.done = layer.rows_ready()
        held = sum(signal.bytes_between_steps for signal in self._signals()) + self.picture.bytes_to_grow(strip)
        peak = held
        for layer in self._layers:
            converted = [(signal, signal.bytes_to_convert(layer.dtype, strip)) for signal in layer.sources]
            held += sum(size for signal, size in converted if layer is signal.first_window_reader)
            if layer.result is None:
                held += layer.out.bytes_to_grow(strip)
            peak = max(peak, held + layer.working_bytes(strip))
            held -= sum(size for signal, size in converted if layer is signal.window_reader)
            held -= sum(signal.bytes_to_grow(strip) for signal in layer.inputs if layer is signal.reader)
        return peak

    @property
    def layers(self) -> Sequence[Layer]:
        """In the order in which they read from each other."""
        return self._layers

    def _signals(self) -> list[Signal]:
        return [self.picture, *(layer.out for layer in self._layers if layer.result is None)]

    def _is_enlarged(self, layer: Layer) -> bool:
        return layer.out.height > self.picture.height


def _run(layer: Layer, strip: int, on_work: Callable[[int], None] | None) -> int:
    work = layer.run(strip)
    # A layer with a `not_ahead_of` repeats what another has done already, which is no progress.
    if work and layer.not_ahead_of is None and on_work is not None:
        on_work(work)
    return work
