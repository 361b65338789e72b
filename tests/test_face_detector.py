"""Finding faces: priors, decoding and suppression against plain loops, a trained network against another runtime."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from faces import face, portrait, trained_detector, trained_onnx

from realesrgan.arrays import Array
from realesrgan.face import detector
from realesrgan.face.detector import Face, FaceDetector, decode_faces, priors, suppress

CPU = torch.device("cpu")


@pytest.fixture
def detect() -> FaceDetector:
    return FaceDetector(trained_detector(), CPU)


def onnx_outputs(bgr: Array) -> list[Array]:
    """The output of the trained ONNX file in OpenCV's runtime: boxes, confidences, landmarks."""
    network = cv2.dnn.readNetFromONNX(np.frombuffer(trained_onnx(), np.uint8))
    network.setInput((bgr.astype(np.float32) - (104, 117, 123)).transpose(2, 0, 1)[None].astype(np.float32))
    return list(network.forward(["loc", "conf", "landmarks"]))


def plainly_decoded(outputs: list[Array], height: int, width: int) -> list[tuple[float, list[float], list[float]]]:
    """One prior after the other, in fractions of the picture as SSD counts: confidence, box, landmarks in pixels."""
    faces, row = [], 0
    for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for i in range(math.ceil(height / stride)):
            for j in range(math.ceil(width / stride)):
                for side in sides:
                    cx, cy = (j + 0.5) * stride / width, (i + 0.5) * stride / height
                    sx, sy = side / width, side / height
                    loc, confidence, marks = (output[0, row] for output in outputs)
                    x, y = cx + loc[0] * 0.1 * sx, cy + loc[1] * 0.1 * sy
                    w, h = sx * math.exp(loc[2] * 0.2), sy * math.exp(loc[3] * 0.2)
                    box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
                    points = [
                        (c + mark * 0.1 * s) * size
                        for k, mark in enumerate(marks)
                        for c, s, size in [((cx, sx, width), (cy, sy, height))[k % 2]]
                    ]
                    faces.append((float(confidence[1]), box, points))
                    row += 1
    return faces


@pytest.mark.parametrize(("height", "width"), [(152, 128), (97, 130), (33, 65)])
def test_the_trained_network_computes_what_another_runtime_computes(height: int, width: int) -> None:
    bgr = cv2.resize(portrait(), (width, height))
    x = torch.from_numpy((bgr.astype(np.float32) - (104, 117, 123)).transpose(2, 0, 1)[None].astype(np.float32))
    for ours, theirs in zip(trained_detector()(x), onnx_outputs(bgr), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours.numpy() - theirs).max() < 1e-3


def test_boxes_and_landmarks_of_a_real_portrait_are_those_of_the_other_runtime(detect: FaceDetector) -> None:
    bgr = portrait()
    (found,) = detect(bgr)
    confidence, box, points = max(plainly_decoded(onnx_outputs(bgr), *bgr.shape[:2]))
    assert found.confidence == pytest.approx(confidence, abs=1e-4)
    assert found.box == pytest.approx(np.array(box), abs=0.05)
    assert found.landmarks.ravel() == pytest.approx(np.array(points), abs=0.05)


def test_the_landmarks_lie_in_the_face_and_in_their_order(detect: FaceDetector) -> None:
    (found,) = detect(portrait())
    left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert (found.landmarks > found.box[:2]).all()
    assert (found.landmarks < found.box[2:]).all()


def test_sixteen_bits_find_what_eight_do(detect: FaceDetector) -> None:
    (eight,), (sixteen,) = detect(portrait()), detect(portrait().astype(np.uint16) * 257)
    assert sixteen.box == pytest.approx(eight.box, abs=0.01)


def test_there_is_no_face_in_noise(detect: FaceDetector) -> None:
    assert detect(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)) == []


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 9), (64, 33)])
def test_a_picture_of_any_size_can_be_searched(detect: FaceDetector, height: int, width: int) -> None:
    assert detect(np.full((height, width, 3), 128, np.uint8)) == []


