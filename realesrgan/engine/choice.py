"""Choose what computes a network: torch, or the compiled kernels where they can, and how precisely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch
from torch import nn

from ..errors import UsageError
from ..families import family_of
from ..restorer import EngineKind, KernelVariant
from .device import Precision, choose_precision, device_name
from .kernels import library, lowering

if TYPE_CHECKING:
    from .kernels.native import NativeNetwork

VARIANTS: tuple[KernelVariant, ...] = get_args(KernelVariant)
BF16_VARIANT: KernelVariant = "amx"  # computes in mixed bf16, the others in fp32
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
    variant: KernelVariant | None = None
    slow: str | None = None

    @property
    def way(self) -> str:
        """What the bytes of results depend on: two that differ in it may round differently.

        In fp32 all variants of the compiled kernels give the same.
        """
        if self.variant is not None:
            return f"{self.precision.value} by the compiled kernels"
        on_gpu = f" on {torch.cuda.get_device_name(self.device)}" if self.device.type == "cuda" else ""
        return f"{self.precision.value} by torch{on_gpu}"

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


def variants_here() -> tuple[KernelVariant, ...]:
    """The variants of the compiled kernels that `choose` may take on this machine's CPU, from the fastest.

    AMX is among them only where bfloat16 is used by default. There are none where the kernels are not installed.
    """
    loaded = library.load()
    if loaded is None:
        return ()
    in_bf16 = choose_precision(torch.device("cpu"), reduced=True) is Precision.MIXED_BF16
    return tuple(
        variant for variant in VARIANTS if library.supported(loaded, variant) and (in_bf16 or variant != BF16_VARIANT)
    )


def choose(network: nn.Module, device: torch.device, *, reduced: bool, kind: EngineKind) -> Choice:
    """How precisely to compute `network` on `device`, and with what.

    A processor that multiplies bfloat16 with AMX does that in the kernels as in torch. Others have the kernels compute
    in fp32, by Winograd's method, which is faster than torch in any precision.

    Raises:
        UsageError: `kind` is "native" or a variant, and the kernels cannot compute this here that way; says why.
    """
    precision = choose_precision(device, reduced=reduced)
    if precision is Precision.MIXED_BF16 and family_of(network) is None:
        precision = Precision.FP32  # its residuals would be summed in bf16, which shows
    if kind == "torch":
        return Choice(device, precision)
    reason, instead = _refusal(network, device, precision), ""
    if reason is None:
        precise = [one for one in variants_here() if one != BF16_VARIANT or precision is Precision.MIXED_BF16]
        for variant in precise:
            if kind in ("auto", "native", variant):
                return Choice(device, precision if variant == BF16_VARIANT else Precision.FP32, variant)
        reason, instead = _lack(kind), f"use {' or '.join(precise)}, or " if precise else ""
    if kind != "auto":
        raise UsageError(f"`engine` {kind}: {reason}; {instead}leave `engine` out")
    slow = f"{NOT_INSTALLED}: with a C++ compiler, install this project again to be several times as fast"
    return Choice(device, precision, slow=slow if reason == NOT_INSTALLED else None)


def kernels_refusal(network: nn.Module) -> str | None:
    """Why the compiled kernels cannot compute `network` on any machine; None where they can, once installed."""
    family = family_of(network)
    if family is None:
        return "the compiled kernels do not know this network"
    unknown = lowering.refusal(network, family)
    return f"the compiled kernels cannot compute this network: {unknown}" if unknown else None


def _refusal(network: nn.Module, device: torch.device, precision: Precision) -> str | None:
    """Why no variant of the kernels can compute `network` on `device`; None if nothing speaks against it so far."""
    if device.type != "cpu" or precision is Precision.HALF:
        return f"the compiled kernels compute on the CPU, not on {device}"
    return kernels_refusal(network) or (NOT_INSTALLED if library.load() is None else None)


def _lack(kind: EngineKind) -> str:
    """Why none of the variants that are precise enough is one of `kind`."""
    if kind in ("auto", "native"):
        return "this processor has neither AVX2 nor AVX512"
    if kind in variants_here():
        return "it computes in mixed bf16, and `fp32` was asked for"
    return "this processor does not run it"


def native_network(network: nn.Module, variant: str | None) -> NativeNetwork | None:
    """`network`, in its final types, for a variant that `choose` gave."""
    family = family_of(network)
    if variant is None or family is None:
        return None
    from .kernels.native import NativeNetwork

    loaded = library.load()
    assert loaded is not None
    return NativeNetwork(loaded, variant, network, family)
