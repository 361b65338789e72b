"""The networks against an independent second implementation, and the published checkpoints' keys."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.archs.rrdbnet_arch import RRDBNet
from realesrgan.families import cast_convolutions, family_of
from realesrgan.families.family import NetworkSpec
from realesrgan.families.rrdbnet import RRDBNetSpec
from realesrgan.families.srvgg import SRVGGNetCompactSpec
from realesrgan.model_zoo import MODELS

# The keys and shapes of the published checkpoints in their order, under the names of the models that have them.
PUBLISHED_KEYS = json.loads((Path(__file__).parent / "data" / "state_dict_keys.json").read_text())

SMALL_RRDBNETS = [RRDBNetSpec(scale=scale, num_feat=6, num_block=2, num_grow_ch=3) for scale in (4, 2, 1)]
FOLDS = [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (1, 2), (4, 2), (8, 2), (1, 4), (4, 4)]  # scale, pixels folded
ESRGANS = [
    RRDBNetSpec(channels, channels, scale, 6, 1, 3, unshuffle, plus)
    for (scale, unshuffle), channels, plus in zip(
        FOLDS, (3, 1, 4, 3, 3) * 2, (False, True, True, False, True) * 2, strict=True
    )
]
SMALL_SRVGGS = [SRVGGNetCompactSpec(num_feat=6, num_conv=3, act_type=act) for act in ("prelu", "relu", "leakyrelu")]
SMALL_SRVGGS += [SRVGGNetCompactSpec(num_feat=5, num_conv=1, upscale=upscale) for upscale in (1, 2, 3)]
SMALL_SRVGGS += [SRVGGNetCompactSpec(channels, channels, 5, 2, 2) for channels in (1, 4)]
SMALL_SPECS: list[NetworkSpec] = [*SMALL_RRDBNETS, *ESRGANS, *SMALL_SRVGGS]


def with_random_weights(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random biases and slopes, too, and strong residual branches, so that no missing term goes unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan_in**0.5)
    return network


def random_picture(height: int, width: int, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1))


# The formulas: nothing here is shared with the modules under test.


def convolve(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride=1, padding=weight.shape[2] // 2)


def leaky(x: Tensor, slope: float) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def nearest(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)


def fold(x: Tensor, block: int) -> Tensor:
    """block×block pixels into channels: of each input channel first the block's rows, then its columns."""
    phases = [x[:, :, row::block, column::block] for row in range(block) for column in range(block)]
    return torch.stack(phases, dim=2).flatten(1, 2)


