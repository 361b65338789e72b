"""Networks of which nobody knows how far they look: what tiles have to see is measured, and what they take, too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import picture
from torch import Tensor, nn

import realesrgan.engine.planning
from realesrgan.arrays import Array
from realesrgan.engine import seams
from realesrgan.engine.device import Precision
from realesrgan.engine.engine import Engine
from realesrgan.engine.measuring import UNCOUNTED, measured
from realesrgan.engine.planning import AUTOMATIC_TILE_PAD, MEMORY_SHARE
from realesrgan.engine.progress import WorkMeter, count_layers, counting
from realesrgan.engine.seams import PADS, Context, busiest_part, measure_context, painted_over
from realesrgan.engine.tensors import Levels
from realesrgan.engine.tiling import DEFAULT_TILE_PAD, Box
from realesrgan.errors import DeviceError
from realesrgan.families.foreign import ForeignSpec

CPU = torch.device("cpu")
SPEC = ForeignSpec("Stranger", 2, 3, 3)


class Blur(nn.Module):
    """Enlarges ×2 the mean over squares that reach `radius` pixels to each side."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius
        side = 2 * radius + 1
        self.rows = nn.Conv2d(3, 3, (side, 1), padding=(radius, 0), groups=3, bias=False)
        self.columns = nn.Conv2d(3, 3, (1, side), padding=(0, radius), groups=3, bias=False)
        for conv in (self.rows, self.columns):
            conv.weight.data.fill_(1 / side)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.columns(self.rows(x)), scale_factor=2)


class Global(Blur):
    """Adds the brightness of the whole picture to each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2 + x.mean((2, 3), keepdim=True) / 2


class Windows(nn.Module):
    """Turns every square window round: what is not cut at windows is another picture. The last ones are filled up."""

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        height, width, side = *x.shape[-2:], self.side
        x = F.pad(x, (0, -width % side, 0, -height % side))
        n, c, h, w = x.shape
        windows = x.reshape(n, c, h // side, side, w // side, side).flip(3, 5)
        return F.interpolate(windows.reshape(n, c, h, w), scale_factor=2)[..., : 2 * height, : 2 * width]


class Wrapping(Blur):
    """Has opposite borders see each other."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate((x + x.roll((2, 2), (2, 3))) / 2, scale_factor=2)


def engine_of(network: nn.Module, spec: ForeignSpec = SPEC, **options) -> Engine:
    return Engine(network.requires_grad_(False).eval(), spec, 2, CPU, reduced=True, **options)


def result_of(engine: Engine, image: Array, tile: int = 0, pad: int | None = None, listener=None) -> Array:
    """(H, W, 3) → (2H, 2W, 3), in [0, 1], not rounded."""
    plan = engine.plan(*image.shape[:2], tile, pad, image, listener=listener)
    result = np.full((2 * image.shape[0], 2 * image.shape[1], 3), np.nan, np.float32)
    with torch.no_grad():
        meter = engine.meter(plan, 1, listener)
        for box, rows in engine.run(plan, lambda box: image[box.slices], Levels(np.dtype(np.float32)), meter):
            result[box.slices] = rows
    return result


def context_of(
    network: nn.Module, height: int = 256, width: int = 256, multiple: int = 1, image: Array | None = None
) -> Context | None:
    image = picture(height, width) if image is None else image

    def compute(box: Box, kept: Box | None) -> Tensor:
        pixels = (image if kept is None else painted_over(image, kept))[box.slices]
        return network(torch.from_numpy(pixels.transpose(2, 0, 1))[None] / 255)

    return measure_context(compute, height, width, 2, multiple)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "realesrgan")
    return lambda: [record.getMessage() for record in caplog.records]


# How far a network looks.


@pytest.mark.parametrize("radius", [1, 3, 4, 5, 8, 11, 20])
@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 60), (60, 300)])
def test_the_context_is_the_smallest_that_covers_how_far_the_network_looks(radius, height, width):
    context = context_of(Blur(radius), height, width)
    covering = min(pad for pad in PADS if pad >= radius)
    assert context.hides_seams
    assert context.pad <= covering  # far pixels may weigh too little to be seen
    if context.pad < covering:
        assert context.levels > 0
    smaller = [pad for pad in PADS if pad < context.pad]
    for pad in smaller:
        blurred = Blur(radius)
        assert difference_with(blurred, pad) > seams.ALLOWED


def difference_with(network: nn.Module, pad: int) -> float:
    """By how many levels tiles of 64 with so much context differ from the whole at most."""
    engine, image = engine_of(network), picture(256, 256)
    return 255 * float(np.abs(result_of(engine, image, 64, pad) - result_of(engine, image)).max())


def test_a_network_that_looks_everywhere_is_found_out():
    assert not context_of(Global(2)).hides_seams


