"""Compile the library: `python realesrgan/engine/kernels/build.py [FOLDER [FLAG ...]]`. Needs only a C++ compiler.

Runs when the project is installed, before any of it can be imported, so it imports nothing of it. Each file is compiled
for the processor it is written for; which of them run is decided when a network is loaded.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
COMMON = ("schedule", "threads", "network", "cpu", "interface", "imitation", "winograd_plain")
X86 = {
    "amx": "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma",
    "winograd_avx512": "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma",
    "winograd_avx2": "-mavx2 -mfma",
}
# The source says where products and sums are fused. If the compiler chose, one result could be rounded in two ways.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=off")
LIMIT_S = 600  # for one file; a compiler from a wheel builds its own C++ library first


class NotBuilt(Exception):
    """There is no library; the message says why."""


def library_name() -> str:
    """What the library is called on this system."""
    return {"win32": "realesrgan.dll", "darwin": "librealesrgan.dylib"}.get(sys.platform, "librealesrgan.so")


def build(folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile the library into `folder`, with further `flags` for all files, and return its path.

    Raises:
        NotBuilt: there is no compiler, or it failed.
    """
    compiler = find_compiler()
    target = folder / library_name()
    on_x86 = platform.machine().lower() in ("x86_64", "amd64")
    files = {**dict.fromkeys(COMMON, ""), **(X86 if on_x86 else {})}
    with tempfile.TemporaryDirectory() as objects:

        def compile_one(name: str) -> str:
            result = str(Path(objects, f"{name}.o"))
            _run([*compiler, *FLAGS, *files[name].split(), *flags, "-c", str(SOURCE / f"{name}.cpp"), "-o", result])
            return result

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            compiled = list(pool.map(compile_one, files))
        linked = Path(objects, target.name)
        _run([*compiler, "-shared", *flags, *_link_flags(compiler), *compiled, "-o", str(linked)])
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{target.name}.{os.getpid()}.part"
        shutil.copyfile(linked, part)
        part.replace(target)  # a program that has the old one loaded keeps it
    return target


def find_compiler() -> list[str]:
    """The command of a C++ compiler that knows GCC's options: $CXX, g++, clang++, or the one in the wheel `ziglang`.

    Raises:
        NotBuilt: there is none.
    """
    if command := os.environ.get("CXX", "").split():
        return command
    for name in ("g++", "clang++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang") is None:
        raise NotBuilt("there is no C++ compiler: install g++, clang++ or the package ziglang")
    return [sys.executable, "-m", "ziglang", "c++"]


def _link_flags(compiler: Sequence[str]) -> list[str]:
    if "ziglang" in compiler:
        return ["-s"]  # brings its C++ library along
    # The library must load where another C++ library is installed, or none.
    return ["-static-libstdc++", "-static-libgcc", "-s"] if sys.platform.startswith("linux") else []


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotBuilt(f"{command[0]} failed:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent, sys.argv[2:])
    except NotBuilt as error:
        sys.exit(str(error))
