"""Choose what computes a network: torch, or the compiled kernels where they can, and how precisely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import UsageError
from ..families import family_of
from ..restorer import EngineKind
from .device import Precision, choose_precision, device_name
from .kernels import library, lowering

if TYPE_CHECKING:
    from .kernels.native import NativeNetwork

BF16_VARIANT = "amx"
FP32_VARIANTS = ("avx512", "avx2")
NOT_INSTALLED = "the compiled kernels are not installed"


@dataclass(frozen=True)
class Choice:
    """What computes a network, and how precisely.

    Attributes:
        variant: of the compiled kernels; None: torch computes.
        slow: what is missing to be faster, for the user.
    """

    device: torch.device
    precision: Precision
    variant: str | None = None
    slow: str | None = None

    def __str__(self) -> str:
        """One line for the user: what computes, how precisely, and why."""
        why = {
            Precision.FP32: "full precision",
            Precision.HALF: "half the memory; `fp32` for full precision",
            Precision.MIXED_BF16: "residuals stay in fp32; `fp32` for full precision",
        }[self.precision]
        how = ""
        if self.variant is not None:
            how = f"compiled kernels for {self.variant.upper()}, "
        elif self.precision is Precision.MIXED_BF16:
            how = "this CPU has native bfloat16, "
        line = f"{device_name(self.device)}, {self.precision.value} ({how}{why})"
        return f"{line}; {self.slow}" if self.slow else line


def choose(network: nn.Module, device: torch.device, *, reduced: bool, kind: EngineKind) -> Choice:
    """How precisely to compute `network` on `device`, and with what.

    A processor that multiplies bfloat16 with AMX does that in the kernels as in torch. Others have the kernels compute
    in fp32, by Winograd's method, which is faster than torch in any precision.

    Raises:
        UsageError: `kind` is "native", and the kernels cannot compute this here; says why.
    """
    precision = choose_precision(device, reduced=reduced)
    if precision is Precision.MIXED_BF16 and family_of(network) is None:
        precision = Precision.FP32  # its residuals would be summed in bf16, which shows
    reason = _refusal(network, device, precision) if kind != "torch" else "torch was asked for"
    if reason is None:
        loaded = library.load()
        assert loaded is not None
        if precision is Precision.MIXED_BF16 and library.supported(loaded, BF16_VARIANT):
            return Choice(device, precision, BF16_VARIANT)
        for variant in FP32_VARIANTS:
            if library.supported(loaded, variant):
                return Choice(device, Precision.FP32, variant)
        reason = "this processor has neither AVX2 nor AVX512"
    if kind == "native":
        raise UsageError(f"`engine` native: {reason}; leave `engine` out")
    slow = f"{NOT_INSTALLED}: with a C++ compiler, install this project again to be several times as fast"
    return Choice(device, precision, slow=slow if reason == NOT_INSTALLED else None)


def _refusal(network: nn.Module, device: torch.device, precision: Precision) -> str | None:
    """Why the kernels cannot compute `network` on `device`; None if nothing speaks against it so far."""
    if device.type != "cpu" or precision is Precision.HALF:
        return f"the compiled kernels compute on the CPU, not on {device}"
    family = family_of(network)
    if family is None:
        return "the compiled kernels do not know this network"
    if library.load() is None:
        return NOT_INSTALLED
    unknown = lowering.refusal(network, family)
    return f"the compiled kernels cannot compute this network: {unknown}" if unknown else None


def native_network(network: nn.Module, variant: str | None) -> NativeNetwork | None:
    """`network`, in its final types, for a variant that `choose` gave."""
    family = family_of(network)
    if variant is None or family is None:
        return None
    from .kernels.native import NativeNetwork

    loaded = library.load()
    assert loaded is not None
    return NativeNetwork(loaded, variant, network, family)
