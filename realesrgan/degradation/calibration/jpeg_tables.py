"""The quantisation tables of a JPEG file, and the quality they stand for. Decodes no picture.

Tables are (8, 8) arrays, rows of rising vertical frequency, as in ITU-T T.81, annex K.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...arrays import Array
from ..jpeg import CHROMA_CORNER, CHROMA_REST, LUMA_STEPS

LUMA = np.array(LUMA_STEPS)
CHROMA = np.full((8, 8), CHROMA_REST)
CHROMA[:4, :4] = CHROMA_CORNER
# Low frequencies, where pictures have most to lose, count most.
_WEIGHTS = 1 / (1 + np.add.outer(np.arange(8), np.arange(8))) ** 2
_WEIGHTS /= _WEIGHTS.sum()
# How far off tables may be and still count as libjpeg's own, which are 0 off; Photoshop's are 0.1 to 0.5.
OWN_DIFFERENCE = 0.05

_ANY_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DQT, _SOS, _EOI = 0xDB, 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


@dataclass(frozen=True)
class Tables:
    """The tables of luma and, unless the file is gray, of chroma; `halved`: whether chroma is half as wide or high."""

    luma: Array
    chroma: Array | None
    halved: bool = False

    def turned(self) -> Tables:
        """Those of the picture turned by 90°."""
        return Tables(self.luma.T, None if self.chroma is None else self.chroma.T, self.halved)


def of_quality(quality: float) -> Tables:
    """What libjpeg takes for a quality, with chroma halved, as it does by default."""
    scale = scale_of(np.array([quality]))
    return Tables(scaled(LUMA, scale)[0], scaled(CHROMA, scale)[0], halved=True)


@dataclass(frozen=True)
class Fit:
    """The libjpeg quality nearest to a table, not always whole, and how far off that is: a mean of |log(ratio)|."""

    quality: float
    difference: float

    @property
    def is_own(self) -> bool:
        """Whether the tables are libjpeg's."""
        return self.difference <= OWN_DIFFERENCE


def read(path: Path) -> Tables | None:
    """The tables of a JPEG file; None if it is not one, has none, or is damaged before them.

    Raises:
        OSError: the file cannot be read.
    """
    tables: dict[int, Array] = {}
    components: list[tuple[int, int]] = []  # sampling factors as one byte, and the table's number
    with path.open("rb") as file:
        for marker, body in _segments(file):
            if marker == _DQT:
                tables |= _tables(body)
            elif marker in _ANY_SOF and len(body) >= 6:
                components = [(body[at + 1], body[at + 2]) for at in range(6, len(body) - 2, 3)]
    if not components or any(number not in tables for _, number in components):
        return None
    chroma = tables[components[1][1]] if len(components) == 3 else None
    halved = len(components) == 3 and components[0][0] > components[1][0]
    return Tables(tables[components[0][1]], chroma, halved)


def fit(tables: Tables) -> Fit:
    """The quality, from 1 to 100, whose tables are nearest to these."""
    given = [(LUMA, tables.luma)] + ([] if tables.chroma is None else [(CHROMA, tables.chroma)])
    scales = _scales()
    differences = [(np.abs(np.log(scaled(base, scales) / table)) * _WEIGHTS).sum((1, 2)) for base, table in given]
    difference = np.mean(differences, axis=0)
    best = int(difference.argmin())
    return Fit(float(_qualities()[best]), float(difference[best]))


def scaled(base: Array, scale: Array) -> Array:
    """(8, 8) tables scaled by each of (n,), in hundredths, as libjpeg does; (n, 8, 8)."""
    table: Array = np.clip(np.floor((base * scale[:, None, None] + 50) / 100), 1, 255)
    return table


def scale_of(quality: Array) -> Array:
    """The factor, in hundredths, that libjpeg multiplies its tables by; whole, as there, for a whole quality."""
    scale: Array = np.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return np.where(quality % 1 == 0, np.floor(scale), scale)


@cache
def _qualities() -> Array:
    whole = np.arange(1.0, 101)
    return np.concatenate([whole, np.setdiff1d(np.arange(10, 1001) / 10, whole)])  # the first of equals is whole


@cache
def _scales() -> Array:
    return scale_of(_qualities())


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each segment before the first scan, with its marker; none if the file is not a JPEG."""
    if file.read(2) != b"\xff\xd8":
        return
    while file.read(1) == b"\xff":
        marker = file.read(1)
        while marker == b"\xff":  # filling
            marker = file.read(1)
        if not marker or marker[0] in (_SOS, _EOI):
            return
        if marker[0] in _WITHOUT_LENGTH:
            continue
        length = file.read(2)
        if len(length) < 2:
            return
        yield marker[0], file.read(max(0, struct.unpack(">H", length)[0] - 2))


def _tables(body: bytes) -> dict[int, Array]:
    """The tables of a DQT segment, by number; entries of 8 or 16 bits come in zigzag order."""
    found: dict[int, Array] = {}
    while body:
        wide, number = body[0] >> 4, body[0] & 15
        entries = np.frombuffer(body[1 : 1 + (128 if wide else 64)], ">u2" if wide else np.uint8)
        if len(entries) < 64 or not entries.all():
            break
        table = np.empty(64)
        table[_zigzag()] = entries
        found[number] = table.reshape(8, 8)
        body = body[1 + entries.nbytes :]
    return found


@cache
def _zigzag() -> Array:
    """Where each entry of a file stands in a flat (8, 8) table."""

    def order(at: int) -> tuple[int, int]:
        row, column = divmod(at, 8)
        return row + column, row if (row + column) % 2 else column

    return np.array(sorted(range(64), key=order))
