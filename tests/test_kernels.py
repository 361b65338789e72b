"""The compiled kernels: each variant this processor runs, held to torch in fp32, and to itself however it is cut."""

from __future__ import annotations

import ctypes
import multiprocessing
import re
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from tiny import picture, save_weights, tiny_rrdbnet
from torch import nn

from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.engine.choice import VARIANTS, choose, variants_here
from realesrgan.engine.device import Precision
from realesrgan.engine.engine import Engine
from realesrgan.engine.kernels import build, library, lowering
from realesrgan.engine.kernels.native import NativeNetwork
from realesrgan.engine.planning import Plan
from realesrgan.engine.tensors import Levels, to_arrays, to_tensor
from realesrgan.engine.tiling import whole
from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.families import cast_convolutions, family_of
from realesrgan.upsampler import RealESRGANer

CPU = torch.device("cpu")
FP32 = Levels(np.dtype(np.float32), alpha=True, clamped=False)
LIBRARY = library.load()
ROUNDED = {"amx", "amx imitated"}  # variants that multiply in bfloat16
SLOW = {"amx imitated"}

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="the kernels are not compiled here: there was no compiler")


def _variants():
    for name in library.variants(LIBRARY) if LIBRARY is not None else []:
        missing = pytest.mark.skipif(not library.supported(LIBRARY, name), reason=f"this processor has no {name}")
        yield pytest.param(name, marks=missing)


every_variant = pytest.mark.parametrize("variant", list(_variants()))

NETWORKS = {
    "RRDBNet ×4": lambda: RRDBNet(3, 3, 4, num_feat=64, num_block=1, num_grow_ch=32),
    "RRDBNet ×2": lambda: RRDBNet(3, 3, 2, num_feat=24, num_block=2, num_grow_ch=8),
    "RRDBNet ×1": lambda: RRDBNet(3, 3, 1, num_feat=40, num_block=1, num_grow_ch=20),
    "RRDBNet ×1, folds nothing": lambda: RRDBNet(3, 3, 1, num_feat=24, num_block=1, num_grow_ch=8, unshuffle=1),
    "RRDBNet ×2 for gray, plus": lambda: RRDBNet(1, 1, 2, num_feat=32, num_block=1, num_grow_ch=16, plus=True),
    "RRDBNet ×2 for RGBA, folds nothing, plus": lambda: RRDBNet(4, 4, 2, 40, 1, 20, unshuffle=1, plus=True),
    "RRDBNet ×8": lambda: RRDBNet(3, 3, 8, num_feat=16, num_block=1, num_grow_ch=8),
    "RRDBNet ×16": lambda: RRDBNet(3, 3, 16, num_feat=8, num_block=1, num_grow_ch=4),
    "compact ×3 for gray": lambda: SRVGGNetCompact(1, 1, num_feat=17, num_conv=1, upscale=3),
    "compact ×4 for RGBA": lambda: SRVGGNetCompact(4, 4, num_feat=16, num_conv=1, upscale=4),
    "compact ×4, prelu": lambda: SRVGGNetCompact(num_feat=64, num_conv=2, upscale=4, act_type="prelu"),
    "compact ×3, relu": lambda: SRVGGNetCompact(num_feat=17, num_conv=3, upscale=3, act_type="relu"),
    "compact ×2, leakyrelu": lambda: SRVGGNetCompact(num_feat=33, num_conv=1, upscale=2, act_type="leakyrelu"),
    "compact ×1, prelu": lambda: SRVGGNetCompact(num_feat=8, num_conv=1, upscale=1, act_type="prelu"),
}
every_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


def seeded(make) -> nn.Module:
    """A network whose results are colours that depend on all of its layers."""
    torch.manual_seed(7)
    network = make().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            module.weight.uniform_(-0.5, 0.5)
    return network


def compiled(network: nn.Module, variant: str, dtype: torch.dtype = torch.float32) -> NativeNetwork:
    family = family_of(network)
    return NativeNetwork(LIBRARY, variant, cast_convolutions(network, dtype, rounds_results=False), family)


