"""The StyleGAN2 generator (Karras et al., arXiv:1912.04958) in the plain-PyTorch form that GFPGAN decodes with.

It enlarges bilinearly where the original uses an FIR filter, and learning-rate equalisation is folded into the weights.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2
EPSILON = 1e-8  # added under both square roots, as published
GAIN = 2**0.5  # of a style convolution; compensates for the leaky ReLU
FIRST_SIZE = 4  # side of the learned constant that the generator starts from
FULL_WIDTH = 512  # channels up to 32×32; beyond, doubling the side halves them

# Attribute names below are the checkpoint format: rename style_convs and every released .pth stops loading.


def feature_channels(size: int, channel_multiplier: float, narrow: float) -> int:
    """Channels of the feature maps `size` pixels wide."""
    width = FULL_WIDTH if size <= 32 else 16384 // size * channel_multiplier
    return int(width * narrow)


def levels(out_size: int) -> int:
    """How many doublings lead from FIRST_SIZE to `out_size`.

    Raises:
        ValueError: no number of doublings does.
    """
    if out_size < FIRST_SIZE or out_size & (out_size - 1):
        raise ValueError(f"out_size {out_size} is not a power of two from {FIRST_SIZE} on")
    return (out_size // FIRST_SIZE).bit_length() - 1


def resize(x: Tensor, scale_factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=scale_factor, mode="bilinear", align_corners=False)


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU with the published slope, in place."""
    return F.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


def _wide(x: Tensor) -> Tensor:
    """Cast to at least fp32: squares of half-precision numbers overflow easily."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class NormStyleCode(nn.Module):
    """Divide by the root mean square along dimension 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, F), or (N, L, F) → the same shape.

        With a style for each layer, that averages over layers, not features, as in the published network.
        """
        return x * torch.rsqrt(_wide(x).square().mean(1, keepdim=True) + EPSILON).to(x.dtype)


class Modulated(nn.Module):
    """The parameters of a convolution without bias whose input channels are scaled by a style."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, num_style_feat: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel_size, kernel_size))
        self.weight.data.div_((in_channels * kernel_size**2) ** 0.5)
        self.modulation = nn.Linear(num_style_feat, in_channels)
        nn.init.kaiming_normal_(self.modulation.weight, nonlinearity="linear")
        nn.init.ones_(self.modulation.bias)


class ModulatedConv2d(Modulated):
    """A modulated and demodulated convolution: each output channel is divided by the norm of its scaled kernel, so that
    its variance does not depend on the style."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, num_style_feat: int, upsample: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, num_style_feat)
        self.upsample = upsample

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, in_channels, H, W), (N, num_style_feat) → (N, out_channels, H, W), twice as large with `upsample`.

        Scaling the input and dividing the output, instead of the kernel, takes one convolution for the whole batch.
        """
        weight = self.weight[0]
        scale = _wide(self.modulation(style))
        demodulation = torch.rsqrt(scale.square() @ _wide(weight).square().sum((2, 3)).T + EPSILON)
        # Scaled so that the strongest channel leaves the convolution at its final size, and the others below theirs:
        # not demodulated until after it, they could overflow fp16.
        strongest = demodulation.amin(1, keepdim=True)
        x = x * (scale * strongest).to(x.dtype)[:, :, None, None]
        if self.upsample:
            x = resize(x, 2)
        result = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return result * (demodulation / strongest).to(x.dtype)[:, :, None, None]


