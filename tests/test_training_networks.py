"""The networks only training needs, against independent formulas and the published names and shapes."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realesrgan.archs.discriminator_arch import SpectralNormConv2d, UNetDiscriminatorSN
from realesrgan.archs.meta_network import meta_network
from realesrgan.archs.vgg_arch import VGGFeatureExtractor

# Convolution: channels out and in, kernel size; of the published discriminator with 64 features.
PUBLISHED_DISCRIMINATOR = {
    "conv0": (64, 3, 3),
    "conv1": (128, 64, 4),
    "conv2": (256, 128, 4),
    "conv3": (512, 256, 4),
    "conv4": (256, 512, 3),
    "conv5": (128, 256, 3),
    "conv6": (64, 128, 3),
    "conv7": (64, 64, 3),
    "conv8": (64, 64, 3),
    "conv9": (1, 64, 3),
}
# Layer: its place in torchvision's `features`, channels out and in.
PUBLISHED_VGG19 = {
    "conv1_1": (0, 64, 3),
    "conv1_2": (2, 64, 64),
    "conv2_1": (5, 128, 64),
    "conv2_2": (7, 128, 128),
    "conv3_1": (10, 256, 128),
    "conv3_2": (12, 256, 256),
    "conv3_3": (14, 256, 256),
    "conv3_4": (16, 256, 256),
    "conv4_1": (19, 512, 256),
    "conv4_2": (21, 512, 512),
    "conv4_3": (23, 512, 512),
    "conv4_4": (25, 512, 512),
    "conv5_1": (28, 512, 512),
    "conv5_2": (30, 512, 512),
    "conv5_3": (32, 512, 512),
    "conv5_4": (34, 512, 512),
}
TINY = (4, 5, 6, 7, 8)
PERCEPTUAL_LAYERS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def random_picture(height: int, width: int) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def tiny_discriminator(*, skip_connection: bool = True) -> UNetDiscriminatorSN:
    torch.manual_seed(0)
    network = UNetDiscriminatorSN(3, 4, skip_connection)
    for _ in range(5):  # at first the singular vectors are random, and the norm they give is tiny
        network(random_picture(8, 8))
    return network


# The discriminator.


def test_the_discriminator_has_the_published_tensors():
    wanted: dict[str, tuple[int, ...]] = {}
    for name, (out, into, size) in PUBLISHED_DISCRIMINATOR.items():
        if name in ("conv0", "conv9"):
            wanted |= {f"{name}.weight": (out, into, size, size), f"{name}.bias": (out,)}
        else:
            wanted[f"{name}.weight_orig"] = (out, into, size, size)
            wanted |= {f"{name}.weight_u": (out,), f"{name}.weight_v": (into * size * size,)}
    assert shapes(UNetDiscriminatorSN()) == wanted


def test_the_optimiser_sees_kernels_and_no_singular_vectors():
    names = {name for name, _ in tiny_discriminator().named_parameters()}
    assert names == {"conv0.weight", "conv0.bias", "conv9.weight", "conv9.bias"} | {
        f"conv{i}.weight_orig" for i in range(1, 9)
    }


def judged(state: Mapping[str, Tensor], x: Tensor, skip: bool) -> Tensor:
    """The published formula in evaluation mode, with the norm taken from the stored singular vectors."""

    def conv(i: int, x: Tensor, stride: int = 1) -> Tensor:
        kernel = state[f"conv{i}.weight_orig"]
        norm = torch.einsum("o,oi,i", state[f"conv{i}.weight_u"], kernel.flatten(1), state[f"conv{i}.weight_v"])
        y = F.conv2d(x, kernel, stride=stride, padding=1) / norm
        return torch.maximum(y, 0.2 * y)

    def twice(x: Tensor) -> Tensor:
        return F.interpolate(x, size=[2 * side for side in x.shape[2:]], mode="bilinear", align_corners=False)

    x0 = F.conv2d(x, state["conv0.weight"], state["conv0.bias"], padding=1)
    x0 = torch.maximum(x0, 0.2 * x0)
    x1 = conv(1, x0, stride=2)
    x2 = conv(2, x1, stride=2)
    x3 = conv(3, x2, stride=2)
    x4 = conv(4, twice(x3)) + skip * x2
    x5 = conv(5, twice(x4)) + skip * x1
    x6 = conv(6, twice(x5)) + skip * x0
    return F.conv2d(conv(8, conv(7, x6)), state["conv9.weight"], state["conv9.bias"], padding=1)


@pytest.mark.parametrize("skip", [True, False])
def test_the_discriminator_computes_the_published_formula(skip):
    network = tiny_discriminator(skip_connection=skip).eval()
    x = random_picture(16, 24)
    with torch.no_grad():
        torch.testing.assert_close(network(x), judged(network.state_dict(), x, skip))


def test_one_judgement_a_pixel():
    assert tiny_discriminator()(random_picture(16, 24)).shape == (2, 1, 16, 24)


def test_with_training_the_norm_becomes_the_largest_singular_value():
    torch.manual_seed(0)
    conv = SpectralNormConv2d(3, 6, 3)
    for _ in range(200):
        conv(torch.zeros(1, 3, 4, 4))
    largest = torch.linalg.matrix_norm(conv.weight_orig.flatten(1), 2)
    torch.testing.assert_close(conv.normalised_weight() * largest, conv.weight_orig)


def test_a_training_pass_makes_one_power_iteration_and_an_evaluating_one_none():
    torch.manual_seed(0)
    conv = SpectralNormConv2d(3, 6, 3)
    matrix, u = conv.weight_orig.flatten(1).detach(), conv.weight_u.clone()
    v = matrix.T @ u
    u = matrix @ v
    conv(torch.zeros(1, 3, 4, 4))
    torch.testing.assert_close(conv.weight_v, v / v.norm())
    torch.testing.assert_close(conv.weight_u, u / u.norm())
    before = copy.deepcopy(conv.state_dict())
    conv.eval()(torch.zeros(1, 3, 4, 4))
    assert all(torch.equal(conv.state_dict()[key], before[key]) for key in before)


def test_the_gradient_of_two_passes_is_the_sum_of_each_one_s():
    def gradient(use_first: bool, use_second: bool) -> Tensor:
        network = tiny_discriminator()
        first, second = network(random_picture(16, 16)), network(1 - random_picture(16, 16))
        (use_first * first.square().mean() + use_second * second.square().mean()).backward()
        return network.conv4.weight_orig.grad

    torch.testing.assert_close(gradient(True, True), gradient(True, False) + gradient(False, True))


@pytest.mark.filterwarnings("ignore")  # it is going to be deprecated
def test_start_step_and_gradient_are_those_of_torchs_older_spectral_norm():
    results = []
    for build in (
        lambda: SpectralNormConv2d(3, 6, 4, stride=2),
        lambda: nn.utils.spectral_norm(nn.Conv2d(3, 6, 4, 2, 1, bias=False)),
    ):
        torch.manual_seed(3)
        conv = build()
        y = conv(random_picture(8, 8))
        y.square().sum().backward()
        results.append([y, conv.weight_orig.grad, conv.weight_u, conv.weight_v])
    for ours, older in zip(*results, strict=True):
        torch.testing.assert_close(ours, older)


def test_the_norm_keeps_full_precision_where_layers_compute_in_half():
    network = tiny_discriminator()
    full, half = network.conv1, copy.deepcopy(network.conv1)
    wanted = full.normalised_weight()
    with torch.autocast("cpu", torch.bfloat16):
        found = half.normalised_weight()
    assert torch.equal(found, wanted)
    assert torch.equal(half.weight_u, full.weight_u)


# VGG19.


def test_vgg19_has_torchvisions_tensors():
    wanted: dict[str, tuple[int, ...]] = {}
    for place, out, into in PUBLISHED_VGG19.values():
        wanted |= {f"features.{place}.weight": (out, into, 3, 3), f"features.{place}.bias": (out,)}
    assert shapes(meta_network(lambda: VGGFeatureExtractor(["conv1_2"]))) == wanted


def features_by_hand(network: VGGFeatureExtractor, x: Tensor) -> dict[str, Tensor]:
    """What each of the 16 convolutions gives, before its ReLU."""
    state, found = network.state_dict(), {}
    for layer, (place, _, _) in PUBLISHED_VGG19.items():
        if layer.endswith("_1") and layer != "conv1_1":
            x = F.max_pool2d(x, 2)
        key = f"features.{place}"
        found[layer] = F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], padding=1)
        x = found[layer].clamp(min=0)
    return found


def tiny_vgg(layers=PERCEPTUAL_LAYERS, **options) -> VGGFeatureExtractor:
    torch.manual_seed(0)
    return VGGFeatureExtractor(layers, widths=TINY, **options)


def imagenet(x: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((x.movedim(1, 3) - mean) / std).movedim(3, 1)


@pytest.mark.parametrize("layers", [PERCEPTUAL_LAYERS, ("conv3_2",), tuple(PUBLISHED_VGG19)])
def test_features_are_what_the_convolutions_give_before_relu(layers):
    network = tiny_vgg(layers)
    x = random_picture(32, 48)
    found, wanted = network(x), features_by_hand(network, imagenet(x))
    assert list(found) == list(layers)
    for layer in layers:
        torch.testing.assert_close(found[layer], wanted[layer])
        assert found[layer].min() < 0


@pytest.mark.parametrize(
    ("options", "prepared"),
    [
        ({"use_input_norm": False}, lambda x: x),
        ({"use_input_norm": False, "range_norm": True}, lambda x: (x + 1) / 2),
        ({"use_input_norm": True, "range_norm": True}, lambda x: imagenet((x + 1) / 2)),
    ],
)
def test_pictures_are_brought_to_the_range_asked_for(options, prepared):
    network = tiny_vgg(["conv2_2"], **options)
    x = random_picture(16, 16)
    torch.testing.assert_close(network(x)["conv2_2"], features_by_hand(network, prepared(x))["conv2_2"])


def test_relu_and_pooling_layers_have_names_too():
    network = tiny_vgg(["conv1_2", "relu1_2", "pool1"])
    found = network(random_picture(16, 16))
    torch.testing.assert_close(found["relu1_2"], found["conv1_2"].clamp(min=0))
    torch.testing.assert_close(found["pool1"], F.max_pool2d(found["relu1_2"], 2))


def test_vgg19_passes_gradients_on_and_takes_none():
    network = tiny_vgg()
    x = random_picture(32, 32).requires_grad_()
    sum(feat.square().mean() for feat in network(x).values()).backward()
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_nothing_past_the_last_wanted_layer_is_computed():
    network = tiny_vgg(["conv1_2"])
    assert network(random_picture(2, 2))["conv1_2"].shape == (2, 4, 2, 2)  # too small for a fifth of the poolings


def test_a_layer_vgg19_does_not_have_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no layer conv3_5; its layers are conv1_1, relu1_1, .*conv3_4"):
        tiny_vgg(["conv1_2", "conv3_5"])
