"""Read YAML strictly: every fault at once, each with its line and the nearest key. Knows nothing of what is in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import UsageError
from .strict_keys import KeyPath, KnownKeys, dotted

Model = TypeVar("Model", bound=BaseModel)

MOST_VALUES = 100_000  # in a file; recipes have a hundred
MOST_BYTES = 1_000_000  # of a file; recipes have a few thousand, and parsing takes 10 s a million


@dataclass(frozen=True)
class Document:
    """A YAML mapping, and the line on which each of its keys and items stands, from 1.

    `given` names what changed a key after the file was read: "`set`".
    """

    name: str
    content: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    given: Mapping[KeyPath, str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of the key at `path`, or of the nearest one above it; 0 if that stands on none."""
        while path and path not in self.given and path not in self.lines:
            path = path[:-1]
        return 0 if path in self.given else self.lines.get(path, 0)

    def place(self, path: KeyPath) -> str:
        """ "line 7: " as `line` says, or "`set`: " where that changed the key; nothing where no file was read."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.given:
                return f"{self.given[path[:end]]}: "
            if path[:end] in self.lines:
                return f"line {self.lines[path[:end]]}: "
        return ""

    def changed(self, path: tuple[str, ...], value: Any, by: str) -> Document:
        """The same with `value` at `path`, sections on the way to it included; `by` is what messages call the change.

        Raises:
            UsageError: a key on the way holds something other than keys.
        """
        content = copy.deepcopy(self.content)
        here = content
        for end, key in enumerate(path[:-1], 1):
            here = here.setdefault(key, {})
            if not isinstance(here, dict):
                raise UsageError(f"{by}: {dotted(path[:end])} has no keys of its own")
        here[path[-1]] = value
        return replace(self, content=content, given={**self.given, path: by})


@dataclass(frozen=True)
class Fault:
    """What is wrong with the key at `path`, which messages call `name`; `about` has other keys that it depends on."""

    path: KeyPath
    name: str
    words: str
    about: tuple[KeyPath, ...] = ()


def read(path: Path) -> Document:
    """Read a YAML file that holds a mapping.

    Raises:
        UsageError: it cannot be read, is too large or not YAML, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path}: too large for a file of keys, which has {MOST_BYTES} bytes at most")
        text = content.decode("utf-8")
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


def validate(model: type[Model], document: Document, paths: Mapping[str, KeyPath] | None = None) -> Model:
    """Make a `model` of the document's content.

    `paths` says where in the file a key stands, if that is not at the top.

    Raises:
        UsageError: keys are unknown or values wrong; all of them are named.
    """
    made, faults = attempt(model, document, paths)
    fail(document, lines(document, faults))
    assert made is not None  # there are faults otherwise
    return made


def attempt(
    model: type[Model],
    document: Document,
    paths: Mapping[str, KeyPath] | None = None,
    also: Mapping[KeyPath, Set[str]] | None = None,
) -> tuple[Model | None, list[Fault]]:
    """Make a `model` of what is right in the document's content, and say what is not.

    Keys with faults are left out of the model; None if it cannot do without them. `also` has keys of other models that
    may stand under a path of the file.
    """
    try:
        return model.model_validate(document.content), []
    except ValidationError as error:
        errors = error.errors()
    content = copy.deepcopy(document.content)
    known, faults = KnownKeys(model, also or {}), []
    for one in errors:
        path, looking = known.follow(one["loc"])
        there = (*(paths or {}).get(str(path[0]), path[:1]), *path[1:]) if path else ()
        words = known.no_such_key(path, looking) if one["type"] == "extra_forbidden" else _words(one)
        faults.append(Fault(there, dotted(path), words))
        _leave_out(content, path)
    try:
        return model.model_validate(content), faults
    except ValidationError:
        return None, faults


def _leave_out(content: Any, path: KeyPath) -> None:
    """Remove the key at `path`, or the innermost one above an item of a list."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    for part in path[:-1]:
        content = content.get(part) if isinstance(content, dict) else None
    if isinstance(content, dict) and path:
        content.pop(path[-1], None)


_PLAINER = {"path_type": "should be the path of a file or folder", "tuple_type": "should be a list"}


def _words(error: Any) -> str:
    """What pydantic says, in words for people who have never heard of it."""
    kind, given = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "union_tag_not_found":
        return f"{given['discriminator'].strip(chr(39))} is missing"
    if kind == "union_tag_invalid":
        tags = " or ".join(given["expected_tags"].split(", "))
        return f"{given['discriminator'].strip(chr(39))} {given['tag']}: input should be {tags}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "should hold keys with values, one `key: value` a line"
    if kind in _PLAINER:
        return _PLAINER[kind]
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def lines(document: Document, faults: Iterable[Fault]) -> list[str]:
    """Each fault in one line of text, in the order of the file."""
    return [
        document.place(fault.path) + (f"{fault.name}: " if fault.name else "") + fault.words
        for fault in sorted(faults, key=lambda fault: document.line(fault.path))
    ]


def fail(document: Document, lines: Iterable[str]) -> None:
    """Raise UsageError with all `lines`, if there are any."""
    lines = list(lines)
    if len(lines) == 1:
        raise UsageError(f"{document.name}: {lines[0]}")
    if lines:
        raise UsageError("\n  ".join([f"{document.name}: {len(lines)} errors", *lines]))
