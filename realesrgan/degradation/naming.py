"""Which files are made of each picture that is degraded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..image.files import Header
from .records import Record


@dataclass(frozen=True)
class Folders:
    """Where files go: results, and if wanted the originals they belong to and contact sheets, under the same names."""

    results: Path
    originals: Path | None = None
    sheets: Path | None = None

    def targets(self, names: Sequence[Path]) -> tuple[Path, ...]:
        """All results, then all originals, then all sheets; `names` are those of the results, below their folder."""
        results = [self.results / name for name in names]
        originals = [self.originals / name.with_suffix(".png") for name in names] if self.originals else []
        sheets = [self.sheets / f"{name.with_suffix('')}_sheet.png" for name in names] if self.sheets else []
        return (*results, *originals, *sheets)


@dataclass(frozen=True)
class DrawnNames:
    """Results are named `{stem}_{suffix}_{variant}.{extension}`, without what is empty or the only one."""

    folders: Folders
    suffix: str
    extension: str
    count: int

    @property
    def folder(self) -> Path:
        return self.folders.results

    def targets(self, relative: Path, header: Header) -> tuple[Path, ...]:
        variants = [""] if self.count == 1 else [f"_{number}" for number in range(1, self.count + 1)]
        stem = f"{relative.stem}_{self.suffix}" if self.suffix else relative.stem
        return self.folders.targets([relative.with_name(f"{stem}{one}.{self.extension}") for one in variants])


@dataclass(frozen=True)
class RecordedNames:
    """Results are named as they were; `records` has those of each source."""

    folders: Folders
    records: Mapping[str, Sequence[Record]]

    @property
    def folder(self) -> Path:
        return self.folders.results

    def targets(self, relative: Path, header: Header) -> tuple[Path, ...]:
        return self.folders.targets([Path(record.output) for record in self.records[relative.as_posix()]])
