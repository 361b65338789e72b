"""An evaluation as a table to read, as CSV and as JSON. Knows nothing of pixels."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from collections.abc import Iterator
from typing import Any

from .evaluation import Evaluation
from .measuring import Row, Values

_TABLE_DIGITS = {"psnr": 2, "psnr_y": 2, "flicker": 3, "warping": 3, "warping_original": 3}
_DIGITS = 6  # after the point, in files


def table(found: Evaluation) -> list[str]:
    """Lines of aligned columns: a row for each picture, two for each video, and the mean if there are several."""
    lines = [["", *found.names]]
    for row in found.rows:
        lines.append([str(row.pair.result), *_cells(row.values, found.names)])
        if row.pair.videos is not None:
            lines.append([f"  worst of {len(row.frames)} frames", *_cells(row.worst, found.names)])
    if len(found.rows) > 1:
        lines.append([f"mean of {len(found.rows)}", *_cells(found.means(), found.names)])
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(_padded(line, widths)).rstrip() for line in lines]


def _cells(values: Values, names: list[str]) -> list[str]:
    numbers = [(name, values.get(name, math.nan)) for name in names]
    return ["-" if math.isnan(number) else f"{number:.{_TABLE_DIGITS.get(name, 4)}f}" for name, number in numbers]


def _padded(cells: list[str], widths: list[int]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    yield cells[0] + " " * (widths[0] - _width(cells[0]))
    yield from (" " * (width - len(cell)) + cell for cell, width in zip(cells[1:], widths[1:], strict=True))


def _width(text: str) -> int:
    """How many columns a terminal takes for it: two for a Chinese letter, none for an accent."""
    wide = (2 if unicodedata.east_asian_width(letter) in "WF" else not unicodedata.combining(letter) for letter in text)
    return sum(wide)


def as_csv(found: Evaluation, *, per_frame: bool = False) -> str:
    """A line for each picture, for each video's mean and worst frame, with `per_frame` for each frame, and the mean.

    The column `frame` is empty for pictures. Where there is no number the field is empty; infinity is inf.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["result", "original", "frame", *found.names])
    for row in found.rows:
        for frame, values in _lines(row, per_frame):
            writer.writerow(
                [
                    _utf8(row.pair.result),
                    _utf8(row.pair.original),
                    frame,
                    *(_field(values, name) for name in found.names),
                ]
            )
    means = found.means()
    writer.writerow(["mean", "", "", *(_field(means, name) for name in found.names)])
    return text.getvalue()


def _lines(row: Row, per_frame: bool) -> Iterator[tuple[str, Values]]:
    if row.pair.videos is None:
        yield "", row.values
        return
    if per_frame:
        yield from ((str(number), values) for number, values in enumerate(row.frames))
    yield "mean", row.values
    yield "worst", row.worst


def _field(values: Values, name: str) -> str:
    number = values.get(name, math.nan)
    return "" if math.isnan(number) else f"{number:.{_DIGITS}f}"


def as_json(found: Evaluation, *, per_frame: bool = False) -> str:
    """An object: `results`, a list; `mean`; `failures`, lines; `lower_is_better`, names.

    Where there is no number it says null; infinity is the text "inf", because JSON has none.
    """
    rows = []
    for row in found.rows:
        one: dict[str, Any] = {"result": _utf8(row.pair.result), "original": _utf8(row.pair.original)}
        one["values"] = _plain(row.values)
        if row.pair.videos is not None:
            one |= {"frame_count": len(row.frames), "worst": _plain(row.worst)}
            if per_frame:
                one["frames"] = [_plain(values) for values in row.frames]
        rows.append(one)
    lower = [metric.name for metric in found.metrics if metric.lower_is_better]
    whole = {"results": rows, "mean": _plain(found.means()), "lower_is_better": lower}
    whole["failures"] = [_utf8(line) for line in found.failures]
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _utf8(text: object) -> str:
    """What is not UTF-8 in a file's name becomes \\u and digits."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(values: Values) -> dict[str, float | str | None]:
    return {name: _json_number(number) for name, number in values.items()}


def _json_number(number: float) -> float | str | None:
    if math.isnan(number):
        return None
    return round(number, _DIGITS) if math.isfinite(number) else "inf"
