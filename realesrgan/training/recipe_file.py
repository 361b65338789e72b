"""Read a training recipe from a YAML file, strictly, and write one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from .. import strict_yaml
from ..degradation.recipe import Recipe
from ..degradation.recipe_file import TRAIN_SET, WITHOUT_EFFECT, Split, split
from ..errors import UsageError
from ..strict_keys import KeyPath, dotted
from ..strict_yaml import Document, Fault
from . import recipe_checks
from .recipe import TrainingRecipe
from .start_files import advice

DEBUG_PREFIX = "debug_"
DEBUG_FREQUENCY = 8  # iterations, of validation and of checkpoints


def read(path: Path, overrides: Sequence[str] = (), *, debug: bool = False) -> tuple[TrainingRecipe, list[str]]:
    """Read a recipe and change it by `overrides` of the form "train:optim_g:lr=1e-5".

    `debug` makes of it a run that validates and saves every few iterations, under a name of its own.

    Returns the recipe, and remarks: which keys have no effect, and what to know about its start files.

    Raises:
        UsageError: the file cannot be read, a key is unknown (the nearest is named) or missing, a value wrong, or two
            keys do not go together; all faults at once, each with its line.
    """
    document = strict_yaml.read(path)
    for override in overrides:
        document = _changed(document, override)
    recipe, remarks = build(document)
    return (_debugged(recipe) if debug else recipe), remarks


def build(document: Document) -> tuple[TrainingRecipe, list[str]]:
    """Make a recipe of what a file says; `read` has the rest.

    Raises:
        UsageError: as `read`.
    """
    found = split(document)
    keys = {key: value for key, value in found.keys.items() if key not in WITHOUT_EFFECT}
    degradation, wrong = strict_yaml.attempt(Recipe, replace(document, content=keys), found.paths)
    also = {place: Recipe.model_fields.keys() - {"scale"} for place in ((), TRAIN_SET)}
    recipe, faults = strict_yaml.attempt(TrainingRecipe, replace(document, content=found.rest), also=also)
    faults += [*found.faults, *(fault for fault in wrong if fault.path != ("scale",))]  # both models look at it
    if recipe is not None and degradation is not None:
        recipe = recipe.degraded_by(degradation)
        faults += [fault for fault in recipe_checks.faults(recipe) if not _concerns(fault, faults)]
    strict_yaml.fail(document, strict_yaml.lines(document, faults))
    assert recipe is not None  # there are faults otherwise
    return recipe, _remarks(recipe, document, found)


def _concerns(fault: Fault, others: Sequence[Fault]) -> bool:
    """Whether a fault may only follow from others: one of them is at, above or below a key it depends on."""
    wrong = [other.path for other in others]
    depends = (fault.path, *fault.about)
    return any(path[: len(key)] == key or key[: len(path)] == path for path in wrong for key in depends)


def _changed(document: Document, override: str) -> Document:
    """Carry out "train:optim_g:lr=1e-5"."""
    by = f"`force_yml` {override}"
    keys, equals, value = override.partition("=")
    path = tuple(key.strip() for key in keys.split(":"))
    if not equals or not all(path):
        raise UsageError(f"{by}: write keys=value, as in train:optim_g:lr=1e-5")
    return document.changed(path, strict_yaml.parse(f"value: {value.strip()}", by).content["value"], "`force_yml`")


def _debugged(recipe: TrainingRecipe) -> TrainingRecipe:
    logger = {"print_freq": 1, "save_checkpoint_freq": DEBUG_FREQUENCY, "use_tb_logger": False}
    return recipe.model_copy(
        update={
            "name": DEBUG_PREFIX + recipe.name.removeprefix(DEBUG_PREFIX),
            "val": recipe.val.model_copy(update={"val_freq": DEBUG_FREQUENCY}),
            "logger": recipe.logger.model_copy(update=logger),
        }
    )


def _remarks(recipe: TrainingRecipe, document: Document, found: Split) -> list[str]:
    idle = recipe_checks.idle(recipe, set(_paths(document.content)), found.paths)
    in_order = sorted(idle, key=lambda one: document.line(one[0]))
    without = [f"{document.place(path)}{dotted(path)} ({why})" for path, why in in_order]
    lines = [f"{document.name}: without effect: {'; '.join(without)}"] if without else []
    return lines + [f"{document.name}: {line}" for line in advice(recipe)]


def _paths(content: dict[str, Any], above: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in content.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


def to_yaml(recipe: TrainingRecipe) -> str:
    """The recipe as the text of a file that `read` makes the same of; keys with the default value are left out."""
    content = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    degradation = recipe.degradation.model_dump(mode="json", exclude_defaults=True)
    content |= {key: value for key, value in degradation.items() if key not in ("scale", "sharpen")}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return text
