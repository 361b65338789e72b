"""The files an evaluation is kept in: CSV, JSON and the sheet. They appear whole, and overwrite nothing measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..image import files, formats
from ..outputs import is_kept, make_folder, place_of, write_whole
from . import report, worst
from .evaluation import Evaluation
from .pairs import Pairs


@dataclass(frozen=True)
class Kept:
    """Where to keep what was measured; None: nowhere. `per_frame` adds each frame of videos to CSV and JSON."""

    csv: Path | None = None
    json: Path | None = None
    sheet: Path | None = None
    per_frame: bool = False

    def check(self) -> None:
        """Raise UsageError if the options cannot be meant, or no file could be written there."""
        if self.per_frame and not (self.csv or self.json):
            raise UsageError("`per_frame`: goes with `csv` or `json`")
        if self.sheet is not None:
            formats.check_name(self.sheet, "sheet")
        places = [place_of(path) for _, path in self._wanted()]
        for option, path in self._wanted():
            if places.count(place_of(path)) > 1:
                raise UsageError(f"`{option}` {path}: two files would be written there")
            if path.is_dir():
                raise UsageError(f"`{option}` {path}: a folder; name a file")
            if not is_kept(path):
                make_folder(path.parent, option)

    def refuse_overwrites(self, matched: Pairs) -> None:
        """Raise UsageError if a file found among the results and originals would be overwritten."""
        for option, path in self._wanted():
            if place_of(path) in matched.places:
                raise UsageError(f"`{option}` {path}: is one of the files to measure, and would be overwritten")

    def write(self, found: Evaluation, *, border: int = 0) -> list[Path]:
        """Write what is wanted and return the paths.

        Raises:
            RealESRGANError: a file cannot be written, or there is nothing to draw.
        """
        if self.csv is not None:
            write_whole(self.csv, report.as_csv(found, per_frame=self.per_frame).encode(), "csv")
        if self.json is not None:
            write_whole(self.json, report.as_json(found, per_frame=self.per_frame).encode(), "json")
        if self.sheet is not None:
            files.write(self.sheet, files.Picture(worst.sheet(found, border=border)))
        return [path for _, path in self._wanted()]

    def _wanted(self) -> Iterator[tuple[str, Path]]:
        for option, path in (("csv", self.csv), ("json", self.json), ("sheet", self.sheet)):
            if path is not None:
                yield option, path
