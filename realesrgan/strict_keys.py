"""The keys that a pydantic model knows at each level, for messages about those it does not know. Reads no files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

KeyPath = tuple["str | int", ...]  # ("datasets", "train", "kernel_prob", 2)

MOST_HOMES = 2  # sections that a key may belong to for them to be named; `type` belongs to nearly all


def dotted(path: KeyPath) -> str:
    """("train", "milestones", 0) → "train.milestones[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class KnownKeys:
    """The keys that a model and those within it have, under their names in files."""

    def __init__(self, model: type[BaseModel], also: Mapping[KeyPath, Set[str]]) -> None:
        self._model, self._also = model, also

    def follow(self, location: KeyPath) -> tuple[KeyPath, list[type[BaseModel]]]:
        """From pydantic's location of an error to the path in the file, and to the models that look at its last key.

        In a location, the choice of a union stands among the keys: ("network_g", "RRDBNet", "num_feat").
        """
        path: KeyPath = ()
        looking, inside = [self._model], [self._model]
        for part in location:
            owners = [model for model in inside if part in _keys(model)]
            chosen = [model for model in inside if part in _tags(model)]
            if chosen and not owners and len(inside) > 1:
                inside = chosen
                continue
            path, looking = (*path, part), inside
            if owners:
                inside = [each for model in owners for each in _models(_keys(model)[str(part)])]
        return path, looking

    def at(self, path: KeyPath, looking: Iterable[type[BaseModel]]) -> set[str]:
        """The keys that may stand beside the last one of `path`, at which `looking` look."""
        return {key for model in looking for key in _keys(model)} | set(self._also.get(path[:-1], ()))

    def homes(self, key: str) -> list[str]:
        """The sections that have `key`."""
        found = [dotted(path) for path, keys in self._all() if key in keys]
        return list(dict.fromkeys(found))

    def no_such_key(self, path: KeyPath, looking: Iterable[type[BaseModel]]) -> str:
        """Say that there is no key of that name, and where it belongs or which one may be meant."""
        homes = self.homes(str(path[-1]))
        if dotted(path[:-1]) in homes:  # a union's other choice has it
            return "there is no such key for this type"
        if 0 < len(homes) <= MOST_HOMES:
            return f"there is no such key here; it belongs {' or '.join(map(_below, homes))}"
        near = difflib.get_close_matches(str(path[-1]), sorted(self.at(path, looking)), n=1)
        return "there is no such key" + (f"; is {near[0]} meant?" if near else "")

    def _all(self) -> Iterator[tuple[KeyPath, Set[str]]]:
        waiting: list[tuple[KeyPath, type[BaseModel]]] = [((), self._model)]
        yield from self._also.items()
        while waiting:
            path, model = waiting.pop(0)
            yield path, set(_keys(model))
            waiting += [((*path, key), each) for key, value in _keys(model).items() for each in _models(value)]


def _keys(model: type[BaseModel]) -> dict[str, Any]:
    """The types of a model's values by their keys in files."""
    return {one.alias or name: one.annotation for name, one in model.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _tags(model: type[BaseModel]) -> set[Any]:
    """The words by which a union may choose a model."""
    kinds = [value for value in _keys(model).values() if get_origin(value) is Literal]
    return {tag for kind in kinds for tag in get_args(kind)}


def _below(section: str) -> str:
    return f"below {section}" if section else "at the top"
