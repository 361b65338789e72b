"""What the sections of a training recipe hold about networks, optimisers, learning rates and losses."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from math import cos, pi
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A section of a recipe: keys it does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _whole(value: Any) -> Any:
    """The number in words such as 5e3, which is no number to YAML; anything else stays for pydantic to judge."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Count: TypeAlias = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
CountOrNone: TypeAlias = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Weight: TypeAlias = Annotated[float, Field(ge=0)]


class LargeGeneratorOptions(Section):
    """The large generator; defaults are those of RealESRGAN_x4plus."""

    type: Literal["RRDBNet"]
    num_in_ch: Literal[3] = 3
    num_out_ch: Literal[3] = 3
    scale: Literal[1, 2, 4] = 4
    num_feat: Count = 64
    num_block: Count = 23
    num_grow_ch: Count = 32

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 4 // self.scale


class CompactGeneratorOptions(Section):
    """The small generator; defaults are those of realesr-animevideov3."""

    type: Literal["SRVGGNetCompact"]
    num_in_ch: Literal[3] = 3
    num_out_ch: Literal[3] = 3
    num_feat: Count = 64
    num_conv: Count = 16
    upscale: Annotated[int, Field(ge=1, le=16)] = 4
    act_type: Literal["relu", "prelu", "leakyrelu"] = "prelu"

    @property
    def scale(self) -> int:
        return self.upscale

    @property
    def size_multiple(self) -> int:
        return 1


Generator: TypeAlias = Annotated[LargeGeneratorOptions | CompactGeneratorOptions, Field(discriminator="type")]


class DiscriminatorOptions(Section):
    """The discriminator of stage 2."""

    type: Literal["UNetDiscriminatorSN"]
    num_in_ch: Literal[3] = 3
    num_feat: Count = 64
    skip_connection: bool = True


class OptimizerOptions(Section):
    """Adam, or AdamW, whose weight decay is apart from the gradient. The published recipes give lr and betas."""

    type: Literal["Adam", "AdamW"] = "Adam"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Weight = 0.0
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.99)


def _rising(milestones: tuple[int, ...]) -> tuple[int, ...]:
    if list(milestones) != sorted(milestones):
        raise ValueError("must rise: the earlier iteration comes first")
    return milestones


class MultiStepOptions(Section):
    """The learning rate is multiplied by `gamma` after each milestone, an iteration."""

    type: Literal["MultiStepLR"]
    milestones: Annotated[tuple[Count, ...], AfterValidator(_rising)]
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1

    def rate(self, start: float, iteration: int) -> float:
        """The learning rate of `iteration`, from 1."""
        return start * self.gamma ** bisect_right(self.milestones, iteration - 1)


class CosineOptions(Section):
    """The learning rate falls along a cosine to `eta_min` in each period, then starts again at its share of the first.

    `periods` are lengths in iterations, `restart_weights` the shares.
    """

    type: Literal["CosineAnnealingRestartLR"]
    periods: Annotated[tuple[Count, ...], Field(min_length=1)]
    restart_weights: tuple[Weight, ...] = (1.0,)
    eta_min: Weight = 0.0

    @model_validator(mode="after")
    def _as_many_weights_as_periods(self) -> CosineOptions:
        if len(self.periods) != len(self.restart_weights):
            raise ValueError("periods and restart_weights must be of the same length")
        return self

    def rate(self, start: float, iteration: int) -> float:
        """The learning rate of `iteration`, from 1; after the last period it stays at its end."""
        ends = list(accumulate(self.periods))
        done = min(iteration - 1, ends[-1])
        number = bisect_left(ends, done)
        began = ends[number] - self.periods[number]
        swing = 0.5 * (1 + cos(pi * (done - began) / self.periods[number]))
        return self.eta_min + self.restart_weights[number] * (start - self.eta_min) * swing


Scheduler: TypeAlias = Annotated[MultiStepOptions | CosineOptions, Field(discriminator="type")]


class PixelLossOptions(Section):
    """The absolute difference of two pictures."""

    type: Literal["L1Loss"]
    loss_weight: Weight = 1.0
    reduction: Literal["mean", "sum"] = "mean"


# Of each block of VGG19, how many convolutions it has.
_VGG19_BLOCKS = (2, 2, 4, 4, 4)
VGG19_LAYERS = tuple(f"conv{block}_{n + 1}" for block, number in enumerate(_VGG19_BLOCKS, 1) for n in range(number))
PUBLISHED_LAYER_WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}


def _layers_of_vgg19(weights: dict[str, float]) -> dict[str, float]:
    if unknown := [name for name in weights if name not in VGG19_LAYERS]:
        raise ValueError(f"no layer {', '.join(unknown)} in VGG19; it has conv1_1 to conv5_4, before their ReLU")
    if not weights:
        raise ValueError("name at least one layer")
    return weights


class PerceptualLossOptions(Section):
    """The difference of two pictures in VGG19's features before ReLU, and of their style."""

    type: Literal["PerceptualLoss"]
    layer_weights: Annotated[dict[str, Weight], AfterValidator(_layers_of_vgg19)] = PUBLISHED_LAYER_WEIGHTS
    vgg_type: Literal["vgg19"] = "vgg19"
    use_input_norm: bool = True
    range_norm: bool = False
    perceptual_weight: Weight = 1.0
    style_weight: Weight = 0.0
    criterion: Literal["l1", "l2", "fro"] = "l1"


class GANLossOptions(Section):
    """How the discriminator judges; `loss_weight` is the share in the generator's loss."""

    type: Literal["GANLoss"]
    gan_type: Literal["vanilla", "lsgan", "wgan", "wgan_softplus", "hinge"] = "vanilla"
    real_label_val: float = 1.0
    fake_label_val: float = 0.0
    loss_weight: Weight = 0.1


class TrainOptions(Section):
    """The section `train`. Iterations are steps of the optimiser, each over a batch on every device.

    Attributes:
        ema_decay: how much of the averaged weights stays in each iteration.
        scheduler: how learning rates change; None leaves them constant.
        warmup_iter: in so many iterations the learning rate rises from 0; -1 is none.
        net_d_iters: the generator learns in every so many iterations.
        net_d_init_iters: in so many iterations at the start only the discriminator learns.
    """

    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    optim_g: OptimizerOptions
    optim_d: OptimizerOptions | None = None
    scheduler: Scheduler | None = None
    total_iter: Count
    warmup_iter: Annotated[int, BeforeValidator(_whole), Field(ge=-1)] = -1
    pixel_opt: PixelLossOptions | None = None
    perceptual_opt: PerceptualLossOptions | None = None
    gan_opt: GANLossOptions | None = None
    net_d_iters: Count = 1
    net_d_init_iters: CountOrNone = 0

    def rate(self, optimizer: OptimizerOptions, iteration: int) -> float:
        """The learning rate of `iteration`, from 1: a function of it, so that there is no state to save."""
        rate = optimizer.lr if self.scheduler is None else self.scheduler.rate(optimizer.lr, iteration)
        return optimizer.lr / self.warmup_iter * iteration if iteration < self.warmup_iter else rate
