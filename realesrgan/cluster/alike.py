"""How all workers of a job can compute alike: with the precision and the kernels that the best of them share.

Results are equal to the byte only where this is so; what is chosen here is checked on a small picture by each worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..loading import Settings
from ..restorer import EngineKind
from .nodes import NodeFacts

ROUNDING = "its results would be rounded otherwise; `mixed` would use it"
FP32_VARIANTS = ("avx512", "avx2")  # of the compiled kernels; all give the same bytes


@dataclass(frozen=True)
class Level:
    """A way to compute: on GPUs, or on processors with `engine` and `fp32` as in `Settings`."""

    on_gpus: bool
    engine: EngineKind
    fp32: bool

    def __str__(self) -> str:
        if self.on_gpus:
            return "GPUs"
        if self.engine == "torch":
            return f"torch in {'fp32' if self.fp32 else 'mixed bf16'}"
        return f"the compiled kernels {'in fp32' if self.engine == 'native' else f'for {self.engine.upper()}'}"

    def applied(self, settings: Settings) -> Settings:
        """The settings with this way to compute."""
        return settings if self.on_gpus else replace(settings, engine=self.engine, fp32=self.fp32)

    def suits(self, facts: NodeFacts) -> bool:
        """Whether a node can compute so."""
        if self.on_gpus:
            return facts.has_cuda
        if self.engine == "torch":
            return self.fp32 or facts.has_bf16
        if self.engine == "native":
            return any(variant in facts.variants for variant in FP32_VARIANTS)
        return self.engine in facts.variants


def common_level(settings: Settings, kernels: bool, nodes: Sequence[tuple[NodeFacts, bool]]) -> Level:
    """The best way to compute that all of `nodes` have; each is given with whether its GPUs are used.

    Where there are GPUs they are used alone: no processor computes as they do. `kernels` says whether the compiled ones
    can compute the network. What `settings` ask for is kept, and nodes that lack it cannot take part.
    """
    if any(has_gpus for _, has_gpus in nodes):
        return Level(True, settings.engine, settings.fp32)
    asked = settings.engine
    facts = [
        one for one, _ in nodes if asked in ("auto", "torch", *one.variants) or (asked == "native" and one.variants)
    ]
    # In mixed bf16 torch computes where the processor has it: networks without kernels, and faces.
    fp32 = settings.fp32 or not all(one.has_bf16 for one in facts)
    if asked not in ("auto", "native"):
        return Level(False, asked, settings.fp32 if asked == "amx" else fp32)
    if asked == "auto" and not (kernels and all(one.variants for one in facts)):
        return Level(False, "torch", fp32)
    with_amx = ["amx" in one.variants for one in facts]
    if with_amx and all(with_amx) and not settings.fp32:
        return Level(False, "amx", False)
    return Level(False, "native", fp32 or any(with_amx))
