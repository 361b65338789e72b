"""What is known of one network of another project, which computes with code that is not this project's.

Its layers are not known, so it cannot be streamed: pictures are computed whole or in tiles. Loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Measured:
    """What a network takes for each pixel of its input, measured on the device it computes on.

    Attributes:
        multiply_adds: in its convolutions and fully connected layers, as `engine.progress` counts them.
        bytes: held at the peak of a forward pass, in the types the network computes in.
    """

    multiply_adds: float
    bytes: float


@dataclass(frozen=True)
class ForeignSpec:
    """A network of another project. Two specs are equal if the networks are of one kind and size.

    Attributes:
        name: of the architecture, as its project calls it.
        tags: its sizes, as users know them: "64nf".
        size_multiple: height and width of an input must be multiples of this.
        window: the network divides a picture into squares of this side, so tiles have to begin at multiples of it.
        supports_half: whether it computes well in fp16.
        needs_whole: its project advises against tiles, because it looks at the whole picture.
        measured: None until an engine has measured it.
    """

    name: str
    scale: int
    num_in_ch: int
    num_out_ch: int
    tags: tuple[str, ...] = ()
    size_multiple: int = 1
    window: int = 1
    supports_half: bool = False
    needs_whole: bool = False
    measured: Measured | None = field(default=None, compare=False)

    @property
    def tile_multiple(self) -> int:
        """Tiles begin and end at multiples of this, or at the picture's border."""
        return lcm(self.size_multiple, self.window)

    @property
    def multiply_adds(self) -> float:
        assert self.measured is not None
        return self.measured.multiply_adds

    @property
    def receptive_radius(self) -> int:
        raise NotImplementedError(f"how far {self.name} looks is measured on a picture, by `engine.seams`")

    def bytes_per_pixel(self, feature_itemsize: int) -> float:
        """As measured, in the types of then."""
        assert self.measured is not None
        return self.measured.bytes

    def build(self) -> nn.Module:
        raise NotImplementedError(f"{self.name} is built by its own project, from the weights")

    def __str__(self) -> str:
        return ", ".join((f"{self.name} ×{self.scale}", *self.tags))
