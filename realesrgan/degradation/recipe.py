"""How strong each degradation may be and how likely it is: the keys of the published recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from .steps import REAL_FORMATS, JpegQuality, JpegTables, KernelKind, RealFormat, Sigma, Strength

LEAST_SUM = 1e-9  # of weights; far below it, products of them and chance would round to 0


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"{pair[0]:g} to {pair[1]:g} is no range: the smaller number comes first")
    return pair


def _some(weights: tuple[float, ...]) -> tuple[float, ...]:
    if sum(weights) < LEAST_SUM:
        raise ValueError("at least one must be above 0")
    return weights


def _no_switch(value: object) -> object:
    """Refuse true and false where numbers are wanted; pydantic would take them for 1 and 0."""
    if isinstance(value, bool) or (isinstance(value, (list, tuple)) and any(isinstance(one, bool) for one in value)):
        raise ValueError("true and false are no numbers")
    return value


_Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Weight: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]
_Weights: TypeAlias = Annotated[tuple[_Weight, ...], AfterValidator(_some)]
_ThreeWeights: TypeAlias = Annotated[tuple[_Weight, _Weight, _Weight], AfterValidator(_some)]
_StrengthRange: TypeAlias = Annotated[tuple[Strength, Strength], AfterValidator(_in_order)]
_SigmaRange: TypeAlias = Annotated[tuple[Sigma, Sigma], AfterValidator(_in_order)]
_QualityRange: TypeAlias = Annotated[tuple[JpegQuality, JpegQuality], AfterValidator(_in_order)]
_FileQuality: TypeAlias = Annotated[int, Field(ge=1, le=100)]
_Crf: TypeAlias = Annotated[int, Field(ge=0, le=51)]
# Drawn from below 1 or from above 1, so 1 lies within.
_AroundOne: TypeAlias = tuple[Annotated[float, Field(ge=1e-3, le=1)], Annotated[float, Field(ge=1, le=64)]]

_KINDS: tuple[KernelKind, ...] = (
    "iso",
    "aniso",
    "generalized_iso",
    "generalized_aniso",
    "plateau_iso",
    "plateau_aniso",
)
_KIND_WEIGHTS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
_SWITCHES = ("sharpen", "shared_gray_noise", "repeated_seeds")


class Order(NamedTuple):
    """One round of blur, resize, noise and JPEG; the names are those of the recipe's keys."""

    kernel_list: Sequence[KernelKind]
    kernel_prob: Sequence[float]
    sinc_prob: float
    blur_sigma: tuple[float, float]
    betag_range: tuple[float, float]
    betap_range: tuple[float, float]
    resize_prob: Sequence[float]
    resize_range: tuple[float, float]
    gaussian_noise_prob: float
    noise_range: tuple[float, float]
    poisson_scale_range: tuple[float, float]
    gray_noise_prob: float
    jpeg_range: tuple[float, float]


