"""Durations and counts in words. Knows nothing of what is counted."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """0.8 s, 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(number: float) -> str:
    """700 bytes, 2.5 kB, 3.4 MB, 1.2 GB."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if number >= 10**power:
            return f"{number / 10**power:.1f} {unit}"
    return f"{number:.0f} bytes"


def count(number: int, thing: str) -> str:
    """1 picture, 2 pictures."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
