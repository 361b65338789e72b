"""Go on with a training: from the last checkpoint of its folder, or from the state that a recipe names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, WeightsError
from ..outputs import place_of
from ..restorer import Reporter
from .checkpoint import Checkpoint, Checkpoints
from .course import changes
from .machine import Machine
from .state import State


def go_on_in(folder: Path, state: State, machine: Machine, facts: Mapping[str, Any], reporter: Reporter) -> None:
    """Become what the last checkpoint of a folder was, if it has one; `facts` tell what has changed since.

    Raises:
        UsageError: the checkpoint is of another recipe.
    """
    checkpoint, remarks = Checkpoints(folder).load_last()
    for line in remarks:
        reporter.warn(line)
    if checkpoint is None:
        reporter.remark(f"{folder} has no checkpoint to go on from: training begins at iteration 1")
        return
    state.go_on_from(checkpoint, machine)
    _tell(checkpoint, facts, reporter)


def is_of(path: Path, folder: Path) -> bool:
    """Whether a state belongs to the training in a folder.

    Raises:
        UsageError: there is no such state.
    """
    checkpoints, _ = Checkpoints.of_state(path)
    return place_of(checkpoints.states.parent) == place_of(folder)


def go_on_from(
    path: Path,
    folder: Path,
    ignored: Collection[str],
    state: State,
    machine: Machine,
    facts: Mapping[str, Any],
    reporter: Reporter,
) -> None:
    """Become what a state was, of this training or of another, but for networks that are `ignored`.

    Raises:
        UsageError: the state is of another recipe, or the training in `folder` has gone further.
        WeightsError: it cannot be read, or weights are missing.
    """
    checkpoints, iteration = Checkpoints.of_state(path)
    own = is_of(path, folder)
    last = max(Checkpoints(folder).iterations(), default=0)
    if own and last > iteration:  # what comes later would be taken for this training's own
        raise UsageError(
            f"`resume_state` {path}: {folder} goes on to iteration {last}; "
            f"`auto_resume` goes on from there, and another `name` from {iteration}"
        )
    try:
        checkpoint = checkpoints.load(iteration)
    except FileNotFoundError as error:
        raise WeightsError(f"`resume_state` {path}: {error.filename} is missing") from error
    state.go_on_from(checkpoint, machine, ignored)
    if not own:
        state.facts.pop("best", None)  # its weights are in the other folder
    _tell(checkpoint, facts, reporter)
    if ignored:
        reporter.remark(f"not taken from {path}: {', '.join(ignored)}")


def _tell(checkpoint: Checkpoint, facts: Mapping[str, Any], reporter: Reporter) -> None:
    reporter.remark(f"going on after iteration {checkpoint.iteration}")
    changed, drawing = changes(checkpoint.facts.get("course", facts["course"]), facts["course"])
    if checkpoint.facts.get("pictures", facts["pictures"]) != facts["pictures"]:
        changed.append("the pictures are not those it was trained on before")
    if changed:
        drawn = f" Samples are drawn differently because of {', '.join(drawing)}." if drawing else ""
        reporter.warn(f"changed since: {'; '.join(changed)}.{drawn} Training goes on, but not as it would have")
