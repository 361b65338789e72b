"""SRVGGNetCompact, the small generator: a chain of convolutions at input resolution, one pixel-shuffle at the end."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .family import Family, NetworkSpec, Shapes, Write, channels_in_words, check_channels

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..archs.srvgg_arch import SRVGGNetCompact
    from .row_graph import Activation, Graph

NAME = "SRVGGNetCompact"


@dataclass(frozen=True)
class SRVGGNetCompactSpec:
    """The constructor arguments of SRVGGNetCompact."""

    num_in_ch: int = 3
    num_out_ch: int = 3
    num_feat: int = 64
    num_conv: int = 16
    upscale: int = 4
    act_type: str = "prelu"

    @property
    def scale(self) -> int:
        return self.upscale

    @property
    def size_multiple(self) -> int:
        return 1

    @property
    def multiply_adds(self) -> float:
        feat = self.num_feat
        return 9 * feat * (self.num_in_ch + self.num_conv * feat + self.num_out_ch * self.upscale**2)

    @property
    def receptive_radius(self) -> int:
        return self.num_conv + 2

    def bytes_per_pixel(self, feature_itemsize: int) -> float:
        """Two layers' features and what the activation copies, and the enlarged picture in fp32."""
        return 3 * self.num_feat * feature_itemsize + 12 * self.num_out_ch * self.scale**2

    def build(self) -> SRVGGNetCompact:
        return _network_class()(**asdict(self))

    def __str__(self) -> str:
        pictures = channels_in_words(self.num_in_ch)
        return f"{NAME} ×{self.upscale}{pictures}, {self.num_conv} convolutions, {self.num_feat} features"


def _spec_of(shapes: Shapes) -> NetworkSpec | None:
    # A number larger than the file has tensors is not the last layer's: whoever builds this pays for all before it.
    convs = [n for n in range(0, len(shapes), 2) if len(shapes.get(f"body.{n}.weight", ())) == 4]
    if len(convs) < 2 or convs[0] != 0:
        return None
    first, last = "body.0.weight", f"body.{convs[-1]}.weight"
    num_feat, num_in_ch = shapes[first][:2]
    upscale = max(1, round((shapes[last][0] / num_in_ch) ** 0.5))  # pixel-shuffle ends with the input's channels
    num_out_ch = shapes[last][0] // upscale**2
    check_channels(NAME, num_in_ch, num_out_ch)
    # ReLU and LeakyReLU leave no tensor behind; the published networks without PReLU use ReLU.
    act_type = "prelu" if "body.1.weight" in shapes else "relu"
    return SRVGGNetCompactSpec(num_in_ch, num_out_ch, num_feat, convs[-1] // 2 - 1, upscale, act_type)


def _rename_old_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(state)  # it never had others


def _ncnn_names(layer_count: int, kinds: Set[str]) -> list[str] | None:
    # At scale 1 nothing is shuffled. Activations without slopes are not among the layers, but among PyTorch's numbers.
    step = 1 if "PReLU" in kinds else 2
    return [f"body.{step * i}" for i in range(layer_count)] if kinds & {"PixelShuffle", "PReLU"} else None


def _network_class() -> type[SRVGGNetCompact]:
    from ..archs.srvgg_arch import SRVGGNetCompact

    return SRVGGNetCompact


def _full_precision_layers(network: SRVGGNetCompact, rounds_results: bool) -> tuple[nn.Module, ...]:
    """The convolution that reads the picture, and its activation. Measured in mixed bf16 on photographs with
    realesr-animevideov3, they are worth up to 5 dB and cost next to nothing; the middle and the last convolution would
    be worth 0.3 dB together, for an eighth of the time."""
    return network.body[0], network.body[1]


def _row_graph(network: SRVGGNetCompact, height: int, width: int, dtype: torch.dtype, write: Write) -> Graph:
    import torch
    from torch import nn

    from .row_graph import Graph, Result

    graph = Graph(network.num_in_ch, height, width, dtype)
    x = graph.picture
    *convs, last = (layer for layer in network.body if isinstance(layer, nn.Conv2d))
    for conv, activation in zip(convs, network.body[1::2], strict=True):
        x = graph.add(conv, x, activation=_writing(activation))
    result = torch.promote_types(last.weight.dtype, dtype)
    graph.add(last, x, dtype=result, residuals=((graph.picture, 1.0),), result=Result(write, network.upscale))
    return graph


def _writing(activation: nn.Module) -> Activation:
    """`activation` for a row graph: without a copy where torch can write its result into a given place."""
    import torch
    from torch import nn

    from .row_graph import Activation, leaky_relu

    if isinstance(activation, nn.LeakyReLU):
        return leaky_relu(activation.negative_slope)
    if isinstance(activation, nn.ReLU):
        return Activation(0.0, lambda x, out: torch.clamp_min(x, 0, out=out))
    assert isinstance(activation, nn.PReLU)
    return Activation(activation.weight, lambda x, out: out.copy_(activation(x)), copies=True)


SRVGGNET_COMPACT = Family(
    name=NAME,
    spec_of=_spec_of,
    rename_old_keys=_rename_old_keys,
    ncnn_names=_ncnn_names,
    network_class=_network_class,
    full_precision_layers=_full_precision_layers,
    fold=lambda network: 1,
    row_graph=_row_graph,
)
