"""The engine under stress, with torch computing: memory runs out, precision overflows, listeners interrupt."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import picture, save_weights, tiny_rrdbnet, tiny_srvgg
from torch import nn

import realesrgan.engine.choice
import realesrgan.engine.engine
import realesrgan.engine.planning
import realesrgan.families.row_graph
from benchmarks import textbook
from realesrgan.arrays import final_size, held_bytes
from realesrgan.engine.assembly import RowCollector
from realesrgan.engine.device import Precision
from realesrgan.engine.engine import Engine
from realesrgan.engine.planning import FRAGMENTATION, MEMORY_SHARE, Plan
from realesrgan.engine.streaming import bytes_per_column
from realesrgan.engine.tensors import Levels
from realesrgan.engine.tiling import whole
from realesrgan.errors import DeviceError, RealESRGANError
from realesrgan.families import cast_convolutions
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.upsampler import RealESRGANer

CPU = torch.device("cpu")
RADIUS = 20  # receptive radius of the tiny ×4 RRDBNet in input pixels, rounded up
TINY_SPEC = RRDBNetSpec(num_feat=8, num_block=1, num_grow_ch=4)

Load = Callable[..., RealESRGANer]


@pytest.fixture(autouse=True)
def torch_computes(monkeypatch):
    monkeypatch.setattr("realesrgan.engine.kernels.library.load", lambda: None)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(network: nn.Module, scale: int = 4, **options) -> RealESRGANer:
        """An upsampler of its own, whose network a test may spoil."""
        path = save_weights(network, tmp_path / "network.pth")
        return RealESRGANer(scale, path, pre_pad=0, device="cpu", **options)

    return load


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "realesrgan")
    return caplog


class SmallMemory:
    """Makes a network fail as a full device does when it is fed more than `pixels` pixels, and keeps count."""

    def __init__(self, network: nn.Module, pixels: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        self.pixels = pixels
        self.error = error
        self.failures = 0
        self.largest_fed = 0
        network.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        area = inputs[0].shape[-2] * inputs[0].shape[-1]
        if area > self.pixels:
            self.failures += 1
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes.")
        self.largest_fed = max(self.largest_fed, area)


def check_as_published(upsampler: RealESRGANer, network: nn.Module, image: np.ndarray, levels: int = 1) -> None:
    ours = upsampler.enhance(image)[0]
    theirs = textbook.enhance(network, upsampler.scale, image)[0]
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= levels


# Memory.


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_running_out_of_memory_is_recovered_by_smaller_tiles(load, error):
    upsampler = load(tiny_rrdbnet(), tile=80, tile_pad=RADIUS)
    memory = SmallMemory(upsampler.model, 90 * 90, error)
    check_as_published(upsampler, tiny_rrdbnet(), picture(100, 150))
    assert memory.failures == 1


def test_memory_may_run_out_several_times_in_one_picture(load):
    upsampler = load(tiny_rrdbnet(), tile=160, tile_pad=RADIUS)
    memory = SmallMemory(upsampler.model, 80 * 80)
    check_as_published(upsampler, tiny_rrdbnet(), picture(100, 150))
    assert memory.failures == 2


def test_memory_that_runs_out_late_spoils_no_finished_tile(load):
    upsampler = load(tiny_rrdbnet(), tile=80, tile_pad=RADIUS)
    memory = SmallMemory(upsampler.model, 100 * 110)  # the corner tile sees 100×100, its neighbour 100×120
    check_as_published(upsampler, tiny_rrdbnet(), picture(120, 200))
    assert memory.failures == 1
    assert memory.largest_fed == 100 * 100


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_running_out_of_memory_without_tiles_leaves_no_seam(load, channels):
    upsampler = load(tiny_srvgg(), tile_pad=0)  # of requested tiles, not of these
    memory = SmallMemory(upsampler.model, 200 * 170)
    check_as_published(upsampler, tiny_srvgg(), picture(170, 260, channels))
    assert memory.failures == 1


@pytest.mark.parametrize(("scale", "tile", "pad", "width_limit"), [(2, 70, 40, 130), (1, 72, 80, 210)])
def test_smaller_tiles_keep_to_the_networks_multiple(load, scale, tile, pad, width_limit):
    network = tiny_rrdbnet(scale)
    upsampler = load(network, scale, tile=tile, tile_pad=pad)
    memory = SmallMemory(upsampler.model, 76 * width_limit)
    check_as_published(upsampler, network, picture(73, 401))
    assert memory.failures == 1


def test_a_picture_after_the_shortage_starts_at_the_size_learnt_and_nothing_is_logged_again(load, warnings):
    upsampler = load(tiny_srvgg())
    memory = SmallMemory(upsampler.model, 200 * 170)
    for seed, (height, width) in enumerate([(170, 260), (170, 260), (150, 295), (20, 30)]):
        check_as_published(upsampler, tiny_srvgg(), picture(height, width, seed=seed))
    assert memory.failures == 1
    assert memory.largest_fed == 20 * 30
    assert [record.getMessage() for record in warnings.records] == ["cpu is out of memory: going on in strips"]


def test_a_size_learnt_limits_requested_tiles_too(load):
    upsampler = load(tiny_rrdbnet(), tile=80, tile_pad=RADIUS)
    memory = SmallMemory(upsampler.model, 90 * 90)
    upsampler.enhance(picture(100, 150))
    check_as_published(upsampler, tiny_rrdbnet(), picture(100, 150, seed=1))
    assert memory.failures == 1


@pytest.mark.parametrize("options", [{"tile": 64}, {"tile": 32}, {"tile": 8}])
def test_memory_too_small_for_the_smallest_tile_is_an_error_that_says_so(load, options):
    upsampler = load(tiny_srvgg(), **options)
    SmallMemory(upsampler.model, 10)
    with pytest.raises(DeviceError, match=r"cpu is out of memory even for a tile of 32 pixels.*gpu_id cpu"):
        upsampler.enhance(picture(70, 90))


class SmallStrips:
    """Makes convolutions of rows fail as a full device does when their input has more than `pixels` pixels."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
        self.failures = 0
        self.largest_fed = 0
        conv2d = torch.nn.functional.conv2d

        def limited(x: torch.Tensor, *arguments, **options) -> torch.Tensor:
            area = x.shape[-2] * x.shape[-1]
            if area > pixels:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.largest_fed = max(self.largest_fed, area)
            return conv2d(x, *arguments, **options)

        functions = SimpleNamespace(**{**vars(F), "conv2d": limited})
        monkeypatch.setattr(realesrgan.families.row_graph, "F", functions)


