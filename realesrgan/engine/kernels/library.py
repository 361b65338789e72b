"""Find and load the compiled library, and say what its functions take. Its interface is source/interface.h."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

VERSION = 2
MOST_PARTS = 8
MOST_SHUFFLE = 4
NONE = -1
OK, OUT_OF_MEMORY, NOT_FINITE, UNKNOWN_VARIANT = range(4)
FOLDER = Path(os.environ.get("REALESRGAN_KERNELS", Path(__file__).parent))  # of the library; for tests of other builds
NAMES = ("librealesrgan.so", "librealesrgan.dylib", "realesrgan.dll")

FloatPointer = POINTER(c_float)


class RingTable(Structure):
    _fields_ = [
        ("enlarged", c_int32),
        ("repeat", c_int32),
        ("sums", c_int32),
        ("precise", c_int32),
        ("parts", c_int32),
        ("channels", c_int32 * MOST_PARTS),
    ]


class LayerTable(Structure):
    _fields_ = [
        ("source", c_int32),
        ("parts", c_int32),
        ("out_channels", c_int32),
        ("precise", c_int32),
        ("weight", FloatPointer),
        ("bias", FloatPointer),
        ("slopes", FloatPointer),
        ("residuals", c_int32 * 2),
        ("scales", c_float * 2),
        ("features", c_int32),
        ("part", c_int32),
        ("sums", c_int32),
        ("not_ahead_of", c_int32),
        ("shuffle", c_int32),
        ("base", c_int32),
    ]


class ProgramTable(Structure):
    _fields_ = [
        ("picture", c_int32),
        ("picture_sums", c_int32),
        ("fold", c_int32),
        ("ring_count", c_int32),
        ("layer_count", c_int32),
        ("rings", POINTER(RingTable)),
        ("layers", POINTER(LayerTable)),
    ]


class Rows(Structure):
    _fields_ = [("data", c_void_p), ("stride", c_int64), ("channels", c_int32), ("depth", c_int32)]


def ring_table(*, enlarged: int, repeat: int, sums: bool, precise: bool, channels: Sequence[int]) -> RingTable:
    padded = (c_int32 * MOST_PARTS)(*channels)
    return RingTable(enlarged, repeat, sums, precise, len(channels), padded)


def layer_table(*, residuals: Sequence[tuple[int, float]], **fields: object) -> LayerTable:
    table = LayerTable(**fields)
    table.residuals = (c_int32 * 2)(*[ring for ring, _ in residuals], *[NONE] * (2 - len(residuals)))
    table.scales = (c_float * 2)(*[scale for _, scale in residuals])
    return table


_FUNCTIONS = {
    "re_version": (c_int32, []),
    "re_variant": (c_char_p, [c_int32]),
    "re_supported": (c_int32, [c_char_p]),
    "re_create": (c_int32, [c_char_p, POINTER(ProgramTable), POINTER(c_void_p)]),
    "re_destroy": (None, [c_void_p]),
    "re_session_bytes": (c_int64, [c_void_p, c_int64, c_int64, c_int32, c_int32]),
    "re_open": (c_int32, [c_void_p, POINTER(c_void_p)]),
    "re_close": (None, [c_void_p]),
    "re_held_bytes": (c_int64, [c_void_p]),
    "re_begin": (c_int32, [c_void_p, c_int64, c_int64, c_int32, c_int32]),
    "re_next": (c_int32, [c_void_p, POINTER(c_int64), POINTER(c_int64)]),
    "re_advance": (c_int32, [c_void_p, POINTER(Rows), POINTER(Rows), POINTER(c_double)]),
}


@cache
def load() -> ctypes.CDLL | None:
    """The library, or None where it was not built or does not fit; then there is a line in the log."""
    path = next((FOLDER / name for name in NAMES if (FOLDER / name).is_file()), None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        log.warning("the compiled kernels cannot be loaded, so torch computes: %s", error)
        return None
    if library.re_version() != VERSION:
        log.warning("%s is of another version, so torch computes; install this project again", path)
        return None
    return library


def variants(library: ctypes.CDLL) -> list[str]:
    """All variants that the library has, from the fastest."""
    names: list[str] = []
    while name := library.re_variant(len(names)):
        names.append(name.decode())
    return names


def supported(library: ctypes.CDLL, variant: str) -> bool:
    """Whether this processor and operating system can run a variant."""
    return bool(library.re_supported(variant.encode()))


def check(status: int) -> None:
    """Raise what a status means.

    Raises:
        MemoryError: memory ran out.
        ArithmeticError: a value of the result is not finite.
        ValueError: this processor does not run the variant.
    """
    if status == OUT_OF_MEMORY:
        raise MemoryError
    if status == NOT_FINITE:
        raise ArithmeticError("a value of the result is not finite")
    if status != OK:
        raise ValueError("this processor does not run this variant")
