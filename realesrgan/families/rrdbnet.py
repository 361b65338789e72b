"""RRDBNet, the large generator: ESRGAN's network (arXiv:1809.00219) as Real-ESRGAN uses it (arXiv:2107.10833)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from math import isqrt
from typing import TYPE_CHECKING

from .family import Family, NetworkSpec, Shapes, Unsupported, Write, check_rgb

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..archs.rrdbnet_arch import ResidualDenseBlock, RRDBNet
    from .row_graph import Graph
    from .signal import Signal

DENSE_BLOCK_SCALE = 0.1  # of the initial weights within dense blocks, as published
NAME = "RRDBNet"
BODY_SCALE = 4  # what follows the fold always enlarges 4 times, so scales 2 and 1 fold 2×2 and 4×4 pixels
UPSAMPLINGS = 2  # to 4 times
MOST_UPSAMPLINGS = 4  # of any ESRGAN that was ever published; it enlarges 16 times
LONG_BODY = 16  # blocks; of a shorter body two blocks would be too large a share


@dataclass(frozen=True)
class RRDBNetSpec:
    """The constructor arguments of RRDBNet."""

    num_in_ch: int = 3
    num_out_ch: int = 3
    scale: int = 4
    num_feat: int = 64
    num_block: int = 23
    num_grow_ch: int = 32

    @property
    def size_multiple(self) -> int:
        return BODY_SCALE // self.scale

    @property
    def multiply_adds(self) -> float:
        feat, grow = self.num_feat, self.num_grow_ch
        dense = sum((feat + i * grow) * grow for i in range(4)) + (feat + 4 * grow) * feat
        low = self.num_in_ch * self.size_multiple**2 * feat + self.num_block * 3 * dense + feat * feat
        high = 4 * feat * feat + 16 * (2 * feat * feat + feat * self.num_out_ch)
        return 9 * (low + high) / self.size_multiple**2

    @property
    def receptive_radius(self) -> int:
        """One for each 3×3 convolution in a row, three dense blocks of five in each RRDB; the four on the enlarged
        features reach less than two."""
        return (3 * 5 * self.num_block + 2 + 2) * self.size_multiple

    def bytes_per_pixel(self, feature_itemsize: int) -> float:
        """The peak is at the last convolution, at 16 times the area of the body: the features it reads in their own
        type and in fp32, and its result."""
        return 16 * (self.num_feat * (feature_itemsize + 4) + 24) / self.size_multiple**2

    def build(self) -> RRDBNet:
        return _network_class()(**asdict(self))

    def __str__(self) -> str:
        return f"{NAME} ×{self.scale}, {self.num_block} blocks, {self.num_feat} features"


def _spec_of(shapes: Shapes) -> NetworkSpec | None:
    try:
        num_feat, folded_in_ch = shapes["conv_first.weight"][:2]
        num_out_ch = shapes["conv_last.weight"][0]
        num_grow_ch = shapes["body.0.rdb1.conv1.weight"][0]
    except (KeyError, ValueError, IndexError):
        return None
    _check_upsamplings(shapes)
    # A generator takes and gives the same number of channels, so what is more was folded in.
    fold = isqrt(folded_in_ch // num_out_ch)
    if fold not in (1, 2, 4) or folded_in_ch % fold**2:
        fold = 1
    check_rgb(NAME, folded_in_ch // fold**2, num_out_ch)
    # Blocks are counted, not taken from the highest number: whoever builds this pays for each of them.
    blocks = {key.split(".")[1] for key in shapes if key.startswith("body.")}
    return RRDBNetSpec(scale=BODY_SCALE // fold, num_feat=num_feat, num_block=len(blocks), num_grow_ch=num_grow_ch)


def _check_upsamplings(shapes: Shapes) -> None:
    """ESRGAN itself, unlike Real-ESRGAN, came with any number of upsamplings and did not fold pixels."""
    count = sum(re.fullmatch(r"conv_up\d+\.weight", key) is not None for key in shapes)
    if count != UPSAMPLINGS and count <= MOST_UPSAMPLINGS:
        raise Unsupported(f"this is an ESRGAN that enlarges ×{2**count}; only those that enlarge ×4 can be used")


# ESRGAN's two older ways of naming the same tensors.
_RDB_KEY = re.compile(r"(?:RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB([123])\.conv([1-5])(?:\.0)?\.(weight|bias)")
_TRUNK_END_KEY = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")
_UPSAMPLING_KEY = re.compile(r"upconv(\d+)\.(weight|bias)")
_SEQUENTIAL_KEY = re.compile(r"model\.(\d+)\.(weight|bias)")
_FIRST_RELEASE_NAMES = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}


def _rename_old_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if not any(_RDB_KEY.fullmatch(key) for key in state):
        return dict(state)
    names = _sequential_names(state)
    return {_rename(key, names): tensor for key, tensor in state.items()}


def _sequential_names(keys: Set[str] | Mapping[str, Tensor]) -> dict[int, str]:
    """Names of the layers of ESRGAN's first form, one nn.Sequential.

    0 is the first convolution and 1 the body. Each upsampling takes three places, its convolution the second of them;
    the last two convolutions have an activation between them.
    """
    places = [int(match[1]) for key in keys if (match := _SEQUENTIAL_KEY.fullmatch(key)) and len(match[1]) < 4]
    upsamplings = max(0, (max(places, default=0) - 4) // 3)
    names = {0: "conv_first", 3 * upsamplings + 2: "conv_hr", 3 * upsamplings + 4: "conv_last"}
    return names | {3 * i: f"conv_up{i}" for i in range(1, upsamplings + 1)}


def _rename(key: str, sequential: Mapping[int, str]) -> str:
    if match := _RDB_KEY.fullmatch(key):
        block, rdb, conv, kind = match.groups()
        return f"body.{block}.rdb{rdb}.conv{conv}.{kind}"
    if match := _TRUNK_END_KEY.fullmatch(key):
        return f"conv_body.{match[1]}"
    if match := _UPSAMPLING_KEY.fullmatch(key):
        return f"conv_up{match[1]}.{match[2]}"
    if (match := _SEQUENTIAL_KEY.fullmatch(key)) and len(match[1]) < 4 and int(match[1]) in sequential:
        return f"{sequential[int(match[1])]}.{match[2]}"
    layer, _, kind = key.rpartition(".")
    return f"{_FIRST_RELEASE_NAMES.get(layer, layer)}.{kind}" if layer else key


def _ncnn_names(layer_count: int, kinds: Set[str]) -> list[str] | None:
    blocks, rest = divmod(layer_count - 6, 15)  # 3 dense blocks of 5 convolutions in each RRDB, and 6 outside them
    if "PixelShuffle" in kinds or blocks < 1 or rest:
        return None
    body = [f"body.{block}.rdb{rdb}.conv{i}" for block in range(blocks) for rdb in (1, 2, 3) for i in range(1, 6)]
    return ["conv_first", *body, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]


def _network_class() -> type[RRDBNet]:
    from ..archs.rrdbnet_arch import RRDBNet

    return RRDBNet


def _full_precision_layers(network: RRDBNet, rounds_results: bool) -> tuple[nn.Module, ...]:
    """Measured in mixed bf16 on photographs: the convolutions outside the body cost 1 % of time and save up to 4 dB.

    Of a long body the last block is worth 0.6 dB and the first 0.3, for a twentieth to a tenth of the time each. The
    first is only needed where results are rounded, too.
    """
    ends: tuple[nn.Module, ...] = ()
    if len(network.body) >= LONG_BODY:
        ends = (network.body[0], network.body[-1]) if rounds_results else (network.body[-1],)
    return network.conv_first, *ends, network.conv_body, network.conv_last


def _row_graph(network: RRDBNet, height: int, width: int, dtype: torch.dtype, write: Write) -> Graph:
    import torch

    from ..archs.rrdbnet_arch import NEGATIVE_SLOPE, RESIDUAL_SCALE
    from .row_graph import Graph, Result, leaky_relu

    graph = Graph(network.conv_first.in_channels, height, width, dtype)
    leaky = leaky_relu(NEGATIVE_SLOPE)

    def add_dense_block(block: ResidualDenseBlock, x: Signal, around: tuple[tuple[Signal, float], ...] = ()) -> Signal:
        dense = [x]
        for conv in (block.conv1, block.conv2, block.conv3, block.conv4):
            dense.append(graph.add(conv, *dense, activation=leaky))
        stream = torch.promote_types(x.dtype, block.conv5.weight.dtype)
        return graph.add(block.conv5, *dense, dtype=stream, residuals=((x, RESIDUAL_SCALE), *around))

    x = shallow = graph.add(network.conv_first, graph.picture, dtype=dtype)
    for block in network.body.children():
        inner = add_dense_block(block.rdb2, add_dense_block(block.rdb1, x))  # type: ignore[arg-type]
        x = add_dense_block(block.rdb3, inner, around=((x, RESIDUAL_SCALE),))  # type: ignore[arg-type]
    # The sum around the body is hundreds of rows behind the first convolution. Computing that one again, which is
    # next to no work, keeps rows of the picture instead of its features.
    shallow = graph.add(network.conv_first, graph.picture, dtype=dtype, not_ahead_of=x)
    enlarged = network.conv_up1.weight.dtype
    x = graph.add(network.conv_body, x, dtype=enlarged, residuals=((shallow, 1.0),))
    x = graph.add(network.conv_up1, x, enlarge=2, activation=leaky)
    x = graph.add(network.conv_up2, x, enlarge=2, activation=leaky)
    x = graph.add(network.conv_hr, x, activation=leaky)
    graph.add(network.conv_last, x, result=Result(write))
    return graph


def _initialise(network: nn.Module) -> None:
    """Small values within dense blocks, as published, so that each block begins near the identity."""
    import torch
    from torch import nn

    from ..archs.rrdbnet_arch import ResidualDenseBlock

    blocks = [block for block in network.modules() if isinstance(block, ResidualDenseBlock)]
    for layer in (layer for block in blocks for layer in block.modules() if isinstance(layer, nn.Conv2d)):
        nn.init.kaiming_normal_(layer.weight)
        with torch.no_grad():
            layer.weight.mul_(DENSE_BLOCK_SCALE)
            if layer.bias is not None:
                layer.bias.zero_()


RRDBNET = Family(
    name=NAME,
    spec_of=_spec_of,
    rename_old_keys=_rename_old_keys,
    ncnn_names=_ncnn_names,
    network_class=_network_class,
    full_precision_layers=_full_precision_layers,
    fold=lambda network: network.unshuffle,
    row_graph=_row_graph,
    initialise=_initialise,
)
