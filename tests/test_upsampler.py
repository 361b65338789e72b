"""RealESRGANer against the plain published path, and the laws its pictures obey.

Unresized results agree within one level of either depth: only float32 summation order differs, and it decides no more
than which way a value on the edge between two levels is rounded. Resized results agree within two: the published path
resizes rounded levels, half a level off, and 2-D Lanczos weights add up to 2.94 in absolute value, so that 1.47 levels
come between the two before the last rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import picture, save_weights, tiny_rrdbnet, tiny_srvgg
from torch import nn

from benchmarks import textbook
from realesrgan import loading
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.errors import DeviceError, UsageError, WeightsError
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.loading import Settings, check, network_facts
from realesrgan.model_zoo import DEFAULT_IMAGE_MODEL, MODELS
from realesrgan.restorer import Reporter
from realesrgan.upsampler import RealESRGANer, load_upsampler
from realesrgan.weights import store

RESIZED_LEVELS = 2
SCALES = {"rrdbnet_x4": 4, "rrdbnet_x2": 2, "rrdbnet_x1": 1, "srvgg": 4}
NETWORKS = tuple(SCALES)
RRDBNETS = NETWORKS[:3]
MULTIPLES = {"rrdbnet_x4": 1, "rrdbnet_x2": 2, "rrdbnet_x1": 4, "srvgg": 1}
CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
DEPTHS = (np.uint8, np.uint16)

Load = Callable[..., RealESRGANer]


@cache
def network(kind: str) -> nn.Module:
    return tiny_srvgg() if kind == "srvgg" else tiny_rrdbnet(SCALES[kind])


def nearest_network() -> nn.Module:
    """A SRVGGNetCompact that enlarges ×4 and adds nothing: every pixel becomes 4×4 of its own level."""
    plain = tiny_srvgg()
    with torch.no_grad():
        plain.body[-1].weight.zero_()
        plain.body[-1].bias.zero_()
    return plain


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("upsampler")
    saved = {kind: save_weights(network(kind), folder / f"{kind}.pth") for kind in NETWORKS}
    return saved | {"nearest": save_weights(nearest_network(), folder / "nearest.pth")}


@pytest.fixture(scope="module")
def load(files: dict[str, Path]) -> Load:
    @cache
    def load(kind: str, *, pre_pad: int = 0, **options) -> RealESRGANer:
        """An upsampler that tests share."""
        return RealESRGANer(SCALES.get(kind, 4), files[kind], pre_pad=pre_pad, device="cpu", **options)

    return load


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights/ in the working directory, and no other place weights could come from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "search_folders", lambda: [(Path.cwd() / "weights", "weights folder")])
    monkeypatch.setattr(store, "_bundled_path", lambda file: None)
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def difference(ours: np.ndarray, theirs: np.ndarray) -> int:
    """The largest difference in levels, after checking that layout and depth agree."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    return int(np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max())


def check_as_published(upsampler: RealESRGANer, kind: str, image, outscale=None, levels: int = 1, **options) -> None:
    ours, mode = upsampler.enhance(image, outscale, options.get("alpha_upsampler", "realesrgan"))
    theirs, published_mode = textbook.enhance(network(kind), SCALES[kind], image, outscale, **options)
    assert mode == published_mode
    assert difference(ours, theirs) <= levels


@contextmanager
def counting_passes(upsampler: RealESRGANer) -> Iterator[list[int]]:
    """Collects the height and width of everything that is computed."""
    sizes: list[tuple[int, int]] = []
    run = upsampler.engine.run

    def counted(plan, *arguments):
        sizes.append((plan.height, plan.width))
        return run(plan, *arguments)

    upsampler.engine.run = counted
    yield sizes
    del upsampler.engine.run


# The published results.


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_results_are_the_published_ones(load, kind, channels, dtype):
    check_as_published(load(kind), kind, picture(13, 22, channels, dtype))


