"""RetinaFace (Deng et al., arXiv:1905.00641), the face detector: boxes, confidences and landmarks relative to a grid of
priors. Knows neither the grid nor how to decode."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ANCHORS = 2  # priors in each cell of the three grids, whose cells are 8, 16 and 32 pixels wide
MOBILENET_SLOPE = 0.1  # of MobileNet's leaky ReLUs and of all heads up to 64 channels; wider ones have plain ReLUs
NARROW = 64

# Attribute names below are the checkpoint format: rename conv7x7_3 and every released .pth stops loading.


def conv_bn(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def conv_bn_relu(
    in_channels: int, out_channels: int, slope: float, kernel_size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """`slope` is that of the activation below zero; 0 makes it a plain ReLU."""
    return conv_bn(in_channels, out_channels, kernel_size, stride, groups).append(nn.LeakyReLU(slope, inplace=True))


def separable(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution of each channel by itself, then 1×1 across channels."""
    return nn.Sequential(
        *conv_bn_relu(in_channels, in_channels, MOBILENET_SLOPE, stride=stride, groups=in_channels),
        *conv_bn_relu(in_channels, out_channels, MOBILENET_SLOPE, kernel_size=1),
    )


class MobileNetV1(nn.Module):
    """MobileNet (Howard et al., arXiv:1704.04861) with a quarter of the channels, without its classifier."""

    out_channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv_bn_relu(3, 8, MOBILENET_SLOPE, stride=2),
            separable(8, 16),
            separable(16, 32, 2),
            separable(32, 32),
            separable(32, 64, 2),
            separable(64, 64),
        )
        self.stage2 = nn.Sequential(separable(64, 128, 2), *(separable(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(separable(128, 256, 2), separable(256, 256))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) → features of an eighth, a sixteenth and a thirty-second of the size, rounded up."""
        eighth = self.stage1(x)
        sixteenth = self.stage2(eighth)
        return [eighth, sixteenth, self.stage3(sixteenth)]


class Bottleneck(nn.Module):
    """1×1 to fewer channels, 3×3, 1×1 to four times as many, added to the input."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        same_shape = stride == 1 and in_channels == 4 * channels
        self.downsample = nn.Identity() if same_shape else conv_bn(in_channels, 4 * channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, 4·channels, H/stride, W/stride), rounded up."""
        result = F.relu(self.bn1(self.conv1(x)), inplace=True)
        result = F.relu(self.bn2(self.conv2(result)), inplace=True)
        return F.relu(self.bn3(self.conv3(result)) + self.downsample(x), inplace=True)


def bottlenecks(count: int, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, channels, stride)
    return nn.Sequential(first, *(Bottleneck(4 * channels, channels, 1) for _ in range(count - 1)))


class ResNet50(nn.Module):
    """ResNet-50 (He et al., arXiv:1512.03385) without its classifier, striding in the 3×3 convolutions."""

    out_channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = bottlenecks(3, 64, 64, 1)
        self.layer2 = bottlenecks(4, 256, 128, 2)
        self.layer3 = bottlenecks(6, 512, 256, 2)
        self.layer4 = bottlenecks(3, 1024, 512, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) → features of an eighth, a sixteenth and a thirty-second of the size, rounded up."""
        stem = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        eighth = self.layer2(self.layer1(stem))
        sixteenth = self.layer3(eighth)
        return [eighth, sixteenth, self.layer4(sixteenth)]


class FPN(nn.Module):
    """Feature pyramid network: adds coarse maps to finer ones."""

    def __init__(self, in_channels: Sequence[int], out_channels: int, slope: float) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (
            conv_bn_relu(channels, out_channels, slope, kernel_size=1) for channels in in_channels
        )
        self.merge1 = conv_bn_relu(out_channels, out_channels, slope)
        self.merge2 = conv_bn_relu(out_channels, out_channels, slope)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> list[Tensor]:
        """Maps of the body → maps of the same sizes, all with `out_channels`."""
        fine, middle, coarse = self.output1(fine), self.output2(middle), self.output3(coarse)
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


class SSH(nn.Module):
    """Contexts of 3, 5 and 7 pixels, concatenated; the larger from stacked 3×3 convolutions (arXiv:1708.03979)."""

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        quarter = channels // 4
        self.conv3X3 = conv_bn(channels, channels // 2)
        self.conv5X5_1 = conv_bn_relu(channels, quarter, slope)
        self.conv5X5_2 = conv_bn(quarter, quarter)
        self.conv7X7_2 = conv_bn_relu(quarter, quarter, slope)
        self.conv7x7_3 = conv_bn(quarter, quarter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → the same shape."""
        shared = self.conv5X5_1(x)
        contexts = self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))
        return F.relu(torch.cat(contexts, 1), inplace=True)


class Head(nn.Module):
    """A 1×1 convolution that gives `values` numbers for each prior of a grid."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, ANCHORS * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, H·W·ANCHORS, values), row by row."""
        result: Tensor = self.conv1x1(x)
        return result.permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


class RetinaFace(nn.Module):
    """The detector on one of its two published bodies, `resnet50` or `mobile0.25`."""

    def __init__(self, network_name: str = "resnet50") -> None:
        super().__init__()
        self.body: ResNet50 | MobileNetV1
        if network_name == "resnet50":
            self.body, channels = ResNet50(), 256
        elif network_name == "mobile0.25":
            self.body, channels = MobileNetV1(), 64
        else:
            raise ValueError(f"network_name {network_name!r} is neither resnet50 nor mobile0.25")
        slope = MOBILENET_SLOPE if channels <= NARROW else 0.0
        self.fpn = FPN(self.body.out_channels, channels, slope)
        self.ssh1, self.ssh2, self.ssh3 = (SSH(channels, slope) for _ in range(3))
        self.ClassHead, self.BboxHead, self.LandmarkHead = (
            nn.ModuleList(Head(channels, values) for _ in range(3)) for values in (2, 4, 10)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, H, W) BGR in [0, 255] minus (104, 117, 123) → boxes, confidences, landmarks of P priors.

        Boxes (N, P, 4) are offsets of centre and logarithms of size, landmarks (N, P, 10) offsets of five points
        (x, y), both relative to the priors and in units of their variances; confidences (N, P, 2) are the probabilities
        of background and face. Priors come finest grid first, row by row, the smaller of a cell's two before the
        larger: P is the sum of 2·⌈H/stride⌉·⌈W/stride⌉ over the strides 8, 16, 32.
        """
        fine, middle, coarse = self.fpn(*self.body(x))
        contexts = self.ssh1(fine), self.ssh2(middle), self.ssh3(coarse)
        boxes, classes, landmarks = (
            torch.cat([head(feat) for head, feat in zip(heads, contexts, strict=True)], 1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes.softmax(-1), landmarks