class Recipe(BaseModel):
    """Ranges and probabilities of all that can happen to a picture; the defaults are the published ones for ×4.

    Keys with a 2 belong to the second order.

    Attributes:
        scale: how many times smaller the result is than the original.
        orders: 2, or 1 for the classical model: blur, resize to the final size, noise, JPEG.
        sharpen: degrade the sharpened original, as published.
        kernel_list, kernel_prob: kinds of blur kernels, and their weights.
        sinc_prob: probability of a sinc kernel instead.
        blur_sigma: in pixels.
        betag_range, betap_range: shape of generalised Gaussian and of plateau kernels.
        resize_prob: weights of up, down and keep.
        resize_range: the smallest factor and the largest.
        gaussian_noise_prob: probability of Gaussian noise; else it is Poisson noise.
        noise_range: σ of Gaussian noise, in levels of 255.
        poisson_scale_range: scale of Poisson noise.
        gray_noise_prob: probability of noise that is the same in all colours.
        jpeg_range: quality of JPEG, 100 is best.
        second_blur_prob: probability of a blur in the second order.
        final_sinc_prob: probability of the sinc filter at the end.
        jpeg_tables: "published" has the luminance table transposed, as the published training did; "standard" has what
            real files have.
        queue_size: above 0, what the published training draws once a batch is drawn once a batch, and a pool of so
            many pairs mixes them (`pool.Pool`). 0 gives every picture a degradation of its own, which needs no pool.
        shared_gray_noise: a published fault; the gray pictures of a batch share their Gaussian noise.
        repeated_seeds: a published fault; every epoch draws the same flips, crops and kernels.
        real_prob: probability that the result goes through a real file or video in the end.
        real_formats, real_format_prob: which ones, and their weights.
        real_quality_range: quality of files, 100 is best.
        real_crf_range: CRF of videos, 0 is best.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: int = Field(default=4, ge=1, le=16)
    orders: Literal[1, 2] = 2
    sharpen: bool = True

    kernel_list: tuple[KernelKind, ...] = _KINDS
    kernel_prob: _Weights = _KIND_WEIGHTS
    sinc_prob: _Probability = 0.1
    blur_sigma: _SigmaRange = (0.2, 3.0)
    betag_range: _AroundOne = (0.5, 4.0)
    betap_range: _AroundOne = (1.0, 2.0)
    resize_prob: _ThreeWeights = (0.2, 0.7, 0.1)
    resize_range: _AroundOne = (0.15, 1.5)
    gaussian_noise_prob: _Probability = 0.5
    noise_range: _StrengthRange = (1.0, 30.0)
    poisson_scale_range: _StrengthRange = (0.05, 3.0)
    gray_noise_prob: _Probability = 0.4
    jpeg_range: _QualityRange = (30.0, 95.0)

    second_blur_prob: _Probability = 0.8
    kernel_list2: tuple[KernelKind, ...] = _KINDS
    kernel_prob2: _Weights = _KIND_WEIGHTS
    sinc_prob2: _Probability = 0.1
    blur_sigma2: _SigmaRange = (0.2, 1.5)
    betag_range2: _AroundOne = (0.5, 4.0)
    betap_range2: _AroundOne = (1.0, 2.0)
    resize_prob2: _ThreeWeights = (0.3, 0.4, 0.3)
    resize_range2: _AroundOne = (0.3, 1.2)
    gaussian_noise_prob2: _Probability = 0.5
    noise_range2: _StrengthRange = (1.0, 25.0)
    poisson_scale_range2: _StrengthRange = (0.05, 2.5)
    gray_noise_prob2: _Probability = 0.4
    jpeg_range2: _QualityRange = (30.0, 95.0)
    final_sinc_prob: _Probability = 0.8

    jpeg_tables: JpegTables = "published"
    queue_size: int = Field(default=0, ge=0)
    shared_gray_noise: bool = False
    repeated_seeds: bool = False

    real_prob: _Probability = 0.0
    real_formats: tuple[RealFormat, ...] = REAL_FORMATS
    real_format_prob: _Weights | None = None
    real_quality_range: Annotated[tuple[_FileQuality, _FileQuality], AfterValidator(_in_order)] = (30, 95)
    real_crf_range: Annotated[tuple[_Crf, _Crf], AfterValidator(_in_order)] = (18, 35)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_switches(cls, value: object, info: ValidationInfo) -> object:
        return value if info.field_name in _SWITCHES else _no_switch(value)

    @model_validator(mode="after")
    def _as_many_weights_as_choices(self) -> Recipe:
        for names, weights in (
            ("kernel_list", "kernel_prob"),
            ("kernel_list2", "kernel_prob2"),
            ("real_formats", "real_format_prob"),
        ):
            here, there = getattr(self, names), getattr(self, weights)
            if not here or (there is not None and len(here) != len(there)):
                raise ValueError(f"{names} and {weights} must be of the same length, and not empty")
        return self

    @property
    def once_a_batch(self) -> bool:
        """Whether a batch shares the draws that the published training makes once a batch."""
        return self.queue_size > 0

    def order(self, number: Literal[1, 2]) -> Order:
        """The keys of the first or the second order."""
        suffix = "" if number == 1 else "2"
        return Order(*(getattr(self, name + suffix) for name in Order._fields))


PUBLISHED = Recipe()
OF_BATCHES = ("queue_size", "shared_gray_noise", "repeated_seeds")  # keys that concern the batches of training alone
