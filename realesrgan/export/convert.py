"""Write a weights file in another format, read it back, and compare: what comes out is what went in, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UsageError, WeightsError
from ..families import family_of, recognise, rename_old_keys
from ..families.differences import shortened
from ..families.family import NetworkSpec
from ..outputs import refuse_overwrites
from ..weights.check import NCNN_SUFFIXES, ncnn_pair
from ..weights.metadata import FORMAT_KEY, Metadata, as_strings, metadata_of
from ..weights.ncnn import KERNEL_SIZE
from ..weights.read import StateDict, read_contents
from ..weights.write import write_ncnn, write_safetensors, write_torch
from .ncnn import as_ncnn

CONTAINER = "params_ema"  # of the published .pth files
SUFFIXES = (".pth", ".safetensors", NCNN_SUFFIXES[0])


@dataclass(frozen=True)
class Converted:
    """What became of a weights file.

    Attributes:
        files: what was written: one file, or ncnn's two.
        spec: of the network.
        renamed: whether keys had the names of an older release, which now have today's.
        largest_change: by which a number was changed to fit into 16 bits; 0: every number is as it was.
        lost: entries beside the tensors that the new format has no place for.
    """

    files: tuple[Path, ...]
    spec: NetworkSpec
    renamed: bool
    largest_change: float
    lost: tuple[str, ...]


def convert(source: Path, target: Path, *, half: bool = False) -> Converted:
    """Write the weights in `source` into `target`, in the format that the ending of its name stands for.

    `half` rounds to 16 bits: all tensors, or for ncnn the weights of convolutions. Without it tensors keep their types;
    ncnn gets fp32. Metadata goes along where the format has a place for it.

    Raises:
        UsageError: `target` has another ending, or would overwrite the source.
        WeightsError: the source cannot be read or is of no known network, its numbers do not fit into 16 bits, the
            disk refuses, or what was written reads back as something else.
    """
    if target.suffix not in SUFFIXES:
        raise UsageError(f"`to` {target}: name a file that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    to_ncnn = target.suffix in NCNN_SUFFIXES
    files = tuple(target.with_suffix(suffix) for suffix in NCNN_SUFFIXES) if to_ncnn else (target,)
    refuse_overwrites([(part, [] if part != source else files) for part in {*(ncnn_pair(source) or ()), source}])
    contents = read_contents(source)
    named = rename_old_keys(contents.state)
    spec, empty = recognise(named, source.name)
    wanted = _in_precision({key: named[key] for key in empty.state_dict()}, half=half, to_ncnn=to_ncnn, source=source)
    metadata = _kept(contents.metadata, target)
    if to_ncnn:
        write_ncnn(files[0], files[1], *_for_ncnn(empty, wanted, half=half, source=source))
    elif target.suffix == ".pth":
        write_torch(target, {**metadata, CONTAINER: wanted})
    else:
        write_safetensors(target, wanted, {FORMAT_KEY: "pt", **as_strings(metadata)})
    if not _reads_as(wanted, metadata, target):
        for part in files:
            part.unlink(missing_ok=True)
        raise WeightsError(f"{target}: read back as something else than was written, so it was removed")
    return Converted(
        files=files,
        spec=spec,
        renamed=named.keys() != contents.state.keys(),
        largest_change=max((wanted[key].float() - named[key].float()).abs().max().item() for key in wanted),
        lost=tuple(key for key in contents.metadata if key not in metadata),
    )


def _in_precision(state: StateDict, *, half: bool, to_ncnn: bool, source: Path) -> StateDict:
    """The tensors as they are to be written: contiguous, and in their final types."""
    result = {}
    for key, tensor in state.items():
        rounded = half and (not to_ncnn or tensor.dim() == 4)  # ncnn keeps biases and slopes in fp32
        dtype = torch.float16 if rounded else torch.float32 if to_ncnn else tensor.dtype
        result[key] = tensor.to(dtype).contiguous()
        if not torch.isfinite(result[key]).all():
            raise WeightsError(f"{source}: {shortened(key)} does not fit into 16 bits: leave `fp16` out")
    return result


def _for_ncnn(network: nn.Module, state: StateDict, *, half: bool, source: Path) -> tuple[str, bytes]:
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()}, assign=True)
    family = family_of(network)
    assert family is not None  # recognise gives a family's own class
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    if any(conv.kernel_size != (KERNEL_SIZE, KERNEL_SIZE) or conv.bias is None for conv in convolutions):
        raise WeightsError(f"{source}: ncnn's files are written for networks of 3×3 convolutions with biases only")
    return as_ncnn(network, family, half=half)


def _kept(metadata: Metadata, target: Path) -> Metadata:
    """The entries that the format of `target` has a place for, as they read back."""
    if target.suffix in NCNN_SUFFIXES:
        return {}
    if target.suffix == ".pth":
        return {key: value for key, value in metadata.items() if key != CONTAINER}
    return metadata_of(as_strings(metadata))  # numbers become words


def _reads_as(wanted: Mapping[str, Tensor], metadata: Metadata, target: Path) -> bool:
    """Whether `target` holds these tensors, to the bit, and beside them this metadata."""
    read = read_contents(target)
    same = read.state.keys() == wanted.keys() and all(_same_bits(read.state[key], wanted[key]) for key in wanted)
    return same and read.metadata == metadata


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bits(one), _bits(other))


def _bits(tensor: Tensor) -> Tensor:
    """As whole numbers, which tell -0.0 from 0.0."""
    return tensor.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])
