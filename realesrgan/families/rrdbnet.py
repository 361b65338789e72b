"""RRDBNet, the large generator: ESRGAN's network (arXiv:1809.00219) as Real-ESRGAN uses it (arXiv:2107.10833)."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import asdict, dataclass
from math import isqrt
from typing import TYPE_CHECKING

from .esrgan_names import rename_old_keys
from .family import Family, NetworkSpec, Shapes, Unsupported, Write, channels_in_words, check_channels

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..archs.rrdbnet_arch import ResidualDenseBlock, RRDBNet
    from .row_graph import Graph
    from .signal import Signal

DENSE_BLOCK_SCALE = 0.1  # of the initial weights within dense blocks, as published
NAME = "RRDBNet"
BODY_SCALE = 4  # of Real-ESRGAN's networks behind the fold, so scales 2 and 1 fold 2×2 and 4×4 pixels
MOST_UPSAMPLINGS = 4  # of any ESRGAN that was ever published; it enlarges 16 times
FOLDS = (1, 2, 4)  # sides of the squares of pixels that a network may fold
LONG_BODY = 16  # blocks; of a shorter body two blocks would be too large a share


@dataclass(frozen=True)
class RRDBNetSpec:
    """The constructor arguments of RRDBNet. `unshuffle` is None wherever that means the same."""

    num_in_ch: int = 3
    num_out_ch: int = 3
    scale: int = 4
    num_feat: int = 64
    num_block: int = 23
    num_grow_ch: int = 32
    unshuffle: int | None = None
    plus: bool = False

    def __post_init__(self) -> None:
        if self.unshuffle == _published_fold(self.scale):
            object.__setattr__(self, "unshuffle", None)

    @property
    def size_multiple(self) -> int:
        return self.unshuffle or _published_fold(self.scale)

    @property
    def upsamplings(self) -> int:
        """How many times the features are doubled."""
        return (self.scale * self.size_multiple).bit_length() - 1

    @property
    def multiply_adds(self) -> float:
        feat, grow = self.num_feat, self.num_grow_ch
        dense = 9 * (sum((feat + i * grow) * grow for i in range(4)) + (feat + 4 * grow) * feat)
        dense += feat * grow if self.plus else 0
        low = 9 * (self.num_in_ch * self.size_multiple**2 * feat + feat * feat) + self.num_block * 3 * dense
        ups = sum(4.0**i * feat * feat for i in range(1, self.upsamplings + 1))
        high = ups + 4.0**self.upsamplings * (feat * feat + feat * self.num_out_ch)
        return (low + 9 * high) / self.size_multiple**2

    @property
    def receptive_radius(self) -> int:
        """One for each 3×3 convolution in a row, three dense blocks of five in each RRDB; those on the enlarged
        features reach two at most."""
        return (3 * 5 * self.num_block + 2 + 2) * self.size_multiple

    def bytes_per_pixel(self, feature_itemsize: int) -> float:
        """The peak is at the last convolution: the features it reads, enlarged, in their own type and in fp32, and its
        result. Without much enlargement it is in a dense block: three residuals, and features with and without what
        the last convolution adds."""
        result = 4.0**self.upsamplings * (self.num_feat * (feature_itemsize + 4) + 8 * self.num_out_ch)
        feat, grow = self.num_feat, self.num_grow_ch
        block = 3 * 4 * feat + (2 * feat + 8 * grow) * feature_itemsize
        return max(result, block) / self.size_multiple**2

    def build(self) -> RRDBNet:
        return _network_class()(**asdict(self))

    def __str__(self) -> str:
        pixels = f"{self.unshuffle}×{self.unshuffle} pixels" if self.unshuffle != 1 else "no pixels"
        parts = [
            f"{NAME} ×{self.scale}{channels_in_words(self.num_in_ch)}",
            f"{self.num_block} blocks",
            f"{self.num_feat} features",
            *([f"folds {pixels}"] if self.unshuffle is not None else []),
            *(["the blocks of nESRGAN+"] if self.plus else []),
        ]
        return ", ".join(parts)


def _published_fold(scale: int) -> int:
    return max(1, BODY_SCALE // scale)


def _spec_of(shapes: Shapes) -> NetworkSpec | None:
    try:
        num_feat, folded_in_ch = shapes["conv_first.weight"][:2]
        num_out_ch = shapes["conv_last.weight"][0]
        num_grow_ch = shapes["body.0.rdb1.conv1.weight"][0]
    except (KeyError, ValueError, IndexError):
        return None
    # A generator takes and gives the same number of channels, so what is more was folded in.
    fold = isqrt(folded_in_ch // num_out_ch)
    if fold not in FOLDS or folded_in_ch % fold**2:
        fold = 1
    num_in_ch = folded_in_ch // fold**2
    check_channels(NAME, num_in_ch, num_out_ch)
    # Blocks are counted, not taken from the highest number: whoever builds this pays for each of them.
    blocks = {key.split(".")[1] for key in shapes if key.startswith("body.")}
    return RRDBNetSpec(
        num_in_ch,
        num_out_ch,
        scale=_scale(shapes, fold),
        num_feat=num_feat,
        num_block=len(blocks),
        num_grow_ch=num_grow_ch,
        unshuffle=fold,
        plus="body.0.rdb1.conv1x1.weight" in shapes,
    )


def _scale(shapes: Shapes, fold: int) -> int:
    """Told by the number of upsamplings, each by 2. The few ESRGANs with a single one by 3 have the same tensors."""
    count = sum(re.fullmatch(r"conv_up\d+\.weight", key) is not None for key in shapes)
    enlarged = 1 << min(count, MOST_UPSAMPLINGS)
    if enlarged < fold:
        raise Unsupported(
            f"this is {NAME} that folds {fold}×{fold} pixels and enlarges ×{enlarged} after that; "
            "only those whose result is at least as large as the picture can be used"
        )
    return enlarged // fold


def _ncnn_names(layer_count: int, kinds: Set[str]) -> list[str] | None:
    # 3 dense blocks of 5 convolutions in each RRDB, and 4 outside them besides the upsamplings.
    blocks, upsamplings = divmod(layer_count - 4, 15)
    if kinds & {"PixelShuffle", "PReLU"} or blocks < 1 or upsamplings > MOST_UPSAMPLINGS:
        return None
    body = [f"body.{block}.rdb{rdb}.conv{i}" for block in range(blocks) for rdb in (1, 2, 3) for i in range(1, 6)]
    ups = [f"conv_up{i}" for i in range(1, upsamplings + 1)]
    return ["conv_first", *body, "conv_body", *ups, "conv_hr", "conv_last"]


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
        added = None if block.conv1x1 is None else graph.add(block.conv1x1, x)
        for i, conv in enumerate((block.conv1, block.conv2, block.conv3, block.conv4), 1):
            also = ((added, 1.0),) if added is not None and i % 2 == 0 else ()
            dense.append(graph.add(conv, *dense, activation=leaky, residuals=also))
            added = dense[-1] if also else added
        stream = torch.promote_types(x.dtype, block.conv5.weight.dtype)
        return graph.add(block.conv5, *dense, dtype=stream, residuals=((x, RESIDUAL_SCALE), *around))

    x = shallow = graph.add(network.conv_first, graph.picture, dtype=dtype)
    for block in network.body.children():
        inner = add_dense_block(block.rdb2, add_dense_block(block.rdb1, x))  # type: ignore[arg-type]
        x = add_dense_block(block.rdb3, inner, around=((x, RESIDUAL_SCALE),))  # type: ignore[arg-type]
    # The sum around the body is hundreds of rows behind the first convolution. Computing that one again, which is
    # next to no work, keeps rows of the picture instead of its features.
    shallow = graph.add(network.conv_first, graph.picture, dtype=dtype, not_ahead_of=x)
    x = graph.add(network.conv_body, x, dtype=network.conv_hr.weight.dtype, residuals=((shallow, 1.0),))
    for conv in network.upsamplings:
        x = graph.add(conv, x, enlarge=2, activation=leaky)
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
    rename_old_keys=rename_old_keys,
    ncnn_names=_ncnn_names,
    network_class=_network_class,
    full_precision_layers=_full_precision_layers,
    fold=lambda network: network.unshuffle,
    row_graph=_row_graph,
    initialise=_initialise,
)
