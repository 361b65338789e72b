"""Weights on their way to the nodes: which files a job takes, and how a node comes by those it lacks. Knows no Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from filelock import FileLock

from ..errors import WeightsError
from ..loading import Setup
from ..model_zoo import published_file
from ..outputs import appearing
from ..weights import store
from ..weights.check import ncnn_pair, sha256_of
from .units import ModelOrder, ShippedFile

# Gives the content of a file in parts.
Fetch = Callable[[ShippedFile], Iterable[bytes]]


def order_of(setup: Setup, *, for_video: bool) -> tuple[ModelOrder, dict[ShippedFile, Path]]:
    """What to tell workers of a model, and where its files are on this machine; missing ones are downloaded.

    Raises:
        WeightsError: a file cannot be found, downloaded or read.
    """
    places: dict[ShippedFile, Path] = {}

    def shipped(path: Path) -> tuple[ShippedFile, ...]:
        parts = ncnn_pair(path) or (path,)
        try:
            files = tuple(ShippedFile(part.name, part.stat().st_size, sha256_of(part)) for part in parts)
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
        places.update(zip(files, parts, strict=True))
        return files

    own = setup.settings.model_path
    published = setup.published_files
    found = store.obtain(published)
    order = ModelOrder(
        settings=setup.settings,
        model_name=setup.model.name if setup.model else None,
        for_video=for_video,
        published=tuple((file.name, shipped(one.path)) for file, one in zip(published, found, strict=True)),
        own=shipped(Path(own)) if own is not None else (),
        identity=setup.weights_identity,
    )
    return order, places


def missing_here(order: ModelOrder) -> tuple[ShippedFile, ...]:
    """The files of a model that this node has nowhere."""
    lacking = [file for file in order.own if not _kept(file).is_file()]
    for name, files in order.published:
        if not _is_here(name, files):
            lacking += [file for file in files if not _kept(file).is_file()]
    return tuple(lacking)


def keep(files: Sequence[ShippedFile], fetch: Fetch) -> None:
    """Fetch files into this node's cache, each once, however many workers ask.

    Raises:
        WeightsError: one did not arrive as it was sent, or cannot be written.
    """
    for file in files:
        path = _kept(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if path.is_file():
                continue
            with appearing(path, WeightsError) as part:
                with part.open("wb") as output:
                    for content in fetch(file):
                        output.write(content)
                if sha256_of(part) != file.sha256:
                    raise WeightsError(f"{file.name}: did not arrive as it was sent")


def put_in_place(order: ModelOrder) -> Path | None:
    """Have this process use a model's files; returns what stands for `settings.model_path` here.

    A file of the same content that the node has anyhow is as good.
    """
    for name, files in order.published:
        if not _is_here(name, files):
            store.place(name, _together(files))
    return _together(order.own) if order.own else None


def _is_here(name: str, files: Sequence[ShippedFile]) -> bool:
    """Whether what this node would take for a published file has the right content."""
    found = store.find(published_file(name))
    parts = () if found is None else ncnn_pair(found.path) or (found.path,)
    return [sha256_of(part) for part in parts if part.is_file()] == [file.sha256 for file in files]


def _together(files: Sequence[ShippedFile]) -> Path:
    """The first of some files, all of which are in one folder under their own names."""
    folder = _folder() / "-".join(file.sha256[:16] for file in files)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        with FileLock(f"{folder}.lock"):
            if not (folder / file.name).exists():
                (folder / file.name).symlink_to(_kept(file))
    return folder / files[0].name


def _folder() -> Path:
    return store.cache_folder() / "from-cluster"


def _kept(file: ShippedFile) -> Path:
    return _folder() / file.sha256