@pytest.mark.parametrize("outscale", [1, 1.5, 2, 3.5])
@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_resized_results_are_the_published_ones_within_rounding(load, kind, channels, dtype, outscale):
    levels = 1 if outscale == SCALES[kind] else RESIZED_LEVELS
    check_as_published(load(kind), kind, picture(13, 22, channels, dtype, seed=1), outscale, levels)


@pytest.mark.parametrize("pre_pad", [0, 7])
@pytest.mark.parametrize("tile_pad", [0, 4, 12])
@pytest.mark.parametrize("tiles", [2, 3, 50])
@pytest.mark.parametrize("kind", NETWORKS)
def test_tiles_are_cut_as_published(load, kind, tiles, tile_pad, pre_pad):
    cut = {"tile": tiles * MULTIPLES[kind] * 2 + (kind in ("rrdbnet_x4", "srvgg")), "tile_pad": tile_pad}
    check_as_published(load(kind, pre_pad=pre_pad, **cut), kind, picture(15, 21), pre_pad=pre_pad, **cut)


@pytest.mark.parametrize("tile_pad", [1, 3, 5])
@pytest.mark.parametrize("kind", ["rrdbnet_x4", "srvgg"])
def test_odd_tile_pads_are_cut_as_published(load, kind, tile_pad):
    cut = {"tile": 7, "tile_pad": tile_pad}
    check_as_published(load(kind, **cut), kind, picture(15, 22), **cut)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_tiles_and_pre_pad_suit_every_layout_and_depth(load, kind, dtype, channels):
    cut = {"tile": 8, "tile_pad": 4, "pre_pad": 3}
    check_as_published(load(kind, **cut), kind, picture(11, 9, channels, dtype), **cut)
    check_as_published(load(kind, **cut), kind, picture(11, 9, channels, dtype), 1.5, RESIZED_LEVELS, **cut)


@pytest.mark.parametrize("pre_pad", [0, 1, 2, 10])
@pytest.mark.parametrize(("height", "width"), [(12, 16), (13, 15), (14, 17), (15, 18)])
@pytest.mark.parametrize("kind", ["rrdbnet_x2", "rrdbnet_x1"])
def test_whole_multiples_are_reached_as_published(load, kind, height, width, pre_pad):
    check_as_published(load(kind, pre_pad=pre_pad), kind, picture(height, width), pre_pad=pre_pad)


@pytest.mark.parametrize("pre_pad", [0, 10])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1), (2, 3), (3, 5)])
@pytest.mark.parametrize("kind", NETWORKS)
def test_tiny_pictures_work(load, kind, height, width, channels, pre_pad):
    image = picture(height, width, channels)
    if channels == 4:
        image[0, 0, 3] = 255 - image[-1, -1, 3] // 2  # constant transparency is not computed as published, see below
        image = image if image.size > 4 else image[..., :3]
    upsampler = load(kind, pre_pad=pre_pad)
    check_as_published(upsampler, kind, image, pre_pad=pre_pad)
    if pre_pad == 0:
        check_as_published(upsampler, kind, image, 3.5, RESIZED_LEVELS)


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_result_has_at_least_one_pixel(load, channels):
    assert load("srvgg").enhance(picture(1, 1, channels), 0.3)[0].shape[:2] == (1, 1)


@pytest.mark.parametrize("dtype", DEPTHS)
def test_bicubic_transparency_is_bicubic(load, dtype):
    check_as_published(load("srvgg"), "srvgg", picture(13, 22, 4, dtype), alpha_upsampler="bicubic")


def test_bicubic_transparency_takes_one_pass(load):
    upsampler = load("srvgg")
    with counting_passes(upsampler) as passes:
        upsampler.enhance(picture(9, 8, 4), alpha_upsampler="bicubic")
    assert len(passes) == 1


def test_asking_for_the_networks_own_scale_changes_nothing(load):
    image = picture(9, 8)
    assert difference(load("srvgg").enhance(image, 4.0)[0], load("srvgg").enhance(image)[0]) == 0


