"""Plain values that stand beside the tensors of a weights file: names, numbers, a licence. Knows nothing of tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

Metadata = dict[str, Any]  # only what JSON can say

MOST_DEPTH = 4  # of dictionaries in dictionaries; what is deeper is no description of a network
# Of one entry and of all, whether they are kept or not: a small file can refer to one value again and again.
MOST_LETTERS, MOST_LETTERS_IN_ALL = 1 << 16, 1 << 20
MOST_INTEGER = 1 << 63  # beyond it, programs differ in what they read
FORMAT_KEY = "format"  # safetensors' own entry: which library wrote the file
_LICENCE_KEYS = ("licence", "license", "modelspec.license", "model_license", "model_licence")


class _NotPlain(Exception):
    """A value that JSON cannot say."""


def metadata_of(content: Mapping[Any, Any]) -> Metadata:
    """The entries of `content` that are plain values; others, such as the tensors, are left out.

    Strings that are JSON of a list or a dictionary, as .safetensors files hold them, are read as such.
    """
    found: Metadata = {}
    left = MOST_LETTERS_IN_ALL
    for key, value in content.items():
        if not isinstance(key, str) or key == FORMAT_KEY:
            continue
        reader = _PlainValues(min(left, MOST_LETTERS))
        with suppress(_NotPlain):
            found[key] = _decoded(reader.read({key: value})[key])
        left -= reader.taken
        if left <= 0:
            break
    return found


def as_strings(metadata: Metadata) -> dict[str, str]:
    """The same for a .safetensors file, which holds strings only: others as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}


def licence_of(metadata: Metadata) -> str | None:
    """What the file says about the licence of its weights, at the top or one level down; None: nothing."""
    entries = [metadata, *(value for value in metadata.values() if isinstance(value, dict))]
    lowered = [{key.lower(): value for key, value in entry.items()} for entry in entries]
    found = (entry[key] for entry in lowered for key in _LICENCE_KEYS if isinstance(entry.get(key), str))
    return next(found, None)


class _PlainValues:
    """Copies plain values, at most so many letters of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def read(self, value: Any, depth: int = MOST_DEPTH + 1) -> Any:
        """A copy of `value` in the types that JSON has.

        Raises:
            _NotPlain: it holds anything else, or too much.
        """
        self._take(1)
        if value is None or type(value) is bool:
            return value
        if type(value) is str:
            return self._text(value)
        if type(value) is int and abs(value) < MOST_INTEGER:
            return value
        if type(value) is float and math.isfinite(value):
            return value
        if depth and isinstance(value, Mapping):
            return {self._key(key): self.read(entry, depth - 1) for key, entry in value.items()}
        if depth and isinstance(value, list | tuple):
            return [self.read(entry, depth - 1) for entry in value]
        raise _NotPlain

    def _key(self, key: Any) -> str:
        if type(key) is not str:
            raise _NotPlain
        return self._text(key)

    def _text(self, text: str) -> str:
        self._take(len(text))
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half a surrogate pair, which no format can hold
            raise _NotPlain from error
        return text

    def _take(self, letters: int) -> None:
        if self.taken + letters > self._most:
            raise _NotPlain
        self.taken += letters


def _decoded(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return _PlainValues(MOST_LETTERS).read(json.loads(value), MOST_DEPTH)
    except (ValueError, RecursionError, _NotPlain):
        return value
