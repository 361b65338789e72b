"""The networks for faces against an independent second implementation, and the published checkpoints' keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.archs.gfpgan_arch import GFPGANv1Clean
from realesrgan.archs.parsenet_arch import ParseNet
from realesrgan.archs.retinaface_arch import RetinaFace
from realesrgan.archs.stylegan2_arch import (
    ModulatedConv2d,
    ModulatedPointwise,
    StyleGAN2GeneratorClean,
    StyleGAN2GeneratorCSFT,
    feature_channels,
)

PUBLISHED_KEYS = json.loads((Path(__file__).parent / "data" / "face_state_dict_keys.json").read_text())
AS_PUBLISHED: dict[str, Callable[[], nn.Module]] = {
    "GFPGANv1Clean": lambda: GFPGANv1Clean(
        512, channel_multiplier=2, input_is_latent=True, different_w=True, sft_half=True
    ),
    "RetinaFace resnet50": lambda: RetinaFace("resnet50"),
    "RetinaFace mobile0.25": lambda: RetinaFace("mobile0.25"),
    "ParseNet": lambda: ParseNet(512, 512),
}

State = Mapping[str, Tensor]


def with_random_weights(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random values for statistics, biases and noise, too, so that no missing term goes unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            random = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                random = 0.5 + random.abs()
            elif value.dim() == 5:
                random /= value[0, 0].numel() ** 0.5
            elif value.dim() > 1 and "noises" not in name:
                random *= (2 / value[0].numel()) ** 0.5
            elif name.endswith("weight") or name.endswith("modulation.bias"):
                random = 1 + 0.3 * random
            if "bn3" in name:  # of a bottleneck; sixteen added up would leave confidences of 0 and 1 only
                random *= 0.2
            value.copy_(random)
    return network.eval()


def random_picture(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def flat(result: object) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [part for parts in result for part in flat(parts)]


def assert_near(result: Tensor, wanted: Tensor) -> None:
    """Compare up to rounding, which grows with the largest values."""
    torch.testing.assert_close(result, wanted, atol=1e-4 * wanted.abs().max().item(), rtol=0)


# The formulas: nothing here is shared with the modules under test.


def leaky(x: Tensor, slope: float = 0.2) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def convolve(state: State, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    kernel = state[f"{name}.weight"]
    return F.conv2d(x, kernel, state.get(f"{name}.bias"), stride, kernel.shape[-1] // 2, groups=groups)


def normalise(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"].reshape(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def enlarge(x: Tensor) -> Tensor:
    """Bilinear, twice: three quarters of the nearest pixel and a quarter of the next, at the border the same."""
    for dim in (2, 3):
        size = x.shape[dim]
        before = x.index_select(dim, torch.arange(-1, size - 1).clamp(min=0))
        after = x.index_select(dim, torch.arange(1, size + 1).clamp(max=size - 1))
        x = torch.stack((0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after), dim + 1).flatten(dim, dim + 1)
    return x


def nearest(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def modulated(state: State, name: str, x: Tensor, style: Tensor, demodulate: bool = True) -> Tensor:
    scales = F.linear(style, state[f"{name}.modulation.weight"], state[f"{name}.modulation.bias"])
    results = []
    for sample, scale in zip(x, scales, strict=True):
        kernel = state[f"{name}.weight"][0] * scale.reshape(1, -1, 1, 1)
        if demodulate:
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        results.append(F.conv2d(sample[None], kernel, padding=kernel.shape[-1] // 2))
    return torch.cat(results)


def stylegan2_by_formula(
    state: State, style: Tensor, conditions: list[tuple[Tensor, Tensor]], is_latent: bool, sft_half: bool
) -> Tensor:
    """With the stored noise."""
    if not is_latent:
        style = style / (style.square().mean(1, keepdim=True) + 1e-8).sqrt()
        for i in range(1, 1 + 2 * sum(name.startswith("style_mlp") for name in state) // 2, 2):
            style = leaky(F.linear(style, state[f"style_mlp.{i}.weight"], state[f"style_mlp.{i}.bias"]))

    def style_of(layer: int) -> Tensor:
        return style[:, layer] if style.dim() == 3 else style

    def style_conv(name: str, x: Tensor, layer: int, noise: int) -> Tensor:
        x = modulated(state, f"{name}.modulated_conv", x, style_of(layer)) * 2**0.5
        return leaky(x + state[f"{name}.weight"] * state[f"noises.noise{noise}"] + state[f"{name}.bias"])

    def to_rgb(name: str, x: Tensor, layer: int) -> Tensor:
        return modulated(state, f"{name}.modulated_conv", x, style_of(layer), demodulate=False) + state[f"{name}.bias"]

    feat = style_conv("style_conv1", state["constant_input.weight"].repeat(len(style), 1, 1, 1), 0, 0)
    picture = to_rgb("to_rgb1", feat, 1)
    for level, (scale, shift) in enumerate(conditions):
        feat = style_conv(f"style_convs.{2 * level}", enlarge(feat), 2 * level + 1, 2 * level + 1)
        start = feat.shape[1] // 2 if sft_half else 0
        feat = torch.cat((feat[:, :start], feat[:, start:] * scale + shift), 1)
        feat = style_conv(f"style_convs.{2 * level + 1}", feat, 2 * level + 2, 2 * level + 2)
        picture = to_rgb(f"to_rgbs.{level}", feat, 2 * level + 3) + enlarge(picture)
    return picture


def gfpgan_by_formula(state: State, x: Tensor, network: GFPGANv1Clean) -> list[Tensor]:
    def block(name: str, x: Tensor, resize: Callable[[Tensor], Tensor]) -> Tensor:
        result = leaky(convolve(state, f"{name}.conv2", resize(leaky(convolve(state, f"{name}.conv1", x)))))
        return result + convolve(state, f"{name}.skip", resize(x))

    feat = leaky(convolve(state, "conv_body_first", x))
    levels = x.shape[-1].bit_length() - 3
    skips = []
    for i in range(levels):
        feat = block(f"conv_body_down.{i}", feat, lambda x: F.avg_pool2d(x, 2))
        skips.insert(0, feat)
    feat = leaky(convolve(state, "final_conv", feat))
    style = F.linear(feat.reshape(len(x), -1), state["final_linear.weight"], state["final_linear.bias"])
    if network.different_w:
        style = style.reshape(len(x), 2 * levels + 2, -1)
    conditions, pictures = [], []
    for i in range(levels):
        feat = block(f"conv_body_up.{i}", feat + skips[i], enlarge)
        scale, shift = (
            convolve(state, f"condition_{kind}.{i}.2", leaky(convolve(state, f"condition_{kind}.{i}.0", feat)))
            for kind in ("scale", "shift")
        )
        conditions.append((scale, shift))
        pictures.append(convolve(state, f"toRGB.{i}", feat))
    decoder = {name.removeprefix("stylegan_decoder."): value for name, value in state.items()}
    sft_half = network.stylegan_decoder.sft_half
    return [stylegan2_by_formula(decoder, style, conditions, network.input_is_latent, sft_half), *pictures]


def mobilenet_by_formula(state: State, x: Tensor) -> list[Tensor]:
    def separable(name: str, x: Tensor, stride: int) -> Tensor:
        x = leaky(normalise(state, f"{name}.1", convolve(state, f"{name}.0", x, stride, x.shape[1])), 0.1)
        return leaky(normalise(state, f"{name}.4", convolve(state, f"{name}.3", x)), 0.1)

    x = leaky(normalise(state, "stage1.0.1", convolve(state, "stage1.0.0", x, 2)), 0.1)
    maps = []
    for stage, strides in enumerate(((None, 1, 2, 1, 2, 1), (2, 1, 1, 1, 1, 1), (2, 1)), 1):
        for i, stride in enumerate(strides):
            if stride:
                x = separable(f"stage{stage}.{i}", x, stride)
        maps.append(x)
    return maps


def resnet_by_formula(state: State, x: Tensor) -> list[Tensor]:
    x = normalise(state, "bn1", convolve(state, "conv1", x, 2)).relu()
    x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
    maps = []
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for i in range(blocks):
            name, stride = f"layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1
            y = normalise(state, f"{name}.bn1", convolve(state, f"{name}.conv1", x)).relu()
            y = normalise(state, f"{name}.bn2", convolve(state, f"{name}.conv2", y, stride)).relu()
            y = normalise(state, f"{name}.bn3", convolve(state, f"{name}.conv3", y))
            if i == 0:
                x = normalise(state, f"{name}.downsample.1", convolve(state, f"{name}.downsample.0", x, stride))
            x = (x + y).relu()
        maps.append(x)
    return maps[1:]


def retinaface_by_formula(state: State, x: Tensor, network: RetinaFace) -> list[Tensor]:
    body = {name.removeprefix("body."): value for name, value in state.items()}
    large = "layer1.0.conv1.weight" in body
    slope = 0.0 if large else 0.1
    maps = (resnet_by_formula if large else mobilenet_by_formula)(body, x)

    def unit(name: str, x: Tensor) -> Tensor:
        return normalise(state, f"{name}.1", convolve(state, f"{name}.0", x))

    def sized(x: Tensor, like: Tensor) -> Tensor:
        """Twice as large, without the last row or column where the finer map is odd."""
        return nearest(x)[:, :, : like.shape[2], : like.shape[3]]

    one, two, three = (leaky(unit(f"fpn.output{i + 1}", maps[i]), slope) for i in range(3))
    two = leaky(unit("fpn.merge2", two + sized(three, two)), slope)
    one = leaky(unit("fpn.merge1", one + sized(two, one)), slope)
    rows: dict[str, list[Tensor]] = {"BboxHead": [], "ClassHead": [], "LandmarkHead": []}
    for i, feat in enumerate((one, two, three)):
        five = leaky(unit(f"ssh{i + 1}.conv5X5_1", feat), slope)
        seven = leaky(unit(f"ssh{i + 1}.conv7X7_2", five), slope)
        five, seven = unit(f"ssh{i + 1}.conv5X5_2", five), unit(f"ssh{i + 1}.conv7x7_3", seven)
        feat = torch.cat((unit(f"ssh{i + 1}.conv3X3", feat), five, seven), 1).relu()
        for name, found in rows.items():
            result = convolve(state, f"{name}.{i}.conv1x1", feat)
            count, channels, height, width = result.shape
            for row in range(height):
                for column in range(width):
                    found.append(result[:, :, row, column].reshape(count, 2, channels // 2))
    boxes, classes, landmarks = (torch.cat(found, 1) for found in rows.values())
    return [boxes, classes.exp() / classes.exp().sum(2, keepdim=True), landmarks]


def parsenet_by_formula(state: State, x: Tensor, network: ParseNet) -> list[Tensor]:
    def mirrored(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel, bias = state[f"{name}.conv2d.weight"], state.get(f"{name}.conv2d.bias")
        for dim in (2, 3):
            last = x.shape[dim] - 1
            x = x.index_select(dim, torch.tensor([1, *range(last + 1), last - 1]))
        result = F.conv2d(x, kernel, bias, stride)
        return normalise(state, f"{name}.norm.norm", result) if f"{name}.norm.norm.weight" in state else result

    def block(name: str, x: Tensor, stride: int = 1) -> Tensor:
        y = mirrored(f"{name}.conv2", leaky(mirrored(f"{name}.conv1", x)), stride)
        return y + (
            mirrored(f"{name}.shortcut_func", x, stride) if f"{name}.shortcut_func.conv2d.weight" in state else x
        )

    feat = mirrored("encoder.0", x)
    for i in range(1, len(network.encoder)):
        feat = block(f"encoder.{i}", feat, 2)
    x = feat
    for i in range(len(network.body)):
        x = block(f"body.{i}", x)
    x = x + feat
    for i in range(len(network.decoder)):
        x = block(f"decoder.{i}", nearest(x))
    return [mirrored("out_mask_conv", x), mirrored("out_img_conv", x)]


@dataclass(frozen=True)
class Case:
    """A small network, its formula, and the size of a picture for it."""

    name: str
    build: Callable[[], nn.Module]
    formula: Callable[[State, Tensor, nn.Module], list[Tensor]]
    height: int
    width: int
    forward: Callable[[nn.Module, Tensor], object] = lambda network, x: network(x)

    def __str__(self) -> str:
        return self.name

    @property
    def picture(self) -> Tensor:
        return random_picture(self.height, self.width)


def small_gfpgan(out_size: int = 16, narrow: float = 1 / 64, **options: object) -> GFPGANv1Clean:
    return GFPGANv1Clean(out_size, num_style_feat=6, num_mlp=2, narrow=narrow, fix_decoder=False, **options)


def gfpgan_case(name: str, out_size: int = 16, **options: object) -> Case:
    def forward(network: nn.Module, x: Tensor) -> object:
        return network(x, randomize_noise=False)

    return Case(
        f"GFPGAN {name}", lambda: small_gfpgan(out_size, **options), gfpgan_by_formula, out_size, out_size, forward
    )


def small_parsenet() -> ParseNet:
    return ParseNet(32, 64, min_feat_size=8, base_ch=6, parsing_ch=5, res_depth=2, ch_range=(4, 16))


GFPGAN = gfpgan_case("as released", input_is_latent=True, different_w=True, sft_half=True)
MOBILE = Case("RetinaFace mobile0.25", lambda: RetinaFace("mobile0.25"), retinaface_by_formula, 75, 101)
RESNET = Case("RetinaFace resnet50", lambda: RetinaFace("resnet50"), retinaface_by_formula, 33, 70)
PARSENET = Case("ParseNet", small_parsenet, parsenet_by_formula, 32, 32)
LIGHT = [GFPGAN, MOBILE, PARSENET]
CASES = [
    GFPGAN,
    gfpgan_case("as by default"),
    gfpgan_case("with one style, mapped", sft_half=True),
    gfpgan_case("with all styles, mapped", different_w=True),
    gfpgan_case("with one style, as it is", input_is_latent=True),
    gfpgan_case("wide above 32", out_size=64, channel_multiplier=2, sft_half=True),
    MOBILE,
    RESNET,
    PARSENET,
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_network_computes_its_formula(case):
    network = with_random_weights(case.build())
    with torch.no_grad():
        results = flat(case.forward(network, case.picture))
        wanted = case.formula(network.state_dict(), case.picture, network)
    assert len(results) == len(wanted)
    for result, formula in zip(results, wanted, strict=True):
        assert formula.std() > 0.05
        assert_near(result, formula)


@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_gradients_are_those_of_the_formula(case):
    network = with_random_weights(case.build()).double()
    copies = {name: value.detach().clone() for name, value in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    for name in parameters:
        copies[name].requires_grad_()
    x = case.picture.double()
    for results in (flat(case.forward(network, x)), case.formula(copies, x, network)):
        sum(result.square().mean() for result in results).backward()
    for name, parameter in parameters.items():
        wanted = copies[name].grad
        if wanted is None:  # only the mapping network, where it is skipped
            assert "style_mlp" in name
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, wanted, atol=1e-9, rtol=1e-6, msg=name)


@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_a_published_network_has_exactly_the_published_keys(name):
    with torch.device("meta"):
        state = AS_PUBLISHED[name]().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == PUBLISHED_KEYS[name]


@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_a_batch_gives_what_its_pictures_give_one_by_one(case):
    network = with_random_weights(case.build())
    x = case.picture
    with torch.no_grad():
        whole = flat(case.forward(network, x))
        single = [flat(case.forward(network, picture[None])) for picture in x]
    for i, result in enumerate(whole):
        assert not torch.equal(result[0], result[1])
        assert_near(result, torch.cat([parts[i] for parts in single]))


@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_a_network_leaves_its_input_alone(case):
    x = case.picture
    with torch.no_grad():
        case.forward(with_random_weights(case.build()), x)
    assert torch.equal(x, case.picture)


@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_the_order_in_memory_does_not_matter(case):
    network = with_random_weights(case.build())
    with torch.no_grad():
        wanted = flat(case.forward(network, case.picture))
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):  # StyleGAN2's kernels have five dimensions and no such order
                layer.to(memory_format=torch.channels_last)
        results = flat(case.forward(network, case.picture.to(memory_format=torch.channels_last)))
    for result, plain in zip(results, wanted, strict=True):
        assert_near(result, plain)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)], ids=str)
@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_a_network_cast_as_a_whole_computes_in_that_type(case, dtype, tolerance):
    network = with_random_weights(case.build())
    with torch.no_grad():
        wanted = flat(case.forward(network, case.picture))
        results = flat(case.forward(network.to(dtype), case.picture.to(dtype)))
    for result, exact in zip(results, wanted, strict=True):
        assert result.dtype == dtype
        assert (result.float() - exact).square().mean().sqrt() < tolerance * exact.std()


# The modulated convolution.


@pytest.mark.parametrize("upsample", [False, True])
def test_a_modulated_convolution_is_one_with_kernels_modulated_and_demodulated_for_each_sample(upsample):
    network = with_random_weights(ModulatedConv2d(5, 7, 3, 4, upsample)).double()
    state = {f"conv.{name}": value for name, value in network.state_dict().items()}
    x, style = torch.randn(3, 5, 6, 8).double(), torch.randn(3, 4).double()
    with torch.no_grad():
        result = network(x, style)
        wanted = modulated(state, "conv", enlarge(x) if upsample else x, style)
    torch.testing.assert_close(result, wanted, atol=1e-12, rtol=1e-9)


def test_a_modulated_pointwise_convolution_is_one_with_kernels_modulated_for_each_sample():
    network = with_random_weights(ModulatedPointwise(5, 3, 4)).double()
    state = {f"conv.{name}": value for name, value in network.state_dict().items()}
    x, style = torch.randn(3, 5, 6, 8).double(), torch.randn(3, 4).double()
    with torch.no_grad():
        torch.testing.assert_close(network(x, style), modulated(state, "conv", x, style, demodulate=False))


def test_a_style_of_zeros_gives_zeros():
    network = with_random_weights(ModulatedConv2d(5, 7, 3, 4))
    nn.init.zeros_(network.modulation.bias)
    with torch.no_grad():
        assert torch.equal(network(torch.randn(1, 5, 6, 6), torch.zeros(1, 4)), torch.zeros(1, 7, 6, 6))


def test_half_precision_overflows_neither_with_a_large_style_nor_with_kernels_of_different_size():
    network = with_random_weights(ModulatedConv2d(64, 16, 3, 4))
    network.weight.data[0, 0] /= 100
    x, style = 300 * torch.randn(1, 64, 6, 6), 1000 * torch.randn(1, 4)
    with torch.no_grad():
        wanted = network(x, style)
        result = network.half()(x.half(), style.half()).float()
    assert (result - wanted).square().mean().sqrt() < 0.01 * wanted.std()


# GFPGAN.


def test_maps_beyond_32_have_half_the_channels_at_twice_the_size():
    sizes = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [feature_channels(size, 1, 1) for size in sizes] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert [feature_channels(size, 2, 0.5) for size in sizes] == [256, 256, 256, 256, 256, 128, 64, 32, 16]


def test_stored_noise_gives_the_same_face_each_time_and_random_noise_does_not():
    network, x = with_random_weights(GFPGAN.build()), GFPGAN.picture
    with torch.no_grad():
        assert torch.equal(network(x, randomize_noise=False)[0], network(x, randomize_noise=False)[0])
        assert not torch.equal(network(x)[0], network(x)[0])


def test_random_noise_differs_between_the_faces_of_a_batch():
    network, x = with_random_weights(GFPGAN.build()), GFPGAN.picture[:1].repeat(2, 1, 1, 1)
    with torch.no_grad():
        first, second = network(x)[0]
    assert not torch.allclose(first, second, atol=1e-3)


def test_weight_and_return_latents_change_nothing():
    network, x = with_random_weights(GFPGAN.build()), GFPGAN.picture
    with torch.no_grad():
        wanted = flat(network(x, randomize_noise=False))
        for options in ({"weight": 0.0}, {"weight": 1.0}, {"return_latents": True}):
            results = flat(network(x, randomize_noise=False, **options))
            assert all(torch.equal(result, plain) for result, plain in zip(results, wanted, strict=True))


def test_the_pictures_of_the_u_net_double_up_to_the_face_and_can_be_left_out():
    network, x = with_random_weights(small_gfpgan(32)), random_picture(32, 32)
    with torch.no_grad():
        face, pictures = network(x)
        assert network(x, return_rgb=False)[1] == []
    assert [tuple(picture.shape) for picture in pictures] == [(2, 3, 8, 8), (2, 3, 16, 16), (2, 3, 32, 32)]
    assert face.shape == (2, 3, 32, 32)


@pytest.mark.parametrize("out_size", [0, 2, 48, 500])
def test_a_size_that_doubling_does_not_reach_is_refused(out_size):
    with pytest.raises(ValueError, match=f"out_size {out_size} is not a power of two"):
        GFPGANv1Clean(out_size)


def test_only_a_fixed_decoder_is_kept_from_training():
    for fixed in (True, False):
        with torch.device("meta"):
            network = GFPGANv1Clean(16, fix_decoder=fixed)
        for name, parameter in network.named_parameters():
            assert parameter.requires_grad != (fixed and name.startswith("stylegan_decoder."))


def test_a_decoder_is_loaded_from_a_stylegan2_checkpoint(tmp_path):
    decoder = StyleGAN2GeneratorClean(16, num_style_feat=6, num_mlp=2, channel_multiplier=1, narrow=1 / 64)
    torch.save({"params_ema": decoder.state_dict()}, tmp_path / "stylegan2.pth")
    loaded = small_gfpgan(decoder_load_path=tmp_path / "stylegan2.pth").stylegan_decoder.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in decoder.state_dict().items())


def test_a_generator_without_conditions_is_the_plain_one():
    options = {"num_style_feat": 6, "num_mlp": 2, "narrow": 1 / 64}
    plain = with_random_weights(StyleGAN2GeneratorClean(16, **options))
    conditioned = StyleGAN2GeneratorCSFT(16, **options)
    conditioned.load_state_dict(plain.state_dict())
    style = torch.randn(2, 6)
    with torch.no_grad():
        wanted = plain(style, randomize_noise=False)
        assert torch.equal(conditioned(style, randomize_noise=False), wanted)
        level = torch.full((2, 8, 8, 8), 1.5), torch.zeros(2, 8, 8, 8)
        assert not torch.allclose(conditioned(style, [level], randomize_noise=False), wanted)


# RetinaFace.


@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 47), (1, 1), (75, 101)])
def test_there_is_a_row_for_each_prior(height, width):
    priors = sum(2 * -(-height // stride) * -(-width // stride) for stride in (8, 16, 32))
    with torch.no_grad():
        results = RetinaFace("mobile0.25").eval()(random_picture(height, width))
    assert [tuple(result.shape) for result in results] == [(2, priors, 4), (2, priors, 2), (2, priors, 10)]


@pytest.mark.parametrize("case", [MOBILE, RESNET], ids=str)
def test_confidences_are_probabilities(case):
    with torch.no_grad():
        _, confidences, _ = with_random_weights(case.build())(case.picture)
    assert confidences.min() >= 0
    assert confidences.std() > 0.05
    torch.testing.assert_close(confidences.sum(2), torch.ones(confidences.shape[:2]))


def test_an_unknown_body_is_refused_by_name():
    with pytest.raises(ValueError, match="'resnet18' is neither resnet50 nor mobile0.25"):
        RetinaFace("resnet18")


# ParseNet.


@pytest.mark.parametrize(("in_size", "out_size"), [(32, 32), (32, 64), (64, 32), (8, 32), (8, 8)])
def test_a_mask_has_a_logit_for_each_class_at_the_asked_size(in_size, out_size):
    network = ParseNet(
        in_size, out_size, min_feat_size=16, base_ch=4, parsing_ch=5, res_depth=1, ch_range=(2, 8)
    ).eval()
    with torch.no_grad():
        mask, picture = network(random_picture(in_size, in_size))
    assert (mask.shape, picture.shape) == ((2, 5, out_size, out_size), (2, 3, out_size, out_size))


def test_channels_stay_in_their_range():
    network = ParseNet(64, 128, min_feat_size=4, base_ch=6, res_depth=1, ch_range=(5, 20))
    assert [block.conv2.conv2d.out_channels for block in network.encoder[1:]] == [12, 20, 20, 20]
    assert [block.conv2.conv2d.out_channels for block in network.decoder] == [20, 20, 12, 6, 5]
