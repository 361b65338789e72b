"""Networks of other projects, recognised and built by spandrel (the extra `models`) from tensors that were read here.

Spandrel sees a state dict and never a file, so reading executes nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from math import lcm
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..families.differences import shortened
from ..families.foreign import ForeignSpec

INSTALL = 'pip install "realesrgan[models]"'
CHANNELS = (1, 3, 4)
SHOWN_LETTERS = 200  # of what a network's own code says of a file that does not fit it

# Attributes in which networks keep the sides of the windows, stripes and patches that they cut pictures into, and how
# much smaller they make them inside.
_WINDOW_NAMES = (
    "window_size",
    "win_size",
    "split_size",
    "stripe_size",
    "patch_size",
    "patch_sizes",
    "ws",
    "ps",
    "padder_size",
)
# Beyond this, no tile could begin at a multiple of all of them: such a network gets tiles on the grid of the rest.
LARGEST_WINDOW = 128


class ForeignNetwork(nn.Module):
    """A network as spandrel describes it, for inputs of any size.

    Inputs are mirrored at the right and the bottom up to the size that the network requires, and the result is cut.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model
        self._sizes = descriptor.size_requirements
        # What a descriptor does between padding and clamping. Clamped, an overflow in fp16 would pass for white.
        self._call = getattr(descriptor, "_call_fn", lambda network, x: descriptor(x))

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the input that the network computes for one of height × width."""
        right, below = self._sizes.get_padding(width, height)
        return height + below, width + right

    def forward(self, x: Tensor) -> Tensor:
        """(1, num_in_ch, H, W) in [0, 1] → (1, num_out_ch, H·scale, W·scale), not clamped."""
        height, width = x.shape[-2:]
        padded_height, padded_width = self.padded_size(height, width)
        x = _mirrored(_mirrored(x, -2, padded_height), -1, padded_width)
        result: Tensor = self._call(self.network, x.contiguous())  # many of them `view` their input
        scale = result.shape[-1] // padded_width
        return result[..., : height * scale, : width * scale]


def _mirrored(x: Tensor, axis: int, length: int) -> Tensor:
    """`x` mirrored at its end, which is not repeated itself, as often as it takes to be of `length` on `axis`."""
    own = x.shape[axis]
    if own == length:
        return x
    period = max(1, 2 * own - 2)
    steps = torch.arange(length, device=x.device) % period
    return x.index_select(axis, torch.minimum(steps, period - steps) if own > 1 else steps)


def load_foreign(state: Mapping[str, Tensor], source: str, refusal: WeightsError) -> tuple[nn.Module, ForeignSpec]:
    """The network of another project that these tensors are of, filled with them.

    `source` names the file in errors; `refusal` is why it holds none of this project's networks.

    Raises:
        WeightsError: spandrel is not installed, or does not know the network, or it is not one for pictures.
    """
    spandrel = _spandrel(refusal)
    try:
        with warnings.catch_warnings():  # of deprecated functions that others' code calls
            warnings.simplefilter("ignore")
            descriptor = spandrel.ModelLoader().load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError:
        raise WeightsError(f"{refusal.message}; spandrel does not know it either") from refusal
    except Exception as error:  # its networks' code meets the tensors of any file, and may raise anything
        raise WeightsError(f"{refusal.message}; {_misfit(spandrel, state, error)}") from error
    spec = _spec_of(descriptor, spandrel)
    if reason := next(_obstacles(descriptor, spandrel), None):
        raise WeightsError(f"{source}: this is {spec}, {reason}")
    return ForeignNetwork(descriptor).requires_grad_(False).eval(), spec


def _spandrel(refusal: WeightsError) -> ModuleType:
    try:
        return import_module("spandrel")
    except Exception as error:  # a torchvision made for another torch raises RuntimeError
        if isinstance(error, ModuleNotFoundError) and error.name == "spandrel":
            advice = f"if it is another project's network: {INSTALL}"
        else:
            advice = f"spandrel, for other projects' networks, cannot be loaded ({error}): {INSTALL}"
        raise WeightsError(f"{refusal.message}; {advice}") from refusal


def _misfit(spandrel: ModuleType, state: Mapping[str, Tensor], error: Exception) -> str:
    """What spandrel took a file for that does not fit."""
    for arch in spandrel.MAIN_REGISTRY.architectures("detection"):
        if arch.detect(dict(state)):
            said = " ".join(str(error).split())[:SHOWN_LETTERS]
            return f"spandrel takes it for {arch.architecture.name}, which it does not fit ({said})"
    return f"spandrel cannot read it either ({type(error).__name__})"


def _obstacles(descriptor: Any, spandrel: ModuleType) -> Iterator[str]:
    """Why a network cannot restore pictures, in words that follow its name."""
    if isinstance(descriptor, spandrel.MaskedImageModelDescriptor):
        yield "which fills in what a mask marks; only networks that need no mask can be used"
    if descriptor.purpose == "FaceSR":
        yield "which restores faces that are cut out; `face_enhance` does that, with networks of its own"
    before, after = descriptor.input_channels, descriptor.output_channels
    if before != after or before not in CHANNELS:
        known = "1, 3 or 4"
        yield f"for pictures of {before} channels in and {after} out; only networks with {known} of both can be used"


def _spec_of(descriptor: Any, spandrel: ModuleType) -> ForeignSpec:
    sizes = descriptor.size_requirements
    return ForeignSpec(
        name=shortened(str(descriptor.architecture.name)),
        scale=int(descriptor.scale),
        num_in_ch=int(descriptor.input_channels),
        num_out_ch=int(descriptor.output_channels),
        tags=tuple(map(str, descriptor.tags)),
        size_multiple=int(sizes.multiple_of),
        window=_window(descriptor.model),
        supports_half=bool(descriptor.supports_half),
        needs_whole=descriptor.tiling is not spandrel.ModelTiling.SUPPORTED,
    )


def _window(network: nn.Module) -> int:
    """The side of the squares that a network divides pictures into, as far as its attributes tell; 1 if not at all."""
    window = 1
    for module in network.modules():
        for name in _WINDOW_NAMES:
            sides = getattr(module, name, ())
            for side in sides if isinstance(sides, list | tuple) else (sides,):
                if isinstance(side, int) and side > 0 and lcm(window, side) <= LARGEST_WINDOW:
                    window = lcm(window, side)
    return window
