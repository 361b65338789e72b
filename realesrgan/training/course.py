"""What decides the course of a training, as plain data, so that a resumed one can say what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..degradation.recipe import Recipe
from .recipe import TrainingRecipe

Course = dict[str, Any]  # by the names of keys in files: "train.optim_g.lr"

# How long, how fast, from where and how closely watched: none of that changes what is learned in an iteration. The
# pictures are told apart by their fingerprint, and the batch by its size over all processes.
_WITHOUT = frozenset(
    ["name", "num_gpu", "path", "val", "logger", "dist_params", "find_unused_parameters", "high_order_degradation"]
    + ["datasets.val", "datasets.train.gt_size", "datasets.train.batch_size_per_gpu", "train.total_iter"]
)
_OF_THE_TRAIN_SET = frozenset(["datasets.train.type", "datasets.train.use_hflip", "datasets.train.use_rot"])
_CROP = "datasets.train.crop_pad_size"
_BATCH = "batch_size_per_gpu of all processes"
_DRAWN_FROM = frozenset(["manual_seed", "gt_size", "gt_usm", "scale", _CROP, _BATCH, *Recipe.model_fields])


def course_of(recipe: TrainingRecipe, global_batch: int) -> Course:
    """All values that what is learned depends on, besides the pictures. `global_batch` is over all processes."""
    content = recipe.model_dump(mode="json", by_alias=True)
    if not recipe.paired:
        content |= recipe.degradation.model_dump(mode="json") | {_CROP: recipe.datasets.train.crop_pad_size}
    content |= {"gt_size": recipe.gt_size, _BATCH: global_batch}
    return dict(_flat(content))


def changes(before: Mapping[str, Any], now: Course) -> tuple[list[str], list[str]]:
    """Each value that is another one: "train.optim_g.lr 0.0001, now 0.001"; and the keys that samples depend on."""
    keys = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    said = [f"{key} {_said(before.get(key))}, now {_said(now.get(key))}" for key in keys]
    return said, [key for key in keys if key in _DRAWN_FROM | _OF_THE_TRAIN_SET]


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        path = f"{above}{key}"
        if path in _WITHOUT or (above == "datasets.train." and path not in _OF_THE_TRAIN_SET):
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
