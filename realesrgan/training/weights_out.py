"""Finished weights as files that this project and others read: .pth as published, and .safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from ..errors import WeightsError
from ..outputs import part_of
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
    for path in paths:
        part = part_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".pth":
                torch.save(whole, part)
            else:
                save_file(averaged, part, metadata={"format": "pt", "training": json.dumps(facts)})
            part.replace(path)
        except Exception as error:  # safetensors has exceptions of its own for what the system refuses
            reason = getattr(error, "strerror", None) or error
            raise WeightsError(f"{path}: cannot be written ({reason})") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return paths


def _on_cpu(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
