"""Which device computes, and how precisely: -g → devices, device → precision. Knows nothing of networks' insides."""

from __future__ import annotations

import ctypes
import math
import sys
from enum import Enum

import torch

from ..errors import DeviceError, UsageError
from . import cgroups

# Of glibc's malloc.h. One arena, because those of further threads cannot grow beyond 64 MB and map what is larger.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
INT_MAX = 2**31 - 1

# How torch and what it calls say that memory ran out, in lower case.
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
    """How a network computes. The values are what users read."""

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


def as_device(request: torch.device | str) -> torch.device:
    """What a caller names a device, checked: "cpu", "cuda:1", "0", "mps", or one of torch's own.

    Raises:
        UsageError: it is no device.
        DeviceError: it is not on this machine.
    """
    return _parse_device(str(request))


def parse_devices(request: str | None) -> list[torch.device]:
    """Turn `gpu_id` into devices: `0`, `cuda:1`, `cpu`, `mps`, or several with commas; None picks the best.

    Raises:
        UsageError: the words are no device names.
        DeviceError: a device asked for is not on this machine.
    """
    if request is None:
        return [default_device()]
    return [_parse_device(word.strip()) for word in request.split(",")]


def _parse_device(word: str) -> torch.device:
    name = f"cuda:{word}" if word.isdecimal() else word
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"`gpu_id` {word} names no device: try 0, cuda:1, mps, cpu, or several as in 0,1")
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
    """The precision that is fast on `device` without being seen: `reduced=False` is fp32 everywhere."""
    if not reduced or device.type == "mps":
        return Precision.FP32
    if device.type == "cuda":
        return Precision.HALF
    return Precision.MIXED_BF16 if cpu_has_bf16() else Precision.FP32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX); emulating it would be slower than fp32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def describe(device: torch.device, precision: Precision) -> str:
    """One line for the user: what computes, how precisely, and why."""
    why = {
        Precision.FP32: "full precision",
        Precision.HALF: "half the memory; `fp32` for full precision",
        Precision.MIXED_BF16: "this CPU has native bfloat16, residuals stay in fp32; `fp32` for full precision",
    }[precision]
    return f"{device_name(device)}, {precision.value} ({why})"


def device_name(device: torch.device) -> str:
    """The device as users know it, with the number of threads for a CPU and the model for a GPU."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads != 1 else ''}" if device.type == "cpu" else str(device)


def free_memory_bytes(device: torch.device) -> int | None:
    """Memory that can be had on `device` now, or None where it cannot be asked.

    What torch and the operating system only keep for later, blocks of earlier pictures and of read files, counts too.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    return cgroups.free_memory_bytes()


def share_cpu_threads(workers: int) -> int:
    """Have torch compute with an even share of the CPU's threads from now on, and return that share, at least one.

    For `workers` Python threads of this process that compute at the same time. It sets torch.set_num_threads, which
    this thread follows, and any that starts afterwards once it asks torch.get_num_threads, as the engine does. Calling
    it twice divides twice.
    """
    share = max(1, torch.get_num_threads() // workers)
    torch.set_num_threads(share)
    return share


def prepare_cpu(workers: int = 1) -> None:
    """Set this process up to compute on the CPU in `workers` threads at the same time; only programs should.

    Torch's threads are at most the processors a container allows, shared out among the workers. Numbers too small for
    fp32's normal form count as zero: computing with them is a hundred times slower, and nobody sees them. Threads
    inherit that from the one that starts them, so it comes before any work.
    """
    keep_freed_memory()
    torch.set_flush_denormal(True)
    allowed = cgroups.processors()
    if allowed is not None:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), math.ceil(allowed))))
    if workers > 1:
        share_cpu_threads(workers)


def keep_freed_memory() -> None:
    """Have this process keep the memory it frees instead of returning it to the system; only glibc has the knob.

    Every layer of a network allocates and frees tens of megabytes, which glibc by default maps and unmaps each time:
    with realesr-animevideov3 at 640×480 the kernel's work for that was a third of all processor time, and is 1 % so.
    It concerns the whole process, so only programs call it, not the library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, INT_MAX), (M_TRIM_THRESHOLD, INT_MAX)):
            mallopt(parameter, value)


def workers_for_frames(device: torch.device) -> int:
    """How many threads keep `device` busy with a video: on a GPU one computes while the frames of the other cross."""
    return 2 if device.type == "cuda" else 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is how torch, or Python, says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in OUT_OF_MEMORY_SIGNS)