@pytest.fixture
def strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture is large enough to be computed in strips."""
    monkeypatch.setattr(realesrgan.engine.planning, "WHOLE_ON_CPU_BYTES", 0)


@pytest.mark.parametrize("scale", [4, 2, 1])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_in_strips_is_the_published_one(load, strips, scale, channels):
    upsampler = load(tiny_rrdbnet(scale), scale)
    memory = SmallMemory(upsampler.model, 0)  # never all at once
    check_as_published(upsampler, tiny_rrdbnet(scale), picture(61, 47, channels))
    assert memory.failures == 0


@pytest.mark.parametrize("rows", [64, 7, 1])
def test_the_height_of_strips_cannot_be_seen(load, strips, monkeypatch, rows):
    monkeypatch.setattr(realesrgan.engine.planning, "MOST_ROWS_ON_CPU", rows)
    upsampler = load(tiny_srvgg())
    assert upsampler.engine.planner.plan(50, 33, 0, 0).strip == rows
    assert np.array_equal(upsampler.enhance(picture(50, 33))[0], textbook.enhance(tiny_srvgg(), 4, picture(50, 33))[0])


@pytest.mark.parametrize("channels", [3, 4])
def test_strips_that_do_not_fit_are_halved_and_the_pictures_after_them_begin_so(load, strips, monkeypatch, channels):
    upsampler = load(tiny_rrdbnet())
    memory = SmallStrips(monkeypatch, 200 * 40)  # the last convolutions see rows of 200 pixels
    for seed in range(2):
        check_as_published(upsampler, tiny_rrdbnet(), picture(80, 50, channels, seed=seed))
    assert memory.failures == 1  # 64 rows
    assert memory.largest_fed == 200 * (32 + 2)


def test_a_strip_of_one_row_that_does_not_fit_is_cut_into_columns_without_a_seam(load, strips, monkeypatch):
    upsampler = load(tiny_srvgg())
    radius = upsampler.engine.planner.spec.receptive_radius
    SmallStrips(monkeypatch, (50 + 2 * radius) * 3)
    check_as_published(upsampler, tiny_srvgg(), picture(20, 200))
    with monkeypatch.context() as smaller:
        smaller.setattr(realesrgan.engine.planning, "SMALLEST_BLOCK", 60)
        with pytest.raises(DeviceError, match=r"even for a strip of one row.*gpu_id cpu"):
            upsampler.enhance(picture(20, 300))


def test_a_tile_of_32_is_tried_before_giving_up(load):
    upsampler = load(tiny_srvgg(), tile=50, tile_pad=4)
    memory = SmallMemory(upsampler.model, 40 * 40)
    check_as_published(upsampler, tiny_srvgg(), picture(60, 70))
    assert memory.failures == 1


def test_another_error_is_raised_as_it_is_at_once(load):
    upsampler = load(tiny_srvgg())
    passes = []

    def fail(module: nn.Module, inputs: object) -> None:
        passes.append(module)
        raise RuntimeError("expected scalar type Half but found Float")

    upsampler.model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="expected scalar type"):
        upsampler.enhance(picture(70, 90))
    assert len(passes) == 1


def with_free(monkeypatch: pytest.MonkeyPatch, free: float | None) -> None:
    monkeypatch.setattr(realesrgan.engine.planning, "free_memory_bytes", lambda device: free)


def test_a_picture_expected_not_to_fit_is_cut_before_memory_runs_out(load, warnings, monkeypatch):
    affordable = 175**2
    held = held_bytes(180, 200, 3, 8, (720, 800))
    with_free(monkeypatch, held + int(affordable * TINY_SPEC.bytes_per_pixel(4) / MEMORY_SHARE) + 1)
    monkeypatch.setattr(realesrgan.engine.planning, "can_stream", lambda network: False)
    upsampler = load(tiny_rrdbnet())
    memory = SmallMemory(upsampler.model, affordable)
    for seed in range(2):
        check_as_published(upsampler, tiny_rrdbnet(), picture(180, 200, seed=seed), levels=2)
    assert memory.failures == 0
    assert memory.largest_fed > affordable / 2
    [said] = [record.getMessage() for record in warnings.records]
    assert said == "a picture of 200×180 is too large for the free memory: cut into tiles of 47 pixels"


def test_little_memory_makes_strips_lower_and_then_blocks_narrower_and_each_fits(load, strips, monkeypatch):
    planner = load(tiny_rrdbnet()).engine.planner
    seen: list[tuple[int, int]] = []
    for free in (1e9, 1e7, 3e6, 1e6, 6e5):
        with_free(monkeypatch, free)
        plan = planner.plan(200, 400, 0, 0)
        widest = max(piece.padded.width for piece in plan.pieces)
        assert widest * bytes_per_column(planner.network, plan.strip, torch.float32) <= MEMORY_SHARE * free
        assert sum(piece.core.area for piece in plan.pieces) == 200 * 400
        seen.append((plan.strip, widest))
    assert [rows for rows, _ in seen] == sorted((rows for rows, _ in seen), reverse=True)
    assert seen[0][0] > seen[-1][0] == 1
    assert seen[0][1] == 400 > seen[-1][1]


@pytest.mark.parametrize("free", [4e5, 1e6])
def test_blocks_of_columns_cannot_be_seen(load, strips, monkeypatch, free):
    with_free(monkeypatch, free + held_bytes(10, 200, 4, 8, (40, 800)))
    upsampler = load(tiny_rrdbnet())
    held = held_bytes(10, 200, 4, 8, (40, 800))
    assert len(upsampler.engine.planner.plan(10, 200, 0, 0, held).pieces) > (1 if free < 1e6 else 0)
    check_as_published(upsampler, tiny_rrdbnet(), picture(10, 200, 4))


@pytest.mark.parametrize("scale", [4, 2])
@pytest.mark.parametrize("outscale", [1.37, 3, 6])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_blocks_of_columns_are_resized_as_the_whole_and_none_waits_for_another(
    load, strips, monkeypatch, scale, outscale, channels
):
    image = picture(11, 201, channels)
    upsampler = load(tiny_rrdbnet(scale), scale)
    wanted = upsampler.enhance(image, outscale)[0]
    monkeypatch.setattr(RowCollector, "_keep", lambda *piece: pytest.fail("a block waits for others"))
    held = held_bytes(11, 201, channels, 8, final_size(11, 201, outscale))
    with_free(monkeypatch, held + 4e5 * scale / 4)
    plan = upsampler.engine.planner.plan(12, 204, 0, 0, held)
    assert len(plan.pieces) > 1
    result = upsampler.enhance(image, outscale)[0]
    assert np.abs(result.astype(int) - wanted).max() <= 1
    assert (result != wanted).mean() < 0.001


def test_memory_that_runs_out_in_a_block_leaves_the_others_alone(load, strips, monkeypatch):
    monkeypatch.setattr(realesrgan.engine.planning, "SMALLEST_BLOCK", 8)
    image = picture(8, 301, 3)
    upsampler = load(tiny_rrdbnet())
    wanted = upsampler.enhance(image, 2)[0]
    held = held_bytes(8, 301, 3, 8, (16, 602))
    with_free(monkeypatch, held + 6e5)
    plan = upsampler.engine.planner.plan(8, 301, 0, 0, held)
    assert len(plan.pieces) > 1
    memory = SmallStrips(monkeypatch, 3 * 4 * max(piece.padded.width for piece in plan.pieces) - 1)  # for one row
    result = upsampler.enhance(image, 2)[0]
    assert memory.failures
    assert np.abs(result.astype(int) - wanted).max() <= 1


def test_max_memory_overrides_the_free_memory_and_includes_what_is_already_held(load, strips, monkeypatch):
    with_free(monkeypatch, 10**12)
    monkeypatch.setattr(realesrgan.engine.planning, "_bytes_in_use", lambda device: 500_000_000)
    planner = load(tiny_rrdbnet(), max_memory=501_000_000).engine.planner
    plain, beside = planner.plan(200, 400, 0, 0), planner.plan(200, 400, 0, 0, held_bytes=500_000)
    least = MEMORY_SHARE * 1e6
    for plan, budget in ((plain, 1e6), (beside, 5e5)):
        widest = max(piece.padded.width for piece in plan.pieces)
        assert least / 4 < widest * bytes_per_column(planner.network, plan.strip, torch.float32) <= budget


@pytest.mark.parametrize("asked_for", [None, 504_000_000])
def test_workers_on_one_device_share_its_memory(load, strips, monkeypatch, asked_for):
    with_free(monkeypatch, 4_000_000 / MEMORY_SHARE)
    monkeypatch.setattr(realesrgan.engine.planning, "_bytes_in_use", lambda device: 500_000_000)
    alone, one_of_four = (load(tiny_rrdbnet(), max_memory=asked_for) for _ in range(2))
    one_of_four.share_memory(4)

    def needed(upsampler):
        planner = upsampler.engine.planner
        plan = planner.plan(2000, 400, 0, 0)
        widest = max(piece.padded.width for piece in plan.pieces)
        return widest * bytes_per_column(planner.network, plan.strip, torch.float32)

    assert 1e6 < needed(alone) <= 4e6
    assert 2.5e5 < needed(one_of_four) <= 1e6


def test_strips_are_logged_with_their_height(load, strips, caplog):
    caplog.set_level(logging.INFO, "realesrgan")
    load(tiny_rrdbnet(2), 2).enhance(picture(20, 30))
    assert "a picture of 30×20 is computed in strips of 128 rows; that does not change the result" in caplog.text


def test_wide_pictures_have_lower_strips_but_not_too_low_for_speed(load, strips, monkeypatch):
    with_free(monkeypatch, 10**12)
    planner = load(tiny_rrdbnet()).engine.planner
    per_column = FRAGMENTATION * bytes_per_column(planner.network, 32, torch.float32)
    monkeypatch.setattr(realesrgan.engine.planning, "LITTLE_MEMORY_BYTES", 1000 * per_column)
    rows = [planner.plan(100, width, 0, 0).strip for width in (10, 1000, 1100, 100_000)]
    assert rows == [64, 32, 16, 16]


@pytest.mark.parametrize("free", [None, 10**12])
def test_a_picture_that_fits_is_not_cut(load, warnings, monkeypatch, free):
    with_free(monkeypatch, free)
    upsampler = load(tiny_rrdbnet())
    memory = SmallMemory(upsampler.model, 60 * 150)
    upsampler.enhance(picture(60, 150))
    assert memory.largest_fed == 60 * 150
    assert not warnings.records


# Precision.


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Callable[[Precision], None]:
    def force(precision: Precision) -> None:
        monkeypatch.setattr(realesrgan.engine.choice, "choose_precision", lambda device, *, reduced: precision)

    return force


def overflowing_rrdbnet() -> nn.Module:
    """A tiny RRDBNet whose features leave the range of fp16, but not of fp32, where its input is bright."""
    network = tiny_rrdbnet()
    gain = 2000.0  # of each of three layers: powers of it that the last one takes back
    with torch.no_grad():
        for conv in (network.conv_up1, network.conv_up2, network.conv_hr):
            conv.weight.mul_(gain)
            conv.bias.zero_()
        network.conv_last.weight.div_(gain**3)
    return network


def rounded(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network in fp32, its weights rounded to `dtype`."""
    return cast_convolutions(copy.deepcopy(network), dtype).float()