@pytest.mark.parametrize("kind", RRDBNETS)
def test_tiles_equal_the_whole_picture_when_the_pad_covers_the_receptive_radius(load, kind):
    image = picture(30, 41)
    radius = 20 * MULTIPLES[kind]
    whole = load(kind).enhance(image)[0]
    assert difference(load(kind, tile=16, tile_pad=radius).enhance(image)[0], whole) <= 1
    assert difference(load(kind, tile=16, tile_pad=0).enhance(image)[0], whole) > 1


@pytest.mark.parametrize("tile_pad", [19, 21])
def test_a_pad_that_does_not_suit_the_multiple_only_sees_more(load, tile_pad):
    image = picture(30, 41)
    cut = load("rrdbnet_x2", tile=4, tile_pad=2 * tile_pad + 1).enhance(image)[0]
    assert difference(cut, load("rrdbnet_x2").enhance(image)[0]) <= 1


# Layouts and depths.


@pytest.mark.parametrize("outscale", [None, 2.5])
@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize(("channels", "mode"), CHANNELS.items())
def test_layout_and_depth_come_out_as_they_went_in(load, channels, mode, dtype, outscale):
    image = picture(9, 8, channels, dtype)
    result, result_mode = load("rrdbnet_x2").enhance(image, outscale)
    height, width = int(9 * (outscale or 2)), int(8 * (outscale or 2))
    assert result.shape == (height, width, *image.shape[2:])
    assert result.dtype == dtype
    assert result_mode == mode


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_a_network_that_adds_nothing_changes_no_level(load, channels, dtype):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (64, 65, 4), dtype, endpoint=True)
    image = image[..., 0] if channels == 1 else image[..., :channels]
    if channels == 4:
        image[..., 3] |= 1  # what is fully transparent takes its neighbour's colour
    result = load("nearest", tile=20, tile_pad=3).enhance(image)[0]
    assert np.array_equal(result, image.repeat(4, 0).repeat(4, 1))


def test_a_dark_16_bit_picture_keeps_its_brightness(load):
    dark = picture(9, 8, 3, np.uint16) // 256
    assert dark.max() < 256
    result = load("nearest").enhance(dark)[0]
    assert result.dtype == np.uint16
    assert difference(result, dark.repeat(4, 0).repeat(4, 1)) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("depth", DEPTHS)
def test_levels_in_an_array_of_another_type_count_as_levels(load, depth, dtype):
    image = picture(9, 8, 3, depth)
    result, mode = load("srvgg").enhance(image.astype(dtype))
    assert mode == "RGB"
    assert difference(result, load("srvgg").enhance(image)[0]) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", CHANNELS)
def test_the_callers_array_is_not_modified(load, channels, dtype):
    image = (picture(9, 8, channels).astype(np.int16) - 100).clip(0).astype(dtype)  # zeros in the alpha channel too
    image.flags.writeable = False
    before = image.copy()
    load("rrdbnet_x2", pre_pad=3).enhance(image, 1.5)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("dtype", DEPTHS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("pre_pad", [0, 3])
def test_a_view_counts_as_its_copy(load, channels, dtype, pre_pad):
    view = picture(20, 30, channels, dtype)[::-2, 25:4:-3]
    upsampler = load("rrdbnet_x2", pre_pad=pre_pad)
    assert difference(upsampler.enhance(view)[0], upsampler.enhance(view.copy())[0]) == 0


def test_pictures_do_not_influence_each_other(load):
    upsampler, first, second = load("srvgg"), picture(9, 8, 4), picture(21, 5, 1, np.uint16)
    before = upsampler.enhance(first)[0]
    upsampler.enhance(second, 2)
    assert difference(upsampler.enhance(first)[0], before) == 0


# Transparency.


@pytest.mark.parametrize("outscale", [None, 1.5])
@pytest.mark.parametrize("alpha_upsampler", ["realesrgan", "bicubic"])
@pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 255), (np.uint16, 65535), (np.uint8, 77), (np.uint16, 0)])
def test_constant_transparency_stays_exactly_that_and_takes_no_pass(load, dtype, level, alpha_upsampler, outscale):
    upsampler, image = load("rrdbnet_x4"), picture(9, 8, 4, dtype)
    image[..., 3] = level
    with counting_passes(upsampler) as passes:
        result, mode = upsampler.enhance(image, outscale, alpha_upsampler)
    assert mode == "RGBA"
    assert (result[..., 3] == level).all()
    assert len(passes) == 1
    opaque = upsampler.enhance(np.ascontiguousarray(image[..., :3]), outscale)[0]
    assert difference(result[..., :3], opaque) == 0


