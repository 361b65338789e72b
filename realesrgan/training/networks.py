"""The networks of a recipe: built, initialised, and started from weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..archs.discriminator_arch import UNetDiscriminatorSN
from ..degradation.chance import generator as chance
from ..errors import WeightsError
from ..families import build as build_generator
from ..families import rename_old_keys
from ..families.differences import difference, shapes_of
from ..weights.read import read_weights
from ..weights.torch_file import read_torch

DISCRIMINATOR = "UNetDiscriminatorSN"


def build(options: Mapping[str, Any], seed: int, role: str) -> nn.Module:
    """Build and initialise a network from a recipe's section, `type` and constructor arguments.

    Initial weights are a function of the seed and the network's `role`; the global random state is left as it was.
    """
    arguments = {name: value for name, value in options.items() if name != "type"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(chance((seed, 0, f"initial weights of {role}")).integers(2**63)))
        if options["type"] == DISCRIMINATOR:
            return UNetDiscriminatorSN(**arguments)
        return build_generator(options["type"], arguments)


def start_from(network: nn.Module, path: Path, key: str = "params_ema", *, strict: bool = True) -> list[str]:
    """Load weights into `network`; return the names of tensors that stay as they are.

    Of a file with several sets of weights, `key` names the one that is meant; a file without it gives what it has.
    Not `strict`, tensors that are missing or of another shape stay fresh.

    Raises:
        WeightsError: the file cannot be read, or does not fit.
    """
    state = _read(path, key, network.state_dict())
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    fresh = [name for name in own if name not in fitting]
    if strict and (fresh or len(fitting) != len(state)):
        raise WeightsError(
            f"{path}: does not fit {type(network).__name__}: {difference(shapes_of(state), shapes_of(own))}"
        )
    if not fitting:
        raise WeightsError(f"{path}: has nothing that fits {type(network).__name__}")
    network.load_state_dict(fitting, strict=False)
    return fresh


def _read(path: Path, key: str, own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if path.suffix == ".pth" and path.is_file():
        content = read_torch(path)
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping) and content[key].keys() == own.keys():
            return dict(content[key])
    state = read_weights(path, own.keys())
    return state if state.keys() == own.keys() else rename_old_keys(state)
