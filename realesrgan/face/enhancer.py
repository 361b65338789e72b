"""GFPGANer: restores the faces of a picture and pastes them onto its background, under the published interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from .. import arrays
from ..arrays import Array
from ..engine.device import as_device
from ..errors import UsageError
from ..model_zoo import FACE_DETECTOR, FACE_MODELS, FACE_PARSER
from ..weights.download import Report
from ..weights.store import local_file, obtain
from .alignment import FACE_SIDE, back_into, cut_out, into_frame, paste, soft_mask
from .detector import Face
from .networks import FaceNetworks, load_face_networks


class BackgroundUpsampler(Protocol):
    """What enlarges the background: a RealESRGANer, this project's or the published one."""

    def enhance(self, img: Array, outscale: Any = None) -> tuple[Array, Any]: ...


@dataclass(frozen=True)
class RestoredFace:
    """A face before and after, (512, 512, 3) BGR in the picture's depth, with its place in the picture and the
    transform that cut it out."""

    found: Face
    cropped: Array
    restored: Array
    matrix: Array


class GFPGANer:
    """Restores faces with GFPGAN (Wang et al., arXiv:2101.04061).

    Args:
        model_path: GFPGANv1.3.pth or GFPGANv1.4.pth, or the https address of one.
        upscale: how many times larger the result is than the picture.
        arch: only "clean", the architecture of the versions from 1.2 on.
        channel_multiplier: of the StyleGAN2 decoder; the published weights have 2.
        bg_upsampler: enlarges everything but the faces; None uses Lanczos interpolation.
        device: where to compute; by default the best there is.
        half: allow less than fp32 where that is faster: fp16 on CUDA, bf16 on CPUs that have it.
        networks: loaded ones, to use instead of `model_path` and the published detector and parser.

    Raises:
        WeightsError: weights cannot be found, fetched or read, or do not fit.
        UsageError: `arch` is not "clean".
    """

    def __init__(
        self,
        model_path: str | Path,
        upscale: float = 2,
        arch: str = "clean",
        channel_multiplier: int = 2,
        bg_upsampler: BackgroundUpsampler | None = None,
        device: torch.device | str | None = None,
        *,
        half: bool = False,
        networks: FaceNetworks | None = None,
    ) -> None:
        if arch != "clean":
            raise UsageError(f"arch={arch!r}: only 'clean' is supported, the architecture of GFPGANv1.3 and 1.4")
        self.upscale = upscale
        self.bg_upsampler = bg_upsampler
        if networks is None:
            detector, parser = (found.path for found in obtain([FACE_DETECTOR, FACE_PARSER]))
            networks = load_face_networks(
                local_file(model_path),
                detector,
                parser,
                as_device(device),
                channel_multiplier=channel_multiplier,
                reduced=half,
            )
        self.networks = networks
        self.device = networks.device

    def enhance(
        self,
        img: Array,
        has_aligned: bool = False,
        only_center_face: bool = False,
        paste_back: bool = True,
        weight: float = 0.5,
    ) -> tuple[list[Array], list[Array], Array | None]:
        """Restore the faces of one picture.

        Args:
            img: as OpenCV reads it: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16.
            has_aligned: `img` is one face, upright and framed as GFPGAN expects it.
            only_center_face: restore only the face nearest to the middle.
            paste_back: also return the whole picture.
            weight: ignored, as published for this architecture.

        Returns:
            The faces as cut out and as restored, each (512, 512, 3) BGR, the most confident first; and the picture,
            enlarged `upscale` times with the restored faces in it, in the layout and depth of `img`, or None.
        """
        if has_aligned:
            cropped = [cv2.resize(_bgr(img), (FACE_SIDE, FACE_SIDE))]
            return cropped, self.networks.restored(cropped), None
        faces = self.restore_faces(img, only_center_face=only_center_face)
        before, after = [face.cropped for face in faces], [face.restored for face in faces]
        return before, after, self.paste_faces(self._background(img), faces, self.upscale) if paste_back else None

    def restore_faces(self, img: Array, *, only_center_face: bool = False) -> list[RestoredFace]:
        """Find, cut out and restore the faces of `img`, without pasting them; the most confident comes first."""
        bgr = _bgr(img)
        found = self.networks.detect(bgr)
        if only_center_face and found:
            middle = (img.shape[1] / 2, img.shape[0] / 2)
            found = [min(found, key=lambda face: float(np.linalg.norm(face.centre - middle)))]
        placed = [(face, matrix) for face in found if (matrix := into_frame(face.landmarks)) is not None]
        cropped = [cut_out(bgr, matrix) for _, matrix in placed]
        restored = self.networks.restored(cropped)
        rows = zip(placed, cropped, restored, strict=True)
        return [RestoredFace(face, before, after, matrix) for (face, matrix), before, after in rows]

    def paste_faces(
        self, background: Array, faces: Sequence[RestoredFace], upscale: float, share: float = 1.0
    ) -> Array:
        """Paste `faces` into `background`, the enlarged picture they are from, in place; return it.

        `share` is that of the restored face in the result; 1 is the published result. Where faces overlap, the less
        confident one is on top, as published, whatever their order.
        """
        ordered = sorted(faces, key=lambda face: (-face.found.confidence, *face.found.box))
        classes = self.networks.parsed([face.restored for face in ordered])
        for face, labels in zip(ordered, classes, strict=True):
            paste(background, face.restored, soft_mask(labels), back_into(face.matrix, upscale), share)
        return background

    def _background(self, img: Array) -> Array:
        height, width = arrays.final_size(img.shape[0], img.shape[1], self.upscale)
        background = img
        if self.bg_upsampler is not None:
            background = self.bg_upsampler.enhance(img, outscale=self.upscale)[0]
        # In whole levels, as published. Only a copy if the size is right already.
        return cv2.resize(background, (width, height), interpolation=cv2.INTER_LANCZOS4)


def load_face_restorer(
    version: str = "1.3",
    *,
    fp32: bool = False,
    device: torch.device | str | None = None,
    report: Report | None = None,
) -> GFPGANer:
    """Load a published version of GFPGAN, "1.3" or "1.4"; missing files are fetched, and `report` is called meanwhile.

    Raises:
        WeightsError: weights cannot be found, fetched or read, or do not fit; one message names all missing files.
        UsageError: there is no such version.
    """
    if version not in FACE_MODELS:
        raise UsageError(f"there is no version {version} of GFPGAN here: try {' or '.join(FACE_MODELS)}")
    gfpgan, detector, parser = (found.path for found in obtain(FACE_MODELS[version].files, report))
    return GFPGANer(gfpgan, networks=load_face_networks(gfpgan, detector, parser, as_device(device), reduced=not fp32))


def _bgr(img: Array) -> Array:
    """Any picture as (H, W, 3) BGR, uint8 or uint16, without its transparency."""
    colour = arrays.split(img).colour
    return np.ascontiguousarray(np.broadcast_to(colour[..., ::-1], (*colour.shape[:2], 3)))
