"""Run a network down a picture strip by strip, with the result of running it over the whole.

All its layers look one row up and one row down, so a layer that keeps the last rows of what it reads can go on where
it stopped: no row is computed twice, there are no seams, and memory grows with the picture's width, not its area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..archs.rrdbnet_arch import NEGATIVE_SLOPE, RESIDUAL_SCALE, RRDB, ResidualDenseBlock, RRDBNet
from ..archs.srvgg_arch import SRVGGNetCompact, enlarged
from ..families.row_graph import Activation, Layer, Signal

Read = Callable[[int, int], Tensor]
Write = Callable[[int, Tensor], None]

FAR_DOWN = 1 << 20  # rows: in the middle of a picture, as far as any layer can see


def can_stream(network: nn.Module) -> bool:
    """Whether `stream` knows what the layers of `network` do."""
    return isinstance(network, RRDBNet | SRVGGNetCompact)


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

    Yields a top row and (N, C, rows, width·scale) of the output, each row once, from top to bottom. To be iterated
    without gradients. All state is this call's, so threads can share a network.

    Args:
        network: one that `can_stream`.
        height, width: of the input, multiples of what the network folds into channels.
        strip: rows; an RRDBNet of scale 2 or 1 counts folded rows, 2 or 4 of the input.
        read: gives (N, C, bottom - top, width) of the input, in the type the network is to be fed, for (top, bottom);
            asked for each row once, from top to bottom.
        on_work: told the multiply-adds of each step. It may raise, as `read` may, which ends the iteration.
    """
    fold = _fold(network)
    tops = range(0, height, strip * fold)
    strips = (F.pixel_unshuffle(read(top, min(height, top + strip * fold)), fold) for top in tops)
    first = next(strips)
    ready: list[tuple[int, Tensor]] = []
    graph = _graph(network, height // fold, width // fold, first.dtype, lambda top, rows: ready.append((top, rows)))
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
    graph = _graph(network, 2 * FAR_DOWN, 1, dtype, write=lambda top, rows: None)
    layers = [*graph.body, *graph.tail]
    graph.picture.done = FAR_DOWN
    for layer in layers:
        layer.out.done = layer.rows_ready()

    def grown(signal: Signal) -> int:  # what a strip adds, the rows before it once more among it
        return (strip + _rows_between_steps(signal, signal.reader)) * signal.row_bytes

    held = sum(_rows_between_steps(signal, signal.reader) * signal.row_bytes for signal in graph.signals())
    peak = held = held + grown(graph.picture)
    for layer in layers:
        converted = [(s, _converted_bytes(s, layer.dtype, strip)) for s in layer.sources if s.dtype != layer.dtype]
        held += sum(size for signal, size in converted if layer is signal.first_window_reader)
        if layer.emit is None:
            held += grown(layer.out)
        peak = max(peak, held + layer.working_bytes(strip))
        held -= sum(size for signal, size in converted if layer is signal.window_reader)
        held -= sum(grown(signal) for signal in layer.inputs if layer is signal.reader)
    return peak / _fold(network)


def _rows_between_steps(signal: Signal, reader: Layer | None) -> int:
    """How many of the existing rows `reader` still needs."""
    assert reader is not None
    return signal.done - reader.first_row_needed(signal)


def _converted_bytes(signal: Signal, dtype: torch.dtype, strip: int) -> int:
    rows = strip + _rows_between_steps(signal, signal.window_reader)
    return rows * signal.row_bytes // signal.dtype.itemsize * dtype.itemsize


@dataclass
class Graph:
    """The layers of a network in the order in which they read from each other."""

    picture: Signal
    body: list[Layer] = field(default_factory=list)
    tail: list[Layer] = field(default_factory=list)  # with more rows than the picture has

    @property
    def finished(self) -> bool:
        last = (self.tail or self.body)[-1].out
        return last.done == last.height

    def feed(self, rows: Tensor) -> None:
        self.picture.append_rows(rows.shape[2], rows).copy_(rows)

    def advance(self, strip: int, on_work: Callable[[int], None] | None) -> Iterator[None]:
        """Let each layer compute up to `strip` of the rows it can, those of the tail until they can no more.

        Pauses after each step that may have given rows of the result, so that they can be taken before there are more.
        """
        for layer in self.body:
            _run(layer, strip, on_work)
        yield
        while sum(_run(layer, strip, on_work) for layer in self.tail):
            yield

    def clear(self) -> None:
        """Free what an interrupted picture left; layers and signals refer to each other and would keep it for long."""
        for signal in self.signals():
            signal.clear()

    def signals(self) -> list[Signal]:
        return [self.picture, *(layer.out for layer in (*self.body, *self.tail) if layer.emit is None)]


def _run(layer: Layer, strip: int, on_work: Callable[[int], None] | None) -> int:
    work = layer.run(strip)
    # A layer with a not_ahead_of repeats what another has done already, which is no progress.
    if work and layer.not_ahead_of is None and on_work is not None:
        on_work(work)
    return work


def _fold(network: nn.Module) -> int:
    return network.unshuffle if isinstance(network, RRDBNet) else 1


def _graph(network: nn.Module, height: int, width: int, dtype: torch.dtype, write: Write) -> Graph:
    """The graph of `network` for a picture that, folded, is of this height and width."""
    if isinstance(network, RRDBNet):
        return _rrdbnet_graph(network, height, width, dtype, write)
    assert isinstance(network, SRVGGNetCompact), f"{type(network).__name__} cannot be streamed"
    return _srvgg_graph(network, height, width, dtype, write)


def _rrdbnet_graph(network: RRDBNet, height: int, width: int, dtype: torch.dtype, write: Write) -> Graph:
    first = network.conv_first
    picture = Signal(first.in_channels, height, width, dtype)
    shallow, again = (Signal(first.out_channels, height, width, dtype) for _ in range(2))
    body = [Layer(first, (picture,), shallow)]
    x = shallow
    for block in network.body:
        assert isinstance(block, RRDB)
        x = _add_block(body, block, x)
    # The sum around the body is hundreds of rows behind the first convolution. Computing that one again, which is
    # next to no work, keeps rows of the picture instead of its features.
    body.append(Layer(first, (picture,), again, not_ahead_of=x))
    features = Signal(first.out_channels, height, width, network.conv_up1.weight.dtype)
    body.append(Layer(network.conv_body, (x,), features, residuals=((again, 1.0),)))

    tail: list[Layer] = []
    leaky = leaky_relu_into(NEGATIVE_SLOPE)
    for conv, enlarge in ((network.conv_up1, 2), (network.conv_up2, 2), (network.conv_hr, 1)):
        height, width = height * enlarge, width * enlarge
        out = Signal(conv.out_channels, height, width, conv.weight.dtype)
        tail.append(Layer(conv, (features,), out, enlarge=enlarge, activation=leaky))
        features = out
    last = network.conv_last
    result = Signal(last.out_channels, height, width, last.weight.dtype)
    tail.append(Layer(last, (features,), result, emit=lambda top, rows, _: write(top, rows)))
    return Graph(picture, body, tail)


def _add_block(layers: list[Layer], block: RRDB, x: Signal) -> Signal:
    """Append the layers of three dense blocks; the last sum is added to `x` at once."""
    inner = _add_dense_block(layers, block.rdb2, _add_dense_block(layers, block.rdb1, x))
    return _add_dense_block(layers, block.rdb3, inner, around=((x, RESIDUAL_SCALE),))


def _add_dense_block(
    layers: list[Layer], block: ResidualDenseBlock, x: Signal, around: tuple[tuple[Signal, float], ...] = ()
) -> Signal:
    dense: tuple[Signal, ...] = (x,)
    leaky = leaky_relu_into(NEGATIVE_SLOPE)
    for conv in (block.conv1, block.conv2, block.conv3, block.conv4):
        grown = Signal(conv.out_channels, x.height, x.width, conv.weight.dtype)
        layers.append(Layer(conv, dense, grown, activation=leaky))
        dense = (*dense, grown)
    out = Signal(x.channels, x.height, x.width, torch.promote_types(x.dtype, block.conv5.weight.dtype))
    layers.append(Layer(block.conv5, dense, out, residuals=((x, RESIDUAL_SCALE), *around)))
    return out


def _srvgg_graph(network: SRVGGNetCompact, height: int, width: int, dtype: torch.dtype, write: Write) -> Graph:
    scale = network.upscale

    def emit(top: int, result: Tensor, picture: list[Tensor]) -> None:
        write(top * scale, enlarged(picture[0], result, scale))

    x = picture = Signal(network.num_in_ch, height, width, dtype)
    layers = []
    for conv, activation in zip(network.body[:-1:2], network.body[1::2], strict=True):
        assert isinstance(conv, nn.Conv2d)
        out = Signal(conv.out_channels, height, width, conv.weight.dtype)
        layers.append(Layer(conv, (x,), out, activation=_into(activation)))
        x = out
    last = network.body[-1]
    assert isinstance(last, nn.Conv2d)
    result = Signal(last.out_channels, height, width, torch.promote_types(last.weight.dtype, dtype))
    layers.append(Layer(last, (x,), result, residuals=((picture, 1.0),), emit=emit))
    return Graph(picture, layers)


def leaky_relu_into(slope: float) -> Activation:
    """LeakyReLU that writes where it is told, which saves copying there what it gave."""
    return Activation(lambda result, room: torch.ops.aten.leaky_relu.out(result, slope, out=room))


def _into(activation: nn.Module) -> Activation:
    if isinstance(activation, nn.LeakyReLU):
        return leaky_relu_into(activation.negative_slope)
    if isinstance(activation, nn.ReLU):
        return Activation(lambda result, room: torch.clamp_min(result, 0, out=room))
    return Activation(lambda result, room: room.copy_(activation(result)), copies=True)
