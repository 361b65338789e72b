"""What training minimises: pixel, perceptual and adversarial loss, with the published values. Knows no recipe or step.

Values in half precision are compared in full precision: a mean rounded to 16 bits would hide most progress.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..archs.vgg_arch import VGGFeatureExtractor

Reduction: TypeAlias = Literal["mean", "sum", "none"]
Criterion: TypeAlias = Literal["l1", "l2", "fro"]
GANType: TypeAlias = Literal["vanilla", "lsgan", "wgan", "wgan_softplus", "hinge"]


class PixelLoss(nn.Module):
    """The absolute difference of two pictures (L1), times `loss_weight`.

    Raises:
        ValueError: there is no such reduction.
    """

    def __init__(self, loss_weight: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check("reduction", reduction, get_args(Reduction))
        self.loss_weight = loss_weight
        self.reduction: Reduction = reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape → a number, or that shape for reduction "none"."""
        return self.loss_weight * F.l1_loss(_full(pred), _full(target), reduction=self.reduction)


class PerceptualLoss(nn.Module):
    """How far apart two pictures are in VGG19's features (Johnson et al., arXiv:1603.08155), and in their style.

    The style of a layer is its Gram matrix: how its features go together, wherever they are. Each loss is the sum over
    layers of `criterion` (mean absolute or squared difference, or Frobenius norm) times the layer's weight, times
    `perceptual_weight` or `style_weight`; where that weight is 0, it is not computed.

    Raises:
        ValueError: there is no such criterion, or `vgg` does not give one of the layers.
    """

    def __init__(
        self,
        layer_weights: Mapping[str, float],
        vgg: VGGFeatureExtractor,
        *,
        perceptual_weight: float = 1.0,
        style_weight: float = 0.0,
        criterion: Criterion = "l1",
    ) -> None:
        super().__init__()
        _check("criterion", criterion, _CRITERIA)
        for layer in layer_weights:
            _check("layer", layer, vgg.wanted.values())
        self.layer_weights = dict(layer_weights)
        self.vgg = vgg
        self.perceptual_weight = perceptual_weight
        self.style_weight = style_weight
        self.difference = _CRITERIA[criterion]

    def forward(self, pred: Tensor, target: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Two (N, 3, H, W) RGB in [0, 1] → the perceptual loss and the style loss; None for one that is not wanted."""
        with torch.no_grad():
            wanted = {layer: _full(feat) for layer, feat in self.vgg(target).items()}
        found = {layer: _full(feat) for layer, feat in self.vgg(pred).items()}
        perceptual = self._sum(found, wanted, self.perceptual_weight) if self.perceptual_weight > 0 else None
        if self.style_weight <= 0:
            return perceptual, None
        found, wanted = ({layer: gram(feat) for layer, feat in feats.items()} for feats in (found, wanted))
        return perceptual, self._sum(found, wanted, self.style_weight)

    def _sum(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], weight: float) -> Tensor:
        terms = [share * self.difference(found[layer], wanted[layer]) for layer, share in self.layer_weights.items()]
        return weight * torch.stack(terms).sum()


class GANLoss(nn.Module):
    """The adversarial loss of either side, from the discriminator's logits.

    - vanilla: cross entropy with the labels (Goodfellow et al., arXiv:1406.2661)
    - lsgan: squared distance from the labels (Mao et al., arXiv:1611.04076)
    - wgan: the mean of the logits (Arjovsky et al., arXiv:1701.07875)
    - wgan_softplus: the same, smoothly limited (StyleGAN2, arXiv:1912.04958)
    - hinge: logits past ±1 cost the discriminator nothing (Lim and Ye, arXiv:1705.02894)

    Labels count in the first two only. `loss_weight` is that of the generator's term; the discriminator's is 1.

    Raises:
        ValueError: there is no such type.
    """

    def __init__(
        self,
        gan_type: GANType,
        real_label_val: float = 1.0,
        fake_label_val: float = 0.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        _check("gan_type", gan_type, get_args(GANType))
        self.gan_type = gan_type
        self.real_label_val = real_label_val
        self.fake_label_val = fake_label_val
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target_is_real: bool, is_disc: bool = False) -> Tensor:
        """Logits of any shape → a number: how far they are from calling their pictures real, or fake.

        `is_disc` says that the discriminator learns from it. In the generator's step, `target_is_real` is True.
        """
        loss = self._loss(_full(logits), target_is_real, is_disc)
        return loss if is_disc else self.loss_weight * loss

    def _loss(self, logits: Tensor, target_is_real: bool, is_disc: bool) -> Tensor:
        label = torch.full_like(logits, self.real_label_val if target_is_real else self.fake_label_val)
        wrong = -logits if target_is_real else logits
        if self.gan_type == "vanilla":
            return F.binary_cross_entropy_with_logits(logits, label)
        if self.gan_type == "lsgan":
            return F.mse_loss(logits, label)
        if self.gan_type == "wgan":
            return wrong.mean()
        if self.gan_type == "wgan_softplus":
            return F.softplus(wrong).mean()
        return F.relu(1 + wrong).mean() if is_disc else -logits.mean()


def gram(feat: Tensor) -> Tensor:
    """(N, C, H, W) features → (N, C, C): the mean product of each two of them, divided by C once more."""
    flat = feat.flatten(2)
    with torch.autocast(feat.device.type, enabled=False):  # sums over a whole picture overflow half precision
        products: Tensor = flat @ flat.transpose(1, 2) / flat[0].numel()
    return products


def _frobenius(found: Tensor, wanted: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(found - wanted)
    return norm


_CRITERIA: dict[Criterion, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "fro": _frobenius,
}


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check(what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise ValueError(f"{what} {value}: there is {', '.join(known)}")
