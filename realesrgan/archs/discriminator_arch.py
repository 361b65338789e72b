"""UNetDiscriminatorSN, a U-Net with spectral normalisation that judges every pixel (arXiv:2107.10833, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rrdbnet_arch import conv3x3, leaky_relu

NORM_EPSILON = 1e-12  # keeps the direction of a vector of zeros finite; the published value

# Attribute names below are the checkpoint format: rename conv0 or weight_orig and every released netD stops loading.


class SpectralNormConv2d(nn.Module):
    """A convolution without bias, whose kernel is divided by its largest singular value (arXiv:1802.05957).

    The kernel counts as a matrix of out_channels rows. Of its leading singular vectors, `weight_u` and `weight_v` are
    estimates; each forward pass in training mode improves them by one power iteration, in evaluation mode none.

    Torch has two versions of this: one that is going to be deprecated, and one that names its tensors differently.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False)
        self.stride = stride
        self.weight_orig = nn.Parameter(conv.weight.detach())
        self.register_buffer("weight_u", _direction(torch.empty(out_channels).normal_()))
        self.register_buffer("weight_v", _direction(torch.empty(in_channels * kernel_size**2).normal_()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, out_channels, H / stride, W / stride) for even H and W; padded by 1."""
        return F.conv2d(x, self.normalised_weight(), stride=self.stride, padding=1)

    def normalised_weight(self) -> Tensor:
        """The kernel as it is used, after one power iteration if in training mode."""
        # In half precision all weights would be off by the rounding of their common norm.
        with torch.autocast(self.weight_orig.device.type, enabled=False):
            matrix = self.weight_orig.flatten(1)
            u, v = self.get_buffer("weight_u"), self.get_buffer("weight_v")
            if self.training:
                with torch.no_grad():
                    v.copy_(_direction(matrix.t() @ u))
                    u.copy_(_direction(matrix @ v))
            # Copies, because the gradient needs them, and the next forward pass changes the buffers before backward.
            norm = u.clone() @ (matrix @ v.clone())
            return self.weight_orig / norm


def _direction(vector: Tensor) -> Tensor:
    return F.normalize(vector, dim=0, eps=NORM_EPSILON)


class UNetDiscriminatorSN(nn.Module):
    """A U-Net that says of each pixel how real its surroundings look; three levels down and up again."""

    def __init__(self, num_in_ch: int = 3, num_feat: int = 64, skip_connection: bool = True) -> None:
        super().__init__()
        self.skip_connection = skip_connection
        self.conv0 = conv3x3(num_in_ch, num_feat)
        self.conv1 = SpectralNormConv2d(num_feat, num_feat * 2, 4, stride=2)
        self.conv2 = SpectralNormConv2d(num_feat * 2, num_feat * 4, 4, stride=2)
        self.conv3 = SpectralNormConv2d(num_feat * 4, num_feat * 8, 4, stride=2)
        self.conv4 = SpectralNormConv2d(num_feat * 8, num_feat * 4, 3)
        self.conv5 = SpectralNormConv2d(num_feat * 4, num_feat * 2, 3)
        self.conv6 = SpectralNormConv2d(num_feat * 2, num_feat, 3)
        self.conv7 = SpectralNormConv2d(num_feat, num_feat, 3)
        self.conv8 = SpectralNormConv2d(num_feat, num_feat, 3)
        self.conv9 = conv3x3(num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_in_ch, H, W) RGB in [0, 1] → (N, 1, H, W) logits, large for real; H and W are multiples of 8."""
        whole = leaky_relu(self.conv0(x))
        half = leaky_relu(self.conv1(whole))
        quarter = leaky_relu(self.conv2(half))
        feat = leaky_relu(self.conv3(quarter))
        for conv, skipped in ((self.conv4, quarter), (self.conv5, half), (self.conv6, whole)):
            feat = leaky_relu(conv(F.interpolate(feat, scale_factor=2, mode="bilinear", align_corners=False)))
            if self.skip_connection:
                feat = feat + skipped
        feat = leaky_relu(self.conv7(feat))
        feat = leaky_relu(self.conv8(feat))
        logits: Tensor = self.conv9(feat)
        return logits
