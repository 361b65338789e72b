"""What a weight file holds, byte by byte: whether it is the published one, and whether two are the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import WeightsError
from ..model_zoo import WeightFile

NCNN_SUFFIXES = (".param", ".bin")  # layers as text, and their numbers: one network in two files of one name
IDENTITY_DIGITS = 16


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def defect_of(path: Path, file: WeightFile) -> str | None:
    """Say what makes the file at `path` differ from the published one, or None if it is the published one."""
    size = path.stat().st_size
    if file.size_bytes is not None and size != file.size_bytes:
        return f"has {size} bytes, the published file {file.size_bytes}"
    if file.sha256 is not None and sha256_of(path) != file.sha256:
        return "has the right size, but not the published content"
    return None


def identity_of(paths: Iterable[Path]) -> str:
    """A short name for what `paths` hold: weights of the same content have the same, wherever they lie.

    Give the paths as `load_network` takes them. One file of an ncnn pair stands for both.

    Raises:
        WeightsError: a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            for part in ncnn_pair(path) or (path,):
                digest.update(bytes.fromhex(sha256_of(part)))
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()[:IDENTITY_DIGITS]


def ncnn_pair(path: Path) -> tuple[Path, Path] | None:
    """The .param and the .bin file that `path` is one of, whether they are there or not; None for other formats.

    Others call PyTorch's own files .bin too, so a .bin is ncnn's only if it does not begin as those do.
    """
    if path.suffix.lower() not in NCNN_SUFFIXES or (path.suffix.lower() == ".bin" and _begins_as_pytorchs(path)):
        return None
    upper = path.suffix.isupper()
    param, binary = (path.with_suffix(suffix.upper() if upper else suffix) for suffix in NCNN_SUFFIXES)
    return param, binary


def _begins_as_pytorchs(path: Path) -> bool:
    if not os.path.isfile(path):
        return False
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02")
