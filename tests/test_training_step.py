"""One step of each stage is what the paper says, computed here in plain code; parts of a batch equal the whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_srvgg
from torch import Tensor, nn

from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN
from realesrgan.archs.vgg_arch import VGGFeatureExtractor
from realesrgan.training.datasets import Batch
from realesrgan.training.ema import MovingAverage
from realesrgan.training.losses import GANLoss, PerceptualLoss, PixelLoss
from realesrgan.training.machine import Machine
from realesrgan.training.step import Losses, Student, Targets, stage1_step, stage2_step

LAYER = "conv2_2"


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine("cpu")


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random_batch(count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    low, target, sharpened = (torch.rand(count, 3, side, side, generator=generator) for side in (4, 16, 16))
    return Batch(low, target, sharpened, list(range(count)))


def parts_of(batch: Batch, sizes: Sequence[int]) -> list[Batch]:
    tensors = zip(*(tensor.split(sizes) for tensor in (batch.low, batch.target, batch.sharpened)), strict=True)
    return [Batch(*three, numbers=[]) for three in tensors]


def networks() -> tuple[nn.Module, nn.Module, PerceptualLoss]:
    generator = tiny_srvgg().double().requires_grad_(True).train()
    torch.manual_seed(1)
    discriminator = UNetDiscriminatorSN(3, num_feat=4)
    features = VGGFeatureExtractor([LAYER], widths=(4, 4, 4, 4, 4))
    return generator, discriminator, PerceptualLoss({LAYER: 0.7}, features)


def students(*networks: nn.Module) -> list[Student]:
    optimizer = partial(torch.optim.Adam, lr=1e-3, betas=(0.9, 0.99))
    return [Student(network, optimizer(network.parameters())) for network in networks]


def tensors(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def assert_close(found: nn.Module, expected: nn.Module, tolerance: float = 1e-9) -> None:
    for key, value in expected.state_dict().items():
        assert torch.allclose(found.state_dict()[key], value, atol=tolerance), key


def same(network: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("sizes", [[4], [2, 2], [1, 3]])
@pytest.mark.parametrize("towards_sharpened", [True, False])
def test_stage_1_minimises_l1_to_its_target(machine: Machine, towards_sharpened: bool, sizes: list[int]) -> None:
    network, _, _ = networks()
    reference, average = copy.deepcopy(network), MovingAverage(network, 0.9)
    batch = random_batch()
    (student,) = students(network)
    (expected,) = students(reference)

    goal = batch.sharpened if towards_sharpened else batch.target
    loss = (reference(batch.low) - goal).abs().mean()
    loss.backward()
    expected.optimizer.step()

    targets = Targets(pixel_sharpened=towards_sharpened)
    sums = stage1_step(machine, student, average, Losses(PixelLoss()), targets, parts_of(batch, sizes))
    assert sums.read() == pytest.approx({"l_pix": float(loss.detach())}, abs=1e-6)
    assert_close(network, reference)
    begun = tiny_srvgg().double()
    for averaged, start, now in zip(
        average.network.parameters(), begun.parameters(), network.parameters(), strict=True
    ):
        assert torch.allclose(averaged, 0.9 * start + 0.1 * now.detach())


def expected_stage_2(
    generator: Student, discriminator: Student, perceptual: PerceptualLoss, batch: Batch, gan_weight: float
) -> dict[str, float]:
    """The step of the paper, in plain code; the discriminator sees three batches."""
    bce = F.binary_cross_entropy_with_logits
    output = generator.network(batch.low)
    pixel = F.l1_loss(output, batch.sharpened)
    content = perceptual(output, batch.sharpened)[0]
    assert content is not None
    verdict = discriminator.network(output)
    deceived = gan_weight * bce(verdict, torch.ones_like(verdict))
    gradients = torch.autograd.grad(pixel + content + deceived, list(generator.network.parameters()))
    for parameter, gradient in zip(generator.network.parameters(), gradients, strict=True):
        parameter.grad = gradient
    generator.optimizer.step()

    discriminator.optimizer.zero_grad()
    real = discriminator.network(batch.target)
    real_loss = bce(real, torch.ones_like(real))
    real_loss.backward()
    fake = discriminator.network(output.detach())
    fake_loss = bce(fake, torch.zeros_like(fake))
    fake_loss.backward()
    discriminator.optimizer.step()
    values = {
        "l_g_pix": pixel,
        "l_g_percep": content,
        "l_g_gan": deceived,
        "l_d_real": real_loss,
        "l_d_fake": fake_loss,
    }
    values |= {"out_d_real": real.mean(), "out_d_fake": fake.mean()}
    return {name: float(value.detach()) for name, value in values.items()}


@pytest.mark.parametrize("sizes", [[4], [2, 2], [3, 1]])
def test_stage_2_trains_the_generator_and_then_the_discriminator(machine: Machine, sizes: list[int]) -> None:
    generator, discriminator, perceptual = networks()
    average = MovingAverage(generator, 0.9)
    expected = students(copy.deepcopy(generator), copy.deepcopy(discriminator))
    found = students(generator, discriminator)
    losses = Losses(PixelLoss(), perceptual, GANLoss("vanilla", loss_weight=0.1))
    for _ in range(2):
        values = expected_stage_2(expected[0], expected[1], perceptual, random_batch(), 0.1)
        sums = stage2_step(machine, *found, average, losses, Targets(), parts_of(random_batch(), sizes))
        assert sums.read() == pytest.approx(values, abs=1e-6)
        assert_close(generator, expected[0].network)
        assert_close(discriminator, expected[1].network)


def test_the_generator_rests_where_only_the_discriminator_learns(machine: Machine) -> None:
    generator, discriminator, _ = networks()
    before = tensors(generator), tensors(discriminator)
    average = MovingAverage(generator, 0.5)
    losses = Losses(PixelLoss(), None, GANLoss("vanilla"))
    sums = stage2_step(
        machine,
        *students(generator, discriminator),
        average,
        losses,
        Targets(),
        [random_batch()],
        generator_learns=False,
    )
    assert same(generator, before[0])
    assert not same(discriminator, before[1])
    assert set(sums.read()) == {"l_d_real", "l_d_fake", "out_d_real", "out_d_fake"}


def test_neither_step_leaves_gradients_in_the_other_network(machine: Machine) -> None:
    generator, discriminator, _ = networks()
    losses = Losses(PixelLoss(), None, GANLoss("vanilla"))
    seen: list[tuple[bool, bool]] = []

    class Watching(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            has = [any(p.grad is not None for p in network.parameters()) for network in (generator, discriminator)]
            seen.append((has[0], has[1]))

    found = [Student(network, Watching(network.parameters(), lr=0.1)) for network in (generator, discriminator)]
    before = tensors(discriminator)
    stage2_step(machine, *found, MovingAverage(generator, 0.5), losses, Targets(), [random_batch()])
    assert seen == [(True, False), (True, True)]
    weights = {key: value for key, value in before.items() if not key.endswith(("_u", "_v"))}
    assert all(torch.equal(discriminator.state_dict()[key], value) for key, value in weights.items())


@pytest.mark.parametrize("which", ["pixel_sharpened", "perceptual_sharpened", "gan_sharpened"])
def test_each_loss_takes_the_target_it_is_told(machine: Machine, which: str) -> None:
    batch = random_batch()
    logged = {}
    for sharpened in (True, False):
        generator, discriminator, perceptual = networks()
        choice = {"pixel_sharpened": True, "perceptual_sharpened": True, "gan_sharpened": True, which: sharpened}
        losses = Losses(PixelLoss(), perceptual, GANLoss("vanilla"))
        sums = stage2_step(
            machine,
            *students(generator, discriminator),
            MovingAverage(generator, 0.9),
            losses,
            Targets(**choice),
            [batch],
        )
        logged[sharpened] = sums.read()
    changed = {name for name, value in logged[True].items() if value != pytest.approx(logged[False][name], abs=1e-12)}
    touched = {
        "pixel_sharpened": {"l_g_pix"},
        "perceptual_sharpened": {"l_g_percep"},
        "gan_sharpened": {"l_d_real", "out_d_real"},
    }
    assert changed == touched[which]


def test_mixed_precision_stays_near_full_precision() -> None:
    torch.set_default_dtype(torch.float32)
    logged = []
    for precision in ("fp32", "bf16"):
        machine = Machine("cpu", precision=precision)  # type: ignore[arg-type]
        network = tiny_srvgg().requires_grad_(True).train()
        batch = random_batch()
        batch = Batch(batch.low.float(), batch.target.float(), batch.sharpened.float(), batch.numbers)
        (student,) = students(network)
        sums = stage1_step(machine, student, MovingAverage(network, 0.9), Losses(PixelLoss()), Targets(), [batch])
        logged.append(sums.read()["l_pix"])
    assert logged[0] != logged[1]
    assert logged[0] == pytest.approx(logged[1], rel=0.02)
