"""The two older ways of naming RRDBNet's tensors, in which most ESRGAN files are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_RDB_KEY = re.compile(r"(?:RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB([123])\.conv([1-5]|1x1)(?:\.0)?\.(weight|bias)")
_TRUNK_END_KEY = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")
_UPSAMPLING_KEY = re.compile(r"upconv(\d+)\.(weight|bias)")
_SEQUENTIAL_KEY = re.compile(r"model\.(\d+)\.(weight|bias)")
_FIRST_RELEASE_NAMES = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}


def rename_old_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of an ESRGAN under its older names today's; those of other networks pass unchanged."""
    if not any(_RDB_KEY.fullmatch(key) for key in state):
        return dict(state)
    names = _sequential_names(state)
    return {_rename(key, names): tensor for key, tensor in state.items()}


def _sequential_names(keys: Set[str] | Mapping[str, Tensor]) -> dict[int, str]:
    """Names of the layers of ESRGAN's first form, one nn.Sequential.

    0 is the first convolution and 1 the body. Each upsampling takes three places, its convolution the second of them;
    the last two convolutions have an activation between them.
    """
    places = [int(match[1]) for key in keys if (match := _SEQUENTIAL_KEY.fullmatch(key)) and len(match[1]) < 4]
    upsamplings = max(0, (max(places, default=0) - 4) // 3)
    names = {0: "conv_first", 3 * upsamplings + 2: "conv_hr", 3 * upsamplings + 4: "conv_last"}
    return names | {3 * i: f"conv_up{i}" for i in range(1, upsamplings + 1)}


def _rename(key: str, sequential: Mapping[int, str]) -> str:
    if match := _RDB_KEY.fullmatch(key):
        block, rdb, conv, kind = match.groups()
        return f"body.{block}.rdb{rdb}.conv{conv}.{kind}"
    if match := _TRUNK_END_KEY.fullmatch(key):
        return f"conv_body.{match[1]}"
    if match := _UPSAMPLING_KEY.fullmatch(key):
        return f"conv_up{match[1]}.{match[2]}"
    if (match := _SEQUENTIAL_KEY.fullmatch(key)) and len(match[1]) < 4 and int(match[1]) in sequential:
        return f"{sequential[int(match[1])]}.{match[2]}"
    layer, _, kind = key.rpartition(".")
    return f"{_FIRST_RELEASE_NAMES.get(layer, layer)}.{kind}" if layer else key
