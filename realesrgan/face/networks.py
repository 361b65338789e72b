"""The three networks of face restoration, loaded: one finds faces, one restores them, one says what in them is face."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..archs.gfpgan_arch import GFPGANv1Clean
from ..archs.parsenet_arch import ParseNet
from ..archs.retinaface_arch import RetinaFace
from ..arrays import Array, peak_of
from ..engine.device import Precision, choose_precision, is_out_of_memory
from ..errors import DeviceError, RealESRGANError
from ..weights.load import load_as
from .alignment import FACE_SIDE
from .detector import Face, FaceDetector

log = logging.getLogger(__name__)

BATCH = 4  # faces at a time: enough to keep a GPU busy, about 1 GB in fp32


@dataclass(frozen=True)
class FaceNetworks:
    """What face restoration is made of, as plain functions, so that it can be tested without the networks.

    `detect`: (H, W, 3) BGR of 8 or 16 bits → faces, the surest first. `restore`: (N, 3, 512, 512) RGB in [-1, 1] → the
    same shape and range. `parse`: the same input → (N, 19, 512, 512), the likeliest class of each pixel the largest.
    """

    detect: Callable[[Array], list[Face]]
    restore: Callable[[Tensor], Tensor]
    parse: Callable[[Tensor], Tensor]
    device: torch.device
    precision: Precision = Precision.FP32

    def restored(self, faces: Sequence[Array]) -> list[Array]:
        """(512, 512, 3) BGR faces → restored ones of the same depth."""
        results: list[Array] = []
        for batch in self._run(self.restore, faces):
            batch = (batch.float().clamp(-1, 1) + 1) / 2
            for face in batch.permute(0, 2, 3, 1).flip(3).cpu().numpy():
                depth = faces[len(results)].dtype
                results.append(np.rint(face * peak_of(depth)).astype(depth))
        return results

    def parsed(self, faces: Sequence[Array]) -> list[Array]:
        """(512, 512, 3) BGR faces → (512, 512) classes."""
        return [labels for batch in self._run(self.parse, faces) for labels in batch.argmax(1).cpu().numpy()]

    @torch.no_grad()
    def _run(self, network: Callable[[Tensor], Tensor], faces: Sequence[Array]) -> list[Tensor]:
        results = []
        waiting, size = list(faces), BATCH
        while waiting:
            try:
                result = network(_to_batch(waiting[:size], self.device))
                if not torch.isfinite(result).all():
                    raise RealESRGANError("a face network gives values that are not numbers; its weights are damaged")
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise DeviceError(f"{self.device} is out of memory even for one face; -g cpu has more") from error
                size //= 2
                continue
            results.append(result)
            waiting = waiting[size:]
        return results


class _Reduced:
    """A network that computes in `dtype`, and from the first overflow on in fp32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        self._network = network.to(dtype)
        self._dtype = dtype
        self._call = call

    def __call__(self, x: Tensor) -> Tensor:
        result = self._call(self._network, x.to(self._dtype)).float()
        if self._dtype != torch.float32 and not torch.isfinite(result).all():
            log.warning("%s overflowed on a face; faces are computed in fp32 from here on", self._dtype)
            self._network.float()
            self._dtype = torch.float32
            result = self._call(self._network, x)
        return result


def load_face_networks(
    gfpgan: Path,
    detector: Path,
    parser: Path,
    device: torch.device,
    *,
    channel_multiplier: int = 2,
    reduced: bool = False,
) -> FaceNetworks:
    """Load the three networks onto `device`.

    `reduced` allows less than fp32 where the device is good at it, for restoring and parsing. Faces are always found in
    fp32: in bfloat16 the landmarks of a face 250 pixels wide were up to 6 pixels off.

    Raises:
        WeightsError: a file cannot be read, or does not hold its network.
    """
    build_gfpgan = partial(
        GFPGANv1Clean,
        out_size=FACE_SIDE,
        channel_multiplier=channel_multiplier,
        fix_decoder=False,
        input_is_latent=True,
        different_w=True,
        sft_half=True,
    )
    restorer = _on(device, load_as(build_gfpgan, gfpgan, "GFPGAN's face restorer (arch 'clean')"))
    parsenet = _on(device, load_as(partial(ParseNet, in_size=FACE_SIDE, out_size=FACE_SIDE), parser, "ParseNet"))
    retinaface = _on(device, load_as(partial(RetinaFace, "resnet50"), detector, "RetinaFace on ResNet-50"))
    precision = choose_precision(device, reduced=reduced)
    return FaceNetworks(
        FaceDetector(retinaface, device),
        # The noise that comes with the weights, not new one each time as published: the same picture gives the same
        # result, and a face in a video does not flicker.
        _Reduced(restorer, precision.dtype, lambda net, x: net(x, return_rgb=False, randomize_noise=False)[0]),
        _Reduced(parsenet, precision.dtype, lambda net, x: net(x)[0]),
        device,
        precision,
    )


def _on(device: torch.device, network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # not the whole network: StyleGAN2's kernels have five dimensions
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def _to_batch(faces: Sequence[Array], device: torch.device) -> Tensor:
    """(512, 512, 3) BGR faces of any depth → (N, 3, 512, 512) RGB in [-1, 1]."""
    scaled = np.stack([face[..., ::-1].astype(np.float32) / peak_of(face.dtype) for face in faces])
    return (torch.from_numpy(scaled).to(device).permute(0, 3, 1, 2) - 0.5) / 0.5
