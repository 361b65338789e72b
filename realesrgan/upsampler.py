"""RealESRGANer: one picture in, the same picture larger out; and the function that loads it by a model's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from . import arrays
from .arrays import Array, Mode
from .engine import tensors
from .engine.assembly import Assembly
from .engine.device import Precision, default_device, describe
from .engine.engine import Engine
from .engine.planning import Plan
from .engine.tiling import DEFAULT_TILE_PAD, Box
from .errors import UsageError, WeightsError
from .model_zoo import MODELS, find_model
from .weights.download import Report
from .weights.load import load_network
from .weights.store import local_file, obtain

AlphaUpsampler = Literal["realesrgan", "bicubic"]


class RealESRGANer:
    """Restores pictures with one network on one device.

    Args:
        scale: how many times larger the network makes a picture; None takes it from the weights.
        model_path: a weights file, or two to blend, or the https address of one.
        dni_weight: for two files, their shares, [s, 1 - s] (deep network interpolation, arXiv:1811.10515).
        model: the network, if it is not to be recognised from the file.
        tile: cut pictures into tiles of this many input pixels; 0 does not cut unless memory forces it.
        tile_pad: how many pixels around a tile the network sees.
        pre_pad: how many pixels to mirror at the right and the bottom before anything else.
        half: allow the fastest precision the device is good at: fp16 on CUDA, mixed bf16 on CPUs that have it.
        device: where to compute; by default CUDA device `gpu_id`, else the best there is.
        gpu_id: the number of a CUDA device.
        max_memory: bytes this process may hold, on the device if that is a GPU; by default a safe share of the free.

    Raises:
        WeightsError: the weights cannot be had, read, or do not fit.
        UsageError: `scale` or `tile` does not suit the network, or a number of pixels is negative.
    """

    def __init__(
        self,
        scale: int | None,
        model_path: str | Path | Sequence[str | Path],
        dni_weight: Sequence[float] | None = None,
        model: nn.Module | None = None,
        tile: int = 0,
        tile_pad: int = DEFAULT_TILE_PAD,
        pre_pad: int = 10,
        half: bool = False,
        device: torch.device | str | None = None,
        gpu_id: int | None = None,
        *,
        max_memory: int | None = None,
    ) -> None:
        if min(tile, tile_pad, pre_pad) < 0:
            raise UsageError(f"tile={tile}, tile_pad={tile_pad}, pre_pad={pre_pad}: these count pixels, from 0 upwards")
        paths = [model_path] if isinstance(model_path, (str, Path)) else list(model_path)
        network, spec = load_network([local_file(path) for path in paths], dni_weight, model)
        if scale is None and spec is None:
            raise UsageError("give the scale of this network: it is none of this project's")
        if scale is not None and spec is not None and scale != spec.scale:
            raise UsageError(f"{Path(paths[0]).name} holds {spec}, so its scale is {spec.scale}, not {scale}")
        self.scale = spec.scale if scale is None and spec is not None else int(scale or 0)
        if device is None:
            device = default_device() if gpu_id is None else f"cuda:{gpu_id}"
        self.engine = Engine(network, spec, self.scale, torch.device(device), reduced=half, max_memory=max_memory)
        multiple = self.engine.size_multiple
        if tile % multiple:
            raise UsageError(
                f"tile={tile} does not suit {Path(paths[0]).stem}, which folds {multiple}×{multiple} pixels into "
                f"channels: try --tile {tile + -tile % multiple}"
            )
        self.mod_scale = multiple if multiple > 1 else None
        self.tile_size = tile
        self.tile_pad = tile_pad
        self.pre_pad = pre_pad
        self.img: Tensor
        self.output: Tensor

    @property
    def model(self) -> nn.Module:
        return self.engine.network

    @property
    def device(self) -> torch.device:
        return self.engine.device

    @property
    def half(self) -> bool:
        """Whether the network computes in fp16."""
        return self.engine.precision is Precision.HALF

    def __str__(self) -> str:
        return describe(self.device, self.engine.precision)

    def share_memory(self, workers: int) -> None:
        """Plan with an even share of the device's memory, for `workers` that compute on it at the same time."""
        self.engine.planner.workers = workers

    def on_progress(self, listener: Callable[[float], None] | None) -> None:
        """Have `listener` told the share of the current picture that is done, from 0 to 1; it may raise to cancel."""
        self.engine.meter.listener = listener

    @torch.no_grad()
    def enhance(
        self, img: Array, outscale: float | None = None, alpha_upsampler: AlphaUpsampler = "realesrgan"
    ) -> tuple[Array, Mode]:
        """Restore one picture.

        Args:
            img: as OpenCV reads it: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16. Arrays of other types
                are taken as levels of 8 bits or, if any exceeds 256, of 16.
            outscale: final enlargement; other than the network's own, the result is resized with Lanczos to
                (int(W·outscale), int(H·outscale)).
            alpha_upsampler: enlarge transparency with the network, or with bicubic interpolation.

        Returns:
            The picture in the layout and depth of `img`, and its mode: "L", "RGB" or "RGBA".

        Raises:
            DeviceError: memory does not even suffice for a tile of 32 arrays.
        """
        planes = arrays.split(img)
        height, width = img.shape[:2]
        final = (height * self.scale, width * self.scale)
        if outscale is not None and outscale != self.scale:
            final = arrays.final_size(height, width, outscale)
        varied_alpha = planes.alpha is not None and np.ptp(planes.alpha) > 0
        alpha_by_network = varied_alpha and alpha_upsampler == "realesrgan"
        channels = planes.colour.shape[2]
        held = 2 * img.nbytes + final[0] * final[1] * (channels + 1) * planes.colour.dtype.itemsize
        self.engine.expect_work(self._plan(height, width, held), passes=2 if alpha_by_network else 1)
        # The only copy of the result there is.
        result = np.empty((*final, channels if planes.alpha is None else channels + 1), planes.colour.dtype)
        if planes.alpha is None:
            self._restore(planes.colour, result, held)
            return result[..., 0] if channels == 1 else result, planes.mode
        self._restore(arrays.bleed_colour(planes.colour, planes.alpha), result[..., :channels], held)
        if alpha_by_network:
            self._restore(planes.alpha[..., None], result[..., channels:], held)
        else:
            result[..., channels] = self._interpolated(planes.alpha, final)
        return result, planes.mode

    def _restore(self, plane: Array, target: Array, held_bytes: int) -> None:
        """(H, W, 1 or 3) → the network's result, resized to that of `target`, (H', W', 1 or 3) of the same type."""
        height, width, channels = plane.shape
        padded = self._pad(plane)

        def read(box: Box) -> Tensor:
            return tensors.to_tensor(padded[box.slices], self.device)

        def write(assembly: Assembly, box: Box, piece: Tensor) -> None:
            given_as = np.dtype(np.float32) if assembly.resizes else plane.dtype
            inside = box.clipped(height * self.scale, width * self.scale)  # a piece may reach into the padding
            if not inside.area:
                return
            piece = piece[..., : inside.height, : inside.width]
            top = inside.top
            for rows in tensors.to_arrays(tensors.to_gray(piece) if channels == 1 else piece, given_as):
                assembly.write(Box(top, inside.left, top + len(rows), inside.right), rows)
                top += len(rows)

        plan = self._plan(height, width, held_bytes)
        for part, assembly in self._parts(plan, target, height * self.scale, width * self.scale):
            self.engine.run(part, read, partial(write, assembly))

    def _parts(self, plan: Plan, target: Array, height: int, width: int) -> Iterator[tuple[Plan, Assembly]]:
        """What is computed and put together by itself, of a result of height × width before it is resized.

        Blocks of columns, which come only where memory is short, are resized one by one, with the columns beside them
        that this takes: kept until their rows are complete, they would hold the whole result in floating point.
        """
        whole = Assembly(target, height, width)
        if not whole.resizes or plan.strip is None or len(plan.pieces) == 1:
            yield plan, whole
            return
        for piece in plan.pieces:
            core = piece.core.scaled(self.scale).clipped(height, width)
            if core.area:
                block = Assembly(target, height, width, core.left, core.right)
                yield self.engine.planner.part(plan, block.left // self.scale, -(-block.right // self.scale)), block

    @staticmethod
    def _interpolated(alpha: Array, final: tuple[int, int]) -> Array:
        """(H, W) → (H', W'), bicubic. A constant plane, an opaque one above all, stays exactly that."""
        if np.ptp(alpha) == 0:
            return np.full(final, alpha[0, 0])
        share = alpha.astype(np.float32) / arrays.peak_of(alpha.dtype)
        return arrays.quantise(arrays.resize_bicubic(share, *final), alpha.dtype)

    def _plan(self, height: int, width: int, held_bytes: int) -> Plan:
        return self.engine.planner.plan(*self._padded_size(height, width), self.tile_size, self.tile_pad, held_bytes)

    def _padded_size(self, height: int, width: int) -> tuple[int, int]:
        multiple = self.engine.size_multiple
        return -(-(height + self.pre_pad) // multiple) * multiple, -(-(width + self.pre_pad) // multiple) * multiple

    def _pad(self, image: Array) -> Array:
        """Mirror `pre_pad` pixels at the right and the bottom, then mirror that up to whole multiples, as published."""
        height, width = self._padded_size(*image.shape[:2])
        image = arrays.pad_bottom_right(image, self.pre_pad, self.pre_pad)
        return arrays.pad_bottom_right(image, height - image.shape[0], width - image.shape[1])

    def pre_process(self, img: Array) -> None:
        """Set `.img` to (H, W, 3) RGB in [0, 1] as (1, 3, H', W'), padded by `pre_pad` and to whole multiples."""
        self._size = img.shape[:2]
        self.img = tensors.to_tensor(self._pad(np.asarray(img, np.float32)), self.device).to(self.engine.input_dtype)

    def process(self) -> None:
        """Set `.output` to the network's result for the whole of `.img`."""
        with torch.no_grad():
            self.output = self.engine.forward(self.img)

    def tile_process(self) -> None:
        """Set `.output` to the network's result for `.img`, tile by tile, gathered in host memory."""
        height, width = self.img.shape[-2:]
        self.output = torch.empty(1, 3, height * self.scale, width * self.scale)

        def write(box: Box, piece: Tensor) -> None:
            self.output[(..., *box.slices)] = piece.cpu()

        def read(box: Box) -> Tensor:
            return self.img[(..., *box.slices)]

        with torch.no_grad():
            self.engine.run(self.engine.planner.plan(height, width, self.tile_size, self.tile_pad), read, write)

    def post_process(self) -> Tensor:
        """Cut off `.output` what `pre_process` padded, and return it."""
        height, width = self._size
        self.output = self.output[..., : height * self.scale, : width * self.scale]
        return self.output


def load_upsampler(
    name: str | None = None,
    *,
    model_path: str | Path | None = None,
    denoise_strength: float = 0.5,
    tile: int = 0,
    tile_pad: int = DEFAULT_TILE_PAD,
    pre_pad: int = 0,
    fp32: bool = False,
    device: torch.device | str | None = None,
    max_memory: int | None = None,
    report: Report | None = None,
) -> RealESRGANer:
    """Load a model of the zoo by name, or any Real-ESRGAN weights file by path; missing published files are fetched.

    With both, the file must hold the network of that name. `denoise_strength` applies to models with a pair of files;
    `report` is told about downloads.

    Raises:
        UsageError: there is no such model, or `tile` does not suit it.
        WeightsError: the weights cannot be had, read, or do not fit.
    """
    model = None if name is None else find_model(name)
    shares = None
    if model_path is not None:
        paths: list[str | Path] = [model_path]
    elif model is None:
        raise UsageError("name a model or a weights file")
    else:
        paths = [found.path for found in obtain(model.files_for(denoise_strength), report)]
        shares = [denoise_strength, 1 - denoise_strength] if len(paths) > 1 else None
    upsampler = RealESRGANer(
        None,
        paths,
        shares,
        tile=tile,
        tile_pad=tile_pad,
        pre_pad=pre_pad,
        half=not fp32,
        device=device,
        max_memory=max_memory,
    )
    spec = upsampler.engine.spec
    if model is not None and spec != model.network:
        fitting = [other.name for other in MODELS.values() if other.network == spec]
        advice = f"it fits -n {' or '.join(fitting)}" if fitting else "give --model_path without -n"
        raise WeightsError(f"{paths[0]} holds {spec}, but {model.name} is {model.network}: {advice}")
    return upsampler
