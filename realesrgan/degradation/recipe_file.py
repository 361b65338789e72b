"""Read a recipe from a file: the degradation keys alone, or a published training recipe whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import strict_yaml
from ..errors import UsageError
from ..strict_keys import KeyPath, dotted
from ..strict_yaml import Document, Fault
from .recipe import Recipe

# Accepted as published, and named: the published code never reads them.
WITHOUT_EFFECT = ("blur_kernel_size", "blur_kernel_size2")
TRAIN_SET: KeyPath = ("datasets", "train")
SETS = ("train", "val", "test")  # how the names of data sets begin: val_2 is one more for validation
# Keys of a training recipe that say nothing about degradations, at the top and below datasets.train: those of
# training/recipe.py, which lies further right. `gt_usm` does: it is `sharpen` under its published name.
OF_TRAINING = frozenset(
    ["name", "model_type", "num_gpu", "manual_seed", "gt_size", "gt_usm", "l1_gt_usm", "percep_gt_usm", "gan_gt_usm"]
    + ["high_order_degradation", "datasets", "network_g", "network_d", "path", "train", "val", "logger", "dist_params"]
    + ["find_unused_parameters"]
)
OF_A_DATASET = frozenset(
    ["name", "type", "dataroot_gt", "dataroot_lq", "meta_info", "filename_tmpl", "io_backend", "gt_size", "use_hflip"]
    + ["use_rot", "mean", "std", "num_worker_per_gpu", "batch_size_per_gpu", "dataset_enlarge_ratio", "prefetch_mode"]
    + ["pin_memory", "use_shuffle", "persistent_workers", "num_prefetch_queue", "crop_pad_size"]
)


@dataclass(frozen=True)
class Split:
    """What a file says about degradations, apart from all else.

    Attributes:
        keys: keys of `Recipe`, and those of WITHOUT_EFFECT.
        paths: where in the file each of them stands.
        rest: the file's content without them, but with `scale`, which concerns both.
        faults: keys that stand in two places.
    """

    keys: dict[str, Any]
    paths: dict[str, KeyPath]
    rest: dict[str, Any]
    faults: list[Fault]


def read(path: Path | None, overrides: Sequence[str] = ()) -> tuple[Recipe, list[str]]:
    """Read a recipe, or take the published one, and change it by `overrides` of the form "key=value".

    Returns the recipe and a line for each key that has no effect.

    Raises:
        UsageError: the file cannot be read, a key is unknown (the nearest is named) or a value wrong; all faults at
            once, each with its line.
    """
    document = Document("`recipe`", {}) if path is None else strict_yaml.read(path)
    found = split(document)
    keys, paths = _with_unknown_ones(found)
    idle = [
        f"{document.name}: {document.place(paths[key])}{key} has no effect; kernels have 7 to 21 pixels a side"
        for key in WITHOUT_EFFECT
        if key in keys
    ]
    content = {key: value for key, value in keys.items() if key not in WITHOUT_EFFECT}
    recipe, faults = strict_yaml.attempt(Recipe, Document(document.name, content, document.lines), paths)
    strict_yaml.fail(document, strict_yaml.lines(document, [*found.faults, *faults, *_datasets(document.content)]))
    assert recipe is not None  # there are faults otherwise
    if not overrides:
        return recipe, idle
    changed = {**content, **_parse(overrides)}
    return strict_yaml.validate(Recipe, Document("`set`", changed)), idle


def split(document: Document) -> Split:
    """Take the degradation keys out of a file, which may be a training recipe and have them in two places."""
    rest = dict(document.content)
    found = Split({}, {}, rest, [])
    _take((), rest, found)
    train_set = _train_set(rest)
    if train_set is not None:
        rest["datasets"] = {**rest["datasets"], "train": train_set}
        _take(TRAIN_SET, train_set, found)
    if "scale" in document.content:
        rest["scale"] = document.content["scale"]
    if isinstance(rest.get("gt_usm"), bool) and "sharpen" not in found.keys:
        found.keys["sharpen"], found.paths["sharpen"] = rest["gt_usm"], ("gt_usm",)
    return found


def _take(above: KeyPath, section: dict[str, Any], found: Split) -> None:
    for key in [key for key in section if key in Recipe.model_fields or key in WITHOUT_EFFECT]:
        value, path = section.pop(key), (*above, key)
        if key in found.keys:
            found.faults.append(Fault(path, key, f"is given twice, also as {dotted(found.paths[key])}"))
        found.keys[key], found.paths[key] = value, path


def _train_set(content: dict[str, Any]) -> dict[str, Any] | None:
    """A copy of datasets.train, if there is one."""
    datasets = content.get("datasets")
    train_set = datasets.get("train") if isinstance(datasets, dict) else None
    return dict(train_set) if isinstance(train_set, dict) else None


def _with_unknown_ones(found: Split) -> tuple[dict[str, Any], dict[str, KeyPath]]:
    """The degradation keys, and those of `rest` that are not of a training recipe either."""
    keys, paths = dict(found.keys), dict(found.paths)
    for above, section, known in (
        ((), found.rest, OF_TRAINING | {"scale"}),
        (TRAIN_SET, _train_set(found.rest) or {}, OF_A_DATASET),
    ):
        for key in [key for key in section if key not in known]:
            keys[str(key)], paths[str(key)] = section[key], (*above, str(key))
    return keys, paths


def _datasets(content: dict[str, Any]) -> list[Fault]:
    """Faults of the section `datasets`: sets for validation and tests may say what they like."""
    datasets = content.get("datasets") or {}
    if not isinstance(datasets, dict):
        return [Fault(("datasets",), "datasets", "must hold keys with values")]
    faults = [
        Fault(("datasets", str(key)), f"datasets.{key}", f"there is no such set; there are {', '.join(SETS)}")
        for key in datasets
        if not str(key).startswith(SETS)
    ]
    if not isinstance(datasets.get("train") or {}, dict):
        faults.append(Fault(TRAIN_SET, "datasets.train", "must hold keys with values"))
    return faults


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
