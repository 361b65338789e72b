"""ParseNet, from PSFRGAN (Chen et al., arXiv:2009.08709): segments an aligned face into hair, skin, eyes and so on."""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2

# Names of attributes and layers below are the checkpoint format: rename conv2d and every released .pth stops loading.


def plain_layer(in_channels: int, out_channels: int, stride: int = 1, bias: bool = True) -> nn.Sequential:
    """A 3×3 convolution with reflection padding."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, padding_mode="reflect", bias=bias)
    return nn.Sequential(OrderedDict(conv2d=conv))


def normalised_layer(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    layer = plain_layer(in_channels, out_channels, stride, bias=False)
    layer.add_module("norm", nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(out_channels))))
    return layer


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, added; `up` doubles the size before them, `down` halves it by their stride."""

    def __init__(self, in_channels: int, out_channels: int, up: bool = False, down: bool = False) -> None:
        super().__init__()
        self.up = up
        stride = 2 if down else 1
        keeps_shape = in_channels == out_channels and not (up or down)
        self.shortcut_func = nn.Identity() if keeps_shape else plain_layer(in_channels, out_channels, stride)
        self.conv1 = normalised_layer(in_channels, out_channels)
        self.conv2 = normalised_layer(out_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H, W), doubled or halved in size."""
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        result = F.leaky_relu(self.conv1(x), NEGATIVE_SLOPE, inplace=True)
        shortcut: Tensor = self.shortcut_func(x)
        residual: Tensor = self.conv2(result)
        return shortcut + residual


class ParseNet(nn.Module):
    """Down to `min_feat_size` by halves, `res_depth` blocks there, and up again to `out_size`.

    Each halving doubles the channels, from `base_ch` and within `ch_range`. The released weights take in_size and
    out_size 512.
    """

    def __init__(
        self,
        in_size: int = 128,
        out_size: int = 128,
        min_feat_size: int = 32,
        base_ch: int = 64,
        parsing_ch: int = 19,
        res_depth: int = 10,
        ch_range: tuple[int, int] = (32, 256),
    ) -> None:
        super().__init__()
        least, most = ch_range

        def channels(halvings: int) -> int:
            return max(least, min(int(base_ch * 2.0**halvings), most))

        smallest = min(in_size, min_feat_size)
        depth = (in_size // smallest).bit_length() - 1
        end = depth + 1 - (out_size // smallest).bit_length()
        down = [ResidualBlock(channels(i), channels(i + 1), down=True) for i in range(depth)]
        flat = [ResidualBlock(channels(depth), channels(depth)) for _ in range(res_depth)]
        up = [ResidualBlock(channels(i), channels(i - 1), up=True) for i in range(depth, end, -1)]
        self.encoder = nn.Sequential(plain_layer(3, base_ch), *down)
        self.body = nn.Sequential(*flat)
        self.decoder = nn.Sequential(*up)
        self.out_img_conv = plain_layer(channels(end), 3)
        self.out_mask_conv = plain_layer(channels(end), parsing_ch)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, in_size, in_size) RGB in [-1, 1] → class logits (N, parsing_ch, out_size, out_size), and a picture.

        The picture is the cleaned input, (N, 3, out_size, out_size), which served training only.
        """
        feat = self.encoder(x)
        feat = self.decoder(feat + self.body(feat))
        return self.out_mask_conv(feat), self.out_img_conv(feat)