def weight_types(network: nn.Module) -> list[torch.dtype]:
    return [weight.dtype for weight in network.parameters()]


@pytest.mark.parametrize("precision", [Precision.HALF, Precision.MIXED_BF16])
@pytest.mark.parametrize("make", [tiny_rrdbnet, tiny_srvgg])
def test_reduced_precision_stays_close_to_full_precision(load, force, precision, make):
    force(precision)
    upsampler = load(make(), half=True)
    assert precision.dtype in weight_types(upsampler.model)
    check_as_published(upsampler, make(), picture(30, 40, 4), levels=2)


@pytest.mark.parametrize("precision", Precision)
def test_half_is_what_was_requested_as_published(load, force, precision):
    force(precision)
    assert load(tiny_srvgg(), half=True).half is True
    assert load(tiny_srvgg(), half=False).half is False


def check_overflows_are_computed_again(load, force) -> set[torch.dtype]:
    """Restore pictures that overflow fp16 and check them against fp32; return the types of the weights."""
    force(Precision.HALF)
    upsampler = load(overflowing_rrdbnet(), half=True)
    before = weight_types(upsampler.model)
    wanted = rounded(overflowing_rrdbnet(), torch.float16)
    for seed in range(3):
        check_as_published(upsampler, wanted, picture(30, 40, 4, seed=seed))
        assert weight_types(upsampler.model) == before
    return set(before)


