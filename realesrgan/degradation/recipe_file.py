"""Read a recipe from a file: the degradation keys alone, or a published training recipe whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import strict_yaml
from ..errors import UsageError
from ..strict_yaml import Document, KeyPath, unknown_key
from .recipe import Recipe

# Accepted as published, and named: the published code never reads them.
WITHOUT_EFFECT = ("blur_kernel_size", "blur_kernel_size2")
# Keys of a training recipe that say nothing about degradations.
_OF_TRAINING = frozenset(
    ["name", "model_type", "num_gpu", "manual_seed", "gt_size", "gt_usm", "l1_gt_usm", "percep_gt_usm", "gan_gt_usm"]
    + ["high_order_degradation", "datasets", "network_g", "network_d", "path", "train", "val", "logger", "dist_params"]
    + ["find_unused_parameters"]
)
_OF_A_DATASET = frozenset(
    ["name", "type", "dataroot_gt", "dataroot_lq", "meta_info", "io_backend", "gt_size", "use_hflip", "use_rot"]
    + [
        "num_worker_per_gpu",
        "batch_size_per_gpu",
        "dataset_enlarge_ratio",
        "prefetch_mode",
        "pin_memory",
        "use_shuffle",
    ]
    + ["persistent_workers", "num_prefetch_queue", "filename_tmpl", "mean", "std"]
)
_TRAIN_SET: KeyPath = ("datasets", "train")
_SETS = ("train", "val", "test")  # how their names begin: val_2 is one more for validation


def read(path: Path | None, overrides: Sequence[str] = ()) -> tuple[Recipe, list[str]]:
    """Read a recipe, or take the published one, and change it by `overrides` of the form "key=value".

    Returns the recipe and a line for each key that has no effect.

    Raises:
        UsageError: the file cannot be read, a key is unknown (the nearest is named) or a value wrong; all faults at
            once, each with its line.
    """
    document = Document("`recipe`", {}) if path is None else strict_yaml.read(path)
    keys, paths = _flatten(document)
    idle = [
        f"{document.name}: {document.place(paths[key])}{key} has no effect; kernels have 7 to 21 pixels a side"
        for key in WITHOUT_EFFECT
        if key in keys
    ]
    content = {key: value for key, value in keys.items() if key not in WITHOUT_EFFECT}
    recipe = strict_yaml.validate(Recipe, Document(document.name, content, document.lines), paths)
    if not overrides:
        return recipe, idle
    changed = {**content, **_parse(overrides)}
    return strict_yaml.validate(Recipe, Document("`set`", changed)), idle


def _flatten(document: Document) -> tuple[dict[str, Any], dict[str, KeyPath]]:
    """The degradation keys, wherever a published recipe has them, and where that is."""
    train_set = _train_set(document)
    found: dict[str, Any] = {}
    paths: dict[str, KeyPath] = {}
    for above, content, others in (((), document.content, _OF_TRAINING), (_TRAIN_SET, train_set, _OF_A_DATASET)):
        for key, value in content.items():
            if key in others:
                continue
            if key in found:
                raise UsageError(f"{document.name}: {document.place((*above, key))}{key}: is given twice")
            found[str(key)], paths[str(key)] = value, (*above, str(key))
    return found, paths


def _train_set(document: Document) -> dict[str, Any]:
    """The keys of the training set. Other sets are for validation and may say what they like."""
    sets = _mapping(document, ("datasets",), document.content.get("datasets"))
    unknown = [key for key in sets if not str(key).startswith(_SETS)]
    lines = [f"{document.place(('datasets', str(key)))}datasets: {unknown_key(key, _SETS)}" for key in unknown]
    strict_yaml.fail(document, lines)
    return _mapping(document, _TRAIN_SET, sets.get("train"))


def _mapping(document: Document, path: KeyPath, value: Any) -> dict[str, Any]:
    if not isinstance(value, (dict, type(None))):
        raise UsageError(
            f"{document.name}: {document.place(path)}{'.'.join(map(str, path))}: must hold keys with values"
        )
    return value or {}


def _parse(overrides: Iterable[str]) -> dict[str, Any]:
    """["jpeg_range=[10, 60]", …] → {"jpeg_range": [10, 60]}."""
    values: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`set` {text}: write key=value, as in jpeg_range=[10,60]")
        content = strict_yaml.parse(f"value: {value.strip()}", f"`set` {text}").content
        if len(content) > 1:
            raise UsageError(f"`set` {text}: one key at a time")
        values[key.strip()] = content["value"]
    return values
