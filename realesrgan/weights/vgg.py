"""VGG19's convolutions, for the perceptual loss: found on this machine, or fetched without the rest of their file.

The published file has 575 MB, most of it a classifier; the convolutions are 80 MB. Looked for, in this order: a file of
them alone, which this module made; the published file, in the folders of `store.py` and in torch's cache; the published
address; a mirror of it. Whatever they came from, a file of them alone is kept in the user's cache.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WeightsError
from ..families.differences import shapes_of
from ..model_zoo import VGG19, VGG19_MIRROR, WeightFile
from ..outputs import remove_stale_parts
from . import store
from .check import defect_of
from .download import Report, fetch

if TYPE_CHECKING:
    from ..archs.vgg_arch import VGGFeatureExtractor
    from ..families.family import Shapes
    from .read import StateDict

PUBLISHED = VGG19
SOURCES = (VGG19, VGG19_MIRROR)  # where they are fetched from, best first
CONVOLUTIONS = WeightFile("vgg19_convolutions.safetensors", VGG19.url)  # the file of them alone
ITEM_BYTES = 4  # of a number in fp32


def find_vgg19() -> store.FoundFile | None:
    """Find a file that has the convolutions on this machine, without touching the network or looking inside."""
    return store.find(CONVOLUTIONS) or next(_published_copies(), None)


def _published_copies() -> Iterator[store.FoundFile]:
    for folder, origin in [*store.search_folders(), (_torch_cache(), "torch's cache")]:
        if os.path.isfile(folder / PUBLISHED.name):
            yield store.FoundFile(folder / PUBLISHED.name, origin)


def _torch_cache() -> Path:
    """Where torch.hub keeps downloads; told here because asking torch would take a second to import it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(os.path.expanduser(home), "hub", "checkpoints")


def load_vgg19(
    layer_name_list: Sequence[str],
    *,
    use_input_norm: bool = True,
    range_norm: bool = False,
    widths: Sequence[int] | None = None,
    report: Report | None = None,
) -> VGGFeatureExtractor:
    """VGG19 with its published weights, which are fetched if need be, giving the features of the layers named.

    `widths` are other numbers of channels, for tests.

    Raises:
        WeightsError: see `obtain_vgg19`; or the file found holds something else.
        ValueError: VGG19 has no layer of such a name.
    """
    from ..archs.vgg_arch import WIDTHS, VGGFeatureExtractor
    from .load import load_as

    def build() -> VGGFeatureExtractor:
        return VGGFeatureExtractor(layer_name_list, use_input_norm, range_norm, widths or WIDTHS)

    network = load_as(build, obtain_vgg19(report, widths=widths), "VGG19's convolutions")
    assert isinstance(network, VGGFeatureExtractor)
    return network


def obtain_vgg19(
    report: Report | None = None, *, folder: Path | None = None, widths: Sequence[int] | None = None
) -> Path:
    """The file of the convolutions alone: as found, or made in `folder`, by default the user's cache.

    Several processes may ask at once: one makes it, the others wait and take it. `report` is told of downloads.

    Raises:
        WeightsError: they are nowhere on this machine and cannot be fetched, or `folder` cannot be written.
    """
    from .write import write_safetensors

    if folder is None and (found := store.find(CONVOLUTIONS)):
        return found.path
    folder = folder or store.cache_folder()
    target = folder / CONVOLUTIONS.name
    with _locked(folder):
        if not target.is_file():
            state, source = _collected(_shapes(widths), folder, report or (lambda *_: None))
            remove_stale_parts([folder])
            facts = {"source": source, "content": "the convolutions of torchvision's VGG19, in fp32"}
            write_safetensors(target, state, facts)
    return target


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{CONVOLUTIONS.name}.lock"):
            yield
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written ({error.strerror or error})") from error


def _shapes(widths: Sequence[int] | None) -> Shapes:
    from ..archs.meta_network import meta_network
    from ..archs.vgg_arch import WIDTHS, VGGFeatureExtractor

    network = meta_network(lambda: VGGFeatureExtractor([], widths=widths or WIDTHS))
    return shapes_of(network.state_dict())


def _collected(shapes: Shapes, folder: Path, report: Report) -> tuple[StateDict, str]:
    """The convolutions, and where they are from: the first place that has them."""
    ways: list[tuple[str, Callable[[], StateDict]]] = []
    if found := store.find(CONVOLUTIONS):
        ways.append((str(found.path), partial(_from_file, found.path, CONVOLUTIONS, shapes)))
    for copy in _published_copies():
        ways.append((str(copy.path), partial(_from_file, copy.path, PUBLISHED, shapes)))
    for file in SOURCES:
        ways.append((file.url, partial(_from_server, file, shapes, folder, report)))
    failures = []
    for source, take in ways:
        try:
            return take(), source
        except WeightsError as error:
            failures.append(error.message if source in error.message else f"{source}: {error.message}")
    raise WeightsError(_how_to_get(failures))


def _from_file(path: Path, file: WeightFile, shapes: Shapes) -> StateDict:
    import torch

    from .partial import check_shapes
    from .read import read_weights

    try:
        defect = defect_of(path, file)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    if defect:
        raise WeightsError(f"{path}: {defect}")
    state = read_weights(path)
    check_shapes({key: tuple(tensor.shape) for key, tensor in state.items()}, shapes, str(path))
    return {key: state[key].clone(memory_format=torch.contiguous_format) for key in shapes}  # as safetensors wants them


def _from_server(file: WeightFile, shapes: Shapes, folder: Path, report: Report) -> StateDict:
    """Fetch the convolutions only, or, if that cannot be, the whole file, which is not kept."""
    from .remote import WholeOnly

    try:
        return _fetch_tensors(file, shapes, report)
    except WholeOnly:
        kept = (folder / file.name).exists()
        whole = fetch(file, folder, report)
        try:
            return _from_file(whole, file, shapes)
        finally:
            if not kept:
                whole.unlink()


def _fetch_tensors(file: WeightFile, shapes: Shapes, report: Report) -> StateDict:
    from .partial import read_tensors
    from .read import checked
    from .remote import open_remote

    total = sum(math.prod(shape) for shape in shapes.values()) * ITEM_BYTES
    shown = replace(file, name=CONVOLUTIONS.name, size_bytes=total, sha256=None)
    here = 0

    def received(count: int) -> None:
        nonlocal here
        here += count
        report(shown, min(here, total))  # a little more is fetched, for where the tensors are

    with open_remote(file, received) as remote:
        report(shown, 0)
        return checked(read_tensors(remote, shapes, file.url), file.url)


def _how_to_get(failures: Sequence[str]) -> str:
    folders = dict.fromkeys([*(folder for folder, _ in store.search_folders()), _torch_cache()])
    places = ", ".join(map(str, folders))
    return "\n".join(
        [
            "the perceptual loss needs VGG19, which is not on this machine and could not be downloaded",
            *(f"  {failure}" for failure in failures),
            f"  {CONVOLUTIONS.name} or {PUBLISHED.name} was looked for in {places}",
            f"  get {PUBLISHED.name} ({(PUBLISHED.size_bytes or 0) / 1e6:.0f} MB) from {PUBLISHED.url}",
            f"  and put it into {Path.cwd() / 'weights'}, or train without this loss: `no_perceptual`",
        ]
    )