def test_what_overflows_in_reduced_precision_is_computed_again_in_fp32_and_logged_once(load, force, warnings):
    assert check_overflows_are_computed_again(load, force) == {torch.float16, torch.float32}
    assert [record.getMessage() for record in warnings.records] == [
        "fp16 overflowed; the pieces affected are computed again in fp32"
    ]


def test_a_strip_that_overflows_has_the_picture_computed_again_in_fp32(load, strips, force, warnings):
    check_overflows_are_computed_again(load, force)
    assert len(warnings.records) == 1


def test_only_the_tiles_that_overflow_are_computed_again(load, force):
    force(Precision.HALF)
    network = overflowing_rrdbnet()
    with torch.no_grad():
        network.conv_first.bias.zero_()  # black in, zero through all layers
        for rdb in (network.body[0].rdb1, network.body[0].rdb2, network.body[0].rdb3):
            for conv in (rdb.conv1, rdb.conv2, rdb.conv3, rdb.conv4, rdb.conv5):
                conv.bias.zero_()
        network.conv_body.bias.zero_()
    upsampler = load(network, half=True, tile=16, tile_pad=4)
    passes = []
    upsampler.model.register_forward_pre_hook(lambda module, _: passes.append(module.conv_hr.weight.dtype))
    image = np.zeros((16, 64, 3), np.uint8)
    image[:, 52:] = picture(16, 12)
    upsampler.enhance(image)
    assert passes == [torch.float16] * 4 + [torch.float32]


