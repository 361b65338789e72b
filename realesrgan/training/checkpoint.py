"""What a training run is at an iteration, on disk: weights that others read, and all that resuming takes.

The files are the published ones: models/net_g_N.pth with `params` and `params_ema`, models/net_d_N.pth with `params`,
training_states/N.state; at the end models/net_g_latest.pth and net_d_latest.pth. Each appears by rename, the state
last, so a state that is there is whole.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError, WeightsError
from ..outputs import appearing
from ..weights.torch_file import read_torch
from ..weights.write import write_torch

FORMAT = 1  # of the state; raise it when old states can no longer be resumed
STATES = "training_states"
_STATE_NAME = re.compile(r"(\d+)\.state")


@dataclass
class Checkpoint:
    """A run after `iteration` iterations.

    Attributes:
        pictures: the number of the next sample.
        networks: state dicts by name: "g", "g_ema", and in stage 2 "d".
        optimizers: their states, by the name of their network.
        scaler: the state of fp16's scaler.
        pool: the samples of the published pool, if there is one.
        facts: anything else, as plain data: the best measurement, what was said, the recipe's identity.
    """

    iteration: int
    pictures: int
    networks: dict[str, dict[str, torch.Tensor]]
    optimizers: dict[str, dict[str, Any]]
    scaler: dict[str, Any] = field(default_factory=dict)
    pool: list[torch.Tensor] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of an experiment's folder: the last `keep` and the best are kept."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.models = folder / "models"
        self.states = folder / STATES
        self._keep = keep

    def network_path(self, name: str, iteration: int | str) -> Path:
        return self.models / f"net_{name}_{iteration}.pth"

    def state_path(self, iteration: int) -> Path:
        return self.states / f"{iteration}.state"

    def iterations(self) -> list[int]:
        """The iterations with a state, from the first to the last."""
        if not self.states.is_dir():
            return []
        found = (_STATE_NAME.fullmatch(entry.name) for entry in self.states.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def save(self, checkpoint: Checkpoint, best: int | None = None) -> Path:
        """Write a checkpoint, remove those no longer kept, and return the generator's file.

        Raises:
            WeightsError: the disk refuses; older checkpoints stay.
        """
        iteration, networks = checkpoint.iteration, checkpoint.networks
        generator = {"params": networks["g"], "params_ema": networks["g_ema"]}
        write_torch(self.network_path("g", iteration), generator)
        if "d" in networks:
            write_torch(self.network_path("d", iteration), {"params": networks["d"]})
        state = {
            "format": FORMAT,
            "epoch": checkpoint.facts.get("epoch", 0),
            "iter": iteration,
            "pictures": checkpoint.pictures,
            "optimizers": checkpoint.optimizers,
            "schedulers": [],  # published key; learning rates are a function of the iteration
            "scaler": checkpoint.scaler,
            "pool": checkpoint.pool,
            "facts": checkpoint.facts,
        }
        write_torch(self.state_path(iteration), state)
        self._remove_old(best)
        return self.network_path("g", iteration)

    def name_latest(self, iteration: int) -> None:
        """Copy the weights of an iteration to net_g_latest.pth and net_d_latest.pth, where the next stage begins.

        Raises:
            WeightsError: the disk refuses.
        """
        for name in ("g", "d"):
            path = self.network_path(name, iteration)
            if path.exists():
                with appearing(self.network_path(name, "latest"), WeightsError, durable=True) as part:
                    shutil.copyfile(path, part)

    def _remove_old(self, best: int | None) -> None:
        for iteration in self.iterations()[: -self._keep]:
            if iteration == best:
                continue
            # The state first: without it, the others are only weights.
            for path in (
                self.state_path(iteration),
                self.network_path("g", iteration),
                self.network_path("d", iteration),
            ):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def load(self, iteration: int) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            WeightsError, OSError: a file is missing or damaged.
            UsageError: it is of a version that cannot be resumed.
        """
        path = self.state_path(iteration)
        state = read_torch(path)
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise UsageError(f"{path}: not a state that can be resumed here; start from its weights instead")
        generator = read_torch(self.network_path("g", iteration))
        networks = {"g": generator["params"], "g_ema": generator["params_ema"]}
        if "d" in state["optimizers"]:
            networks["d"] = read_torch(self.network_path("d", iteration))["params"]
        return Checkpoint(
            iteration=state["iter"],
            pictures=state["pictures"],
            networks=networks,
            optimizers=state["optimizers"],
            scaler=state["scaler"],
            pool=state["pool"],
            facts=state["facts"],
        )

    @staticmethod
    def of_state(path: Path) -> tuple[Checkpoints, int]:
        """The checkpoints that a state, FOLDER/training_states/N.state, is one of, and its iteration.

        Raises:
            UsageError: there is no such file, or it has another name.
        """
        match = _STATE_NAME.fullmatch(path.name)
        if match is None or path.absolute().parent.name != STATES:
            raise UsageError(f"`resume_state` {path}: a state is called FOLDER/{STATES}/ITERATION.state")
        if not path.is_file():
            raise UsageError(f"`resume_state` {path}: there is no such state")
        return Checkpoints(path.absolute().parent.parent), int(match[1])

    def load_last(self) -> tuple[Checkpoint | None, list[str]]:
        """The last checkpoint that can be read, if any, and a line for each later one that cannot."""
        remarks: list[str] = []
        for iteration in reversed(self.iterations()):
            try:
                return self.load(iteration), remarks
            except (WeightsError, OSError, KeyError) as error:
                remarks.append(f"checkpoint {iteration} cannot be read and is passed over: {error}")
        return None, remarks