def test_varied_transparency_takes_one_more_pass(load):
    upsampler = load("rrdbnet_x4")
    with counting_passes(upsampler) as passes:
        upsampler.enhance(picture(9, 8, 4))
    assert passes == [(9, 8)] * 2


@pytest.mark.parametrize("kind", ["rrdbnet_x4", "srvgg"])
def test_what_lies_under_full_transparency_does_not_reach_the_visible_edge(load, kind):
    image = picture(20, 15, 4, seed=3)
    image[..., 3] = np.where(image[..., 3] > 100, image[..., 3], 0)
    hidden = image[..., 3] == 0
    black, white = image.copy(), image.copy()
    black[hidden, :3], white[hidden, :3] = 0, 255
    upsampler = load(kind)
    on_black, on_white = upsampler.enhance(black)[0], upsampler.enhance(white)[0]
    assert difference(on_black, on_white) == 0
    plain_black = textbook.enhance(network(kind), 4, black)[0]
    plain_white = textbook.enhance(network(kind), 4, white)[0]
    assert difference(plain_black[..., :3][plain_black[..., 3] > 0], plain_white[..., :3][plain_black[..., 3] > 0]) > 1


# What code written for the published class relies on.


def test_the_constructor_takes_the_published_arguments():
    published = {"scale": inspect.Parameter.empty, "model_path": inspect.Parameter.empty, "dni_weight": None}
    published |= {"model": None, "tile": 0, "tile_pad": 10, "pre_pad": 10, "half": False, "device": None}
    published |= {"gpu_id": None}
    ours = inspect.signature(RealESRGANer).parameters.items()
    parameters = {name: parameter for name, parameter in ours if parameter.kind is not parameter.KEYWORD_ONLY}
    assert {name: parameter.default for name, parameter in parameters.items()} == published
    assert list(parameters) == list(published)


def test_the_published_address_leads_to_the_same_class():
    from realesrgan import RealESRGANer as from_package
    from realesrgan.utils import RealESRGANer as from_utils

    assert from_package is from_utils is RealESRGANer


@pytest.mark.parametrize("cut", [{}, {"tile": 8, "tile_pad": 4}])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_published_steps_give_the_picture_that_enhance_gives(load, kind, cut):
    image = picture(13, 15)
    upsampler = load(kind, pre_pad=5, **cut)
    upsampler.pre_process(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2RGB))
    if upsampler.tile_size > 0:
        upsampler.tile_process()
    else:
        upsampler.process()
    output = upsampler.post_process().data.squeeze().float().cpu().clamp_(0, 1).numpy()
    stepwise = (cv2.cvtColor(output.transpose(1, 2, 0), cv2.COLOR_RGB2BGR) * 255).round().astype(np.uint8)
    assert difference(stepwise, upsampler.enhance(image)[0]) <= 1


@pytest.mark.parametrize("step", ["process", "tile_process"])
def test_the_published_attributes_mean_what_they_meant(load, step):
    upsampler = load("rrdbnet_x2", tile=8, tile_pad=4, pre_pad=5)
    assert (upsampler.scale, upsampler.mod_scale) == (2, 2)
    assert (upsampler.tile_size, upsampler.tile_pad, upsampler.pre_pad) == (8, 4, 5)
    assert upsampler.half is False
    assert upsampler.device == torch.device("cpu")
    assert upsampler.model(torch.zeros(1, 3, 4, 6)).shape == (1, 3, 8, 12)

    rgb = np.random.default_rng(0).random((12, 15, 3), np.float32)
    upsampler.pre_process(rgb)
    assert upsampler.img.shape == (1, 3, 18, 20)
    assert torch.equal(upsampler.img[0, :, :12, :15], torch.from_numpy(rgb).permute(2, 0, 1))
    getattr(upsampler, step)()
    assert upsampler.output.shape == (1, 3, 36, 40)
    upsampler.post_process()
    assert upsampler.output.shape == (1, 3, 24, 30)


