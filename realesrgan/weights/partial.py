"""Read a few tensors of a large weights file and leave out the rest. Executes nothing and knows nothing of servers.

Understands safetensors and the layout in which PyTorch saved until 2020, as it did the weights of VGG19.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import WeightsError
from ..families.differences import difference
from ..families.family import Shapes
from .read import StateDict
from .remote import WholeOnly

HEADER_BYTES = 1 << 18  # most that is read to find out where tensors are; VGG19's two files need 5 kB
ITEM_BYTES = 4  # only fp32 is read
PYTORCH_MAGIC = 0x1950A86A20F9469CFC6C
PYTORCH_PROTOCOL = 1001

# What damage can raise in the standard library's parsers.
_UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, MemoryError, RecursionError),
    *(pickle.UnpicklingError, struct.error),
)


@dataclass(frozen=True)
class _Place:
    """Where the numbers of a tensor are, and bytes that stand just before them, to see that this is right."""

    shape: tuple[int, ...]
    offset: int
    before: bytes = b""


def read_tensors(file: io.BufferedReader, shapes: Shapes, source: str) -> StateDict:
    """Read the tensors named in `shapes`, and nothing beyond them, out of a file that users know as `source`.

    Raises:
        WholeOnly: the layout is another one.
        WeightsError: the file lacks some of the tensors, or has them in other shapes.
    """
    try:
        places = _places(file)
    except _UNREADABLE as error:
        raise WholeOnly(f"{source}: where its tensors are cannot be told ({error})") from error
    check_shapes({key: place.shape for key, place in places.items()}, shapes, source)
    # In their order in the file: reading further is cheaper than jumping back.
    wanted = sorted(shapes, key=lambda key: places[key].offset)
    state = {key: _read(file, places[key], source) for key in wanted}
    return {key: state[key] for key in shapes}


def check_shapes(found: Shapes, shapes: Shapes, source: str) -> None:
    """Check that a file has the tensors named in `shapes`; others may be there, too.

    Raises:
        WeightsError: some are missing or have another shape.
    """
    if differing := difference({key: found[key] for key in shapes if key in found}, dict(shapes)):
        raise WeightsError(f"{source}: does not hold the tensors wanted: {differing}")


def _read(file: io.BufferedReader, place: _Place, source: str) -> torch.Tensor:
    size = math.prod(place.shape) * ITEM_BYTES
    file.seek(place.offset - len(place.before))
    content = file.read(len(place.before) + size)
    if len(content) != len(place.before) + size:
        raise WeightsError(f"{source}: cut short")
    if not content.startswith(place.before):
        raise WholeOnly(f"{source}: its tensors are not where they should be")
    values = np.frombuffer(content, "<f4", offset=len(place.before))
    return torch.from_numpy(values.astype(np.float32).reshape(place.shape))


def _places(file: io.BufferedReader) -> dict[str, _Place]:
    header = file.read(HEADER_BYTES)
    return _places_in_safetensors(header) if header[8:9] == b"{" else _places_in_pytorchs(header)


def _places_in_safetensors(header: bytes) -> dict[str, _Place]:
    """Eight bytes of length, so many of JSON, then the numbers."""
    start = 8 + int.from_bytes(header[:8], "little")
    entries = {key: entry for key, entry in json.loads(header[8:start]).items() if key != "__metadata__"}
    if not all(entry["dtype"] == "F32" for entry in entries.values()):
        raise ValueError("it holds more than fp32")
    return {
        key: _Place(tuple(map(int, entry["shape"])), start + int(entry["data_offsets"][0]))
        for key, entry in entries.items()
    }


def _places_in_pytorchs(header: bytes) -> dict[str, _Place]:
    """Five pickles (a mark, a version, the machine, the tensors, an order of storages), then each storage in it.

    A storage is eight bytes of count, then its numbers.
    """
    stream = io.BytesIO(header)
    magic, protocol, machine, content, order = (_InertUnpickler(stream).load() for _ in range(5))
    if (magic, protocol, machine["little_endian"]) != (PYTORCH_MAGIC, PYTORCH_PROTOCOL, True):
        raise ValueError("it is not one of PyTorch's")
    tensors = {key: tensor for key, tensor in content.items() if isinstance(tensor, _Tensor)}
    if not all(tensor.fills_its_storage for tensor in tensors.values()):
        raise ValueError("its tensors are parts of others")
    counts = {tensor.storage.key: tensor.storage.count for tensor in tensors.values()}
    offsets, at = {}, stream.tell()
    for key in order:
        offsets[key] = at + 8
        at += 8 + counts[key] * ITEM_BYTES
    return {
        name: _Place(tensor.shape, offsets[tensor.storage.key], struct.pack("<q", tensor.storage.count))
        for name, tensor in tensors.items()
    }


@dataclass(frozen=True)
class _Storage:
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def fills_its_storage(self) -> bool:
        """Whether the numbers of the storage are those of the tensor, in their order."""
        plain = tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))
        return self.start == 0 and self.strides == plain and math.prod(self.shape) == self.storage.count


def _tensor(storage: _Storage, start: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, start, tuple(shape), tuple(strides))


def _data_of_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


class _InertUnpickler(pickle.Unpickler):
    """Makes records of what PyTorch stores, and refuses to call anything else."""

    KNOWN = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "FloatStorage"): "fp32",
        ("torch._utils", "_rebuild_tensor"): _tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _data_of_parameter,
        ("torch.nn.parameter", "Parameter"): _data_of_parameter,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.KNOWN[module, name]

    def persistent_load(self, saved: Any) -> _Storage:
        what, kind, key, _, count, view = saved
        if (what, kind, view) != ("storage", "fp32", None):
            raise pickle.UnpicklingError("it holds more than plain fp32 tensors")
        return _Storage(str(key), int(count))
