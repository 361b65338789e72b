"""What is written for ncnn computes the same as the network, by what ncnn's layers mean."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_weights_convert import SPECS
from test_weights_read import random_network
from tiny import save_weights
from torch import Tensor

from realesrgan.export.convert import convert
from realesrgan.weights.read import read_weights


def lines_of(param: Path) -> tuple[list[int], list[list[str]]]:
    """The counts of layers and blobs, and each layer's words."""
    magic, counts, *layers = param.read_text().splitlines()
    assert magic == "7767517"
    return [int(word) for word in counts.split()], [line.split() for line in layers]


def parted(words: list[str]) -> tuple[str, list[str], list[str], dict[int, str]]:
    """A layer's kind, what it reads, what it makes, and its options."""
    reads, makes = int(words[2]), int(words[3])
    options = dict(word.split("=") for word in words[4 + reads + makes :])
    return words[0], words[4 : 4 + reads], words[4 + reads :][:makes], {int(k): v for k, v in options.items()}


def numbers(option: str) -> list[float]:
    """A list in ncnn's way: how many, then the numbers."""
    count, *values = option.split(",")
    assert int(count) == len(values)
    return [float(value) for value in values]


def compute(param: Path, x: Tensor) -> Tensor:
    """(N, C, H, W) through the layers, with a blob gone once it was read."""
    weights = list(read_weights(param).values())
    blobs: dict[str, Tensor] = {}
    for kind, reads, makes, options in (parted(words) for words in lines_of(param)[1]):
        read = [blobs.pop(name) for name in reads]
        if kind == "Input":
            made = [x]
        elif kind == "Split":
            made = read * len(makes)
        elif kind == "Convolution":
            weight, bias = weights.pop(0), weights.pop(0)
            assert weight.shape[0] == int(options[0])
            assert weight.numel() == int(options[6])
            y = F.conv2d(read[0], weight, bias, padding=int(options[4]))
            if options.get(9) == "1":
                y = F.relu(y)
            if options.get(9) == "2":
                y = F.leaky_relu(y, *numbers(options[-23310]))
            made = [y]
        elif kind == "PReLU":
            made = [F.prelu(read[0], weights.pop(0))]
        elif kind == "Concat":
            made = [torch.cat(read, 1)]
        elif kind == "Eltwise":
            assert options[0] == "1"
            scales = numbers(options[-23301])
            made = [sum((scale * y for scale, y in zip(scales, read, strict=True)), torch.zeros(1))]
        elif kind == "BinaryOp":
            assert options == {0: "0"}
            made = [read[0] + read[1]]
        elif kind == "Interp":
            assert options[0] == "1"
            made = [F.interpolate(read[0], scale_factor=float(options[1]), mode="nearest")]
            assert options[1] == options[2]
        elif kind == "PixelShuffle":
            made = [F.pixel_shuffle(read[0], int(options[0]))]
        else:
            assert kind == "Reorg", kind
            made = [F.pixel_unshuffle(read[0], int(options[0]))]
        assert not blobs.keys() & set(makes)
        blobs |= dict(zip(makes, made, strict=True))
    assert list(blobs) == ["output"]
    assert weights == []
    return blobs["output"]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_layers_compute_what_the_network_computes(spec, tmp_path):
    network = random_network(spec)
    convert(save_weights(network, tmp_path / "net.pth"), tmp_path / "net.param")
    x = torch.rand(2, spec.num_in_ch, 8, 12)
    torch.testing.assert_close(compute(tmp_path / "net.param", x), network(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_description_counts_its_layers_and_what_is_between_them(spec, tmp_path):
    convert(save_weights(random_network(spec), tmp_path / "net.pth"), tmp_path / "net.param")
    (layers, blobs), lines = lines_of(tmp_path / "net.param")
    names = [words[1] for words in lines]
    assert layers == len(lines) == len(set(names))
    assert blobs == sum(int(words[3]) for words in lines)
    assert parted(lines[0])[::2] == ("Input", ["data"])  # as programs for ncnn call it
