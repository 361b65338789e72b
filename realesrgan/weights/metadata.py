"""Plain values that stand beside the tensors of a weights file: names, numbers, a licence. Knows nothing of tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

Metadata = dict[str, Any]  # only what JSON can say

MOST_DEPTH = 4  # of dictionaries in dictionaries; what is deeper is no description of a network
MOST_LETTERS = 1 << 16  # of one entry, written as JSON
FORMAT_KEY = "format"  # safetensors' own entry: which library wrote the file
_LICENCE_KEYS = ("licence", "license", "modelspec.license", "model_license", "model_licence")


class _NotPlain(Exception):
    """A value that JSON cannot say."""


def metadata_of(content: Mapping[Any, Any]) -> Metadata:
    """The entries of `content` that are plain values; others, such as the tensors, are left out.

    Strings that are JSON of a list or a dictionary, as .safetensors files hold them, are read as such.
    """
    found = {}
    for key, value in content.items():
        if not isinstance(key, str) or key == FORMAT_KEY:
            continue
        try:
            plain = _decoded(_plain(value, MOST_DEPTH))
        except _NotPlain:
            continue
        if len(json.dumps(plain)) <= MOST_LETTERS:
            found[key] = plain
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


def _plain(value: Any, depth: int) -> Any:
    if value is None or type(value) in (str, bool, int) or (type(value) is float and math.isfinite(value)):
        return value
    if depth and isinstance(value, Mapping) and value and all(isinstance(key, str) for key in value):
        return {key: _plain(entry, depth - 1) for key, entry in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_plain(entry, depth - 1) for entry in value]
    raise _NotPlain


def _decoded(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return _plain(json.loads(value), MOST_DEPTH)
    except (ValueError, RecursionError, _NotPlain):
        return value