def run(native: NativeNetwork, image: np.ndarray, strip: int = 8, threads: int = 1, levels: Levels = FP32):
    """The result for (H, W, 1 or 3) RGB."""
    rows = list(native.run(*image.shape[:2], strip, threads, lambda top, bottom: image[top:bottom], levels))
    assert [top for top, _ in rows] == list(np.cumsum([0, *(len(part) for _, part in rows)]))[:-1]
    return np.concatenate([part for _, part in rows])


def by_torch(network: nn.Module, image: np.ndarray, levels: Levels = FP32) -> np.ndarray:
    with torch.no_grad():
        return np.concatenate(list(to_arrays(network(to_tensor(image, CPU, channels_of(network))), levels)))


def channels_of(network: nn.Module) -> int:
    """Of its pictures."""
    family = family_of(network)
    return family.row_graph(network, 1, 1, torch.float32, lambda *_: None).picture.channels // family.fold(network) ** 2


def picture_for(network: nn.Module, height: int, width: int, dtype=np.uint8) -> np.ndarray:
    return picture(height, width, channels_of(network), dtype).reshape(height, width, -1)


def fold_of(network: nn.Module) -> int:
    return family_of(network).fold(network)


def sizes(fold: int):
    """Heights and widths around what vectors, tiles and groups of rows count in."""
    heights, widths = (*range(1, 10), 16), (*range(1, 41), 47, 48, 49)
    return [(fold * heights[i % len(heights)], fold * width) for i, width in enumerate(widths)]


@every_variant
@every_network
def test_each_variant_computes_what_torch_does(make, variant):
    network = seeded(make)
    native = compiled(network, variant)  # all weights in fp32: bfloat16 variants then multiply in two halves
    for height, width in sizes(fold_of(network))[:: 6 if variant in SLOW else 1]:
        image = picture_for(network, height, width)
        assert np.abs(run(native, image) - by_torch(network, image)).max() < 5e-5, (height, width)


@every_variant
@every_network
def test_no_bit_depends_on_strips_or_threads(make, variant):
    network = seeded(make)
    native = compiled(network, variant, torch.bfloat16 if variant in ROUNDED else torch.float32)
    fold = fold_of(network)
    image = picture_for(network, 19 * fold, 37 * fold)
    whole_at_once = run(native, image, strip=64)
    for strip, threads in ((1, 1), (2, 3), (3, 1), (4, 2), (5, 4), (8, 5), (19, 2))[:: 3 if variant in SLOW else 1]:
        assert np.array_equal(run(native, image, strip, threads), whole_at_once), (strip, threads)


@pytest.mark.skipif(not {"avx512", "avx2"} <= set(variants_here()), reason="this processor has not both")
@every_network
def test_avx512_and_avx2_compute_the_same_bits(make):
    """If a compiler fuses products and sums in one of them only, it shows here."""
    network = seeded(make)
    for height, width in sizes(fold_of(network))[::4]:
        image = picture_for(network, height, width)
        results = [run(compiled(network, variant), image) for variant in ("avx512", "avx2")]
        assert np.array_equal(*results), (height, width)


@every_variant
def test_a_block_of_columns_is_part_of_the_whole(variant):
    """To the bit where pixels are summed one by one; Winograd's tiles mix a block's last columns with those beyond."""
    network = seeded(NETWORKS["RRDBNet ×4"])
    native = compiled(network, variant, torch.bfloat16 if variant in ROUNDED else torch.float32)
    image, pad = picture(9, 90, 3, np.uint8), 3 * 5 + 4
    whole_at_once = run(native, image)[:, 4 * 36 : 4 * 57]
    block = run(native, np.ascontiguousarray(image[:, 36 - pad : 57 + pad]))[:, 4 * pad : -4 * pad]
    if variant in ROUNDED:
        assert np.array_equal(block, whole_at_once)
    else:
        assert block == pytest.approx(whole_at_once, abs=5e-5)
    too_narrow = run(native, np.ascontiguousarray(image[:, 36:57]))
    assert too_narrow != pytest.approx(whole_at_once, abs=5e-5)


