"""Small networks of every kind that spandrel knows, random but fixed, and what spandrel needs of torchvision."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn


def stand_in_for_torchvision() -> None:
    """Let spandrel be imported where torchvision is not installed.

    It needs three names, for two kinds of networks that this project refuses.
    """
    if find_spec("torchvision") is not None:
        return
    functional = ModuleType("torchvision.transforms.functional")
    functional.InterpolationMode = type("InterpolationMode", (), {"BILINEAR": "bilinear"})  # type: ignore[attr-defined]
    functional.rotate = functional.normalize = None  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules[name] = ModuleType(name)
    sys.modules[functional.__name__] = functional


@dataclass(frozen=True)
class Kind:
    """How to build a network: the id of its architecture in spandrel, its class if that is named otherwise, numbers."""

    arch: str
    numbers: dict[str, Any]
    named: str | None = None

    def build(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        build = getattr(import_module(f"spandrel.architectures.{self.arch}"), self.named or self.arch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecated functions that their constructors call
            network: nn.Module = build(**self.numbers)
        return network.requires_grad_(False).eval()


def _kind(arch: str, *, named: str | None = None, **numbers: Any) -> Kind:
    return Kind(arch, numbers, named)


_SWIN = {"embed_dim": 12, "depths": [1], "num_heads": [2], "window_size": 8, "upscale": 2, "upsampler": "pixelshuffle"}

KINDS = {
    "ATD": _kind(
        "ATD",
        **{**_SWIN, "depths": (2,), "num_heads": (2,), "upsampler": "pixelshuffledirect"},
        category_size=32,
        num_tokens=16,
        reducted_dim=4,
    ),
    "AuraSR": _kind(
        "AuraSR",
        dim=8,
        image_size=None,
        input_image_size=None,
        style_network={"dim_in": 8, "dim_out": 32, "depth": 2},
        up_dim_mults=(1, 1, 1, 1, 1),
        down_dim_mults=(1, 1, 1),
        attn_depths=(2, 2, 2, 1, 1),
        mid_attn_depth=1,
        self_attn_dim_head=4,
    ),
    "CRAFT": _kind("CRAFT", embed_dim=48, depths=[1, 1], num_heads=[6, 6], window_size=16, upscale=2),
    "Compact": _kind("Compact", num_feat=8, num_conv=2, upscale=2),
    "DAT": _kind("DAT", embed_dim=48, split_size=[2, 4], depth=[2, 2], num_heads=[2, 2], upscale=2),
    "DCTLSA": _kind("DCTLSA", nf=20, upscale=2, num_head=5),
    "DITN": _kind("DITN", dim=12, ITL_blocks=1, SAL_blocks=1, UFONE_blocks=1, upscale=2),
    "DRCT": _kind("DRCT", **{**_SWIN, "depths": (1,), "num_heads": (2,)}, gc=4),
    "DRUNet": _kind("DRUNet", in_nc=4, out_nc=3, nc=[4, 4, 8, 8], nb=2),
    "DnCNN": _kind("DnCNN", in_nc=3, out_nc=3, nc=8, nb=8, act_mode="R"),
    "DnCNN_gray": _kind("DnCNN", in_nc=1, out_nc=1, nc=8, nb=8, act_mode="BR"),
    "ESRGAN": _kind("ESRGAN", num_filters=8, num_blocks=1, scale=4),
    "FBCNN": _kind("FBCNN", nc=[4, 4, 8, 512], nb=2),
    "FDAT": _kind("FDAT", embed_dim=16, num_groups=1, depth_per_group=1, num_heads=2, scale=2, mid_dim=8),
    "FFTformer": _kind("FFTformer", dim=8, num_blocks=[1, 1, 1], num_refinement_blocks=1),
    "GFPGAN": _kind("GFPGAN", narrow=0.125, num_mlp=2),
    "GRL": _kind(
        "GRL",
        embed_dim=16,
        depths=[2],
        num_heads_window=[2],
        num_heads_stripe=[2],
        window_size=8,
        stripe_size=[8, 8],
        upscale=2,
        upsampler="pixelshuffledirect",
    ),
    "HAT": _kind("HAT", embed_dim=36, depths=(1,), num_heads=(2,), window_size=8, upscale=2, num_feat=8),
    "HVICIDNet": _kind("HVICIDNet", channels=[4, 4, 8, 16], heads=[1, 2, 4, 8]),
    "IPT": _kind("IPT", patch_size=12, n_feats=8, scale=[2], num_layers=1),
    "KBNet_l": _kind("KBNet", named="KBNet_l", dim=24, num_blocks=[1] * 4, num_refinement_blocks=1, heads=[1] * 4),
    "KBNet_s": _kind("KBNet", named="KBNet_s", width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
    "LaMa": _kind("LaMa", in_nc=4, out_nc=3),
    "MMRealSR": _kind(
        "MMRealSR",
        num_in_ch=3,
        num_out_ch=3,
        num_feat=8,
        num_block=1,
        num_grow_ch=4,
        num_feats=[8] * 4,
        num_blocks=[1] * 4,
    ),
    "MixDehazeNet": _kind("MixDehazeNet", embed_dims=[8] * 5, depths=[1] * 5),
    "MoESR": _kind("MoESR", dim=8, n_blocks=1, n_block=1, scale=2),
    "MoSR": _kind("MoSR", n_block=2, dim=8, upscale=2),
    "NAFNet": _kind("NAFNet", width=8, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]),
    "OmniSR": _kind("OmniSR", num_feat=8, up_scale=2),
    "PLKSR": _kind("PLKSR", dim=8, n_blocks=2, upscaling_factor=2),
    "RealPLKSR": _kind("PLKSR", named="RealPLKSR", dim=8, n_blocks=2, upscaling_factor=2),
    "RCAN": _kind("RCAN", scale=2, n_resgroups=1, n_resblocks=1, n_feats=16),
    "RGT": _kind("RGT", embed_dim=48, depth=[2], num_heads=[2], upscale=2),
    "UpCunet2x": _kind("RealCUGAN", named="UpCunet2x"),
    "UpCunet3x": _kind("RealCUGAN", named="UpCunet3x"),
    "UpCunet4x": _kind("RealCUGAN", named="UpCunet4x"),
    "UpCunet2x_fast": _kind("RealCUGAN", named="UpCunet2x_fast"),
    "RestoreFormer": _kind("RestoreFormer", ch=32, n_embed=16, embed_dim=32, z_channels=32, num_res_blocks=1),
    "RetinexFormer": _kind("RetinexFormer", n_feat=8, stage=1),
    "SAFMN": _kind("SAFMN", dim=8, n_blocks=1, upscaling_factor=2),
    "SAFMNBCIE": _kind("SAFMNBCIE", dim=8, n_blocks=1, num_layers=1, upscaling_factor=1),
    "SCUNet": _kind("SCUNet", config=[1] * 7, dim=64),
    "SPAN": _kind("SPAN", num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2),
    "SeemoRe": _kind("SeemoRe", scale=2, num_experts=3, num_layers=1, embedding_dim=8),
    "SwiftSRGAN": _kind("SwiftSRGAN", num_channels=8, num_blocks=1, upscale_factor=2),
    "Swin2SR": _kind("Swin2SR", **_SWIN),
    "SwinIR": _kind("SwinIR", **_SWIN),
    "Uformer": _kind("Uformer", embed_dim=8, depths=[1] * 9),
}
