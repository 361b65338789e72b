"""Names after -g become devices, devices have precisions, and both are described in words users know."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch

from realesrgan.engine import device
from realesrgan.engine.choice import Choice
from realesrgan.engine.device import Precision, choose_precision, parse_devices, workers_for_frames
from realesrgan.errors import DeviceError, UsageError

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
MPS = torch.device("mps")

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    def machine(*, gpus: int = 0, built_for_cuda: bool = True, mps: bool = False, bf16: bool = False) -> None:
        """Make torch see a machine with these devices."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Test")
        monkeypatch.setattr(torch.version, "cuda", "12.8" if built_for_cuda else None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(device, "cpu_has_bf16", lambda: bf16)

    return machine


@pytest.mark.parametrize(
    ("request_", "devices"),
    [
        ("cpu", [CPU]),
        ("cpu,cpu", [CPU, CPU]),
        ("0", [CUDA]),
        (0, [CUDA]),
        ("cuda", [CUDA]),
        ("cuda:1", [torch.device("cuda", 1)]),
        ("0, 1", [CUDA, torch.device("cuda", 1)]),
        ("1,cpu", [torch.device("cuda", 1), CPU]),
        ("mps", [MPS]),
    ],
)
def test_names_become_devices(machine, request_, devices):
    machine(gpus=2, mps=True)
    assert parse_devices(request_) == devices


@pytest.mark.parametrize(
    ("has", "best"), [({"gpus": 2, "mps": True}, CUDA), ({"mps": True}, MPS), ({}, CPU), ({"gpus": 1}, CUDA)]
)
def test_the_default_is_the_best_there_is(machine, has, best):
    machine(**has)
    assert parse_devices(None) == [best]


@pytest.mark.parametrize("word", ["banana", "", "-1", "0.5", "cuda:x", "meta", "xpu", "cpu;0"])
@pytest.mark.parametrize("where", ["{}", "cpu,{}"])
def test_names_of_no_device_are_refused_with_some_that_are(machine, word, where):
    machine(gpus=1)
    with pytest.raises(UsageError, match=f"gpu_id {word} is not a device: try 0, cuda:1, mps, cpu"):
        parse_devices(where.format(word))


@pytest.mark.parametrize("word", ["0", "cuda", "cuda:0", "cpu,0"])
@pytest.mark.parametrize(
    ("built_for_cuda", "why"), [(False, "this build of torch has no CUDA"), (True, "torch finds no CUDA GPU")]
)
def test_a_gpu_on_a_machine_without_one_is_refused_with_the_reason(machine, word, built_for_cuda, why):
    machine(built_for_cuda=built_for_cuda)
    with pytest.raises(DeviceError, match=f"{why}; leave gpu_id out, or use gpu_id cpu"):
        parse_devices(word)


@pytest.mark.parametrize(("gpus", "has"), [(1, "one GPU, number 0"), (3, "3 GPUs, numbers 0 to 2")])
@pytest.mark.parametrize("word", ["7", "cuda:7", "0,7"])
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(machine, word, gpus, has):
    machine(gpus=gpus)
    with pytest.raises(DeviceError, match=f"7: this machine has {has}"):
        parse_devices(word)


@pytest.mark.parametrize("gpus", [1, 2, 3])
def test_gpus_are_counted_from_zero(machine, gpus):
    machine(gpus=gpus)
    assert parse_devices(str(gpus - 1)) == [torch.device("cuda", gpus - 1)]
    with pytest.raises(DeviceError):
        parse_devices(str(gpus))


def test_an_apple_gpu_that_is_not_there_is_refused(machine):
    machine()
    with pytest.raises(DeviceError, match="no Apple GPU; try gpu_id cpu"):
        parse_devices("mps")


@pytest.mark.parametrize(
    ("where", "bf16", "reduced", "precision"),
    [
        (CPU, True, False, Precision.FP32),
        (CUDA, True, False, Precision.FP32),
        (MPS, True, False, Precision.FP32),
        (CPU, False, True, Precision.FP32),
        (CPU, True, True, Precision.MIXED_BF16),
        (CUDA, False, True, Precision.HALF),
        (CUDA, True, True, Precision.HALF),
        (MPS, True, True, Precision.FP32),
    ],
)
def test_each_device_has_one_reduced_precision_and_full_precision_is_always_available(
    machine, where, bf16, reduced, precision
):
    machine(bf16=bf16)
    assert choose_precision(where, reduced=reduced) is precision


def test_a_precision_knows_the_type_of_its_weights():
    assert [precision.dtype for precision in Precision] == [torch.float32, torch.float16, torch.bfloat16]


def test_asking_for_bf16_has_an_answer_on_this_machine():
    assert device.cpu_has_bf16() in (True, False)


@pytest.mark.parametrize(
    ("where", "precision", "said"),
    [
        (CUDA, Precision.HALF, "cuda:0 NVIDIA Test, fp16 (half the memory; `fp32` for full precision)"),
        (CUDA, Precision.FP32, "cuda:0 NVIDIA Test, fp32 (full precision)"),
        (MPS, Precision.FP32, "mps, fp32 (full precision)"),
    ],
)
def test_one_line_says_what_computes_and_how_precisely(machine, where, precision, said):
    machine(gpus=1)
    assert str(Choice(where, precision)) == said


@pytest.mark.parametrize(("threads", "said"), [(1, "cpu, 1 thread, fp32"), (3, "cpu, 3 threads, fp32")])
def test_a_cpu_is_described_with_its_threads(monkeypatch, threads, said):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert str(Choice(CPU, Precision.FP32)).startswith(said)


@pytest.fixture
def four_threads():
    """Four threads for torch to compute with, whatever this machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("workers", "share"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_workers_share_the_threads_and_new_ones_compute_with_that_share(four_threads, workers, share):
    assert device.share_cpu_threads(workers) == share
    seen = [torch.get_num_threads()]
    worker = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    worker.start()
    worker.join()
    assert seen == [share, share]


def test_free_memory_of_a_cpu_counts_what_the_system_would_give_back(monkeypatch):
    class Memory:
        free, available = 1, 1000

    monkeypatch.setattr(device.cgroups.psutil, "virtual_memory", Memory)
    assert device.free_memory_bytes(CPU) == 1000


def test_free_memory_of_a_gpu_counts_what_torch_keeps_for_later(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert device.free_memory_bytes(CUDA) == 150


def test_free_memory_is_unknown_where_it_cannot_be_asked():
    assert device.free_memory_bytes(MPS) is None


@pytest.mark.parametrize(
    ("error", "is_shortage"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("std::bad_alloc"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_shortage_of_memory_is_distinguished_from_other_errors(error, is_shortage):
    assert device.is_out_of_memory(error) is is_shortage


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has the knob, and /proc the count")
def test_kept_memory_is_not_mapped_again() -> None:
    program = """
import resource, sys
import numpy as np
from realesrgan.engine.choice import Choice
from realesrgan.engine.device import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults_of_five_rounds():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(40_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
np.ones(50_000_000, np.uint8)
print(faults_of_five_rounds())
"""
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", program, mode], capture_output=True, check=True).stdout)
        for mode in ("keep", "default")
    }
    assert faults["keep"] < faults["default"] / 10


@pytest.mark.parametrize(
    ("allowed", "workers", "threads"), [(None, 1, 4), (2.5, 1, 3), (2.0, 2, 1), (0.1, 1, 1), (64.0, 2, 2)]
)
def test_a_program_computes_with_the_processors_a_container_allows(
    monkeypatch, four_threads, allowed, workers, threads
):
    monkeypatch.setattr(device, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(device.cgroups, "processors", lambda: allowed)
    device.prepare_cpu(workers)
    assert torch.get_num_threads() == threads


def test_a_program_flushes_denormals_to_zero(monkeypatch, four_threads):
    monkeypatch.setattr(device, "keep_freed_memory", lambda: None)
    torch.set_flush_denormal(False)
    tiny = torch.tensor([1e-39])
    assert (tiny * 0.5).item() > 0
    try:
        device.prepare_cpu()
        assert (tiny * 0.5).item() == 0
    finally:
        torch.set_flush_denormal(False)


def test_a_gpu_takes_two_frames_at_a_time_and_a_cpu_one():
    assert workers_for_frames(CUDA) == 2
    assert workers_for_frames(CPU) == 1
