"""What is known of a training as it goes, as plain data: a line of JSON for each interval and each validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

_DIGITS = 7  # significant ones: what a float32 holds


def _or_nan(value: Any) -> Any:
    return math.nan if value is None else value


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


# JSON has only finite numbers: others are written as null, and read as not a number.
Number: TypeAlias = Annotated[float, BeforeValidator(_or_nan), AfterValidator(_round)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Values(_Data):
    """How near a result is to its target.

    Attributes:
        psnr: in dB, of all channels.
        ssim: 1 if the two are the same.
        sharpness: the variance of the Laplacian over that of the target; below 1 is blurred, above 1 too rough.
        contrast: the standard deviation of all levels over that of the target; near 0 all is of one colour.
        colour: mean of result − target for red, green and blue, in 8-bit levels.
    """

    psnr: Number
    ssim: Number
    sharpness: Number
    contrast: Number
    colour: tuple[Number, Number, Number]


def mean_of(values: Sequence[Values]) -> Values:
    """The mean of several pictures, of ratios the geometric one; what is not a number is left out."""
    red, green, blue = (_mean([one.colour[channel] for one in values]) for channel in range(3))
    return Values(
        psnr=_mean([one.psnr for one in values]),
        ssim=_mean([one.ssim for one in values]),
        sharpness=_geometric_mean([one.sharpness for one in values]),
        contrast=_geometric_mean([one.contrast for one in values]),
        colour=(red, green, blue),
    )


def _mean(numbers: list[float]) -> float:
    finite = [number for number in numbers if math.isfinite(number)]
    return sum(finite) / len(finite) if finite else math.nan


def _geometric_mean(ratios: list[float]) -> float:
    # A result of one colour has the ratio 0, which has no logarithm.
    return math.exp(_mean([math.log(max(ratio, 1e-6)) for ratio in ratios if ratio >= 0]))


class Logged(_Data):
    """What an interval of training came to.

    Attributes:
        iteration: iterations done when the interval ended.
        pictures: pictures seen since the start of training.
        seconds: spent on training since its start, over all runs.
        losses: by their published names: l_pix, l_g_gan, out_d_real and so on.
        lr: learning rate of the generator.
        pictures_per_second: in this interval.
        waiting_share: of this interval, how much was spent waiting for pictures, from 0 to 1.
    """

    iteration: int
    pictures: int
    seconds: Number
    losses: dict[str, Number]
    lr: Number
    pictures_per_second: Number
    waiting_share: Number


class Validated(_Data):
    """What held-out pictures came to after so many iterations: their mean, and each by its name."""

    iteration: int
    validation: Values
    each: dict[str, Values]


Line: TypeAlias = Logged | Validated
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


def parse(text: bytes) -> Line | None:
    """A line as it was written, or None where it is cut short or something else."""
    try:
        return _LINE.validate_json(text)
    except ValidationError:
        return None
