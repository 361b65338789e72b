"""What can be said about a weights file: which network, how it is stored, which published model it equals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from ..families import family_of, name_of, recognise, rename_old_keys
from ..families.family import NetworkSpec
from ..families.foreign import ForeignSpec
from ..model_zoo import LICENCE, MODELS, Model, WeightFile
from .check import ncnn_pair, sha256_of
from .foreign import load_foreign
from .metadata import Metadata, licence_of
from .read import NCNN, Contents, read_contents
from .store import find

HALF_EPSILON = 2.0**-11  # of a number: half the distance to the next one that 16 bits can hold
HALF_TINIEST = 2.0**-25  # half of the smallest number that 16 bits can hold


@dataclass(frozen=True)
class Network:
    """The network that a file's tensors belong to.

    Attributes:
        family, summary: its kind, and its numbers in a line.
        arguments: of its constructor.
        scale, channels_in, channels_out: what it makes of a picture.
        size_multiple: it sees pictures padded to multiples of this.
        reach: how many input pixels to each side a pixel of the result can depend on; None: of another project.
        multiply_adds: work per input pixel; None: of another project.
        streams: whether a large picture is computed in strips that equal the whole.
    """

    family: str
    summary: str
    arguments: dict[str, Any]
    scale: int
    channels_in: int
    channels_out: int
    size_multiple: int
    reach: int | None
    multiply_adds: float | None
    streams: bool


@dataclass(frozen=True)
class Inspection:
    """What is known about a weights file.

    Attributes:
        format, container: as in `read.Contents`.
        tensors, numbers, bytes: how many; an ncnn pair is counted whole.
        precisions: how many of the tensors have which type.
        renamed: whether keys have the names of an older release.
        network: None if no network that can be used has these tensors; then `reason` says what they are nearest to.
        equals: the published file with the same weights, and how that is known.
        licence: what the file itself says, else that of the published file it equals; None: unknown.
    """

    path: str
    format: str
    container: str | None
    tensors: int
    numbers: int
    bytes: int
    precisions: dict[str, int]
    renamed: bool
    network: Network | None
    reason: str | None
    equals: str | None
    licence: str | None
    metadata: Metadata


def inspect(path: Path) -> Inspection:
    """Read a weights file and say what it is. Nothing in it is executed, and nothing is downloaded.

    Raises:
        WeightsError: the file cannot be read, or is no weights file.
    """
    contents = read_contents(path)
    state = rename_old_keys(contents.state)
    reason, spec, network = None, None, None
    try:
        spec, built = recognise(state, path.name)
        network = _network(spec, family_of(built) is not None)
    except WeightsError as error:
        try:
            network = _foreign_network(load_foreign(state, path.name, error)[1])
        except WeightsError as refusal:
            reason = refusal.message
    equals = None if spec is None else _equal_model(path, contents, state, spec)
    return Inspection(
        path=str(path),
        format=contents.format,
        container=contents.container,
        tensors=len(state),
        numbers=sum(tensor.numel() for tensor in state.values()),
        bytes=sum(part.stat().st_size for part in ncnn_pair(path) or (path,)),
        precisions=_precisions(state),
        renamed=state.keys() != contents.state.keys(),
        network=network,
        reason=reason,
        equals=equals,
        licence=licence_of(contents.metadata) or (LICENCE if equals else None),
        metadata=contents.metadata,
    )


def _network(spec: NetworkSpec, streams: bool) -> Network:
    assert is_dataclass(spec)
    return Network(
        family=name_of(spec),
        summary=str(spec),
        arguments=asdict(spec),
        scale=spec.scale,
        channels_in=spec.num_in_ch,
        channels_out=spec.num_out_ch,
        size_multiple=spec.size_multiple,
        reach=spec.receptive_radius,
        multiply_adds=spec.multiply_adds,
        streams=streams,
    )


def _foreign_network(spec: ForeignSpec) -> Network:
    """How far another project's network looks and what it takes are measured when it restores a picture."""
    return Network(
        family=spec.name,
        summary=f"{spec}, of another project",
        arguments={"tags": list(spec.tags)} if spec.tags else {},
        scale=spec.scale,
        channels_in=spec.num_in_ch,
        channels_out=spec.num_out_ch,
        size_multiple=spec.size_multiple,
        reach=None,
        multiply_adds=None,
        streams=False,
    )


def _precisions(state: Mapping[str, Tensor]) -> dict[str, int]:
    """How many tensors are of each type, by torch's names: {"float32": 702}."""
    names = [str(tensor.dtype).removeprefix("torch.") for tensor in state.values()]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _equal_model(path: Path, contents: Contents, state: Mapping[str, Tensor], spec: NetworkSpec) -> str | None:
    """The published file whose weights these are: by its hash, or by comparing with the copies on this machine."""
    files = [(model, file) for model in MODELS.values() if model.network == spec for file in model.files]
    own = sha256_of(path)
    for model, file in files:
        if file.sha256 == own:
            return f"{_called(model, file)}: this is the published file"
    for model, file in files:
        found = find(file)
        if found is None:
            continue
        try:
            other = read_contents(found.path)
        except WeightsError:
            continue  # a damaged copy says nothing about this file
        rounded = NCNN in (contents.format, other.format)
        if same_weights(state, rename_old_keys(other.state), rounded=rounded):
            within = ", within the rounding to 16 bits" if rounded else ""
            return f"{_called(model, file)}: the same weights as {found.path}{within}"
    return None


def _called(model: Model, file: WeightFile) -> str:
    """How users ask for the file; of the second of a pair, its name."""
    return f"-n {model.name}" if file == model.weights else f"{file.name}, of -n {model.name}"


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor], *, rounded: bool) -> bool:
    """Whether two states hold the same numbers; with `rounded`, as far as 16 bits can tell."""
    if one.keys() != other.keys() or any(one[key].shape != other[key].shape for key in one):
        return False
    for key, tensor in one.items():
        a, b = tensor.float(), other[key].float()
        allowed = torch.maximum(a.abs(), b.abs()) * HALF_EPSILON + HALF_TINIEST if rounded else 0
        if not ((a - b).abs() <= allowed).all():
            return False
    return True
