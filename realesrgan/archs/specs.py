"""What is needed to build each generator: plain numbers, no torch, so that tables and help texts stay light."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


# Scale of an RRDBNet → side of the squares of pixels it folds into channels; what follows always enlarges 4 times.
UNSHUFFLE = {4: 1, 2: 2, 1: 4}


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
        """Height and width of the input must be multiples of this."""
        return UNSHUFFLE[self.scale]

    @property
    def multiply_adds(self) -> float:
        """Work per input pixel."""
        feat, grow = self.num_feat, self.num_grow_ch
        dense = sum((feat + i * grow) * grow for i in range(4)) + (feat + 4 * grow) * feat
        low = self.num_in_ch * self.size_multiple**2 * feat + self.num_block * 3 * dense + feat * feat
        high = 4 * feat * feat + 16 * (2 * feat * feat + feat * self.num_out_ch)
        return 9 * (low + high) / self.size_multiple**2

    @property
    def receptive_radius(self) -> int:
        """How many input pixels to each side a pixel of the result can depend on: one for each 3×3 convolution in a
        row, three dense blocks of five in each RRDB; the four on the enlarged features reach less than two."""
        return (3 * 5 * self.num_block + 2 + 2) * self.size_multiple

    def build(self) -> nn.Module:
        from .rrdbnet_arch import RRDBNet

        return RRDBNet(**asdict(self))

    def __str__(self) -> str:
        return f"RRDBNet ×{self.scale}, {self.num_block} blocks, {self.num_feat} features"


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
        """Height and width of the input must be multiples of this."""
        return 1

    @property
    def multiply_adds(self) -> float:
        """Work per input pixel."""
        feat = self.num_feat
        return 9 * feat * (self.num_in_ch + self.num_conv * feat + self.num_out_ch * self.upscale**2)

    @property
    def receptive_radius(self) -> int:
        """How many input pixels to each side a pixel of the result can depend on."""
        return self.num_conv + 2

    def build(self) -> nn.Module:
        from .srvgg_arch import SRVGGNetCompact

        return SRVGGNetCompact(**asdict(self))

    def __str__(self) -> str:
        return f"SRVGGNetCompact ×{self.upscale}, {self.num_conv} convolutions, {self.num_feat} features"


NetworkSpec = RRDBNetSpec | SRVGGNetCompactSpec
