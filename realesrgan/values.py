"""Validate numbers from users, whether on the command line, on a page or in Python."""

from __future__ import annotations

import math
from numbers import Integral, Real

from .errors import UsageError

MOST_OUTSCALE = 64  # so that a typing error does not ask for terabytes


def check_range(option: str, value: object, least: float, most: float = math.inf) -> None:
    """Raise UsageError unless `value` is a number in [least, most]."""
    wanted = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
    if not (_is_number(value) and least <= value <= most):  # type: ignore[operator]
        raise UsageError(f"`{option}` {_shown(value)}: must be {wanted}")


def check_whole_number(option: str, value: object, least: int) -> None:
    """Raise UsageError unless `value` is a whole number from `least` upwards."""
    if not (isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least):
        raise UsageError(f"`{option}` {_shown(value)}: must be a whole number from {least} upwards")


def check_outscale(outscale: object) -> None:
    """Raise UsageError unless `outscale` is a number above 0 and not absurdly large."""
    if not (_is_number(outscale) and 0 < outscale <= MOST_OUTSCALE):  # type: ignore[operator]
        raise UsageError(f"`outscale` {_shown(outscale)}: must be a number above 0, at most {MOST_OUTSCALE}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # NumPy's numbers are Real too


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
