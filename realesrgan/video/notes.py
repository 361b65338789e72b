"""What happened to a stream on its way into the output, in words."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Note:
    """One line about one stream; `is_loss` says that the result suffers."""

    text: str
    is_loss: bool = False


def at(when_s: Fraction) -> str:
    """A moment as people write it: "0:01:02.5"."""
    tenths = round(max(when_s, Fraction(0)) * 10)
    minutes, seconds = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds / 10:04.1f}"
