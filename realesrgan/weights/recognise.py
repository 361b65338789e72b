"""Tell from the tensors alone which generator a checkpoint belongs to, old ESRGAN key names included."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..archs.specs import NetworkSpec, RRDBNetSpec, SRVGGNetCompactSpec
from ..errors import WeightsError
from .meta_network import meta_network

# Key patterns of other networks that users mix up with a generator.
_OTHER_NETWORKS = {
    "stylegan_decoder.": "the GFPGAN face restorer, which --face_enhance uses by itself",
    "conv1.weight_orig": "a discriminator, which only training uses",
    "ClassHead.": "the RetinaFace face detector",
    "encoder.0.conv2d.": "the ParseNet face parser",
}

# ESRGAN's two older ways of naming the same tensors → today's names.
_SEQUENTIAL_NAMES = {"model.0": "conv_first", "model.3": "conv_up1", "model.6": "conv_up2", "model.8": "conv_hr"}
_SEQUENTIAL_NAMES |= {"model.10": "conv_last"}
_FIRST_RELEASE_NAMES = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
_RDB_KEY = re.compile(r"(?:RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB([123])\.conv([1-5])(?:\.0)?\.(weight|bias)")
_TRUNK_END_KEY = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")


def rename_old_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors under ESRGAN's old key names today's names; other networks' pass unchanged."""
    if not any(_RDB_KEY.fullmatch(key) for key in state):
        return dict(state)
    return {_rename(key): tensor for key, tensor in state.items()}


def _rename(key: str) -> str:
    if match := _RDB_KEY.fullmatch(key):
        block, rdb, conv, kind = match.groups()
        return f"body.{block}.rdb{rdb}.conv{conv}.{kind}"
    if match := _TRUNK_END_KEY.fullmatch(key):
        return f"conv_body.{match[1]}"
    layer, _, kind = key.rpartition(".")
    return f"{_SEQUENTIAL_NAMES.get(layer) or _FIRST_RELEASE_NAMES.get(layer) or layer}.{kind}"


def recognise(state: Mapping[str, Tensor], source: str) -> tuple[NetworkSpec, nn.Module]:
    """Work out the network and its numbers from tensor names and shapes; `source` names the file in errors.

    The second result is the network, without values yet.

    Raises:
        WeightsError: it is no generator this project knows.
    """
    for pattern, other in _OTHER_NETWORKS.items():
        if any(key.startswith(pattern) for key in state):
            raise WeightsError(f"{source}: this is {other}; wanted is RRDBNet or SRVGGNetCompact")
    try:
        spec = _rrdbnet_spec(state) if "conv_first.weight" in state else _srvgg_spec(state)
        network = meta_network(spec.build)
    except (KeyError, ValueError, StopIteration, IndexError) as error:
        raise WeightsError(f"{source}: {_unknown(state)}") from error
    if _shapes(network.state_dict()) != _shapes(state):
        raise WeightsError(f"{source}: {_unknown(state)}; nearest is {spec}")
    return spec, network


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in state.items()}


def _unknown(state: Mapping[str, Tensor]) -> str:
    shown = ", ".join(f"{key} {tuple(tensor.shape)}" for key, tensor in list(state.items())[:3])
    return f"neither RRDBNet nor SRVGGNetCompact (its {len(state)} tensors begin with {shown})"


def _rrdbnet_spec(state: Mapping[str, Tensor]) -> RRDBNetSpec:
    num_feat, folded_in_ch = state["conv_first.weight"].shape[:2]
    num_out_ch = state["conv_last.weight"].shape[0]
    # The generators take and give the same number of channels, so what is more was folded in by pixel-unshuffle.
    scale = {1: 4, 4: 2, 16: 1}[folded_in_ch // num_out_ch]
    return RRDBNetSpec(
        num_in_ch=folded_in_ch * scale**2 // 16,
        num_out_ch=num_out_ch,
        scale=scale,
        num_feat=num_feat,
        num_block=1 + max(int(key.split(".")[1]) for key in state if key.startswith("body.")),
        num_grow_ch=state["body.0.rdb1.conv1.weight"].shape[0],
    )


def _srvgg_spec(state: Mapping[str, Tensor]) -> SRVGGNetCompactSpec:
    num_feat, num_in_ch = state["body.0.weight"].shape[:2]
    last = max(int(key.split(".")[1]) for key in state if key.startswith("body."))
    upscale = round((state[f"body.{last}.weight"].shape[0] / num_in_ch) ** 0.5)
    return SRVGGNetCompactSpec(
        num_in_ch=num_in_ch,
        num_out_ch=num_in_ch,
        num_feat=num_feat,
        num_conv=last // 2 - 1,
        upscale=upscale,
        # ReLU and LeakyReLU leave no tensor behind; the published networks without PReLU use ReLU.
        act_type="prelu" if "body.1.weight" in state else "relu",
    )