def test_means_that_happen_to_be_the_same_in_a_tile_do_not_deceive():
    plain = np.full((256, 256, 3), 90, np.uint8)
    assert context_of(Blur(0), image=plain).hides_seams
    assert not context_of(Global(0), image=plain).hides_seams


def test_a_network_whose_borders_see_each_other_is_found_out_by_the_corner():
    assert not context_of(Wrapping(2)).hides_seams


def test_windows_are_kept_whole_by_tiles_that_begin_at_multiples_of_them():
    assert context_of(Windows(), multiple=8) == Context(8, 0.0)
    engine, image = engine_of(Windows(), replace(SPEC, window=8)), picture(128, 144)
    assert np.array_equal(result_of(engine, image, 20), result_of(engine, image))


@pytest.mark.parametrize("side", [16, 32])
def test_windows_that_a_network_does_not_declare_are_found(side):
    engine, image = engine_of(Windows(side)), picture(400, 410)
    assert np.array_equal(result_of(engine, image, 50), result_of(engine, image))


def test_a_picture_too_small_to_tell_gets_the_default(lines):
    engine, image = engine_of(Blur(3)), picture(40, 50)
    assert context_of(Blur(3), 40, 50) is None
    assert engine.plan(40, 50, 16, None, image).pad == AUTOMATIC_TILE_PAD
    assert "too small to measure" in lines()[-1]


def test_the_part_that_is_computed_has_the_detail_in_its_middle():
    image = np.full((400, 600, 3), 128, np.uint8)
    image[200:280, 400:480] = picture(80, 80)
    part = busiest_part(lambda box: image[box.slices], 400, 600, 128, 8)
    assert part.top % 8 == part.left % 8 == 0
    assert part.top < 280 and part.bottom > 200 and part.left < 480 and part.right > 400  # noqa: PT018


# Tiles.


@pytest.mark.parametrize("radius", [3, 9, 25])
@pytest.mark.parametrize("tile", [40, 64, 100])
def test_tiles_with_the_measured_context_differ_from_the_whole_by_less_than_half_a_level(radius, tile):
    engine, image = engine_of(Blur(radius)), picture(230, 190)
    whole, tiles = result_of(engine, image), result_of(engine, image, tile)
    assert 255 * np.abs(tiles - whole).max() <= 0.5


def test_the_context_is_measured_once_and_said_once(lines, monkeypatch):
    engine = engine_of(Blur(5))
    for seed in range(2):
        result_of(engine, picture(200, 200, seed=seed), 64)
        monkeypatch.setattr(seams, "measure_context", lambda *_: pytest.fail("measured again"))
    assert lines() == ["Stranger: tiles of 64 with 8 pixels of context, so seams are below half a level"]


def test_a_pad_that_was_given_is_taken_and_nothing_is_measured(monkeypatch, lines):
    monkeypatch.setattr(seams, "measure_context", lambda *_: pytest.fail("measured"))
    engine, image = engine_of(Blur(5)), picture(200, 200)
    assert engine.plan(200, 200, 64, 3, image).pad == 3
    assert engine.plan(200, 200, 300, None, image).pieces[0].core.area == 200 * 200
    assert lines() == []


def test_seams_that_stay_are_said(lines):
    result_of(engine_of(Global(2)), picture(200, 200), 64)
    assert "looks farther than that, and seams of" in lines()[-1]


def test_this_projects_networks_keep_the_published_context():
    from tiny import tiny_srvgg

    from realesrgan.families.srvgg import SRVGGNetCompactSpec

    engine = Engine(tiny_srvgg(), SRVGGNetCompactSpec(num_feat=8, num_conv=2), 4, CPU, reduced=False, kind="torch")
    assert engine.plan(200, 200, 64, None, picture(200, 200)).pad == DEFAULT_TILE_PAD


# Memory.


def test_memory_and_work_are_counted_in_one_small_pass():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 3, 3, padding=1))
    count_layers(network)
    spec = measured(SPEC, network.requires_grad_(False), CPU, torch.float32)
    assert spec.multiply_adds == 9 * (3 * 8 + 8 * 3)
    assert spec.bytes_per_pixel(4) == UNCOUNTED * 4 * (8 + 3)  # what the last layer reads and writes


def test_all_layers_with_weights_are_counted():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 3, 2, stride=2), nn.Linear(10, 7))
    count_layers(network)
    meter = WorkMeter(0.0)
    with counting(meter):
        network(torch.zeros(1, 3, 4, 5))
    assert meter.done == 4 * 5 * 3 * 8 + 4 * 5 * 8 * 3 * 4 + 3 * 8 * 10 * 7


def with_room_for(monkeypatch: pytest.MonkeyPatch, engine: Engine, pixels: int) -> None:
    free = pixels * engine.spec.bytes_per_pixel(4) / MEMORY_SHARE
    monkeypatch.setattr(realesrgan.engine.planning, "free_memory_bytes", lambda device: free)