def unfold(x: Tensor, block: int) -> Tensor:
    """The inverse of `fold`."""
    count, channels, height, width = x.shape
    result = x.new_empty(count, channels // block**2, height * block, width * block)
    for phase in range(block**2):
        result[:, :, phase // block :: block, phase % block :: block] = x[:, phase :: block**2]
    return result


def dense_block_by_formula(state: Mapping[str, Tensor], name: str, x: Tensor, *, plus: bool) -> Tensor:
    x1 = leaky(convolve(state, f"{name}.conv1", x), 0.2)
    x2 = leaky(convolve(state, f"{name}.conv2", torch.cat((x, x1), 1)), 0.2)
    x2 = x2 + convolve(state, f"{name}.conv1x1", x) if plus else x2
    x3 = leaky(convolve(state, f"{name}.conv3", torch.cat((x, x1, x2), 1)), 0.2)
    x4 = leaky(convolve(state, f"{name}.conv4", torch.cat((x, x1, x2, x3), 1)), 0.2)
    x4 = x4 + x2 if plus else x4
    return x + 0.2 * convolve(state, f"{name}.conv5", torch.cat((x, x1, x2, x3, x4), 1))


def rrdbnet_by_formula(state: Mapping[str, Tensor], x: Tensor, spec: RRDBNetSpec) -> Tensor:
    folded = {4: 1, 2: 2, 1: 4}[spec.scale] if spec.unshuffle is None and spec.scale <= 4 else spec.unshuffle or 1
    first = convolve(state, "conv_first", fold(x, folded))
    trunk = first
    for block in range(spec.num_block):
        inner = trunk
        for rdb in (1, 2, 3):
            inner = dense_block_by_formula(state, f"body.{block}.rdb{rdb}", inner, plus=spec.plus)
        trunk = trunk + 0.2 * inner
    x = first + convolve(state, "conv_body", trunk)
    for i in range(1, {1: 0, 2: 1, 4: 2, 8: 3, 16: 4}[spec.scale * folded] + 1):
        x = leaky(convolve(state, f"conv_up{i}", nearest(x, 2)), 0.2)
    return convolve(state, "conv_last", leaky(convolve(state, "conv_hr", x), 0.2))


def srvgg_by_formula(state: Mapping[str, Tensor], x: Tensor, spec: SRVGGNetCompactSpec) -> Tensor:
    result = x
    for i in range(spec.num_conv + 1):
        result = convolve(state, f"body.{2 * i}", result)
        if spec.act_type == "prelu":
            slopes = state[f"body.{2 * i + 1}.weight"].reshape(1, -1, 1, 1)
            result = torch.where(result > 0, result, slopes * result)
        else:
            result = leaky(result, {"relu": 0.0, "leakyrelu": 0.1}[spec.act_type])
    result = convolve(state, f"body.{2 * spec.num_conv + 2}", result)
    return unfold(result, spec.upscale) + nearest(x, spec.upscale)


def by_formula(spec: NetworkSpec, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    if isinstance(spec, RRDBNetSpec):
        return rrdbnet_by_formula(state, x, spec)
    return srvgg_by_formula(state, x, spec)


@pytest.mark.parametrize("spec", SMALL_SPECS, ids=str)
def test_a_network_computes_its_formula(spec):
    network = with_random_weights(spec.build()).eval()
    x = random_picture(8, 12, spec.num_in_ch)
    with torch.no_grad():
        result, wanted = network(x), by_formula(spec, network.state_dict(), x)
    assert wanted.std() > 0.1
    torch.testing.assert_close(result, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spec", SMALL_SPECS, ids=str)
def test_gradients_are_those_of_the_formula(spec):
    network = with_random_weights(spec.build())
    copies = {name: value.detach().clone().requires_grad_() for name, value in network.state_dict().items()}
    x = random_picture(4, 8, spec.num_in_ch)
    network(x).square().mean().backward()
    by_formula(spec, copies, x).square().mean().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, copies[name].grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spec", SMALL_SPECS, ids=str)
def test_a_network_leaves_its_input_alone(spec):
    x = random_picture(8, 8, spec.num_in_ch)
    before = x.clone()
    with torch.no_grad():
        spec.build()(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("spec", SMALL_SPECS, ids=str)
def test_a_picture_grows_by_the_scale_of_the_spec(spec):
    with torch.no_grad():
        result = spec.build()(random_picture(8, 12, spec.num_in_ch))
    assert result.shape == (2, spec.num_out_ch, 8 * spec.scale, 12 * spec.scale)


@pytest.mark.parametrize("spec", SMALL_RRDBNETS[1:], ids=str)
def test_an_rrdbnet_takes_only_multiples_of_its_size_multiple(spec):
    with pytest.raises(RuntimeError, match="divisible"):
        spec.build()(random_picture(8 + spec.size_multiple // 2, 8))


@pytest.mark.parametrize(("scale", "unshuffle"), [(0, None), (3, None), (32, None), (8, 4), (1, 3), (2, 0), (1, -1)])
def test_an_rrdbnet_that_cannot_be_is_refused(scale, unshuffle):
    with pytest.raises(ValueError, match=f"enlarges .*{scale}"):
        RRDBNet(3, 3, scale, num_feat=4, num_block=1, num_grow_ch=2, unshuffle=unshuffle)


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
def test_a_fold_said_or_meant_is_one_network(scale):
    assert RRDBNetSpec(scale=scale, unshuffle=max(1, 4 // scale)) == RRDBNetSpec(scale=scale)
    assert RRDBNetSpec(scale=scale, num_feat=4, num_block=1).build().unshuffle == RRDBNetSpec(scale=scale).size_multiple


def test_an_unknown_activation_is_refused_by_name():
    with pytest.raises(ValueError, match="'gelu' is none of relu, prelu, leakyrelu"):
        SRVGGNetCompactSpec(act_type="gelu").build()


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_published_network_has_exactly_the_published_keys(model):
    (wanted,) = [keys for models, keys in PUBLISHED_KEYS.items() if model.name in models.split(", ")]
    with torch.device("meta"):
        state = model.network.build().state_dict()
    assert [(key, list(value.shape)) for key, value in state.items()] == list(wanted.items())


def multiply_adds_counted(spec: NetworkSpec) -> float:
    """Run the network without data, and add up what each convolution does, per pixel of the input."""
    total = 0

    def count(conv: nn.Conv2d, _: object, result: Tensor) -> None:
        nonlocal total
        total += conv.weight[0].numel() * result.numel()

    side = 16
    with torch.device("meta"):
        network = spec.build()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        network(torch.empty(1, spec.num_in_ch, side, side))
    return total / side**2


@pytest.mark.parametrize("spec", [*SMALL_SPECS, *{model.network: None for model in MODELS.values()}], ids=str)
def test_multiply_adds_are_those_the_convolutions_do(spec):
    assert spec.multiply_adds == multiply_adds_counted(spec)


def test_every_argument_of_a_spec_reaches_the_network():
    rrdbnet = RRDBNetSpec(num_in_ch=1, num_out_ch=2, scale=2, num_feat=5, num_block=3, num_grow_ch=4).build()
    assert (rrdbnet.conv_first.in_channels, rrdbnet.conv_last.out_channels, rrdbnet.scale) == (4, 2, 2)
    assert (rrdbnet.conv_body.in_channels, len(rrdbnet.body)) == (5, 3)
    assert len(RRDBNetSpec(1, 2, 2, 5, 3, 4, unshuffle=4, plus=True).build().upsamplings) == 3
    assert rrdbnet.body[0].rdb1.conv1.out_channels == 4
    srvgg = SRVGGNetCompactSpec(num_in_ch=1, num_out_ch=2, num_feat=5, num_conv=3, upscale=2, act_type="relu").build()
    assert (srvgg.body[0].in_channels, srvgg.body[-1].out_channels, srvgg.body[2].in_channels) == (1, 8, 5)
    assert [type(layer).__name__ for layer in srvgg.body] == ["Conv2d", "ReLU"] * 4 + ["Conv2d"]


# Mixed precision.

PRECISION_SPECS: list[NetworkSpec] = [RRDBNetSpec(num_feat=16, num_block=3, num_grow_ch=8)]
PRECISION_SPECS += [SRVGGNetCompactSpec(num_feat=16, num_conv=4, act_type=act) for act in ("prelu", "relu")]


@pytest.mark.parametrize("spec", PRECISION_SPECS, ids=str)
def test_mixed_precision_stays_nearer_to_fp32_than_bf16_throughout(spec):
    exact = with_random_weights(spec.build()).eval()
    mixed = cast_convolutions(copy.deepcopy(exact), torch.bfloat16)
    rounded = copy.deepcopy(exact).to(torch.bfloat16)
    x = random_picture(24, 24)
    with torch.no_grad():
        wanted, near, far = exact(x), mixed(x), rounded(x.to(torch.bfloat16)).float()
    assert near.dtype == torch.float32
    error, error_throughout = (near - wanted).square().mean().sqrt(), (far - wanted).square().mean().sqrt()
    assert 0 < error < 0.01 * wanted.std()
    assert error < error_throughout


@pytest.mark.parametrize("spec", PRECISION_SPECS, ids=str)
def test_casting_keeps_the_full_precision_layers_to_the_last_bit(spec):
    network = with_random_weights(spec.build())
    before = copy.deepcopy(network)
    cast_convolutions(network, torch.bfloat16)
    kept = {
        id(parameter)
        for layer in family_of(network).full_precision_layers(network, True)
        for parameter in layer.parameters()
    }
    assert 0 < len(kept) < len(list(network.parameters()))
    for (name, parameter), original in zip(network.named_parameters(), before.parameters(), strict=True):
        wanted = original if id(parameter) in kept else original.to(torch.bfloat16)
        assert parameter.dtype == wanted.dtype, name
        assert torch.equal(parameter, wanted), name


def test_casting_leaves_a_network_of_no_family_as_it_is():
    network = cast_convolutions(nn.Sequential(nn.Conv2d(3, 3, 3)), torch.bfloat16)
    assert network[0].weight.dtype == torch.float32


@pytest.mark.parametrize("spec", PRECISION_SPECS, ids=str)
def test_a_network_cast_as_a_whole_gives_that_type(spec):
    network = with_random_weights(spec.build()).to(torch.bfloat16)
    with torch.no_grad():
        assert network(random_picture(8, 8).to(torch.bfloat16)).dtype == torch.bfloat16


def test_what_was_measured_to_matter_keeps_full_precision():
    short, long = (RRDBNetSpec(num_feat=4, num_block=blocks, num_grow_ch=2).build() for blocks in (15, 16))
    for network, wanted in (
        (short, ["conv_first", "conv_body", "conv_last"]),
        (long, ["conv_first", "body.0", "body.15", "conv_body", "conv_last"]),
        (SRVGGNetCompactSpec(3, 3, 4, 4).build(), ["body.0", "body.1"]),
    ):
        kept = family_of(network).full_precision_layers(network, True)
        assert [name for name, layer in network.named_modules() if layer in kept] == wanted


def test_the_residual_stream_of_a_mixed_rrdbnet_is_fp32_and_its_convolutions_are_not():
    network = cast_convolutions(RRDBNetSpec(num_feat=4, num_block=2, num_grow_ch=2).build(), torch.bfloat16)
    blocks, convolutions = set(), set()
    for block in network.body.modules():
        seen = convolutions if isinstance(block, nn.Conv2d) else blocks
        block.register_forward_hook(lambda _, inputs, result, seen=seen: seen.update({inputs[0].dtype, result.dtype}))
    with torch.no_grad():
        network(random_picture(4, 4))
    assert (blocks, convolutions) == ({torch.float32}, {torch.bfloat16})