class ModulatedPointwise(Modulated):
    """A modulated 1×1 convolution without demodulation: a small matrix for each sample."""

    def __init__(self, in_channels: int, out_channels: int, num_style_feat: int) -> None:
        super().__init__(in_channels, out_channels, 1, num_style_feat)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, in_channels, H, W), (N, num_style_feat) → (N, out_channels, H, W)."""
        matrices = self.weight[..., 0, 0] * self.modulation(style)[:, None]
        result: Tensor = matrices @ x.flatten(2)
        return result.reshape(len(x), -1, *x.shape[2:])


class StyleConv(nn.Module):
    """Modulated convolution, noise, bias, activation."""

    def __init__(self, in_channels: int, out_channels: int, num_style_feat: int, upsample: bool = False) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(in_channels, out_channels, 3, num_style_feat, upsample)
        self.weight = nn.Parameter(torch.zeros(1))  # of the noise
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """(N, in_channels, H, W), (N, num_style_feat) → (N, out_channels, H, W), twice as large with `upsample`.

        `noise` is (1 or N, 1, H, W) of the output's size; None draws one for each sample.
        """
        result = self.modulated_conv(x, style)
        if noise is None:
            noise = torch.randn_like(result[:, :1], memory_format=torch.contiguous_format)
        result = torch.add(self.bias, result, alpha=GAIN) + self.weight * noise
        return leaky_relu(result)


class ToRGB(nn.Module):
    """One level's contribution to the picture, added to the enlarged picture of the levels below."""

    def __init__(self, in_channels: int, num_style_feat: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedPointwise(in_channels, 3, num_style_feat)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W), (N, num_style_feat), (N, 3, H/2, W/2) → (N, 3, H, W)."""
        picture: Tensor = self.modulated_conv(x, style) + self.bias
        return picture if below is None else picture + resize(below, 2)


class ConstantInput(nn.Module):
    """The learned feature map that the generator starts from."""

    def __init__(self, num_channel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, num_channel, FIRST_SIZE, FIRST_SIZE))


Refinement = Callable[[Tensor, int], Tensor]


class StyleGAN2GeneratorClean(nn.Module):
    """Style → picture, from 4×4 doubling to `out_size`, with two style convolutions and a ToRGB at each size."""

    def __init__(
        self,
        out_size: int,
        num_style_feat: int = 512,
        num_mlp: int = 8,
        channel_multiplier: float = 2,
        narrow: float = 1,
    ) -> None:
        super().__init__()
        self.num_levels = levels(out_size)
        self.num_latent = 2 * self.num_levels + 2
        mlp: list[nn.Module] = [NormStyleCode()]
        for _ in range(num_mlp):
            linear = nn.Linear(num_style_feat, num_style_feat)
            nn.init.kaiming_normal_(linear.weight, NEGATIVE_SLOPE)
            nn.init.zeros_(linear.bias)
            mlp += [linear, nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)]
        self.style_mlp = nn.Sequential(*mlp)

        sizes = [FIRST_SIZE << level for level in range(self.num_levels + 1)]
        channels = [feature_channels(size, channel_multiplier, narrow) for size in sizes]
        self.constant_input = ConstantInput(channels[0])
        self.style_conv1 = StyleConv(channels[0], channels[0], num_style_feat)
        self.to_rgb1 = ToRGB(channels[0], num_style_feat)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for smaller, larger in pairwise(channels):
            self.style_convs.append(StyleConv(smaller, larger, num_style_feat, upsample=True))
            self.style_convs.append(StyleConv(larger, larger, num_style_feat))
            self.to_rgbs.append(ToRGB(larger, num_style_feat))
        self.noises = nn.Module()
        for layer in range(2 * self.num_levels + 1):
            size = sizes[(layer + 1) // 2]
            self.noises.register_buffer(f"noise{layer}", torch.randn(1, 1, size, size))

    def latents(self, style: Tensor, input_is_latent: bool) -> Tensor:
        """(N, num_style_feat) or (N, num_latent, num_style_feat) → the latter, mapped unless `input_is_latent`."""
        if not input_is_latent:
            style = self.style_mlp(style)
        return style if style.dim() == 3 else style[:, None].expand(-1, self.num_latent, -1)

    def synthesize(
        self, latents: Tensor, randomize_noise: bool, refine: Refinement = lambda feat, level: feat
    ) -> Tensor:
        """(N, num_latent, num_style_feat) → (N, 3, out_size, out_size).

        `refine` may change the features between the two convolutions of each level; the first after 4×4 is level 0.
        """
        noises = [None if randomize_noise else noise for noise in self.noises.buffers()]
        feat = self.constant_input.weight.expand(len(latents), -1, -1, -1)
        feat = self.style_conv1(feat, latents[:, 0], noises[0])
        picture: Tensor = self.to_rgb1(feat, latents[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            first, second = 2 * level, 2 * level + 1
            feat = self.style_convs[first](feat, latents[:, first + 1], noises[first + 1])
            feat = refine(feat, level)
            feat = self.style_convs[second](feat, latents[:, second + 1], noises[second + 1])
            # The style of this ToRGB is also that of the next level's first convolution.
            picture = to_rgb(feat, latents[:, second + 2], picture)
        return picture

    def forward(self, style: Tensor, *, input_is_latent: bool = False, randomize_noise: bool = True) -> Tensor:
        """(N, num_style_feat), or a style for each layer (N, num_latent, num_style_feat) → (N, 3, out_size, out_size).

        RGB in [-1, 1], not clamped. `input_is_latent` skips the mapping network; without `randomize_noise` the stored
        noise is used, and the result depends on the style alone.
        """
        return self.synthesize(self.latents(style, input_is_latent), randomize_noise)


class StyleGAN2GeneratorCSFT(StyleGAN2GeneratorClean):
    """With channel-split spatial feature transform (GFPGAN, arXiv:2101.04061, section 3.4).

    At each size, features become features · scale + shift; with `sft_half` only the second half of the channels.
    """

    def __init__(
        self,
        out_size: int,
        num_style_feat: int = 512,
        num_mlp: int = 8,
        channel_multiplier: float = 2,
        narrow: float = 1,
        sft_half: bool = False,
    ) -> None:
        super().__init__(out_size, num_style_feat, num_mlp, channel_multiplier, narrow)
        self.sft_half = sft_half

    def forward(
        self,
        style: Tensor,
        conditions: Sequence[tuple[Tensor, Tensor]] = (),
        *,
        input_is_latent: bool = False,
        randomize_noise: bool = True,
    ) -> Tensor:
        """As above, with `conditions`: the scale and shift of each size from 8×8 on, (N, C, H, W) both.

        There may be fewer than sizes.
        """

        def transform(feat: Tensor, level: int) -> Tensor:
            if level >= len(conditions):
                return feat
            scale, shift = conditions[level]
            if not self.sft_half:
                return torch.addcmul(shift, feat, scale)
            kept, changed = feat.chunk(2, 1)
            return torch.cat((kept, torch.addcmul(shift, changed, scale)), 1)

        latents = self.latents(style, input_is_latent)
        return self.synthesize(latents, randomize_noise, transform)
