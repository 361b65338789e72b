"""Streaming: whatever the strips, the result is the whole picture's, each row once, in memory that does not grow."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.engine.streaming import bytes_per_column, can_stream, stream
from realesrgan.families import cast_convolutions
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.signal import Signal
from realesrgan.families.srvgg import SRVGGNetCompactSpec

# All that keys can tell besides widths and depths: channels, scale, pixels folded, the blocks of nESRGAN+.
ESRGANS = [
    *(RRDBNetSpec(3, 3, scale, 8, 1, 4) for scale in (8, 16)),
    *(RRDBNetSpec(3, 3, scale, 8, 2, 4, unshuffle=1, plus=plus) for scale, plus in ((1, False), (2, True), (4, True))),
    *(RRDBNetSpec(channels, channels, 2, 8, 1, 4, plus=True) for channels in (1, 4)),
    *(RRDBNetSpec(3, 3, scale, 8, 1, 4, unshuffle) for scale, unshuffle in ((1, 2), (4, 2), (4, 4))),
]
COMPACT_SPECS = [SRVGGNetCompactSpec(channels, channels, 8, 2, scale) for channels, scale in ((1, 3), (4, 2))]
EVERY_KIND: list[NetworkSpec] = [*ESRGANS, *COMPACT_SPECS]
every_kind = pytest.mark.parametrize("spec", EVERY_KIND, ids=str)
# Heights and widths of the body, and strips.
SHAPES = list(itertools.product(range(1, 13), (1, 2, 7), (1, 2, 3, 5, 64)))
COMPACT = list(itertools.product((1, 2, 3, 4), ("relu", "leakyrelu", "prelu")))


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # layers this small only wait for each other
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


def rrdbnet(scale: int = 4, num_block: int = 2, num_feat: int = 8) -> RRDBNet:
    return strong(RRDBNet(3, 3, scale, num_feat, num_block, num_grow_ch=4))


def compact(upscale: int = 4, act_type: str = "prelu", num_conv: int = 3) -> SRVGGNetCompact:
    return strong(SRVGGNetCompact(3, 3, 8, num_conv, upscale, act_type))


def strong(network: nn.Module):
    """Give every parameter a weight that shows: fresh biases are zero, and fresh residual branches next to nothing."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        # Keeps the size of what flows through, so that rounding errors neither vanish nor grow.
        spread = (2 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.3
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
    return network.to(memory_format=torch.channels_last)


def noise(height: int, width: int, batch: int = 1, dtype: torch.dtype = torch.float32, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.rand(batch, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def streamed(network: nn.Module, x: Tensor, strip: int, **options) -> Tensor:
    """The whole result of `stream`, after checking that it reads and yields row after row."""
    rows_read, rows_written, parts = 0, 0, []

    def read(top: int, bottom: int) -> Tensor:
        nonlocal rows_read
        assert top == rows_read < bottom <= x.shape[2]
        rows_read = bottom
        return x[:, :, top:bottom]

    for top, rows in stream(network, x.shape[2], x.shape[3], strip, read, **options):
        assert top == rows_written
        rows_written += rows.shape[2]
        parts.append(rows)
    assert rows_read == x.shape[2]
    return torch.cat(parts, 2)


def used_memory(network: nn.Module, height: int, width: int, strip: int) -> int:
    """Peak bytes of `stream` over a picture that is never held: made as it is read, dropped as it is yielded."""
    with LiveMemory() as memory:
        for rows in stream(network, height, width, strip, lambda top, bottom: torch.zeros(1, 3, bottom - top, width)):
            del rows  # before the next ones are computed, as the engine does
    assert memory.bytes == 0
    return memory.peak


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that torch has made and that still exist."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._users: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and (key := result.untyped_storage().data_ptr()):
            self._add(result, key, result.untyped_storage().nbytes())
        return result

    def _add(self, tensor: Tensor, key: int, size: int) -> None:
        if key not in self._users:
            self._users[key] = 0
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
        self._users[key] += 1
        weakref.finalize(tensor, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self.bytes -= size


@pytest.mark.parametrize("scale", [4, 2, 1])
def test_streamed_is_whole_for_an_rrdbnet_of_any_scale_size_and_strip(scale):
    network = rrdbnet(scale).double()
    for height, width, strip in SHAPES if scale == 4 else SHAPES[::4]:
        x = noise(height * network.unshuffle, width * network.unshuffle, dtype=torch.float64)
        torch.testing.assert_close(streamed(network, x, strip), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("upscale", "act_type"), COMPACT)
def test_streamed_is_whole_for_a_compact_network_of_any_scale_activation_size_and_strip(upscale, act_type):
    network = compact(upscale, act_type).double()
    for height, width, strip in SHAPES[::4]:
        x = noise(height, width, dtype=torch.float64)
        torch.testing.assert_close(streamed(network, x, strip), network(x), rtol=0, atol=1e-12)


@every_kind
def test_streamed_is_whole_for_every_kind_of_network(spec):
    network, fold = strong(spec.build()).double(), spec.size_multiple
    for height, width, strip in SHAPES[::7]:
        x = noise(height * fold, width * fold, dtype=torch.float64, channels=spec.num_in_ch)
        torch.testing.assert_close(streamed(network, x, strip), network(x), rtol=0, atol=1e-12)


@every_kind
def test_every_kind_of_network_is_streamed_in_every_precision(spec):
    x = noise(8 * spec.size_multiple, 12, channels=spec.num_in_ch)
    exact = strong(spec.build())(x)
    mixed = cast_convolutions(strong(spec.build()), torch.bfloat16)
    half, low = strong(spec.build()).to(torch.bfloat16), x.to(torch.bfloat16)
    torch.testing.assert_close(streamed(strong(spec.build()), x, 3), exact, rtol=0, atol=0.01 / 255)
    error = (mixed(x) - exact).abs().max()
    assert (streamed(mixed, x, 3) - mixed(x)).abs().max() <= error / 3
    assert streamed(half, low, 3).dtype == torch.bfloat16
    torch.testing.assert_close(streamed(half, low, 3), half(low), rtol=0, atol=0.02 * float(exact.abs().max()))


def test_networks_of_another_kind_cannot_be_streamed():
    assert can_stream(rrdbnet())
    assert can_stream(compact())
    assert not can_stream(nn.Conv2d(3, 3, 3))


@pytest.mark.parametrize("num_conv", [0, 1, 16])
def test_the_number_of_convolutions_does_not_matter(num_conv):
    network = compact(num_conv=num_conv).double()
    x = noise(9, 4, dtype=torch.float64)
    torch.testing.assert_close(streamed(network, x, 3), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("network", [rrdbnet(), rrdbnet(2), compact()], ids=["x4", "x2", "compact"])
def test_pictures_of_one_batch_stay_apart(network):
    x = noise(10, 6, batch=3)
    torch.testing.assert_close(streamed(network, x, 4), network(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("strip", [1, 5, 16])
@pytest.mark.parametrize("network", [rrdbnet(), rrdbnet(2), rrdbnet(1), compact()], ids=["x4", "x2", "x1", "compact"])
def test_in_single_precision_streaming_is_a_hundredth_of_a_level_from_the_whole_picture(network, strip):
    x = noise(40, 24)
    torch.testing.assert_close(streamed(network, x, strip), network(x), rtol=0, atol=0.01 / 255)


@pytest.mark.parametrize("strip", [1, 3, 16])
@pytest.mark.parametrize("build", [rrdbnet, lambda: rrdbnet(2), compact], ids=["x4", "x2", "compact"])
def test_in_mixed_precision_streaming_adds_no_error_to_that_of_the_precision(build, strip):
    x = noise(24, 12)
    exact = build()(x)
    network = cast_convolutions(build(), torch.bfloat16)
    whole = network(x)
    error = (whole - exact).abs().max()
    assert error > 1e-4
    assert (streamed(network, x, strip) - whole).abs().max() <= error / 4


def test_sums_are_rounded_only_where_the_whole_picture_rounds_them():
    """A long body in mixed precision: were its residual stream bf16 anywhere, the error would be several times this."""
    network = cast_convolutions(rrdbnet(num_block=16), torch.bfloat16)
    x = noise(12, 8)
    torch.testing.assert_close(streamed(network, x, 4), network(x), rtol=0, atol=2e-3 * float(network(x).abs().max()))


def test_a_network_cast_to_half_as_a_whole_gives_half():
    network = rrdbnet().to(torch.bfloat16)
    x = noise(9, 7, dtype=torch.bfloat16)
    result, whole = streamed(network, x, 4), network(x)
    assert result.dtype == whole.dtype
    torch.testing.assert_close(result, whole, rtol=0, atol=0.02 * float(whole.abs().max()))


@pytest.mark.parametrize(
    "build",
    [rrdbnet, lambda: rrdbnet(2), compact, lambda: ESRGANS[1].build(), lambda: ESRGANS[3].build()],
    ids=["x4", "x2", "compact", "x16", "plus x2"],
)
@pytest.mark.parametrize(("height", "strip"), [(2, 1), (12, 1), (12, 4), (40, 8), (12, 64)])
def test_no_step_is_larger_than_a_strip_and_none_computes_a_row_twice(build, height, strip):
    network = build()
    rows: dict[int, int] = {}
    conv2d = F.conv2d

    def counted(x, weight, *args, **kwargs):
        result = conv2d(x, weight, *args, **kwargs)
        assert 1 <= result.shape[2] <= strip
        rows[id(weight)] = rows.get(id(weight), 0) + result.shape[2]
        return result

    with patch("torch.nn.functional.conv2d", counted):
        streamed(network, noise(height, 4), strip)
    body = height // getattr(network, "unshuffle", 1)
    ups = sum(name.startswith("conv_up") for name, _ in network.named_modules())
    ratios = {"conv_first": 2, "conv_hr": 2**ups, "conv_last": 2**ups}  # the first runs twice
    ratios |= {f"conv_up{i}": 2**i for i in range(1, ups + 1)}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            assert rows[id(module.weight)] == body * ratios.get(name, 1), name


WORKING = [RRDBNetSpec(num_feat=8), RRDBNetSpec(scale=2, num_feat=8, num_block=2), SRVGGNetCompactSpec(num_feat=8)]


@pytest.mark.parametrize("spec", [*WORKING, *EVERY_KIND], ids=str)
def test_the_work_reported_is_the_networks(spec):
    told: list[int] = []
    streamed(spec.build(), noise(12, 4, channels=spec.num_in_ch), 5, on_work=told.append)
    assert all(work > 0 for work in told)
    assert sum(told) == 12 * 4 * spec.multiply_adds


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "mixed"])
@pytest.mark.parametrize("network", ["x4", "x2", "compact"])
def test_memory_does_not_grow_with_the_height(network, mixed):
    network = {"x4": rrdbnet, "x2": lambda: rrdbnet(2), "compact": compact}[network]()
    if mixed:
        cast_convolutions(network, torch.bfloat16)
    full = 48 * getattr(network, "unshuffle", 1)  # rows: more than lie between the first layer and the last
    assert used_memory(network, full, 4, 4) == used_memory(network, 2 * full, 4, 4)


@pytest.mark.parametrize("strip", [4, 8, 32])
@pytest.mark.parametrize(
    "network",
    [
        cast_convolutions(RRDBNet(3, 3, 4, 64, 2, 32), torch.bfloat16),
        RRDBNet(3, 3, 2, 16, 3, 8),
        cast_convolutions(SRVGGNetCompact(), torch.bfloat16),
        SRVGGNetCompact(act_type="relu", num_conv=4),
        RRDBNet(3, 3, 1, 32, 2, 16, unshuffle=1),
        cast_convolutions(RRDBNet(3, 3, 2, 64, 2, 32, unshuffle=1, plus=True), torch.bfloat16),
        RRDBNet(3, 3, 16, 16, 1, 8),
    ],
    ids=["mixed x4", "fp32 x2", "mixed compact", "fp32 compact", "fp32 x1", "mixed plus x2", "fp32 x16"],
)
def test_the_memory_predicted_is_the_memory_used(network, strip):
    used = used_memory(network.to(memory_format=torch.channels_last), 120 if strip <= 8 else 240, 4, strip)
    # At the picture's end a chain of layers keeps a third row each, which counts where strips are that low.
    least = 0.85 if strip == 4 and isinstance(network, SRVGGNetCompact) else 0.9
    assert least * used <= 4 * bytes_per_column(network, strip, torch.float32) <= 1.15 * used


WIDE = [replace(spec, num_feat=64, num_grow_ch=32) for spec in ESRGANS]
WIDE_COMPACT = [replace(spec, num_feat=64) for spec in COMPACT_SPECS]


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "mixed"])
@pytest.mark.parametrize("spec", [*WIDE, *WIDE_COMPACT, SRVGGNetCompactSpec(upscale=1)], ids=str)
def test_the_memory_foretold_for_a_picture_at_once_is_about_what_it_takes(spec, mixed):
    network = spec.build().to(memory_format=torch.channels_last)
    if mixed:
        cast_convolutions(network, torch.bfloat16)
    with LiveMemory() as memory:
        network(torch.zeros(1, spec.num_in_ch, 16, 16))
    assert 0.75 < spec.bytes_per_pixel(2 if mixed else 4) * 16**2 / memory.peak < 1.7


def test_between_steps_only_rows_still_needed_are_held():
    """Of a signal that one convolution reads: two rows, and never a strip."""
    held: list[int] = []
    trim = Signal.trim

    def trim_and_look(signal, reader):
        trim(signal, reader)
        if reader is signal.reader is signal.first_window_reader and signal.done < signal.height:
            held.append(signal.bytes_held // signal.row_bytes)

    with patch.object(Signal, "trim", trim_and_look):
        streamed(compact(num_conv=2), noise(32, 4), 8)
    assert set(held) == {2}


def test_threads_can_share_a_network():
    network = rrdbnet()
    pictures = [noise(20 + n, 6) for n in range(3)]
    results: list[Tensor | None] = [None] * len(pictures)

    def work(n: int) -> None:
        torch.set_num_threads(1)
        with torch.no_grad():
            results[n] = streamed(network, pictures[n], 3)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for picture, result in zip(pictures, results, strict=True):
        torch.testing.assert_close(result, network(picture), rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", [1, 20, 60])
def test_a_listener_that_raises_ends_the_call_and_harms_nothing(step):
    network = rrdbnet()
    x = noise(16, 6)
    before = streamed(network, x, 4)
    calls = itertools.count(1)

    def interrupt(work: int) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed(network, x, 4, on_work=interrupt)
    assert next(calls) == step + 1
    assert torch.equal(streamed(network, x, 4), before)


def test_an_interrupted_call_keeps_no_memory():
    network = rrdbnet()
    held: list[int] = []

    with LiveMemory() as memory:
        rows = stream(network, 64, 4, 4, lambda top, bottom: torch.zeros(1, 3, bottom - top, 4))
        next(rows)
        held.append(memory.bytes)
        rows.close()
    assert held[0] > memory.bytes == 0


def test_the_large_network_holds_less_than_a_third_of_a_gigabyte_per_thousand_columns():
    network = cast_convolutions(RRDBNet(3, 3), torch.bfloat16)
    assert bytes_per_column(network, 16, torch.float32) < 300_000
