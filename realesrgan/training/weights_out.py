"""Finished weights as files that this project and others read: .pth as published, and .safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..weights.write import write_safetensors, write_torch
from .ema import MovingAverage


def write_weights(stem: Path, network: nn.Module, average: MovingAverage, facts: Mapping[str, Any]) -> list[Path]:
    """Write `stem`.pth with `params` and `params_ema`, and `stem`.safetensors with the average alone.

    `facts`, plain data about the training, stand in both: under "training", as a dictionary and as JSON.

    Raises:
        WeightsError: the disk refuses.
    """
    params, averaged = _on_cpu(network), _on_cpu(average.network)
    whole = {"params": params, "params_ema": averaged, "training": dict(facts)}
    paths = [stem.with_name(f"{stem.name}{ending}") for ending in (".pth", ".safetensors")]
    write_torch(paths[0], whole)
    write_safetensors(paths[1], averaged, {"format": "pt", "training": json.dumps(facts)})
    return paths


def _on_cpu(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