@every_variant
def test_rounded_weights_cost_little_accuracy(variant):
    if variant not in ROUNDED:
        pytest.skip("this variant rounds nothing")
    network = seeded(NETWORKS["RRDBNet ×4"])
    image = picture(24, 24, 3, np.uint8)
    expected = by_torch(network, image)
    result = run(compiled(network, variant, torch.bfloat16), image)
    assert 0 < np.abs(result - expected).max() < 0.01 * np.abs(expected).max()


@every_variant
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("gray", [False, True])
def test_pictures_and_results_have_any_depth_and_may_be_gray(depth, gray, variant):
    network = seeded(NETWORKS["compact ×4, prelu"])
    image = picture(7, 11, 1 if gray else 3, np.uint16 if depth == np.uint16 else np.uint8).reshape(7, 11, -1)
    if depth == np.float32:
        image = (image / np.float32(255)).astype(np.float32)
    levels = Levels(np.dtype(depth), gray=gray)
    result, expected = run(compiled(network, variant), image, levels=levels), by_torch(network, image, levels)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    largest = {np.uint8: 1, np.uint16: 4, np.float32: 5e-5}[depth]
    assert np.abs(result.astype(np.float64) - expected).max() <= largest
    if depth == np.uint8:
        assert np.mean(result != expected) < 0.01


@every_variant
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("wanted", [{}, {"gray": True}, {"alpha": True}], ids=["colour", "gray", "with alpha"])
@pytest.mark.parametrize(
    "kind", ["RRDBNet ×2 for RGBA, folds nothing, plus", "compact ×4 for RGBA", "compact ×3 for gray"]
)
def test_a_result_has_the_channels_that_are_wanted(kind, wanted, depth, variant):
    network = seeded(NETWORKS[kind])
    image = picture_for(network, 7, 11, np.uint16 if depth == np.uint16 else np.uint8)
    image = (image / np.float32(255)).astype(np.float32) if depth == np.float32 else image
    levels = Levels(np.dtype(depth), **wanted)
    result, expected = run(compiled(network, variant), image, levels=levels), by_torch(network, image, levels)
    assert result.shape[2] == (1 if "gray" in kind or "gray" in wanted else 4 if wanted else 3)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    largest = {np.uint8: 1, np.uint16: 4, np.float32: 5e-5}[depth]
    assert np.abs(result.astype(np.float64) - expected).max() <= largest


@every_variant
def test_the_callers_thread_still_computes_with_the_smallest_numbers(variant):
    run(compiled(seeded(NETWORKS["compact ×1, prelu"]), variant), picture(4, 5, 3, np.uint8))
    assert (np.full(64, 1e-39, np.float32) * np.float32(0.5)).min() > 0


@every_variant
def test_values_beyond_black_and_white_are_clamped_only_where_that_is_wanted(variant):
    network = seeded(NETWORKS["compact ×1, prelu"])
    network.body[-1].bias.copy_(torch.tensor([-2.0, 0.0, 2.0]))
    native, image = compiled(network, variant), picture(4, 5, 3, np.uint8)
    assert run(native, image)[..., 0].min() > 1  # blue first
    assert run(native, image, levels=Levels(np.dtype(np.float32)))[..., 0].max() == 1
    assert run(native, image, levels=Levels(np.dtype(np.uint8)))[..., 0].min() == 255
    assert run(native, image, levels=Levels(np.dtype(np.uint8)))[..., 2].max() == 0


@every_variant
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_result_that_is_not_finite_is_noticed(variant, value):
    network = seeded(NETWORKS["compact ×2, leakyrelu"])
    network.body[2].weight[3, 5, 1, 1] = value
    network.body[4].weight.fill_(1e3)
    with pytest.raises(ArithmeticError):
        run(compiled(network, variant), picture(9, 9, 3, np.uint8))


def test_damaged_weights_are_an_error_whatever_computes():
    network = seeded(NETWORKS["compact ×2, leakyrelu"])
    network.body[2].weight[3, 5, 1, 1] = float("nan")
    engine = Engine(network, None, 2, CPU, reduced=False)
    image = picture(9, 9, 3, np.uint8)
    with pytest.raises(RealESRGANError, match="not finite, even in fp32; its weights are damaged"):
        list(engine.run(Plan(9, 9, [whole(9, 9)]), lambda box: image[box.slices], FP32))