def crowd() -> tuple[Array, list[tuple[int, int, int]]]:
    """A wide picture with the portrait in it several times, from small to large: (left, top, width) of each."""
    canvas = np.full((1000, 1400, 3), 120, np.uint8)
    places = [(20, 30, 84), (1290, 860, 100), (500, 100, 128), (250, 470, 400), (800, 150, 550), (700, 870, 90)]
    for left, top, width in places:
        small = cv2.resize(portrait(), (width, width * 152 // 128), interpolation=cv2.INTER_AREA)
        room = canvas[top : top + small.shape[0], left : left + width]
        room[...] = small[: room.shape[0]]
    return canvas, places


def test_faces_of_all_sizes_are_found_in_a_picture_searched_in_pieces(
    detect: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, places = crowd()
    whole = detect(picture)
    searched = []
    search = FaceDetector._search_whole
    monkeypatch.setattr(
        FaceDetector, "_search_whole", lambda self, bgr: (searched.append(bgr.shape), search(self, bgr))[1]
    )
    monkeypatch.setattr(detector, "WORKING_AREA", 400 * 400)
    monkeypatch.setattr(detector, "PIECE", 256)
    monkeypatch.setattr(detector, "PIECE_PAD", 64)
    found = detect(picture)
    assert max(height * width for height, width, _ in searched) <= 400 * 400
    assert len(found) >= len(whole)
    for one in whole:  # what the whole picture shows is found in its pieces, once, at its place
        near = [other for other in found if np.abs(other.box - one.box).max() < 0.15 * one.side]
        assert len(near) == 1, (one.box, [other.box for other in found])
    assert len(found) == len(places)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 65), (64, 40)])
def test_priors_are_two_a_cell_row_by_row_from_the_finest_grid(height: int, width: int) -> None:
    plain = [
        ((j + 0.5) * stride, (i + 0.5) * stride, side)
        for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
        for i in range(math.ceil(height / stride))
        for j in range(math.ceil(width / stride))
        for side in sides
    ]
    assert priors(height, width, CPU).tolist() == [list(map(float, prior)) for prior in plain]


def test_decoding_equals_a_plain_loop_in_fractions_of_the_picture() -> None:
    height, width = 40, 70
    count = len(priors(height, width, CPU))
    torch.manual_seed(1)
    locations, landmarks = torch.randn(count, 4), torch.randn(count, 10)
    confidences = torch.zeros(count, 2)
    sure = torch.randperm(count)[:3]
    confidences[sure, 1] = torch.tensor([0.98, 0.99, 1.0])
    plain = plainly_decoded([t[None].numpy() for t in (locations, confidences, landmarks)], height, width)
    wanted = sorted((one for one in plain if one[0] > 0.97), reverse=True)
    found = decode_faces(locations, confidences[:, 1], landmarks, height, width)
    assert found
    for one in found:
        box, points = next((box, points) for confidence, box, points in wanted if one.confidence == confidence)
        assert one.box == pytest.approx(np.array(box), rel=1e-4, abs=1e-3)
        assert one.landmarks.ravel() == pytest.approx(np.array(points), rel=1e-4, abs=1e-3)


def overlap(a: Array, b: Array) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(width * height / (both - width * height))


def some_faces(count: int) -> list[Face]:
    random = np.random.default_rng(2)
    corners = random.uniform(0, 60, (count, 2))
    boxes = np.hstack((corners, corners + random.uniform(20, 60, (count, 2))))
    return [
        Face(box, np.zeros((5, 2)), float(sure)) for box, sure in zip(boxes, random.permutation(count), strict=True)
    ]


def test_kept_faces_overlap_no_more_confident_one_and_dropped_ones_do() -> None:
    faces = some_faces(40)
    kept = suppress(faces)
    assert 1 < len(kept) < len(faces)
    assert [one.confidence for one in kept] == sorted((one.confidence for one in kept), reverse=True)
    for one in faces:
        surer = [other for other in kept if other.confidence > one.confidence]
        assert any(one is other for other in kept) == all(overlap(one.box, other.box) <= 0.4 for other in surer)


def test_the_order_of_the_faces_does_not_matter() -> None:
    faces = some_faces(40)
    backwards = suppress(faces[::-1])
    assert all(a is b for a, b in zip(suppress(faces), backwards, strict=True))
    assert suppress([]) == []


@pytest.mark.parametrize(("eye_distance", "kept"), [(4.9, False), (5.1, True)])
def test_faces_with_eyes_less_than_five_pixels_apart_are_dropped(
    monkeypatch: pytest.MonkeyPatch, eye_distance: float, kept: bool
) -> None:
    one = face(50, 50, scale=eye_distance / 125.92)
    monkeypatch.setattr(FaceDetector, "_search_whole", lambda self, bgr: [one])
    assert bool(FaceDetector(torch.nn.Identity(), CPU)(np.zeros((100, 100, 3), np.uint8))) == kept
