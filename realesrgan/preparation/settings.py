"""The settings a folder of results was made with, kept in it, so that a folder never holds results of two kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageError
from ..outputs import make_folder, write_whole

RECORD = ".realesrgan-settings.json"  # hidden, so that no list names it


def compare(folder: Path, settings: Mapping[str, object]) -> None:
    """Raise UsageError if the results in `folder` were made with other settings than these.

    A folder without a record, or with one that cannot be read, holds nothing that is known of.
    """
    try:
        before = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if not isinstance(before, dict):
        return
    changed = [name for name, value in settings.items() if before.get(name, value) != value]
    if changed:
        was = ", ".join(f"`{name}` {before[name]}" for name in changed)
        raise UsageError(f"`output` {folder}: holds results made with {was}; choose another folder, or empty this one")


def record(folder: Path, settings: Mapping[str, object]) -> None:
    """Keep the settings in `folder`, which is made if need be.

    Raises:
        UsageError: it cannot be written.
    """
    make_folder(folder, "output")
    write_whole(folder / RECORD, (json.dumps(dict(settings), indent=1) + "\n").encode(), "output")
