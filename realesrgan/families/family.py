"""What the project may ask about a family of networks, and about the numbers of one network. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from .row_graph import Graph

Shapes = Mapping[str, tuple[int, ...]]  # of a checkpoint's tensors, by key
Write = Callable[[int, "Tensor"], None]  # takes a top row of the result, and (N, C, rows, W·scale) from there down

RGB_CHANNELS, RGBA_CHANNELS = 3, 4
PICTURE_CHANNELS = (1, RGB_CHANNELS, RGBA_CHANNELS)  # 1: gray


class Unsupported(Exception):
    """The checkpoint belongs to the family, but not to a network that can be used; the message says what it is."""


class NetworkSpec(Protocol):
    """The constructor arguments of one network and what follows from them. Two specs are equal if the networks are."""

    @property
    def num_in_ch(self) -> int: ...

    @property
    def num_out_ch(self) -> int: ...

    @property
    def scale(self) -> int:
        """How many times larger the network makes a picture."""
        ...

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        ...

    @property
    def multiply_adds(self) -> float:
        """Work per input pixel."""
        ...

    @property
    def receptive_radius(self) -> int:
        """How many input pixels to each side a pixel of the result can depend on."""
        ...

    def bytes_per_pixel(self, feature_itemsize: int) -> float:
        """Roughly what one forward pass holds at its peak for each input pixel, with features of so many bytes each."""
        ...

    def build(self) -> nn.Module:
        """The network, freshly initialised."""
        ...


@dataclass(frozen=True)
class Family:
    """All that is known of one family of networks.

    Functions that take a network take one of `network_class`, which callers make sure of with `families.family_of`.

    Attributes:
        name: what users know the family as.
        spec_of: tells the numbers of a network from the shapes of its tensors; None if it is of another family.
            It may be wrong about other families' checkpoints that resemble this one, so build it and compare.
            Raises Unsupported.
        rename_old_keys: gives tensors under key names of older releases today's names; all others pass unchanged.
        ncnn_names: names the layers with weights in an ncnn file, in their order, given their number and the kinds of
            all layers; None if the family has no network like that.
        network_class: imports and returns the class.
        full_precision_layers: the layers that stay in fp32 in mixed precision, because rounding their weights costs
            more accuracy than they take time. The flag says whether results of convolutions are rounded, too, as by
            torch, or added to and activated in fp32 first.
        fold: the side of the squares of pixels that the network folds into channels before its first layer.
        row_graph: the network's layers for streaming, given the folded height and width, the type of the input, and
            a function that takes the rows of the result.
        initialise: gives a freshly built network the initial values that training starts from, where these are not
            what its constructor draws.
    """

    name: str
    spec_of: Callable[[Shapes], NetworkSpec | None]
    rename_old_keys: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    ncnn_names: Callable[[int, Set[str]], list[str] | None]
    network_class: Callable[[], type[nn.Module]]
    full_precision_layers: Callable[[Any, bool], tuple[nn.Module, ...]]
    fold: Callable[[Any], int]
    row_graph: Callable[[Any, int, int, torch.dtype, Write], Graph]
    initialise: Callable[[nn.Module], None] = lambda network: None


def check_channels(name: str, num_in_ch: int, num_out_ch: int) -> None:
    """Raise Unsupported unless a network takes gray, RGB or RGBA pictures and gives the same kind."""
    if num_in_ch != num_out_ch or num_in_ch not in PICTURE_CHANNELS:
        raise Unsupported(
            f"this is {name} for pictures of {num_in_ch} channel{'s'[: num_in_ch - 1]} in and {num_out_ch} out; "
            "only networks for gray, RGB or RGBA pictures, with 1, 3 or 4 channels in and as many out, can be used"
        )


def channels_in_words(channels: int) -> str:
    """What a network's name says of its pictures: nothing of RGB ones."""
    return {1: " for gray pictures", 4: " for RGBA pictures"}.get(channels, "")