@pytest.mark.parametrize(("kind", "mod_scale"), [("rrdbnet_x4", None), ("srvgg", None), ("rrdbnet_x1", 4)])
def test_mod_scale_is_what_sizes_must_be_a_multiple_of(load, kind, mod_scale):
    assert load(kind).mod_scale == mod_scale


def test_a_tile_process_without_a_tile_size_does_the_whole(load):
    upsampler = load("srvgg")
    upsampler.pre_process(np.random.default_rng(0).random((6, 7, 3)))
    upsampler.process()
    whole = upsampler.output
    upsampler.tile_process()
    assert torch.equal(upsampler.output, whole)


def test_the_default_pre_pad_is_the_published_one(files):
    upsampler = RealESRGANer(4, str(files["rrdbnet_x4"]), device="cpu")
    check_as_published(upsampler, "rrdbnet_x4", picture(13, 15), pre_pad=10)


def test_attributes_set_after_construction_are_followed_as_published(files):
    upsampler = RealESRGANer(4, files["rrdbnet_x4"], tile=10, tile_pad=10, pre_pad=2, half=True, device="cpu")
    rgb = np.random.default_rng(0).random((12, 12, 3), np.float32)
    upsampler.pre_process(rgb)
    assert upsampler.img.shape == (1, 3, 14, 14)
    upsampler.scale = 1
    upsampler.pre_process(rgb)
    assert upsampler.mod_scale == 4
    assert upsampler.img.shape == (1, 3, 16, 16)
    upsampler.process()
    assert upsampler.output.shape == (1, 3, 64, 64)
    assert upsampler.post_process().shape == (1, 3, 60, 60)
    upsampler.scale = 4
    upsampler.pre_process(rgb)
    assert upsampler.img.shape == (1, 3, 16, 16)
    upsampler.tile_process()
    assert upsampler.output.shape == (1, 3, 64, 64)
    upsampler.tile_size, upsampler.tile_pad, upsampler.pre_pad, upsampler.mod_scale = 0, 4, 0, None
    image = picture(9, 8)
    assert difference(upsampler.enhance(image, 2)[0], textbook.enhance(network("rrdbnet_x4"), 4, image, 2)[0]) <= 2
    assert upsampler.enhance(picture(4, 4, 4), 2, alpha_upsampler=None)[0].shape == (8, 8, 4)


# What is given by mistake.


@pytest.mark.parametrize("image", [None, [1, 2], "a.png", torch.zeros(3, 4, 4, dtype=torch.uint8), cv2.UMat(4, 4, 0)])
def test_what_is_not_an_array_is_refused_with_its_type(load, image):
    with pytest.raises(ValueError, match=f"a picture is a NumPy array, not {type(image).__name__}"):
        load("srvgg").enhance(image)