class Overflow(nn.Module):
    """An unknown network that enlarges by repetition in fp32, and overflows in fp16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = 60000 * torch.eye(3).view(3, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.conv(self.conv(x)) / 60000 / 60000).repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_an_unknown_network_that_overflows_is_computed_again_too(load, force):
    force(Precision.HALF)
    upsampler = load(Overflow(), half=True, model=Overflow())
    assert weight_types(upsampler.model) == [torch.float16]
    image = picture(9, 8)
    assert np.array_equal(upsampler.enhance(image)[0], image.repeat(4, 0).repeat(4, 1))
    assert weight_types(upsampler.model) == [torch.float16]


def test_after_an_overflow_the_network_can_still_be_loaded_and_trained(load, force):
    force(Precision.HALF)
    upsampler = load(overflowing_rrdbnet(), half=True)
    upsampler.enhance(picture(9, 8))
    assert not any(weight.is_inference() for weight in upsampler.model.parameters())


def test_memory_that_runs_out_in_the_second_attempt_leaves_the_weights_reduced(load, force):
    force(Precision.HALF)
    network = overflowing_rrdbnet()
    upsampler = load(network, half=True, tile=80, tile_pad=RADIUS)
    before = weight_types(upsampler.model)

    def fail_in_fp32(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if module.conv_hr.weight.dtype == torch.float32 and inputs[0].shape[-1] > 90:
            raise torch.OutOfMemoryError("CUDA out of memory")

    upsampler.model.register_forward_pre_hook(fail_in_fp32)
    check_as_published(upsampler, rounded(network, torch.float16), picture(50, 150))
    assert weight_types(upsampler.model) == before


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.HALF])
@pytest.mark.parametrize("value", [3e38, -3e38])  # numbers themselves, so that the file can be read
def test_results_that_are_not_finite_even_in_fp32_are_an_error(load, force, monkeypatch, precision, value):
    force(precision)
    network = tiny_rrdbnet()
    with torch.no_grad():
        network.conv_last.weight.fill_(value)
    upsampler = load(network, half=True)
    for whole_bytes in (10**9, 0):
        monkeypatch.setattr(realesrgan.engine.planning, "WHOLE_ON_CPU_BYTES", whole_bytes)
        with pytest.raises(RealESRGANError, match="its weights are damaged"):
            upsampler.enhance(picture(9, 8))


def test_bf16_is_not_used_for_a_network_whose_residuals_it_would_round(force):
    force(Precision.MIXED_BF16)
    assert Engine(Overflow(), None, 4, CPU, reduced=True).precision is Precision.FP32
    assert Engine(tiny_srvgg(), None, 4, CPU, reduced=True).precision is Precision.MIXED_BF16


# What happens late, together with everything a result can be.


class Late:
    """Fails once, in the convolution number `call` of the picture, and counts what the network computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: int, *, overflow: bool) -> None:
        self.failures = 0
        calls = itertools.count()
        conv2d = torch.nn.functional.conv2d

        def conv(x: torch.Tensor, *arguments, **options) -> torch.Tensor:
            result = conv2d(x, *arguments, **options)
            if next(calls) == call:
                self.failures += 1
                if not overflow:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                result.fill_(torch.inf)
            return result

        functions = SimpleNamespace(**{**vars(F), "conv2d": conv})
        monkeypatch.setattr(realesrgan.families.row_graph, "F", functions)
        monkeypatch.setattr(torch.nn.functional, "conv2d", conv)


