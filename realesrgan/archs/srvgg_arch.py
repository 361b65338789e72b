"""SRVGGNetCompact, the small generator of Real-ESRGAN: it works at input resolution up to a final pixel-shuffle."""

from torch import Tensor, nn

from .enlarging import enlarged
from .precision import conv_in_own_dtype

LEAKY_SLOPE = 0.1


def _activation(act_type: str, num_feat: int) -> nn.Module:
    if act_type == "relu":
        return nn.ReLU(inplace=True)
    if act_type == "leakyrelu":
        return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
    if act_type == "prelu":
        return nn.PReLU(num_parameters=num_feat)
    raise ValueError(f"act_type {act_type!r} is none of relu, prelu, leakyrelu")


class SRVGGNetCompact(nn.Module):
    """A chain of 3×3 convolutions and activations that predicts the difference to the nearest-neighbour enlargement."""

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: str = "prelu",
    ) -> None:
        super().__init__()
        self.num_in_ch = num_in_ch
        self.num_out_ch = num_out_ch
        self.num_feat = num_feat
        self.num_conv = num_conv
        self.upscale = upscale
        self.act_type = act_type
        # `body` counts activations too: body.{i} in the checkpoints is a convolution where i is even.
        self.body = nn.ModuleList([nn.Conv2d(num_in_ch, num_feat, 3, 1, 1), _activation(act_type, num_feat)])
        for _ in range(num_conv):
            self.body.append(nn.Conv2d(num_feat, num_feat, 3, 1, 1))
            self.body.append(_activation(act_type, num_feat))
        self.body.append(nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, 1, 1))
        self.upsampler = nn.PixelShuffle(upscale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in_ch, H, W) RGB in [0, 1] → (N, num_out_ch, H·upscale, W·upscale), not clamped."""
        feat = x
        for conv, activation in zip(self.body[:-1:2], self.body[1::2], strict=True):
            feat = activation(conv_in_own_dtype(conv, feat))
        return enlarged(x, conv_in_own_dtype(self.body[-1], feat), self.upscale)
