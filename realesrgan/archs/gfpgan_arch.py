"""GFPGAN (Wang et al., arXiv:2101.04061): a U-Net reads a degraded face, a StyleGAN2 generator redraws it."""

from itertools import pairwise
from os import PathLike

import torch
from torch import Tensor, nn

from .stylegan2_arch import (
    FIRST_SIZE,
    NEGATIVE_SLOPE,
    StyleGAN2GeneratorCSFT,
    feature_channels,
    leaky_relu,
    levels,
    resize,
)

# Attribute names below are the checkpoint format: rename toRGB and every released .pth stops loading.


class ResBlock(nn.Module):
    """Two convolutions with a resize between them, added to the resized input."""

    def __init__(self, in_channels: int, out_channels: int, scale_factor: float) -> None:
        super().__init__()
        self.scale_factor = scale_factor
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, 1, 1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H·scale_factor, W·scale_factor)."""
        result = resize(leaky_relu(self.conv1(x)), self.scale_factor)
        result = leaky_relu(self.conv2(result))
        skip: Tensor = self.skip(resize(x, self.scale_factor))
        return result + skip


def condition(in_channels: int, out_channels: int) -> nn.Sequential:
    """U-Net features → a scale or a shift for the generator's features of the same size."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, 1, 1),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        nn.Conv2d(in_channels, out_channels, 3, 1, 1),
    )


class GFPGANv1Clean(nn.Module):
    """The face restorer.

    The released weights take out_size 512, channel_multiplier 2, input_is_latent, different_w and sft_half.

    `input_is_latent` skips the generator's mapping network, `different_w` gives each of its layers its own style,
    `sft_half` lets the U-Net change only half of its channels, `fix_decoder` excludes it from training.
    `decoder_load_path` is a StyleGAN2 checkpoint to start training from.
    """

    def __init__(
        self,
        out_size: int,
        num_style_feat: int = 512,
        channel_multiplier: float = 1,
        decoder_load_path: str | PathLike[str] | None = None,
        fix_decoder: bool = True,
        num_mlp: int = 8,
        input_is_latent: bool = False,
        different_w: bool = False,
        narrow: float = 1,
        sft_half: bool = False,
    ) -> None:
        super().__init__()
        self.num_style_feat = num_style_feat
        self.different_w = different_w
        self.input_is_latent = input_is_latent
        # The U-Net has half the generator's channels; from the smallest map to the largest.
        sizes = [FIRST_SIZE << level for level in range(levels(out_size) + 1)]
        first, *others = channels = [feature_channels(size, channel_multiplier, narrow * 0.5) for size in sizes]
        pairs = list(pairwise(channels))
        self.conv_body_first = nn.Conv2d(3, channels[-1], 1)
        self.conv_body_down = nn.ModuleList(ResBlock(larger, smaller, 0.5) for smaller, larger in reversed(pairs))
        self.final_conv = nn.Conv2d(first, first, 3, 1, 1)
        self.conv_body_up = nn.ModuleList(ResBlock(smaller, larger, 2) for smaller, larger in pairs)
        self.toRGB = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in others)

        num_styles = 2 * len(sizes) if different_w else 1
        self.final_linear = nn.Linear(first * FIRST_SIZE**2, num_styles * num_style_feat)
        self.stylegan_decoder = StyleGAN2GeneratorCSFT(
            out_size, num_style_feat, num_mlp, channel_multiplier, narrow, sft_half
        )
        if decoder_load_path:
            checkpoint = torch.load(decoder_load_path, map_location="cpu", weights_only=True)
            self.stylegan_decoder.load_state_dict(checkpoint["params_ema"])
        if fix_decoder:
            self.stylegan_decoder.requires_grad_(False)

        share = 1 if sft_half else 2
        self.condition_scale = nn.ModuleList(condition(width, share * width) for width in others)
        self.condition_shift = nn.ModuleList(condition(width, share * width) for width in others)

    def forward(
        self,
        x: Tensor,
        return_latents: bool = False,
        return_rgb: bool = True,
        randomize_noise: bool = True,
        weight: float | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, out_size, out_size) RGB in [-1, 1] → the restored faces likewise, not clamped, and a list.

        The list holds the U-Net's own pictures from 8×8 to `out_size`, which training compares with the target; without
        `return_rgb` it is empty. Without `randomize_noise` the stored noise is used, and the result depends on `x`
        alone. `return_latents` and `weight` are ignored, as in the published network: it returns no latents, and the
        weight is for other restorers that are called the same way.
        """
        feat = leaky_relu(self.conv_body_first(x))
        skips = []
        for down in self.conv_body_down:
            feat = down(feat)
            skips.append(feat)
        feat = leaky_relu(self.final_conv(feat))
        style = self.final_linear(feat.flatten(1))
        if self.different_w:
            style = style.unflatten(1, (-1, self.num_style_feat))

        conditions, pictures = [], []
        for up, to_scale, to_shift, to_rgb in zip(
            self.conv_body_up, self.condition_scale, self.condition_shift, self.toRGB, strict=True
        ):
            feat = up(feat + skips.pop())
            conditions.append((to_scale(feat), to_shift(feat)))
            if return_rgb:
                pictures.append(to_rgb(feat))
        face = self.stylegan_decoder(
            style, conditions, input_is_latent=self.input_is_latent, randomize_noise=randomize_noise
        )
        return face, pictures
