"""Write a network as ncnn's .param (layers as text) and .bin (their numbers). `weights/ncnn.py` reads them again.

Input and output are called "data" and "output", as in the files that Real-ESRGAN's programs for ncnn come with.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..families.family import Family
from ..weights.ncnn import FP16_TAG, FP32_TAG, PARAM_MAGIC
from .steps import PICTURE, Step, readers, steps_of

INPUT, OUTPUT = "data", "output"
_NEAREST = 1  # ncnn's numbers for a way to enlarge, for activations, and for a sum in Eltwise
_RELU, _LEAKY_RELU = 1, 2
_SUM = 1


def as_ncnn(network: nn.Module, family: Family, *, half: bool) -> tuple[str, bytes]:
    """The text of the .param and the content of the .bin file of `network`, whose weights are fp32.

    With `half`, weights of convolutions are rounded to 16 bits; biases and slopes never are, as the format has it.
    """
    steps = steps_of(network, family)
    layers = _Layers(steps)
    fold = family.fold(network)
    picture = layers.add("Input", "input", (), INPUT)
    if fold > 1:
        picture = layers.add("Reorg", "fold", (picture,), PICTURE, {0: fold})
    layers.share(PICTURE, picture)
    numbers = b"".join(layers.add_step(step, half=half) for step in steps)
    text = "\n".join([PARAM_MAGIC, f"{len(layers.lines)} {layers.blobs}", *layers.lines, ""])
    return text, numbers


class _Layers:
    """The lines of a .param file. A blob may be read once only, so one that is read more often is split first."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.lines: list[str] = []
        self.blobs = 0
        self._readers = {name: readers(steps, name) for name in (PICTURE, *(step.name for step in steps))}
        self._blobs: dict[str, list[str]] = {}  # of each step's result, those that nobody has read yet

    def add(
        self, kind: str, name: str, inputs: Sequence[str], output: str, options: Mapping[int, object] | None = None
    ) -> str:
        """Append a layer; returns its output."""
        self.lines.append(_line(kind, name, inputs, (output,), options or {}))
        self.blobs += 1
        return output

    def share(self, name: str, blob: str) -> None:
        """Let every reader of the step `name` have `blob`."""
        count = self._readers[name]
        self._blobs[name] = [blob]
        if count > 1:
            self._blobs[name] = [f"{blob}_{i}" for i in range(count)]
            self.lines.append(_line("Split", f"split_{blob}", (blob,), self._blobs[name], {}))
            self.blobs += count

    def add_step(self, step: Step, *, half: bool) -> bytes:
        """Append the layers of a step; returns their numbers."""
        x = self._read(step)
        conv = step.conv
        options: dict[int, object] = {0: conv.out_channels, 1: conv.kernel_size[0], 4: conv.padding[0], 5: 1}
        options[6] = conv.weight.numel()
        if isinstance(step.slopes, float):
            options |= {9: _LEAKY_RELU, -23310: f"1,{step.slopes:e}"} if step.slopes else {9: _RELU}
        last = step.shuffle == 1 and not step.residuals  # the convolution makes the result
        x = self.add("Convolution", step.name, (x,), OUTPUT if last else step.name, options)
        numbers = _convolution(conv, half=half)
        if isinstance(step.slopes, Tensor):
            x = self.add("PReLU", f"{step.name}.prelu", (x,), f"{x}.prelu", {0: step.slopes.numel()})
            numbers += _bytes(step.slopes)
        if step.shuffle is None:
            self.share(step.name, self._add_residuals(step, x))
        elif not last:
            self._finish(step, x)
        return numbers

    def _read(self, step: Step) -> str:
        parts = [self._blobs[source].pop() for source in step.sources]
        x = parts[0]
        if len(parts) > 1:
            x = self.add("Concat", f"{step.name}.concat", parts, f"{step.name}.concat")
        return x if step.enlarge == 1 else self._enlarge(x, step.name, step.enlarge)

    def _enlarge(self, x: str, name: str, times: int) -> str:
        options = {0: _NEAREST, 1: f"{times:e}", 2: f"{times:e}"}
        return self.add("Interp", f"{name}.enlarge", (x,), f"{name}.enlarge", options)

    def _add_residuals(self, step: Step, x: str) -> str:
        for number, (residual, scale) in enumerate(step.residuals):
            options = {0: _SUM, -23301: f"2,{scale:e},1.0e+00"}
            x = self.add(
                "Eltwise",
                f"{step.name}.add{number}",
                (x, self._blobs[residual].pop()),
                f"{step.name}.sum{number}",
                options,
            )
        return x

    def _finish(self, step: Step, x: str) -> None:
        """Make the result: shuffled, and added to the enlarged picture if that is the residual."""
        assert step.shuffle is not None
        # With a residual even a shuffle of 1: by this layer, the reader tells the kinds of networks apart.
        shuffled = f"{step.name}.shuffle" if step.residuals else OUTPUT
        x = self.add("PixelShuffle", f"{step.name}.shuffle", (x,), shuffled, {0: step.shuffle})
        for residual, _ in step.residuals:
            picture = self._blobs[residual].pop()
            base = picture if step.shuffle == 1 else self._enlarge(picture, "base", step.shuffle)
            self.add("BinaryOp", "add", (x, base), OUTPUT, {0: 0})


def _line(kind: str, name: str, inputs: Sequence[str], outputs: Sequence[str], options: Mapping[int, object]) -> str:
    words = [f"{kind:24}", f"{name:24}", len(inputs), len(outputs), *inputs, *outputs]
    return " ".join(map(str, [*words, *(f"{key}={value}" for key, value in options.items())]))


def _convolution(conv: nn.Conv2d, *, half: bool) -> bytes:
    assert conv.bias is not None
    weights = _bytes(conv.weight.half() if half else conv.weight)
    return struct.pack("<I", FP16_TAG if half else FP32_TAG) + weights + bytes(-len(weights) % 4) + _bytes(conv.bias)


def _bytes(values: Tensor) -> bytes:
    array = values.detach().to("cpu", memory_format=torch.contiguous_format).contiguous().numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