def test_a_picture_that_fits_is_computed_whole_and_one_that_does_not_in_tiles_that_do(monkeypatch):
    engine = engine_of(Blur(5))
    with_room_for(monkeypatch, engine, 150 * 150)
    assert len(engine.plan(150, 150, 0, None, picture(150, 150)).pieces) == 1
    plan = engine.plan(160, 170, 0, None, picture(160, 170))
    assert len(plan.pieces) > 1
    assert max(piece.padded.area for piece in plan.pieces) <= 150 * 150
    image = picture(160, 170)
    tiles = result_of(engine, image)
    with_room_for(monkeypatch, engine, 10**9)
    assert 255 * np.abs(tiles - result_of(engine, image)).max() <= 0.5


class SmallMemory:
    """Makes a network fail as a full device does when it is fed more than `pixels` pixels."""

    def __init__(self, network: nn.Module, pixels: int) -> None:
        self.pixels = pixels
        self.failures = 0
        network.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        if inputs[0].shape[-2] * inputs[0].shape[-1] > self.pixels:
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("room", [150 * 150, 110 * 110])
def test_memory_that_runs_out_is_recovered_by_tiles_whose_context_is_measured_then(room, lines):
    engine, image = engine_of(Blur(5)), picture(200, 210)
    wanted = result_of(engine, image)
    memory = SmallMemory(engine.network, room)
    tiles = result_of(engine, image)
    assert memory.failures
    assert 255 * np.abs(tiles - wanted).max() <= 0.5
    assert engine.planner.context == Context(8, pytest.approx(0, abs=1e-3))
    memory.failures = 0
    result_of(engine, image)
    assert memory.failures == 0
    assert lines()[0].startswith("Stranger: tiles of")


def test_memory_for_less_than_the_smallest_tile_is_an_error():
    engine, image = engine_of(Blur(5)), picture(200, 210)
    SmallMemory(engine.network, 20 * 20)
    with pytest.raises(DeviceError, match="out of memory even for a tile of 32 pixels"):
        result_of(engine, image)


# Networks that are made to see the whole picture.

WHOLE = replace(SPEC, needs_whole=True)


def test_a_network_that_looks_everywhere_is_not_cut_unless_that_is_asked_for(monkeypatch):
    engine, image = engine_of(Global(2), WHOLE), picture(200, 200)
    with_room_for(monkeypatch, engine, 150 * 150)
    with pytest.raises(DeviceError, match=r"Stranger looks at the whole picture, which takes about .* GB.*tile 512"):
        engine.plan(200, 200, 0, None, image)
    assert len(engine.plan(200, 200, 100, None, image).pieces) == 4
    SmallMemory(engine.network, 150 * 150)
    with_room_for(monkeypatch, engine, 10**9)
    with pytest.raises(DeviceError, match="looks at the whole picture"):
        result_of(engine, image)


def test_one_that_is_only_said_to_is_cut_where_no_seam_shows(monkeypatch):
    engine, image = engine_of(Blur(2), WHOLE), picture(200, 200)
    with_room_for(monkeypatch, engine, 150 * 150)
    assert len(engine.plan(200, 200, 0, None, image).pieces) > 1


# Precision, progress, cancelling.


def test_the_context_is_measured_in_full_precision(monkeypatch):
    monkeypatch.setattr("realesrgan.engine.choice.choose_precision", lambda device, *, reduced: Precision.HALF)
    engine = engine_of(Blur(5), replace(SPEC, supports_half=True))
    assert engine.precision is Precision.HALF
    types = []
    engine.network.register_forward_pre_hook(lambda module, inputs: types.append(inputs[0].dtype))
    result_of(engine, picture(200, 200), 100)
    assert types[:3] == [torch.float32] * 3
    assert types[-1] == torch.float16


class Padded(Blur):
    """Computes more than it was given, as networks do that fill their last windows."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return super().forward(F.pad(x, (0, -width % 64, 0, -height % 64)))[..., : 2 * height, : 2 * width]


@pytest.mark.parametrize("tile", [0, 50])
@pytest.mark.parametrize("network", [Blur(3), Padded(3), Windows()], ids=lambda network: type(network).__name__)
def test_progress_never_goes_back_and_ends_at_one(network, tile):
    told: list[float] = []
    result_of(engine_of(network, replace(SPEC, window=8)), picture(120, 136), tile, listener=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert len([share for share in told if share > 0.9999]) == 1
    if tile:
        assert len(set(told)) > 5


def test_a_listener_that_raises_ends_measuring_too():
    engine, image = engine_of(Blur(5)), picture(200, 200)

    def cancel(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.plan(200, 200, 64, None, image, listener=cancel)
    assert engine.planner.context is None