# How a picture is cut, and after how many convolutions something fails.
CUTS = {
    "whole": ({}, (2, 17)),
    "strips": ({"rows": 4}, (2, 60)),
    "columns": ({"rows": 1, "blocks": 3}, (2, 400)),
    "tiles": ({"tile": 40, "tile_pad": RADIUS}, (2, 30)),
}
SIZE = (7, 90)


@pytest.mark.parametrize(("channels", "depth"), [(1, np.uint8), (3, np.uint16), (4, np.uint8)])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("outscale", [None, 2.3])
@pytest.mark.parametrize("failure", ["memory", "overflow"])
def test_a_late_failure_changes_nothing_in_any_result(
    load, force, monkeypatch, failure, outscale, cut, channels, depth
):
    options, calls = dict(CUTS[cut][0]), CUTS[cut][1]
    rows, blocks = options.pop("rows", None), options.pop("blocks", None)
    if rows is not None:
        monkeypatch.setattr(realesrgan.engine.planning, "WHOLE_ON_CPU_BYTES", 0)
        monkeypatch.setattr(realesrgan.engine.planning, "MOST_ROWS_ON_CPU", rows)
    if blocks is not None:
        final = (SIZE[0] * 4, SIZE[1] * 4) if outscale is None else final_size(*SIZE, outscale)
        needed = load(tiny_rrdbnet()).engine.planner._strip_bytes(Plan(*SIZE, []), blocks, rows) / MEMORY_SHARE + 1
        with_free(monkeypatch, needed + held_bytes(*SIZE, channels, 8 * np.dtype(depth).itemsize, final))
    monkeypatch.setattr(realesrgan.engine.planning, "SMALLEST_BLOCK", 4)
    # Values that become infinite are computed again in fp32; with weights that bf16 holds, that is nearly the same.
    force(Precision.MIXED_BF16 if failure == "overflow" else Precision.FP32)
    network = rounded(tiny_rrdbnet(), torch.bfloat16)

    def result_and_failures(call: int) -> tuple[np.ndarray, int]:
        upsampler = load(network, half=True, **options)
        with monkeypatch.context() as patch:
            late = Late(patch, call, overflow=failure == "overflow")
            return upsampler.enhance(picture(*SIZE, channels, depth), outscale)[0], late.failures

    undisturbed, _ = result_and_failures(-1)
    for call in calls:
        result, failures = result_and_failures(call)
        assert failures == 1
        levels = np.iinfo(depth).max // 255 * 2 if failure == "overflow" else 1
        assert np.abs(result.astype(int) - undisturbed).max() <= levels