@every_variant
@every_network
@pytest.mark.parametrize(("strip", "threads"), [(1, 1), (8, 2), (64, 3)])
def test_memory_is_what_was_foretold(make, strip, threads, variant):
    network = seeded(make)
    native, fold = compiled(network, variant), fold_of(network)
    image = picture_for(network, 40 * fold, (6 if variant in SLOW else 30) * fold)
    run(native, image, strip, threads)
    foretold = native.bytes_held(*image.shape[:2], strip, threads)
    scratch = foretold - native.bytes_held(*image.shape[:2], strip, 0)  # which is not counted while idle
    assert native.bytes_idle == foretold - scratch


@every_variant
def test_memory_grows_with_the_width_and_not_with_the_height(variant):
    native = compiled(seeded(NETWORKS["RRDBNet ×4"]), variant)
    assert native.bytes_held(10_000, 100, 8, 1) == native.bytes_held(1_000, 100, 8, 1)
    assert native.bytes_held(1_000, 800, 8, 1) > 4 * native.bytes_held(1_000, 100, 8, 1)


@every_variant
def test_a_picture_leaves_nothing_behind_for_the_next(variant):
    """Sizes that lie differently in the same memory, and one that was given up half-way."""
    network = seeded(NETWORKS["RRDBNet ×4"])
    native = compiled(network, variant)
    images = [picture(*size, 3, np.uint8) for size in ((9, 40), (30, 7), (12, 40), (9, 40))]
    fresh = [run(compiled(network, variant), image) for image in images]
    rows = native.run(30, 40, 4, 2, lambda top, bottom: np.full((bottom - top, 40, 3), 255, np.uint8), FP32)
    next(rows)
    rows.close()
    for image, expected in zip(images, fresh, strict=True):
        assert np.array_equal(run(native, image, 4, 2), expected)


@every_variant
def test_threads_may_share_a_network(variant):
    native = compiled(seeded(NETWORKS["RRDBNet ×4"]), variant)
    images = [picture(20, width, 3, np.uint8) for width in (9, 17, 30)]
    expected = [run(native, image) for image in images]
    results: list = [None] * len(images)

    def compute(index: int) -> None:
        results[index] = run(native, images[index], 4, 2)

    workers = [threading.Thread(target=compute, args=(index,)) for index in range(len(images))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(result, wanted) for result, wanted in zip(results, expected, strict=True))


def _send(connection, native, image) -> None:
    connection.send(run(native, image, 4, 2))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_process_forked_in_between_computes_as_well():
    native = compiled(seeded(NETWORKS["compact ×4, prelu"]), library.variants(LIBRARY)[-1])
    image = picture(9, 9, 3, np.uint8)
    expected = run(native, image, 4, 2)  # starts threads, which the other process will not have
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, native, image))
    process.start()
    assert ours.poll(60)
    assert np.array_equal(ours.recv(), expected)
    process.join()


