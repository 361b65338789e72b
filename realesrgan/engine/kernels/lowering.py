"""Turn the row graph of a network into the table of layers that the compiled library computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...families.family import PICTURE_CHANNELS, Family
from ...families.row_graph import Graph, Layer
from ...families.signal import Signal
from .library import (
    MOST_PARTS,
    MOST_SHUFFLE,
    NONE,
    FloatPointer,
    LayerTable,
    ProgramTable,
    RingTable,
    layer_table,
    ring_table,
)

_INPUT = torch.float32


class NotLowered(Exception):
    """The library cannot compute this network; the message says why."""


@dataclass
class Ring:
    """Where the library keeps the rows of some signals, channel after channel. See re_ring in source/interface.h."""

    signals: list[Signal]
    sums: bool
    repeat: int = 1
    precise: bool = False


@dataclass
class Program:
    """The table, and what it points to, which has to live until the library has copied it.

    The network enlarges `scale` times, and gives pictures of so many `channels`.
    """

    table: ProgramTable
    scale: int
    channels: int
    kept: list[object] = field(default_factory=list)


def refusal(network: nn.Module, family: Family) -> str | None:
    """Why the library cannot compute `network`; None if it can."""
    try:
        graph = _graph(network, family)
        _layers(graph, _Rings(graph), lambda values: FloatPointer())
    except NotLowered as error:
        return str(error)
    return None


def lower(network: nn.Module, family: Family) -> Program:
    """Describe the layers of `network` to the library, with its weights as they are now.

    Convolutions with fp32 weights that read fp32 signals keep nearly all bits of both in variants that round to
    bfloat16; the others are rounded.

    Raises:
        NotLowered: a layer is of a kind that the library does not know.
    """
    graph = _graph(network, family)
    rings = _Rings(graph)
    kept: list[object] = []

    def pointer(values: Tensor | None) -> Any:
        if values is None:
            return FloatPointer()
        array = values.detach().to("cpu", torch.float32, memory_format=torch.contiguous_format).contiguous().numpy()
        kept.append(array)
        return array.ctypes.data_as(FloatPointer)

    layers = _layers(graph, rings, pointer)
    table = ProgramTable(
        picture=rings.features[graph.picture][0],
        picture_sums=rings.sums.get(graph.picture, NONE),
        fold=family.fold(network),
        ring_count=len(rings.all),
        layer_count=len(layers),
        rings=(RingTable * len(rings.all))(*rings.tables),
        layers=(LayerTable * len(layers))(*layers),
    )
    last = graph.layers[-1]
    assert last.result is not None
    scale = last.out.height * last.result.shuffle // family.fold(network)
    return Program(table, scale, last.conv.out_channels // last.result.shuffle**2, kept)


def _graph(network: nn.Module, family: Family) -> Graph:
    return family.row_graph(network, 1, 1, _INPUT, lambda top, rows: None)


class _Rings:
    """All rings of a graph: `features` gives ring and part of a signal, `sums` the ring."""

    def __init__(self, graph: Graph) -> None:
        self.all: list[Ring] = []
        self.features: dict[Signal, tuple[int, int]] = {}
        self.sums: dict[Signal, int] = {}
        self._height = graph.picture.height
        for sources in _longest_lists(graph.layers):
            self._add_features(sources, [layer for layer in graph.layers if layer.sources[0] is sources[0]])
        for layer in graph.layers:
            for signal, _ in layer.residuals:
                if signal not in self.sums:
                    self.sums[signal] = len(self.all)
                    self.all.append(Ring([signal], sums=True))

    def _add_features(self, sources: Sequence[Signal], readers: Sequence[Layer]) -> None:
        if len(sources) > MOST_PARTS:
            raise NotLowered(f"a layer reads {len(sources)} others")
        if len({layer.enlarge for layer in readers}) > 1:
            raise NotLowered("a signal is read in two sizes")
        for part, signal in enumerate(sources):
            if signal in self.features:
                raise NotLowered("a signal is read together with others in two ways")
            self.features[signal] = len(self.all), part
        precise = any(layer.dtype == _INPUT and signal.dtype == _INPUT for layer in readers for signal in layer.sources)
        self.all.append(Ring(list(sources), sums=False, repeat=readers[0].enlarge, precise=precise))

    @property
    def tables(self) -> list[RingTable]:
        return [
            ring_table(
                enlarged=ring.signals[0].height // self._height,
                repeat=ring.repeat,
                sums=ring.sums,
                precise=ring.precise,
                channels=[signal.channels for signal in ring.signals],
            )
            for ring in self.all
        ]


def _longest_lists(layers: Sequence[Layer]) -> list[tuple[Signal, ...]]:
    """For each signal that is read first, the longest list of sources it begins; all others must be its beginnings."""
    longest: dict[Signal, tuple[Signal, ...]] = {}
    for layer in layers:
        first = layer.sources[0]
        longest[first] = max(longest.get(first, ()), layer.sources, key=len)
    for layer in layers:
        if longest[layer.sources[0]][: len(layer.sources)] != layer.sources:
            raise NotLowered("a signal is read together with others in two ways")
    return list(longest.values())


def _layers(graph: Graph, rings: _Rings, pointer: Callable[[Tensor | None], Any]) -> list[LayerTable]:
    writers = {layer.out: number for number, layer in enumerate(graph.layers)}
    return [_layer(layer, rings, writers, pointer) for layer in graph.layers]


def _layer(
    layer: Layer, rings: _Rings, writers: dict[Signal, int], pointer: Callable[[Tensor | None], Any]
) -> LayerTable:
    conv, last = layer.conv, layer.result is not None
    _check(layer)
    features, part = rings.features.get(layer.out, (NONE, 0))
    residuals = [] if last else [(rings.sums[signal], scale) for signal, scale in layer.residuals]
    slopes = None
    if layer.activation is not None:
        slopes = torch.as_tensor(layer.activation.slopes).detach().float().expand(conv.out_channels)
    return layer_table(
        source=rings.features[layer.sources[0]][0],
        parts=len(layer.sources),
        out_channels=conv.out_channels,
        precise=layer.dtype == _INPUT,
        weight=pointer(_as_3x3(conv.weight)),
        bias=pointer(conv.bias),
        slopes=pointer(slopes),
        residuals=residuals,
        features=features,
        part=part,
        sums=rings.sums.get(layer.out, NONE),
        not_ahead_of=NONE if layer.not_ahead_of is None else writers[layer.not_ahead_of],
        shuffle=layer.result.shuffle if layer.result is not None else 0,
        base=rings.sums[layer.residuals[0][0]] if last and layer.residuals else NONE,
    )


def _check(layer: Layer) -> None:
    conv = layer.conv
    if conv.kernel_size not in ((3, 3), (1, 1)) or (conv.stride, conv.dilation, conv.groups) != ((1, 1), (1, 1), 1):
        raise NotLowered("a convolution is not of 3×3 pixels")
    if layer.result is not None and layer.result.shuffle > MOST_SHUFFLE:
        raise NotLowered(f"it shuffles more than {MOST_SHUFFLE}×{MOST_SHUFFLE} pixels")
    if layer.result is not None and conv.out_channels not in [n * layer.result.shuffle**2 for n in PICTURE_CHANNELS]:
        raise NotLowered("its result is not a picture")


def _as_3x3(weight: Tensor) -> Tensor:
    """A convolution of 1×1 pixels as one of 3×3 whose other weights are zero, all that the library computes."""
    return F.pad(weight, (1, 1, 1, 1)) if weight.shape[2:] == (1, 1) else weight
