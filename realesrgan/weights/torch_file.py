"""Read PyTorch's own files, .pth and the like. Executes nothing, and takes no more memory than the file is large."""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..errors import WeightsError

ZIP_START = b"PK\x03\x04"
ZIP_DIRECTORY = b"PK\x05\x06"
PICKLE_START = b"\x80"
LOOKED_AT_BYTES = 1 << 20  # of a pickle, for the first name of what it would call

# How torch.load names the class or function it refuses to call.
_GLOBAL_REFUSED = re.compile(r"GLOBAL (\S+) (?:was not an allowed|whose module)")


def read_torch(path: Path) -> Any:
    """The plain data in `path`: dictionaries, numbers, tensors.

    Raises:
        WeightsError: the file is damaged, of another format, would execute code, or would unpack to more than itself.
    """
    try:
        _refuse_compression(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols and kinds of archives
            return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except PermissionError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # damage makes torch.load raise nearly any kind
        raise WeightsError(f"{path}: {_reason(path, error)}") from error


def _refuse_compression(path: Path) -> None:
    """PyTorch compresses nothing, so an archive that holds more than its own size was made to fill memory."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > size:
        raise WeightsError(f"{path}: refused, because its {size} bytes would unpack to {unpacked}; PyTorch's never do")
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(f"{path}: a TorchScript program; wanted is the state_dict of its network")
    if not any(name.endswith("data.pkl") for name in names):
        raise WeightsError(f"{path}: a zip archive, but not one of PyTorch's; if weights are in it, unpack it")


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and (called := _called_by(path, error)):
        return (
            f"refused, because reading this file would execute code stored in it ({called}); "
            "ask its author for plain tensors or a .safetensors file"
        )
    size = path.stat().st_size
    if size == 0:
        return "an empty file; delete it and fetch it again"
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(-min(size, 1 << 16), os.SEEK_END)
        end = file.read()
    if start.startswith(ZIP_START) and ZIP_DIRECTORY not in end:  # the directory that closes an archive
        return f"cut short at {size} bytes, as an interrupted download is; delete it and fetch it again"
    what = described(start) or "not a PyTorch weights file, or a damaged one"
    return f"{what}; wanted are .pth, .safetensors, or ncnn .param + .bin"


def _called_by(path: Path, error: pickle.UnpicklingError) -> str | None:
    """What an unpickler that trusts the file would call first, if torch.load or the file itself names it."""
    if match := _GLOBAL_REFUSED.search(str(error)):
        return match[1]
    with path.open("rb") as file:
        start = file.read(LOOKED_AT_BYTES)
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(start if start.startswith(PICKLE_START) else b""):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".")[:100]
            if opcode.name == "STACK_GLOBAL":
                return ".".join(strings[-2:])[:100]
            if isinstance(argument, str):
                strings.append(argument)
    except ValueError:  # how pickletools says that this is no pickle, or that it was cut
        pass
    return None


def described(start: bytes) -> str | None:
    """What a file is that begins with `start`, if it is something that is often taken for weights."""
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, saved in place of the weights; download the file itself"
    if text.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, which only stands for the weights; fetch them with: git lfs pull"
    if text.startswith(b"7767517"):
        return "the .param file of ncnn weights under another name"
    if text and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in text):
        return "a text file"
    return None