@every_variant
def test_the_work_done_is_told_and_the_listener_may_cancel(variant):
    network = seeded(NETWORKS["RRDBNet ×4"])
    native, image, done = compiled(network, variant), picture(24, 8, 3, np.uint8), []

    def read(top: int, bottom: int) -> np.ndarray:
        return image[top:bottom]

    for _ in native.run(24, 8, 4, 1, read, FP32, on_work=done.append):
        pass
    spec_work = sum(
        layer.conv.weight.numel() * layer.out.height**2
        for layer in family_of(network).row_graph(network, 1, 1, torch.float32, lambda *_: None).layers
    )
    assert len(done) > 4
    assert sum(done) == pytest.approx(24 * 8 * spec_work)

    def cancel(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(native.run(24, 8, 4, 1, read, FP32, on_work=cancel))
    assert np.array_equal(run(native, image), run(compiled(network, variant), image))


def test_all_memory_is_given_back_with_the_network():
    native = compiled(seeded(NETWORKS["compact ×4, prelu"]), library.variants(LIBRARY)[-1])
    run(native, picture(9, 9, 3, np.uint8))
    gone = weakref.ref(native)
    del native
    assert gone() is None


def test_the_tables_are_as_long_as_the_librarys():
    """A field that one side lacks would shift all that follow."""
    assert LIBRARY.re_version() == library.VERSION
    assert ctypes.sizeof(library.RingTable) == 4 * (5 + library.MOST_PARTS)
    assert ctypes.sizeof(library.LayerTable) == 4 * 4 + 3 * ctypes.sizeof(ctypes.c_void_p) + 4 * 10


# What chooses the kernels, or torch.


def test_torch_computes_where_it_is_asked_for_and_where_the_library_is_missing(monkeypatch):
    network = seeded(NETWORKS["compact ×4, prelu"])
    assert choose(network, CPU, reduced=False, kind="torch").variant is None
    monkeypatch.setattr(library, "load", lambda: None)
    choice = choose(network, CPU, reduced=False, kind="auto")
    assert choice.variant is None
    assert str(choice).endswith("with a C++ compiler, install this project again to be several times as fast")
    for kind in ("native", "avx2"):
        with pytest.raises(UsageError, match=f"engine {kind}: the compiled kernels are not installed; leave engine"):
            choose(network, CPU, reduced=False, kind=kind)


@pytest.fixture
def on_a_processor(monkeypatch):
    """Sets which variants the processor runs, and whether torch multiplies bfloat16 on it."""

    def be(*variants: str, bf16: bool) -> None:
        monkeypatch.setattr(library, "supported", lambda _, variant: variant in variants)
        monkeypatch.setattr("realesrgan.engine.device.cpu_has_bf16", lambda: bf16)

    return be


@pytest.mark.parametrize(
    ("variants", "bf16", "here"),
    [
        (("amx", "avx512", "avx2"), True, ("amx", "avx512", "avx2")),
        (("amx", "avx512", "avx2"), False, ("avx512", "avx2")),
        (("avx512", "avx2"), True, ("avx512", "avx2")),
        (("avx2", "plain"), False, ("avx2",)),
        (("plain",), False, ()),
    ],
)
def test_each_variant_here_can_be_named_and_the_first_is_what_auto_takes(variants, bf16, here, on_a_processor):
    on_a_processor(*variants, bf16=bf16)
    network = seeded(NETWORKS["compact ×4, prelu"])
    assert variants_here() == here
    assert choose(network, CPU, reduced=True, kind="auto").variant == (here[0] if here else None)
    for variant in here:
        choice = choose(network, CPU, reduced=True, kind=variant)
        assert choice.variant == variant
        assert choice.precision is (Precision.MIXED_BF16 if variant == "amx" else Precision.FP32)
    for variant in set(VARIANTS) - set(here):
        with pytest.raises(UsageError, match=f"engine {variant}: this processor does not run it; .*leave engine out"):
            choose(network, CPU, reduced=True, kind=variant)


def test_without_the_kernels_there_is_no_variant_here(monkeypatch):
    monkeypatch.setattr(library, "load", lambda: None)
    assert variants_here() == ()


@pytest.mark.parametrize(
    ("variant", "device", "reduced", "why"),
    [
        ("amx", CPU, False, "it computes in mixed bf16, and fp32 was asked for; use avx512 or avx2, or leave"),
        ("avx2", torch.device("mps"), False, "the compiled kernels compute on the CPU, not on mps; leave"),
    ],
)
def test_a_variant_that_cannot_compute_this_is_refused_with_what_to_use_instead(
    variant, device, reduced, why, on_a_processor
):
    on_a_processor("amx", "avx512", "avx2", bf16=True)
    with pytest.raises(UsageError, match=f"^engine {variant}: {why} engine out$"):
        choose(seeded(NETWORKS["compact ×4, prelu"]), device, reduced=reduced, kind=variant)


def test_a_variant_is_refused_on_a_processor_that_lacks_it_with_those_it_has(on_a_processor):
    on_a_processor("avx512", "avx2", bf16=False)
    with pytest.raises(UsageError, match="^engine amx: this processor does not run it; use avx512 or avx2, or leave"):
        choose(seeded(NETWORKS["compact ×4, prelu"]), CPU, reduced=False, kind="amx")
    on_a_processor(bf16=False)
    with pytest.raises(UsageError, match="^engine avx2: this processor does not run it; leave engine out$"):
        choose(seeded(NETWORKS["compact ×4, prelu"]), CPU, reduced=False, kind="avx2")


def test_the_library_has_the_variants_that_can_be_named_in_their_order():
    assert [name for name in library.variants(LIBRARY) if name in VARIANTS] in (list(VARIANTS), [])


class Strange(SRVGGNetCompact):
    """Of no family: what its layers do is not known."""


def test_networks_that_the_library_does_not_know_are_left_to_torch():
    assert choose(Strange(), CPU, reduced=True, kind="auto").variant is None
    for kind in ("native", "avx2"):
        with pytest.raises(UsageError, match=f"engine {kind}: the compiled kernels do not know this network; leave"):
            choose(Strange(), CPU, reduced=False, kind=kind)
    two = seeded(lambda: SRVGGNetCompact(2, 2, num_feat=8, num_conv=1, upscale=1))
    assert lowering.refusal(two, family_of(two)) == "its result is not a picture"
    wide = seeded(lambda: SRVGGNetCompact(num_feat=8, num_conv=1, upscale=1))
    wide.body[2] = nn.Conv2d(8, 8, 5, padding=2)
    assert lowering.refusal(wide, family_of(wide)) == "a convolution is not of 3×3 pixels"


def test_a_library_that_cannot_be_loaded_breaks_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    for content in (None, b"", b"\x7fELF and no more"):
        library.load.cache_clear()
        if content is not None:
            (tmp_path / library.NAMES[0]).write_bytes(content)
        assert library.load() is None
    library.load.cache_clear()
    assert "the compiled kernels cannot be loaded, so torch computes" in caplog.text


# The engine with kernels.


@pytest.fixture
def upsampler(tmp_path) -> RealESRGANer:
    """Of whatever variant this processor has."""
    try:
        return RealESRGANer(4, save_weights(tiny_rrdbnet(), tmp_path / "x4.pth"), pre_pad=0, half=True, engine="native")
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("outscale", [None, 2.3])
def test_memory_that_runs_out_half_way_changes_no_bit(upsampler, outscale):
    image = picture(40, 30, 4, np.uint8)
    expected, _ = upsampler.enhance(image, outscale)
    run_all, strips = upsampler.engine.native.run, []

    def run_some(height, width, strip, *arguments, **options):
        strips.append(strip)
        for count, rows in enumerate(run_all(height, width, strip, *arguments, **options)):
            if strip > 2 and count == 1:
                raise MemoryError
            yield rows

    upsampler.engine.native.run = run_some
    assert np.array_equal(upsampler.enhance(image, outscale)[0], expected)
    assert min(strips) <= 2 < max(strips)


@pytest.mark.parametrize("variant", variants_here())
def test_the_variant_that_is_named_computes(variant, tmp_path):
    path = save_weights(tiny_rrdbnet(), tmp_path / "x4.pth")
    named = RealESRGANer(4, path, pre_pad=0, half=True, device="cpu", engine=variant)
    assert named.engine.native.variant == variant
    assert f"kernels for {variant.upper()}" in str(named)


def test_tiles_are_those_of_torch(upsampler, tmp_path):
    image = picture(20, 30, 3, np.uint8)
    by_torch = RealESRGANer(4, tmp_path / "x4.pth", tile=12, tile_pad=2, pre_pad=0, engine="torch")
    upsampler.tile_size, upsampler.tile_pad = 12, 2
    difference = upsampler.enhance(image)[0].astype(int) - by_torch.enhance(image)[0]
    assert np.abs(difference).max() <= 2


# Compiling.


@pytest.mark.parametrize("compiler", ["no-such-compiler", sys.executable])
def test_a_compiler_that_is_missing_or_fails_is_said_and_leaves_the_library_there_was(compiler, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", compiler)
    library_there = tmp_path / build.library_name()
    library_there.write_bytes(b"before")
    with pytest.raises(build.NotBuilt, match=re.escape(compiler)):
        build.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [library_there.name]
    assert library_there.read_bytes() == b"before"


def test_without_any_compiler_the_message_names_three(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(build.NotBuilt, match=r"install g\+\+, clang\+\+ or the package ziglang"):
        build.find_compiler()
