"""What can be measured of a picture, by name, and how many values become one. Knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..arrays import Array
from ..errors import UsageError
from ..restorer import Reporter
from . import fidelity

DEFAULT_METRICS = ("psnr", "ssim")


@dataclass(frozen=True)
class Metric:
    """A measure by its name: `measure(result, original)` of two pictures of one size, as OpenCV has them.

    It gives a number, infinity, or NaN where it has no meaning, and raises RealESRGANError where it fails.
    """

    name: str
    measure: Callable[[Array, Array], float]
    lower_is_better: bool = False

    def worst(self, values: Sequence[float]) -> float:
        """The worst of `values` that are numbers; NaN if none is."""
        numbers = [value for value in values if not math.isnan(value)]
        return (max if self.lower_is_better else min)(numbers, default=math.nan)


BUILT_IN = {
    metric.name: metric
    for metric in (
        Metric("psnr", fidelity.psnr),
        Metric("ssim", fidelity.ssim),
        Metric("psnr_y", partial(fidelity.psnr, luma=True)),
        Metric("ssim_y", partial(fidelity.ssim, luma=True)),
    )
}


def choose(names: Sequence[str], reporter: Reporter, *, luma: bool = False) -> list[Metric]:
    """The metrics of these names, in order; those not built in come from pyiqa, which is imported only then.

    With `luma`, psnr and ssim are followed by psnr_y and ssim_y.

    Raises:
        UsageError: a metric is unknown, or pyiqa is not installed.
    """
    wanted = [one for name in names for one in ((name, f"{name}_y") if luma and name in DEFAULT_METRICS else (name,))]
    wanted = list(dict.fromkeys(wanted))  # each once
    if not wanted or "" in wanted:
        raise UsageError(f"`metrics` {','.join(names)}: give names with commas between them, as psnr,ssim,lpips")
    foreign = [name for name in wanted if name not in BUILT_IN]
    loaded = {}
    if foreign:
        from . import learned

        loaded = {metric.name: metric for metric in learned.load(foreign, reporter)}
    return [BUILT_IN.get(name) or loaded[name] for name in wanted]


def mean(values: Sequence[float]) -> float:
    """The mean of the finite `values`; infinity if there are only infinite ones, NaN if there are none.

    One picture that equals its original would otherwise make the PSNR of a whole set infinite.
    """
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        return math.fsum(finite) / len(finite)
    return math.inf if any(math.isinf(value) for value in values) else math.nan
