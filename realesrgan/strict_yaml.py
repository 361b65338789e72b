"""Read YAML strictly: every fault at once, each with its line and the nearest key. Knows nothing of what is in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import UsageError

KeyPath = tuple["str | int", ...]  # ("datasets", "train", "kernel_prob", 2)
Model = TypeVar("Model", bound=BaseModel)

MOST_VALUES = 100_000  # in a file; recipes have a hundred


@dataclass(frozen=True)
class Document:
    """A YAML mapping, and the line on which each of its keys and items stands, from 1."""

    name: str
    content: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """ "line 7: " of the key at `path`, or of the nearest one above it; nothing where no file was read."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"line {self.lines[path]}: " if path else ""


def read(path: Path) -> Document:
    """Read a YAML file that holds a mapping.

    Raises:
        UsageError: it cannot be read, is not YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Document:
    """Parse YAML text that holds a mapping; `name` is what messages call it.

    Raises:
        UsageError: it is not YAML, or has a key twice.
    """
    try:
        content, root = _load(text)
        lines = dict(_lines(root))
        twice = list(_given_twice(root))
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:  # "!!float x", an alias within itself
        raise UsageError(f"{name}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{name}: must hold keys with values, one `key: value` a line")
    document = Document(name, content, lines)
    fail(document, [f"{document.place(path)}{path[-1]}: is given twice" for path in twice])
    return document


def _load(text: str) -> tuple[Any, yaml.Node | None]:
    """
    Raises:
        YAMLError, ValueError, RecursionError: it is not YAML, or a few lines of aliases stand for millions of values.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is not None and _size(root, {}) > MOST_VALUES:
            raise ValueError(f"with all aliases, it holds more than {MOST_VALUES} values")
        return {} if root is None else loader.construct_document(root), root
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are from `node` downwards, those behind aliases counted each time."""
    if id(node) not in known:
        known[id(node)] = 1 + sum(_size(value, known) for _, _, value in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[tuple[str | int, int, yaml.Node]]:
    """Each key or index of a node, its line, and what stands there."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value.start_mark.line + 1, value


def _lines(node: yaml.Node | None, above: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    if node is None:
        return
    for key, line, value in _children(node):
        yield (*above, key), line
        yield from _lines(value, (*above, key))


def _given_twice(node: yaml.Node | None, above: KeyPath = ()) -> Iterator[KeyPath]:
    if node is None:
        return
    seen: set[str | int] = set()
    for key, _, value in _children(node):
        if key in seen:
            yield (*above, key)
        seen.add(key)
        yield from _given_twice(value, (*above, key))


def unknown_key(key: object, known: Iterable[str]) -> str:
    """Say that there is no such key, and which one may be meant."""
    near = difflib.get_close_matches(str(key), list(known), n=1)
    return f"{key}: there is no such key" + (f"; is {near[0]} meant?" if near else "")


def validate(model: type[Model], document: Document, paths: Mapping[str, KeyPath] | None = None) -> Model:
    """Make a `model` of the document's content.

    `paths` says where in the file a key stands, if that is not at the top.

    Raises:
        UsageError: keys are unknown or values wrong; all of them are named.
    """
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        lines = [_said(model, document, paths or {}, one) for one in error.errors()]
    fail(document, lines)
    raise AssertionError("a ValidationError has at least one error")


def _said(model: type[BaseModel], document: Document, paths: Mapping[str, KeyPath], error: Any) -> str:
    where: KeyPath = tuple(error["loc"])
    top, rest = (str(where[0]), where[1:]) if where else ("", ())
    path = (*paths.get(top, (top,)), *rest)
    if error["type"] == "extra_forbidden":
        return document.place(path) + unknown_key(top, model.model_fields)
    name = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in where)
    message = error["msg"].removeprefix("Value error, ")
    return f"{document.place(path)}{name}: {message[:1].lower()}{message[1:]}" if name else message


def fail(document: Document, lines: Iterable[str]) -> None:
    """Raise UsageError with all `lines`, if there are any."""
    lines = list(lines)
    if len(lines) == 1:
        raise UsageError(f"{document.name}: {lines[0]}")
    if lines:
        raise UsageError("\n  ".join([f"{document.name}: {len(lines)} errors", *lines]))