def test_none_is_refused_with_where_it_comes_from(load):
    with pytest.raises(ValueError, match="cv2.imread gives None"):
        load("srvgg").enhance(None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(load, value):
    image = picture(9, 8).astype(np.float32)
    image[3, 4, 1] = value
    with pytest.raises(ValueError, match="infinite or not numbers"):
        load("srvgg").enhance(image)


@pytest.mark.parametrize("outscale", [0, -1, float("nan"), float("inf"), 1e6, "2", True])
def test_an_enlargement_that_makes_no_sense_is_refused(load, outscale):
    with pytest.raises(UsageError, match="must be a number above 0") as error:
        load("srvgg").enhance(picture(2, 2), outscale)
    assert error.value.option == "outscale"


@pytest.mark.parametrize("outscale", [2, 2.0, np.float32(2), np.int64(2)])
def test_numbers_of_any_kind_are_enlargements(load, outscale):
    assert load("srvgg").enhance(picture(2, 3), outscale)[0].shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("option", "value"),
    [("tile", "5"), ("tile", 2.5), ("tile_pad", "5"), ("pre_pad", True), ("max_memory", "1GB"), ("max_memory", 0)],
)
def test_values_of_another_kind_are_refused_with_the_option_that_has_them(load, option, value):
    with pytest.raises(UsageError, match="must be a whole number") as error:
        load("srvgg", **{option: value})
    assert error.value.option == option


@pytest.mark.parametrize("scale", ["4", 4.5])
def test_a_scale_that_is_not_a_whole_number_is_refused_as_that(files, scale):
    with pytest.raises(UsageError, match="scale .*: must be a whole number"):
        RealESRGANer(scale, files["srvgg"], device="cpu")


