"""VGG19's convolutions (Simonyan and Zisserman, arXiv:1409.1556), whose features the perceptual loss compares."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (2, 2, 4, 4, 4)  # convolutions in each; a pooling ends it
WIDTHS = (64, 128, 256, 512, 512)  # channels of each stage
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of the pictures it was trained on, RGB in [0, 1], and their deviation
IMAGENET_STD = (0.229, 0.224, 0.225)


def layer_names() -> list[str]:
    """The published name of each layer of `features`, in order: conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1 …"""
    names = []
    for stage, convolutions in enumerate(STAGES, 1):
        for i in range(1, convolutions + 1):
            names += [f"conv{stage}_{i}", f"relu{stage}_{i}"]
        names.append(f"pool{stage}")
    return names


class VGGFeatureExtractor(nn.Module):
    """The features of VGG19 at chosen layers; "conv5_4" is what that convolution gives, before its ReLU.

    Its own weights take no gradient. Tensors are named as in torchvision's VGG19, `features.0.weight` and so on, and
    all 16 convolutions are there, whatever the layers; of the others nothing is computed past the last one wanted.

    `use_input_norm` brings pictures to ImageNet's mean and deviation, as in training; `range_norm` says that they come
    in [-1, 1] and brings them to [0, 1] first. `widths` are other numbers of channels, for tests.

    Raises:
        ValueError: VGG19 has no layer of such a name.
    """

    def __init__(
        self,
        layer_name_list: Sequence[str],
        use_input_norm: bool = True,
        range_norm: bool = False,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        names = layer_names()
        if unknown := [name for name in layer_name_list if name not in names]:
            raise ValueError(f"VGG19 has no layer {unknown[0]}; its layers are {', '.join(names)}")
        self.wanted = {names.index(name): name for name in layer_name_list}
        self.use_input_norm = use_input_norm
        self.range_norm = range_norm
        self.features = _layers(widths)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) RGB in [0, 1] → the features by layer, (N, C, H / 2ⁿ, W / 2ⁿ) after n poolings."""
        if self.range_norm:
            x = (x + 1) / 2
        if self.use_input_norm:
            x = _normalised(x)
        found = {}
        for i in range(max(self.wanted, default=-1) + 1):
            layer = self.features[i]
            # In place, which saves a third of the memory, unless what the convolution gave is wanted as it is.
            x = F.relu(x, inplace=i - 1 not in self.wanted) if isinstance(layer, nn.ReLU) else layer(x)
            if i in self.wanted:
                found[self.wanted[i]] = x
        return found


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for width, convolutions in zip(widths, STAGES, strict=True):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _normalised(x: Tensor) -> Tensor:
    # Channel by channel with plain numbers: tensors of them would be neither weights of the file nor free on a GPU.
    channels = zip(x.unbind(1), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], 1)