# Progress.


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("cut", [{}, {"tile": 16, "tile_pad": 4}, "strips"])
@pytest.mark.parametrize("scale", [4, 2, 1])
def test_progress_never_goes_back_and_ends_at_one(load, request, scale, cut, channels):
    if cut == "strips":
        request.getfixturevalue("strips")
        cut = {}
    upsampler = load(tiny_rrdbnet(scale), scale, **cut)
    told: list[float] = []
    for seed in range(2):
        told.clear()
        upsampler.enhance(picture(21, 38, channels, seed=seed), 3, progressed=told.append)
        assert told == sorted(told)
        assert told[0] > 0
        assert told[-1] == 1.0
        assert told.count(1.0) == 1  # not before all is done


def test_progress_of_a_small_network_ends_at_one(load):
    upsampler = load(tiny_srvgg(), tile=16)
    told: list[float] = []
    upsampler.enhance(picture(21, 38), progressed=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("channels", "level", "passes"), [(3, 255, 1), (4, 255, 1), (4, None, 2)])
def test_progress_counts_the_pass_for_transparency(load, channels, level, passes):
    upsampler, image = load(tiny_srvgg()), picture(9, 8, channels)
    if level is not None:
        image[..., -1] = level
    told: list[float] = []
    upsampler.enhance(image, progressed=told.append)
    steps = np.diff([0.0, *told])
    assert len(told) == 4 * passes
    assert steps[:4].sum() == pytest.approx(1 / passes)


def test_progress_stays_a_share_when_memory_runs_out(load):
    upsampler = load(tiny_rrdbnet(), tile=80, tile_pad=RADIUS)
    SmallMemory(upsampler.model, 90 * 90)
    told: list[float] = []
    upsampler.enhance(picture(100, 150), progressed=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("error", [Cancelled, RuntimeError, KeyboardInterrupt])
def test_a_listener_that_raises_ends_the_picture_there_and_harms_nothing(load, error):
    upsampler, image = load(tiny_srvgg(), tile=8), picture(20, 30)
    whole = upsampler.enhance(image)[0]
    told = []

    def cancel_at_half(share: float) -> None:
        told.append(share)
        if share > 0.5:
            raise error

    with pytest.raises(error):
        upsampler.enhance(image, progressed=cancel_at_half)
    assert all(before <= 0.5 for before, _ in itertools.pairwise(told))
    assert np.array_equal(upsampler.enhance(image)[0], whole)


# Numbers others rely on.


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list a process's threads")
def test_a_new_thread_computes_with_no_more_threads_than_torch_was_set_to():
    network = nn.Conv2d(3, 64, 3, padding=1).requires_grad_(False)
    engine = Engine(network, None, 1, CPU, reduced=False)  # told: one, see above
    x = np.zeros((256, 256, 3), np.float32)  # goes into the convolution as it is
    started: list[set[str]] = []

    def compute() -> None:
        before = set(os.listdir("/proc/self/task"))
        list(engine.run(Plan(256, 256, [whole(256, 256)]), lambda box: x, Levels(np.dtype(np.float32))))
        started.append(set(os.listdir("/proc/self/task")) - before)

    worker = threading.Thread(target=compute)
    worker.start()
    worker.join()
    assert started == [set()]


def test_speed_is_measured_in_multiply_adds_a_second():
    engine = Engine(tiny_rrdbnet(), TINY_SPEC, 4, CPU, reduced=False)
    assert 1e6 < engine.multiply_adds_per_second() < 1e15


@pytest.mark.parametrize("spec", [RRDBNetSpec(scale=scale) for scale in (4, 2, 1)] + [SRVGGNetCompactSpec()], ids=str)
def test_half_the_bytes_of_a_feature_take_less_memory(spec):
    assert 0 < spec.bytes_per_pixel(2) < spec.bytes_per_pixel(4)