@pytest.mark.parametrize("path", [None, [], [None], 5])
def test_weights_that_are_not_a_path_are_refused(path):
    with pytest.raises(UsageError, match="give the path of a weights file"):
        RealESRGANer(4, path, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_a_gpu_number_without_cuda_falls_back_as_published_and_a_device_by_name_does_not(files):
    assert RealESRGANer(4, files["srvgg"], gpu_id=0).device.type != "cuda"
    with pytest.raises(DeviceError, match="gpu_id cuda: .*CUDA"):
        RealESRGANer(4, files["srvgg"], device="cuda")
    with pytest.raises(UsageError, match="gpu is not a device"):
        RealESRGANer(4, files["srvgg"], device="gpu")


# Networks and weights.


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_scale_of_none_is_taken_from_the_weights(files, kind):
    assert RealESRGANer(None, files[kind], device="cpu").scale == SCALES[kind]


def test_a_given_model_is_filled_and_used(load, files):
    given = tiny_rrdbnet(4, seed=5)
    upsampler = RealESRGANer(4, files["rrdbnet_x4"], model=given, pre_pad=0, device="cpu")
    assert upsampler.model is given
    assert difference(upsampler.enhance(picture(9, 8))[0], load("rrdbnet_x4").enhance(picture(9, 8))[0]) == 0


class Gain(nn.Module):
    """A network unknown to this project: enlarges ×3 and multiplies by a learnt number."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x.repeat_interleave(3, 2).repeat_interleave(3, 3)


@pytest.mark.parametrize("tile", [0, 5])
def test_an_unknown_network_works_at_the_scale_given(tmp_path, tile):
    path = save_weights(Gain(1.0), tmp_path / "gain.pth")
    upsampler = RealESRGANer(3, path, model=Gain(0.5), tile=tile, device="cpu")
    image = picture(9, 8, 4)
    assert np.array_equal(upsampler.enhance(image)[0], image.repeat(3, 0).repeat(3, 1))


def test_an_unknown_network_needs_a_scale(tmp_path):
    path = save_weights(Gain(1.0), tmp_path / "gain.pth")
    with pytest.raises(UsageError, match="give the scale"):
        RealESRGANer(None, path, model=Gain(1.0), device="cpu")


def test_weights_that_do_not_fit_the_given_model_are_refused(files):
    with pytest.raises(WeightsError, match="does not fit the given SRVGGNetCompact"):
        RealESRGANer(4, files["rrdbnet_x4"], model=tiny_srvgg(), device="cpu")


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_two_files_are_blended_key_by_key(tmp_path, share):
    strong, weak, blended = (tiny_srvgg(seed=seed) for seed in (1, 2, 3))
    paths = [save_weights(strong, tmp_path / "strong.pth"), save_weights(weak, tmp_path / "weak.pth")]
    weak_state = weak.state_dict()
    state = {key: share * tensor + (1 - share) * weak_state[key] for key, tensor in strong.state_dict().items()}
    blended.load_state_dict(state)
    upsampler = RealESRGANer(4, paths, dni_weight=[share, 1 - share], pre_pad=0, device="cpu")
    ours = upsampler.enhance(picture(9, 8))[0]
    assert difference(ours, textbook.enhance(blended, 4, picture(9, 8))[0]) <= 1


@pytest.mark.parametrize(
    ("count", "shares"), [(2, [0.5, 0.6]), (2, [1.0]), (2, None), (1, [1.0, 0.0]), (3, [0.2, 0.3, 0.5])]
)
def test_shares_that_do_not_sum_to_one_are_refused(files, count, shares):
    with pytest.raises(UsageError, match="two weights files .* two shares that add up to 1"):
        RealESRGANer(4, [files["srvgg"]] * count, shares, device="cpu")


def test_the_address_of_a_published_file_finds_it_in_the_weights_folder(weights_folder):
    save_weights(tiny_rrdbnet(), weights_folder / "RealESRGAN_x4plus.pth")
    upsampler = RealESRGANer(4, MODELS["RealESRGAN_x4plus"].weights.url, pre_pad=0, device="cpu")
    check_as_published(upsampler, "rrdbnet_x4", picture(9, 8))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_scale_other_than_the_networks_is_refused(files, kind):
    wrong = 6 - SCALES[kind]
    with pytest.raises(UsageError, match=f"{kind}.pth holds .*so its scale is {SCALES[kind]}, not {wrong}"):
        RealESRGANer(wrong, files[kind], device="cpu")


@pytest.mark.parametrize(("kind", "tile", "better"), [("rrdbnet_x2", 33, 34), ("rrdbnet_x1", 33, 36)])
def test_a_tile_that_cannot_be_folded_is_refused_with_one_that_can(load, kind, tile, better):
    with pytest.raises(UsageError, match=rf"tile {tile} does not suit {kind}.*: try tile {better}$"):
        load(kind, tile=tile)
    assert load(kind, tile=better).tile_size == better


@pytest.mark.parametrize("option", ["tile", "tile_pad", "pre_pad"])
def test_a_negative_number_of_pixels_is_refused(load, option):
    with pytest.raises(UsageError, match=f"{option} -1"):
        load("srvgg", **{option: -1})


# load_upsampler.


@pytest.fixture(scope="module")
def anime_network() -> nn.Module:
    torch.manual_seed(4)
    return MODELS["realesr-animevideov3"].network.build().eval()


@pytest.fixture(scope="module")
def general_networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(5)
    spec = SRVGGNetCompactSpec(num_conv=32)
    return spec.build().eval(), spec.build().eval()


@pytest.mark.parametrize("name", ["realesr-animevideov3", "realesr-animevideov3.pth"])
def test_a_name_finds_its_file_in_the_weights_folder(weights_folder, anime_network, name):
    save_weights(anime_network, weights_folder / "realesr-animevideov3.pth")
    upsampler = load_upsampler(name, fp32=True, device="cpu")
    ours = upsampler.enhance(picture(9, 8))[0]
    assert difference(ours, textbook.enhance(anime_network, 4, picture(9, 8))[0]) <= 1


def test_a_path_needs_no_name(files):
    upsampler = load_upsampler(model_path=files["rrdbnet_x2"], tile=8, tile_pad=6, pre_pad=5, fp32=True, device="cpu")
    cut = {"tile": 8, "tile_pad": 6, "pre_pad": 5}
    check_as_published(upsampler, "rrdbnet_x2", picture(21, 14), **cut)


def test_a_path_with_its_name_is_that_file(weights_folder, tmp_path, anime_network):
    path = save_weights(anime_network, tmp_path / "mine.pth")
    assert load_upsampler("realesr-animevideov3", model_path=path, device="cpu").scale == 4


def test_a_path_with_another_name_is_refused_with_the_name_that_fits(tmp_path, anime_network):
    path = save_weights(anime_network, tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=r"mine\.pth holds .*16 conv.*it fits model_name realesr-animevideov3$"):
        load_upsampler("realesr-general-x4v3", model_path=path, device="cpu")


def test_a_path_to_nothing_in_the_zoo_with_a_name_is_refused_with_what_to_leave_out(files):
    with pytest.raises(WeightsError, match="give model_path without model_name"):
        load_upsampler("RealESRGAN_x4plus", model_path=files["rrdbnet_x4"], device="cpu")


def test_neither_name_nor_path_is_refused():
    with pytest.raises(UsageError, match="give a model_name, or weights as model_path"):
        load_upsampler()


def test_full_denoise_strength_needs_only_the_first_file(weights_folder, general_networks):
    strong, _ = general_networks
    save_weights(strong, weights_folder / "realesr-general-x4v3.pth")
    upsampler = load_upsampler("realesr-general-x4v3", denoise_strength=1, fp32=True, device="cpu")
    assert difference(upsampler.enhance(picture(5, 4))[0], textbook.enhance(strong, 4, picture(5, 4))[0]) <= 1


def test_less_denoise_strength_needs_both_files(weights_folder, general_networks):
    save_weights(general_networks[0], weights_folder / "realesr-general-x4v3.pth")
    with pytest.raises(WeightsError, match="realesr-general-wdn-x4v3.pth is not on this machine"):
        load_upsampler("realesr-general-x4v3", device="cpu")


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.8])
def test_denoise_strength_is_the_share_of_the_first_file(weights_folder, general_networks, strength):
    strong, weak = general_networks
    save_weights(strong, weights_folder / "realesr-general-x4v3.pth")
    save_weights(weak, weights_folder / "realesr-general-wdn-x4v3.pth")
    upsampler = load_upsampler("realesr-general-x4v3", denoise_strength=strength, fp32=True, device="cpu")
    for key, tensor in upsampler.model.state_dict().items():
        wanted = strength * strong.state_dict()[key] + (1 - strength) * weak.state_dict()[key]
        torch.testing.assert_close(tensor, wanted, rtol=0, atol=1e-6)


# What is known of a network without an engine.


@pytest.mark.parametrize("kernels_installed", [True, False])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_networks_facts_are_those_of_the_loaded_model_on_any_machine(files, kind, kernels_installed, monkeypatch):
    setup = check(Settings(model_path=files[kind], gpu_id="cpu"), DEFAULT_IMAGE_MODEL)
    if not kernels_installed:
        monkeypatch.setattr("realesrgan.engine.kernels.library.load", lambda: None)
    facts, loaded = network_facts(setup), loading.load(setup, Reporter())
    assert (facts.label, facts.multiply_adds) == (loaded.label, loaded.multiply_adds(1.0))
    assert facts.kernels
    assert loaded.upsamplers[0].engine.native is None or kernels_installed


def test_a_network_that_the_kernels_cannot_compute_is_known_as_that(tmp_path):
    path = save_weights(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=5), tmp_path / "x5.pth")
    setup = check(Settings(model_path=path, gpu_id="cpu"), DEFAULT_IMAGE_MODEL)
    assert not network_facts(setup).kernels
    assert loading.load(setup, Reporter()).upsamplers[0].engine.native is None


def test_facts_are_found_without_an_engine_or_a_device(files, monkeypatch):
    for decides in ("realesrgan.engine.engine.Engine.__init__", "realesrgan.engine.device.default_device"):
        monkeypatch.setattr(decides, lambda *_, **__: pytest.fail("something was made ready to compute"))
    assert network_facts(check(Settings(model_path=files["srvgg"]), DEFAULT_IMAGE_MODEL)).label == "srvgg"


def test_facts_of_weights_that_are_not_of_the_model_named_are_refused(files):
    setup = check(Settings(model_name="RealESRGAN_x4plus", model_path=files["srvgg"]), DEFAULT_IMAGE_MODEL)
    with pytest.raises(WeightsError, match="but RealESRGAN_x4plus is"):
        network_facts(setup)
