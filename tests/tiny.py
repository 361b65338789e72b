"""Small things to test with: networks of the real kinds with a few thousand weights, small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.arrays import Array


def tiny_rrdbnet(scale: int = 4, seed: int = 0) -> RRDBNet:
    """An RRDBNet of one block, random but fixed, whose output depends on its input by tens of levels."""
    torch.manual_seed(seed)
    network = RRDBNet(3, 3, scale=scale, num_feat=8, num_block=1, num_grow_ch=4)
    with torch.no_grad():
        network.conv_last.bias.fill_(0.5)
        network.conv_last.weight.mul_(4)
    return network.requires_grad_(False).eval()


def tiny_srvgg(act_type: str = "prelu", seed: int = 0) -> SRVGGNetCompact:
    """A SRVGGNetCompact of two inner convolutions, random but fixed."""
    torch.manual_seed(seed)
    return SRVGGNetCompact(num_feat=8, num_conv=2, upscale=4, act_type=act_type).requires_grad_(False).eval()


def save_weights(network: nn.Module, path: Path, container: str | None = "params_ema") -> Path:
    """Write a network's weights as the published .pth files hold them; container None writes a bare state dict."""
    state = network.state_dict()
    torch.save(state if container is None else {container: state}, path)
    return path


def picture(height: int, width: int, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> Array:
    """A smooth random picture as OpenCV holds it: (H, W) for one channel, else (H, W, channels); no zero in it."""
    levels = np.random.default_rng(seed).random((height // 3 + 2, width // 3 + 2, channels))
    smooth = np.kron(levels, np.ones((3, 3, 1)))[:height, :width]
    pixels = (1 + smooth * (np.iinfo(dtype).max - 1)).astype(dtype)
    return pixels[..., 0] if channels == 1 else pixels
