"""The losses against values computed by hand, with nothing of the modules under test but VGG19's features."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from realesrgan.archs.vgg_arch import VGGFeatureExtractor
from realesrgan.training.losses import GANLoss, PerceptualLoss, PixelLoss, gram

LAYER_WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}


@pytest.fixture(scope="module")
def vgg() -> VGGFeatureExtractor:
    torch.manual_seed(0)
    return VGGFeatureExtractor(list(LAYER_WEIGHTS), widths=(3, 4, 5, 6, 7))


def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, 32, 48, generator=generator), torch.rand(2, 3, 32, 48, generator=generator)


# Pixels.


def test_the_pixel_loss_is_the_mean_absolute_difference_times_its_weight():
    pred, target = torch.tensor([0.0, 0.5, 1.0, 0.25]), torch.tensor([1.0, 0.5, 0.5, 0.5])
    assert PixelLoss()(pred, target).item() == pytest.approx(1.75 / 4)
    assert PixelLoss(2.0)(pred, target).item() == pytest.approx(1.75 / 2)
    assert PixelLoss(0.1, "sum")(pred, target).item() == pytest.approx(0.175)
    assert PixelLoss(10, "none")(pred, target).tolist() == [10, 0, 5, 2.5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_are_summed_in_full(dtype):
    pred, target = torch.linspace(0, 1, 101, dtype=dtype), torch.zeros(101, dtype=dtype)
    for found, wanted in (
        (PixelLoss()(pred, target), pred.double().mean()),
        (GANLoss("wgan")(pred, False), pred.double().mean()),
        (GANLoss("lsgan")(pred, False), pred.double().square().mean()),
    ):
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(wanted.item(), rel=1e-6)


# Features.


def differences(criterion: str, found: Tensor, wanted: Tensor) -> float:
    difference = (found - wanted).double()
    if criterion == "l1":
        return difference.abs().mean().item()
    mean_square = difference.square().mean().item()
    return mean_square if criterion == "l2" else math.sqrt(mean_square * difference.numel())


def gram_by_hand(feat: Tensor) -> Tensor:
    _, channels, height, width = feat.shape
    return torch.einsum("nchw,ndhw->ncd", feat.double(), feat.double()) / (channels * height * width)


@pytest.mark.parametrize("criterion", ["l1", "l2", "fro"])
def test_the_perceptual_loss_is_the_weighted_sum_over_layers(vgg, criterion):
    pred, target = pictures()
    loss = PerceptualLoss(LAYER_WEIGHTS, vgg, perceptual_weight=0.7, style_weight=0.3, criterion=criterion)
    perceptual, style = loss(pred, target)
    found, wanted = vgg(pred), vgg(target)
    assert perceptual.item() == pytest.approx(
        0.7 * sum(share * differences(criterion, found[at], wanted[at]) for at, share in LAYER_WEIGHTS.items()),
        rel=1e-5,
    )
    grams = {at: (gram_by_hand(found[at]), gram_by_hand(wanted[at])) for at in LAYER_WEIGHTS}
    assert style.item() == pytest.approx(
        0.3 * sum(share * differences(criterion, *grams[at]) for at, share in LAYER_WEIGHTS.items()), rel=1e-4
    )


def test_what_has_no_weight_is_not_computed(vgg, monkeypatch):
    pred, target = pictures()
    assert PerceptualLoss(LAYER_WEIGHTS, vgg, perceptual_weight=0)(pred, target) == (None, None)
    monkeypatch.setattr("realesrgan.training.losses.gram", None)
    perceptual, style = PerceptualLoss(LAYER_WEIGHTS, vgg)(pred, target)
    assert perceptual.item() > 0
    assert style is None


def test_a_picture_is_at_no_distance_from_itself(vgg):
    picture, _ = pictures()
    assert [loss.item() for loss in PerceptualLoss(LAYER_WEIGHTS, vgg, style_weight=1)(picture, picture)] == [0, 0]


def test_the_perceptual_gradient_goes_to_the_prediction_only(vgg):
    pred, target = (picture.requires_grad_() for picture in pictures())
    perceptual, _ = PerceptualLoss(LAYER_WEIGHTS, vgg)(pred, target)
    perceptual.backward()
    assert pred.grad.abs().max() > 0
    assert target.grad is None


def test_the_gram_matrix_does_not_overflow_half_precision():
    feat = torch.full((1, 2, 64, 64), 200.0)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(gram(feat), torch.full((1, 2, 2), 20_000.0))


# Logits.

LOGITS = [-2.0, -0.5, 0.25, 3.0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def cross_entropy(label: float) -> float:
    return mean([-label * math.log(sigmoid(x)) - (1 - label) * math.log(1 - sigmoid(x)) for x in LOGITS])


# Type: for real and for fake pictures, to the discriminator, with labels 0.9 and 0.2.
BY_HAND = {
    "vanilla": (cross_entropy(0.9), cross_entropy(0.2)),
    "lsgan": (mean([(x - 0.9) ** 2 for x in LOGITS]), mean([(x - 0.2) ** 2 for x in LOGITS])),
    "wgan": (-mean(LOGITS), mean(LOGITS)),
    "wgan_softplus": (
        mean([math.log(1 + math.exp(-x)) for x in LOGITS]),
        mean([math.log(1 + math.exp(x)) for x in LOGITS]),
    ),
    "hinge": (mean([max(0.0, 1 - x) for x in LOGITS]), mean([max(0.0, 1 + x) for x in LOGITS])),
}


@pytest.mark.parametrize("gan_type", BY_HAND)
def test_the_discriminators_loss_has_weight_one(gan_type):
    loss = GANLoss(gan_type, real_label_val=0.9, fake_label_val=0.2, loss_weight=0.1)
    logits = torch.tensor(LOGITS).view(1, 1, 2, 2)
    for is_real, wanted in zip((True, False), BY_HAND[gan_type], strict=True):
        assert loss(logits, is_real, is_disc=True).item() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("gan_type", BY_HAND)
def test_the_generators_loss_has_the_weight_given(gan_type):
    loss = GANLoss(gan_type, real_label_val=0.9, fake_label_val=0.2, loss_weight=0.1)
    wanted = -mean(LOGITS) if gan_type == "hinge" else BY_HAND[gan_type][0]
    assert loss(torch.tensor(LOGITS), True).item() == pytest.approx(0.1 * wanted, rel=1e-6)


@pytest.mark.parametrize("gan_type", BY_HAND)
def test_every_type_rewards_a_generator_for_larger_logits(gan_type):
    logits = torch.tensor(LOGITS).clamp(max=0.8).requires_grad_()  # squares turn beyond the label
    GANLoss(gan_type)(logits, True).backward()
    assert (logits.grad < 0).all()


@pytest.mark.parametrize("number", [-200.0, 200.0])
def test_sure_logits_give_finite_losses(number):
    for gan_type in BY_HAND:
        for is_real in (True, False):
            assert GANLoss(gan_type)(torch.tensor([number]), is_real).isfinite()


# Refusals.


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda vgg: PixelLoss(reduction="average"), "reduction average: there is mean, sum, none"),
        (lambda vgg: GANLoss("wgan_gp"), "gan_type wgan_gp: there is vanilla, lsgan, wgan, wgan_softplus, hinge"),
        (lambda vgg: PerceptualLoss({"conv1_2": 1}, vgg, criterion="l3"), "criterion l3: there is l1, l2, fro"),
        (lambda vgg: PerceptualLoss({"conv1_1": 1}, vgg), "layer conv1_1: there is conv1_2, conv2_2"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(vgg, build, message):
    with pytest.raises(ValueError, match=message):
        build(vgg)
