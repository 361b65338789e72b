"""Where a checkpoint differs from the network it was taken for, in a few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .family import Shapes

if TYPE_CHECKING:
    from torch import Tensor

SHOWN_KEYS = 3
SHOWN_LETTERS = 60  # of a key: keys come out of files, and may be of any length


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def difference(shapes: Shapes, wanted: Shapes) -> str:
    """What the tensors of a file have too few, too many, or in another shape than `wanted`; empty if nothing."""
    missing = [key for key in wanted if key not in shapes]
    extra = [key for key in shapes if key not in wanted]
    changed = [key for key in shapes if key in wanted and shapes[key] != wanted[key]]
    parts = (("lacks", missing, wanted), ("has in addition", extra, shapes), ("has in another shape", changed, shapes))
    return ", ".join(f"the file {verb} {some_of(keys, of)}" for verb, keys, of in parts if keys)


def some_of(keys: Iterable[str], shapes: Shapes) -> str:
    """The first few of `keys` with their shapes, and how many more there are."""
    keys = list(keys)
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(f"{shortened(key)} {shapes[key]}" for key in keys[:SHOWN_KEYS]) + more


def shortened(key: str) -> str:
    """`key` as a message can show it."""
    return key if len(key) <= SHOWN_LETTERS else f"{key[:SHOWN_LETTERS]}…"
