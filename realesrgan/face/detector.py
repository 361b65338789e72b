"""Find faces with RetinaFace (Deng et al., arXiv:1905.00641): a box and five landmarks each, in pictures of any size.

Very large pictures are searched in pieces of bounded size, at full resolution for small faces, and halved again and
again for larger ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..arrays import Array, peak_of
from ..engine.tiling import Box, grid

# Published: strides of the three feature maps, and the sides of the two square priors at each of their positions.
PRIORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
MEAN_BGR = (104.0, 117.0, 123.0)  # levels; what the detector was trained to have subtracted
LEAST_CONFIDENCE = 0.97
LARGEST_OVERLAP = 0.4  # intersection over union; of faces that overlap more, the most confident is kept
LEAST_EYE_DISTANCE = 5.0  # pixels; smaller faces have too little detail to restore

# Pictures of up to this many pixels are searched whole, as published: full HD, about 1 GB with ResNet-50.
WORKING_AREA = 1920 * 1088
PIECE, PIECE_PAD = 1024, 256  # pixels; a face of up to twice the pad is whole in some piece


@dataclass(frozen=True)
class Face:
    """Where a face is, in pixels: `box` is (left, top, right, bottom), `landmarks` (5, 2) are the (x, y) of the eyes,
    the nose and the corners of the mouth; of a pair, the one on the picture's left comes first."""

    box: Array
    landmarks: Array
    confidence: float

    @property
    def centre(self) -> Array:
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def side(self) -> float:
        return float((self.box[2:] - self.box[:2]).max())

    @property
    def eye_distance(self) -> float:
        return float(np.linalg.norm(self.landmarks[0] - self.landmarks[1]))

    def moved(self, scale: tuple[float, float], shift: tuple[float, float]) -> Face:
        """The face with coordinates times `scale` plus `shift`, each for (x, y)."""
        box = self.box.reshape(2, 2) * scale + shift
        return Face(box.reshape(4), self.landmarks * scale + shift, self.confidence)


class FaceDetector:
    """Finds faces with a RetinaFace network that is on `device` already."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network
        self.device = device

    @torch.no_grad()
    def __call__(self, bgr: Array) -> list[Face]:
        """(H, W, 3) BGR, uint8 or uint16 → its faces, the most confident first."""
        faces: list[Face] = []
        for reduced, is_last in _octaves(bgr):
            scale = (bgr.shape[1] / reduced.shape[1], bgr.shape[0] / reduced.shape[0])
            found = self._search_whole(reduced) if is_last else self._search_in_pieces(reduced)
            faces += [face.moved(scale, (0, 0)) for face in found]
        return [face for face in suppress(faces) if face.eye_distance >= LEAST_EYE_DISTANCE]

    def _search_whole(self, bgr: Array) -> list[Face]:
        levels = torch.from_numpy(bgr.astype(np.float32) * (255 / peak_of(bgr.dtype))).to(self.device)
        x = (levels - torch.tensor(MEAN_BGR, device=self.device)).permute(2, 0, 1)[None]
        locations, confidences, landmarks = self.network(x.contiguous(memory_format=torch.channels_last))
        return decode_faces(locations[0], confidences[0, :, 1], landmarks[0], *bgr.shape[:2])

    def _search_in_pieces(self, bgr: Array) -> list[Face]:
        """The faces that are whole in some piece; larger ones are left to the next octave."""
        kept: list[Face] = []
        height, width = bgr.shape[:2]
        for piece in grid(height, width, PIECE, PIECE_PAD):
            left, top = piece.padded.left, piece.padded.top
            for face in self._search_whole(bgr[piece.padded.slices]):
                placed = face.moved((1, 1), (left, top))
                if placed.side <= 2 * PIECE_PAD and _holds(piece.core, placed.centre, height, width):
                    kept.append(placed)
        return kept


def _octaves(bgr: Array) -> Iterator[tuple[Array, bool]]:
    """The picture, then halved again and again; the last one, small enough to be searched whole, comes with True."""
    while bgr.shape[0] * bgr.shape[1] > WORKING_AREA:
        yield bgr, False
        half = (max(1, bgr.shape[1] // 2), max(1, bgr.shape[0] // 2))
        bgr = cv2.resize(bgr, half, interpolation=cv2.INTER_AREA)
    yield bgr, True


def _holds(core: Box, point: Array, height: int, width: int) -> bool:
    """Whether a face centred at `point` belongs to this piece; centres outside the picture belong to the nearest."""
    x, y = min(max(point[0], 0), width - 1), min(max(point[1], 0), height - 1)
    return bool(core.left <= x < core.right and core.top <= y < core.bottom)


def priors(height: int, width: int, device: torch.device) -> Tensor:
    """The boxes that the detector's output is relative to: (N, 3) centre x, centre y and side in pixels."""
    maps = []
    for stride, sides in PRIORS:
        ys = (torch.arange(-(-height // stride), device=device) + 0.5) * stride
        xs = (torch.arange(-(-width // stride), device=device) + 0.5) * stride
        grid_y, grid_x, side = torch.meshgrid(ys, xs, torch.tensor(sides, device=device).float(), indexing="ij")
        maps.append(torch.stack((grid_x, grid_y, side), -1).reshape(-1, 3))
    return torch.cat(maps)


def decode_faces(locations: Tensor, confidences: Tensor, landmarks: Tensor, height: int, width: int) -> list[Face]:
    """RetinaFace's outputs for one (height, width) picture, (N, 4), (N,) and (N, 10) → faces of high confidence.

    Both kinds of offsets are relative to the prior's side, with the variances of SSD (Liu et al., arXiv:1512.02325).
    """
    confident = confidences > LEAST_CONFIDENCE
    prior = priors(height, width, locations.device)[confident]
    centres, sides = prior[:, :2], prior[:, 2:]
    located = locations[confident].float()
    middle = centres + located[:, :2] * CENTRE_VARIANCE * sides
    extent = sides * torch.exp(located[:, 2:] * SIZE_VARIANCE)
    boxes = torch.cat((middle - extent / 2, middle + extent / 2), 1).cpu().numpy()
    points = landmarks[confident].float().reshape(-1, 5, 2) * CENTRE_VARIANCE * sides[:, None] + centres[:, None]
    rows = zip(boxes, points.cpu().numpy(), confidences[confident].float().tolist(), strict=True)
    return suppress([Face(box, marks, confidence) for box, marks, confidence in rows])


def suppress(faces: list[Face]) -> list[Face]:
    """Greedy non-maximum suppression: the most confident first, and none that overlaps one before it too much."""
    faces = sorted(faces, key=lambda face: (-face.confidence, *face.box))
    if not faces:
        return []
    boxes = np.stack([face.box for face in faces])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    waiting = np.arange(len(faces))
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        overlap = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = overlap.clip(0).prod(1)
        waiting = rest[shared <= LARGEST_OVERLAP * (areas[best] + areas[rest] - shared)]
    return [faces[index] for index in kept]
