"""Devices and precisions: what `gpu_id` names, and how precisely a device computes. Knows nothing of networks."""

from __future__ import annotations

import ctypes
import math
import sys
from enum import Enum

import torch

from ..errors import DeviceError, UsageError
from . import cgroups

# From glibc's malloc.h. One arena: those of further threads cannot grow beyond 64 MB, and map whatever is larger.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
INT_MAX = 2**31 - 1

# How torch and the libraries it calls say that memory ran out, in lower case.
OUT_OF_MEMORY_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",  # cuBLAS and cuDNN
    "could not create a primitive",  # oneDNN
    "could not create a memory",
)


class Precision(Enum):
    """How precisely a network computes. The values are what users read."""

    FP32 = "fp32"
    HALF = "fp16"
    MIXED_BF16 = "mixed bf16"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the convolutions' weights."""
        return {"fp32": torch.float32, "fp16": torch.float16, "mixed bf16": torch.bfloat16}[self.value]


def default_device() -> torch.device:
    """CUDA if there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def as_device(request: torch.device | str | None) -> torch.device:
    """A device by its name ("cpu", "cuda:1", "0", "mps") or as torch's own object, checked; None picks the best.

    Raises:
        UsageError: this names no device.
        DeviceError: it is not on this machine.
    """
    return default_device() if request is None else _parse_device(str(request))


def parse_devices(request: str | int | None) -> list[torch.device]:
    """Turn `gpu_id` into devices: `0`, `cuda:1`, `cpu`, `mps`, or several with commas; None picks the best.

    Raises:
        UsageError: a name is not a device's.
        DeviceError: a device asked for is not on this machine.
    """
    if request is None:
        return [default_device()]
    return [_parse_device(word.strip()) for word in str(request).split(",")]


def _parse_device(word: str) -> torch.device:
    name = f"cuda:{word}" if word.isdecimal() else word
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"`gpu_id` {word} is not a device: try 0, cuda:1, mps, cpu, or several as in 0,1")
    if device.type == "cuda":
        _check_cuda(word, device.index or 0)
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"`gpu_id` {word}: this machine, or this build of torch, has no Apple GPU; try `gpu_id` cpu")
    return device


def _check_cuda(word: str, index: int) -> None:
    if not torch.cuda.is_available():
        why = "this build of torch has no CUDA" if torch.version.cuda is None else "torch finds no CUDA GPU"
        raise DeviceError(f"`gpu_id` {word}: {why}; leave `gpu_id` out, or use `gpu_id` cpu")
    count = torch.cuda.device_count()
    if index >= count:
        gpus = "one GPU, number 0" if count == 1 else f"{count} GPUs, numbers 0 to {count - 1}"
        raise DeviceError(f"`gpu_id` {word}: this machine has {gpus}")


def choose_precision(device: torch.device, *, reduced: bool) -> Precision:
    """The fastest precision on `device` that cannot be seen in the result; without `reduced`, fp32 everywhere."""
    if not reduced or device.type == "mps":
        return Precision.FP32
    if device.type == "cuda":
        return Precision.HALF
    return Precision.MIXED_BF16 if cpu_has_bf16() else Precision.FP32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX); emulating it would be slower than fp32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def device_name(device: torch.device) -> str:
    """The device as users know it, with the number of threads for a CPU and the model for a GPU."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads != 1 else ''}" if device.type == "cpu" else str(device)


def free_memory_bytes(device: torch.device) -> int | None:
    """How much memory is free on `device` now; None where that cannot be asked.

    What torch and the operating system only cache, blocks of earlier pictures and pages of files, counts as free.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if device.type != "cpu":
        return None
    return cgroups.free_memory_bytes()


def share_cpu_threads(workers: int) -> int:
    """Divide torch's CPU threads among `workers` Python threads that compute at the same time; return one's share.

    The share, at least one, is set with torch.set_num_threads. This thread follows it, and so does any started later
    once it has called torch.get_num_threads, as the engine does. Calling this twice divides twice.
    """
    share = max(1, torch.get_num_threads() // workers)
    torch.set_num_threads(share)
    return share


def prepare_cpu(workers: int = 1) -> None:
    """Set this process up to compute on the CPU in `workers` threads at the same time. For programs, not libraries.

    Torch gets at most as many threads as a container allows processors, divided among the workers. Denormal numbers
    are flushed to zero: computing with them is a hundred times slower, and they cannot be seen. A thread inherits that
    from the one that starts it, so call this before any work.
    """
    keep_freed_memory()
    torch.set_flush_denormal(True)
    allowed = cgroups.processors()
    if allowed is not None:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), math.ceil(allowed))))
    if workers > 1:
        share_cpu_threads(workers)


def keep_freed_memory() -> None:
    """Have this process keep the memory it frees instead of returning it to the system. Has an effect with glibc only.

    Every layer of a network allocates and frees tens of megabytes, which glibc by default maps and unmaps each time:
    with realesr-animevideov3 at 640×480 the kernel spent a third of all processor time on that, and 1 % since.
    It affects the whole process, so programs call it, not the library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, INT_MAX), (M_TRIM_THRESHOLD, INT_MAX)):
            mallopt(parameter, value)


def workers_for_frames(device: torch.device) -> int:
    """How many threads keep `device` busy with a video: on a GPU, one computes while the other transfers."""
    return 2 if device.type == "cuda" else 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is one of the ways in which torch and Python say that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in OUT_OF_MEMORY_SIGNS)


def out_of_memory(device: torch.device, smallest: str) -> DeviceError:
    """The error to raise where not even `smallest`, the least that can be computed at a time, fits into memory."""
    return DeviceError(
        f"{device} is out of memory even for {smallest}; close what else uses it, or compute with `gpu_id` cpu"
    )
