"""Load and run the three networks of face restoration: one finds faces, one restores and one segments them."""

from __future__ import annotations

import copy
import logging
import threading
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
from ..engine.device import Precision, choose_precision, is_out_of_memory, out_of_memory
from ..errors import RealESRGANError, WeightsError
from ..weights.load import load_as
from .alignment import FACE_SIDE
from .detector import Face, FaceDetector

log = logging.getLogger(__name__)

BATCH = 4  # faces at a time: enough to keep a GPU busy; about 1 GB in fp32


@dataclass(frozen=True)
class FaceNetworks:
    """The three networks as plain functions, so that the code around them can be tested without weights.

    `detect`: (H, W, 3) BGR of 8 or 16 bits → faces, the most confident first. `restore`: (N, 3, 512, 512) RGB in
    [-1, 1] → the same shape and range. `parse`: the same input → (N, 19, 512, 512) scores of each pixel's classes.
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
                    raise RealESRGANError("a face network's output is not finite; its weights are damaged")
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise out_of_memory(self.device, "one face") from error
                size //= 2
                continue
            results.append(result)
            waiting = waiting[size:]
        return results


class ReducedNetwork:
    """A network that computes in a reduced type and, after the first overflow, in fp32 with its exact weights.

    Workers on one device share it: the reduced network is not cast back, since another worker may be running it.

    Args:
        load: loads the network in fp32; called again after an overflow.
        call: runs a network on a batch of the network's type.
    """

    def __init__(
        self, load: Callable[[], nn.Module], dtype: torch.dtype, call: Callable[[nn.Module, Tensor], Tensor]
    ) -> None:
        self._load = load
        self._call = call
        self._current = load().to(dtype), dtype
        self._replacing = threading.Lock()

    def __call__(self, x: Tensor) -> Tensor:
        """The result for (N, 3, H, W) fp32, in fp32."""
        network, dtype = self._current
        result = self._call(network, x.to(dtype)).float()
        if dtype != torch.float32 and not torch.isfinite(result).all():
            result = self._call(self._exact(), x)
        return result

    def _exact(self) -> nn.Module:
        with self._replacing:
            network, dtype = self._current
            if dtype != torch.float32:
                log.warning("%s overflowed on a face; faces are computed in fp32 from here on", dtype)
                try:
                    network = self._load()
                except WeightsError:  # the file is gone; the rounded weights will do
                    network = copy.deepcopy(network).float()
                self._current = network, torch.float32
            return network


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

    `reduced` allows less than fp32 for restoring and parsing, where that is faster. Faces are always found in fp32: in
    bfloat16, the landmarks of a face 250 pixels wide were up to 6 pixels off.

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
    build_parsenet = partial(ParseNet, in_size=FACE_SIDE, out_size=FACE_SIDE)

    def load_restorer() -> nn.Module:
        return _on(device, load_as(build_gfpgan, gfpgan, "GFPGAN's face restorer (arch 'clean')"))

    def load_parsenet() -> nn.Module:
        return _on(device, load_as(build_parsenet, parser, "ParseNet"))

    def restore(network: nn.Module, faces: Tensor) -> Tensor:
        # With the noise stored in the weights, not fresh noise as published: the same picture gives the same result,
        # and faces in a video do not flicker.
        restored: Tensor = network(faces, return_rgb=False, randomize_noise=False)[0]
        return restored

    precision = choose_precision(device, reduced=reduced)
    restorer = ReducedNetwork(load_restorer, precision.dtype, restore)
    parsenet = ReducedNetwork(load_parsenet, precision.dtype, lambda network, faces: network(faces)[0])
    retinaface = _on(device, load_as(partial(RetinaFace, "resnet50"), detector, "RetinaFace on ResNet-50"))
    return FaceNetworks(FaceDetector(retinaface, device), restorer, parsenet, device, precision)


def _on(device: torch.device, network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # not all layers: StyleGAN2's kernels have five dimensions
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device)


def _to_batch(faces: Sequence[Array], device: torch.device) -> Tensor:
    """(512, 512, 3) BGR faces of any depth → (N, 3, 512, 512) RGB in [-1, 1]."""
    scaled = np.stack([face[..., ::-1].astype(np.float32) / peak_of(face.dtype) for face in faces])
    return (torch.from_numpy(scaled).to(device).permute(0, 3, 1, 2) - 0.5) / 0.5
