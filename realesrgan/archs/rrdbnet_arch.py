"""RRDBNet, the generator of ESRGAN (Wang et al., arXiv:1809.00219) as Real-ESRGAN uses it (arXiv:2107.10833)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import conv_in_own_dtype

RESIDUAL_SCALE = 0.2  # of every dense block and every RRDB; keeps 23 of them stable without normalisation
NEGATIVE_SLOPE = 0.2
ENLARGEMENTS = (1, 2, 4, 8, 16)  # by the number of upsamplings; no ESRGAN with more is known
INITIAL_WEIGHT_SCALE = 0.1  # so that residual branches start near zero (ESRGAN, section 3.1)

# Attribute names below are the checkpoint format: rename conv_hr and every released .pth stops loading.


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU with the published slope, in place."""
    return F.leaky_relu(x, NEGATIVE_SLOPE, inplace=not x.requires_grad)


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, 1, 1)


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each seeing the outputs of all before it, added to the input.

    `plus` makes it the block of nESRGAN+ (Rakotonirina and Rasoanaivo, arXiv:2001.08073): the input, by a 1×1
    convolution, is added to the second output, and that to the fourth.
    """

    def __init__(self, num_feat: int = 64, num_grow_ch: int = 32, plus: bool = False) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(num_feat, num_grow_ch, 1, bias=False) if plus else None
        self.conv1 = conv3x3(num_feat, num_grow_ch)
        self.conv2 = conv3x3(num_feat + num_grow_ch, num_grow_ch)
        self.conv3 = conv3x3(num_feat + 2 * num_grow_ch, num_grow_ch)
        self.conv4 = conv3x3(num_feat + 3 * num_grow_ch, num_grow_ch)
        self.conv5 = conv3x3(num_feat + 4 * num_grow_ch, num_feat)
        for conv in self.children():
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(INITIAL_WEIGHT_SCALE)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) → the same shape and type."""
        first = dense = x.to(self.conv1.weight.dtype)
        added: Tensor | None = None
        for i, conv in enumerate((self.conv1, self.conv2, self.conv3, self.conv4), 1):
            grown = leaky_relu(conv(dense))
            if self.conv1x1 is not None and i % 2 == 0:
                added = grown = grown + (self.conv1x1(first) if added is None else added)
            dense = torch.cat((dense, grown), 1)
        return torch.add(x, self.conv5(dense), alpha=RESIDUAL_SCALE)


class RRDB(nn.Module):
    """Residual in residual dense block: three dense blocks, added to the input."""

    def __init__(self, num_feat: int, num_grow_ch: int = 32, plus: bool = False) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch, plus)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch, plus)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch, plus)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) → the same shape and type."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL_SCALE)


class RRDBNet(nn.Module):
    """The large generator.

    As published, at scale 2 and 1 the picture is first folded, 2×2 or 4×4 pixels into channels (pixel-unshuffle), so
    the body works at a quarter or a sixteenth of the area; height and width must then be multiples of 2 or 4. The
    original ESRGAN and what was trained with it instead upsample as often as their scale asks for: 16 times at most.

    Args:
        scale: how many times larger the picture becomes.
        unshuffle: the side of the squares of pixels that are folded, 1 for none; by default 4 // scale, at least 1.
        plus: use the dense blocks of nESRGAN+.

    Raises:
        ValueError: `scale`, or scale · unshuffle, the enlargement after the fold, is none of 1, 2, 4, 8, 16.
    """

    def __init__(
        self,
        num_in_ch: int,
        num_out_ch: int,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
        unshuffle: int | None = None,
        plus: bool = False,
    ) -> None:
        super().__init__()
        if scale not in ENLARGEMENTS:
            raise ValueError(f"RRDBNet enlarges 1, 2, 4, 8 or 16 times, not {scale}")
        self.scale = scale
        self.unshuffle = max(1, 4 // scale) if unshuffle is None else unshuffle
        if self.unshuffle < 1 or scale * self.unshuffle not in ENLARGEMENTS:
            raise ValueError(f"an RRDBNet that enlarges {scale} times cannot fold {unshuffle}×{unshuffle} pixels")
        self.conv_first = conv3x3(num_in_ch * self.unshuffle**2, num_feat)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch, plus) for _ in range(num_block)))
        self.conv_body = conv3x3(num_feat, num_feat)
        self._upsamplings = [f"conv_up{i + 1}" for i in range(ENLARGEMENTS.index(scale * self.unshuffle))]
        for name in self._upsamplings:
            self.add_module(name, conv3x3(num_feat, num_feat))
        self.conv_hr = conv3x3(num_feat, num_feat)
        self.conv_last = conv3x3(num_feat, num_out_ch)

    @property
    def upsamplings(self) -> list[nn.Conv2d]:
        """The convolutions that each follow a doubling, in their order."""
        return [getattr(self, name) for name in self._upsamplings]

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in_ch, H, W) RGB in [0, 1] → (N, num_out_ch, H·scale, W·scale), not clamped."""
        residual_dtype = x.dtype
        shallow = conv_in_own_dtype(self.conv_first, F.pixel_unshuffle(x, self.unshuffle)).to(residual_dtype)
        feat = shallow + conv_in_own_dtype(self.conv_body, self.body(shallow))
        feat = feat.to(self.conv_hr.weight.dtype)
        for conv in self.upsamplings:
            feat = leaky_relu(conv(F.interpolate(feat, scale_factor=2, mode="nearest")))
        feat = leaky_relu(self.conv_hr(feat))
        return conv_in_own_dtype(self.conv_last, feat)
