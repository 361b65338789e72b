"""RealESRGANer, which restores one picture at a time, and the function that loads it by a model's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import arrays
from .arrays import Array, Mode, Planes
from .engine import tensors
from .engine.assembly import Assembly, ResizedAssembly, assemble_into
from .engine.device import as_device
from .engine.engine import Engine
from .engine.planning import PUBLISHED_MULTIPLES, Plan
from .engine.progress import WorkMeter
from .engine.tensors import Levels
from .engine.tiling import DEFAULT_TILE_PAD, Box
from .errors import UsageError
from .families.family import RGBA_CHANNELS
from .families.foreign import ForeignSpec
from .model_zoo import find_model
from .restorer import AlphaUpsampler, EngineKind
from .values import check_outscale, check_whole_number
from .weights.download import Report
from .weights.load import chosen_weights, load_network, refuse_other_network
from .weights.store import local_file


class RealESRGANer:
    """Restores pictures with one network on one device.

    Args:
        scale: how many times larger the network makes a picture; None takes it from the weights.
        model_path: a weights file, or two to blend, or the https address of one.
        dni_weight: for two files, their shares, [s, 1 - s] (deep network interpolation, arXiv:1811.10515).
        model: the network to fill; by default it is recognised from the file.
        tile: cut pictures into tiles of this many input pixels; 0 cuts only where memory is short.
        tile_pad: how many pixels around a tile the network sees; None is the published number or, for networks of
            other projects, as many as seams need to be hidden.
        pre_pad: how many pixels to mirror at the right and the bottom first.
        half: allow less than fp32 where that is faster: fp16 on CUDA, mixed bf16 on CPUs that have it.
        device: where to compute; by default CUDA device `gpu_id`, else the best there is.
        gpu_id: the number of a CUDA device.
        max_memory: bytes this process may hold, on the device if that is a GPU; None is a safe share of what is free.
        engine: what computes; `restorer.EngineKind` says what there is.

    Raises:
        WeightsError: the weights cannot be found, fetched or read, or do not fit.
        UsageError: `scale` or `tile` does not suit the network, or a number of pixels is negative.
    """

    def __init__(
        self,
        scale: int | None,
        model_path: str | Path | Sequence[str | Path],
        dni_weight: Sequence[float] | None = None,
        model: nn.Module | None = None,
        tile: int = 0,
        tile_pad: int | None = DEFAULT_TILE_PAD,
        pre_pad: int = 10,
        half: bool = False,
        device: torch.device | str | None = None,
        gpu_id: int | None = None,
        *,
        max_memory: int | None = None,
        engine: EngineKind = "auto",
    ) -> None:
        for option, value in (("tile", tile), ("pre_pad", pre_pad)):
            check_whole_number(option, value, 0)
        for option, number, least in (("scale", scale, 1), ("max_memory", max_memory, 1), ("tile_pad", tile_pad, 0)):
            if number is not None:
                check_whole_number(option, number, least)
        paths = [model_path] if isinstance(model_path, (str, Path)) else model_path
        if not isinstance(paths, Sequence) or not paths or not all(isinstance(path, (str, Path)) for path in paths):
            raise UsageError(f"`model_path` {model_path!r}: give the path of a weights file, or of two to blend")
        network, spec = load_network([local_file(path) for path in paths], dni_weight, model)
        if scale is None and spec is None:
            raise UsageError("give the `scale` of this network, which is not one of this project's")
        if scale is not None and spec is not None and scale != spec.scale:
            raise UsageError(f"{Path(paths[0]).name} holds {spec}, so its `scale` is {spec.scale}, not {scale}")
        self.scale = spec.scale if scale is None and spec is not None else int(scale or 0)
        where = _choose_device(device, gpu_id)
        self.engine = Engine(network, spec, self.scale, where, reduced=half, kind=engine, max_memory=max_memory)
        multiple = self.engine.size_multiple
        if tile % multiple and not isinstance(spec, ForeignSpec):
            raise UsageError(
                f"`tile` {tile} does not suit {Path(paths[0]).stem}, which folds {multiple}×{multiple} pixels into "
                f"channels: try `tile` {tile + -tile % multiple}"
            )
        self.half = bool(half)
        self.mod_scale = multiple if multiple > 1 else None
        self.tile_size = tile
        self.tile_pad = DEFAULT_TILE_PAD if tile_pad is None and not isinstance(spec, ForeignSpec) else tile_pad
        self.pre_pad = pre_pad
        self.img: Tensor
        self.output: Tensor

    @property
    def model(self) -> nn.Module:
        return self.engine.network

    @property
    def device(self) -> torch.device:
        return self.engine.device

    def __str__(self) -> str:
        return str(self.engine.choice)

    def share_memory(self, workers: int) -> None:
        """Use only an even share of the device's memory, as one of `workers` that compute on it at the same time."""
        self.engine.planner.workers = workers

    @torch.no_grad()
    @arrays.opencv_memory_errors()
    def enhance(
        self,
        img: Array,
        outscale: float | None = None,
        alpha_upsampler: AlphaUpsampler | None = "realesrgan",
        *,
        progressed: Callable[[float], None] | None = None,
    ) -> tuple[Array, Mode]:
        """Restore one picture.

        Args:
            img: as OpenCV reads it: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16. Arrays of other types
                are taken as levels of 8 bits or, if any exceeds 256, of 16.
            outscale: final enlargement; other than the network's own, the result is resized with Lanczos to
                (int(W·outscale), int(H·outscale)).
            alpha_upsampler: enlarge transparency with the network, or with bicubic interpolation.
            progressed: called with the share that is done, from 0 to 1, as the work goes on; it may raise, to cancel.

        Returns:
            The picture in the layout and depth of `img`, and its mode: "L", "RGB" or "RGBA".

        Raises:
            ValueError: `img` is not a picture.
            UsageError: `outscale` is out of range.
            DeviceError: memory does not suffice even for the smallest pieces, or for the whole picture where the
                network has to see it.
            MemoryError: memory does not suffice for the picture and its result.
        """
        planes = arrays.split(img)
        height, width = img.shape[:2]
        final = (height * self.engine.scale, width * self.engine.scale)
        if outscale is not None:
            check_outscale(outscale)
            if outscale != self.engine.scale:
                final = arrays.final_size(height, width, outscale)
        alpha, depth = planes.alpha, planes.colour.dtype
        by_network = alpha is not None and np.ptp(alpha) > 0 and alpha_upsampler == "realesrgan"
        channels = planes.colour.shape[2] + (alpha is not None)
        held = arrays.held_bytes(height, width, max(channels, self.engine.channels), 8 * depth.itemsize, final)
        # The only copy of the result there is.
        result = np.empty((*final, channels), depth)
        passes = self._passes(planes, result, alpha_by_network=by_network)
        size = self._padded_size(height, width)
        plan = self.engine.plan(*size, self.tile_size, self.tile_pad, passes[0][0], held, progressed)
        meter = self.engine.meter(plan, len(passes), progressed)
        for plane, target in passes:
            self._restore(plane, target, self.engine.planner.up_to_date(plan), meter)
        if alpha is not None and by_network:
            result[..., -1] = arrays.keep_constant_alpha(alpha, result[..., -1])
        elif alpha is not None:
            result[..., -1] = self._interpolated(alpha, final)
        return result[..., 0] if channels == 1 else result, planes.mode

    def _passes(self, planes: Planes, result: Array, *, alpha_by_network: bool) -> list[tuple[Array, Array]]:
        """What the network is given, one after the other, and the channels of `result` that each becomes.

        A network for gray pictures restores each colour by itself. One for RGBA pictures gets all at once, opaque where
        the picture has no alpha, and as they are: hidden colours are what it learned from. Others get transparency as
        a gray picture.
        """
        colour, alpha = planes.colour, planes.alpha
        if self.engine.channels == RGBA_CHANNELS:
            return [(arrays.as_rgba(colour, alpha), result)]
        if alpha is not None:
            colour = arrays.bleed_colour(colour, alpha)
        passes = [(colour, result[..., : colour.shape[2]])]
        if self.engine.channels == 1:
            passes = [(colour[..., i : i + 1], result[..., j : j + 1]) for i, j in enumerate(_bgr_places(colour))]
        if alpha is not None and alpha_by_network:
            passes.append((alpha[..., None], result[..., -1:]))
        return passes

    def _restore(self, plane: Array, target: Array, plan: Plan, meter: WorkMeter) -> None:
        """(H, W, C) → the network's result, resized to that of `target`, (H', W', C') of the same type."""
        padded = self._pad(plane)
        height, width = (side * self.engine.scale for side in plane.shape[:2])

        def read(box: Box) -> Array:
            return padded[box.slices]

        for part, assembly in self._parts(plan, target, height, width):
            depth, channels = np.dtype(np.float32) if assembly.resizes else plane.dtype, target.shape[2]
            levels = Levels(depth, gray=channels == 1, alpha=channels == RGBA_CHANNELS)
            with self.engine.side_stream.use():
                for box, rows in self.engine.run(part, read, levels, meter):
                    inside = box.clipped(height, width)  # a piece may extend into the padding
                    if inside.area:
                        assembly.write(inside, rows[: inside.height, : inside.width])

    def _parts(self, plan: Plan, target: Array, height: int, width: int) -> Iterator[tuple[Plan, Assembly]]:
        """The parts in which a result is computed and assembled, of height × width before it is resized.

        That is the whole, except for blocks of columns, which are planned only where memory is short. If the result is
        resized, each block is computed with the few columns beside it that this takes, and resized by itself: kept
        until all rows are complete, blocks would hold the whole result in floating point.
        """
        whole = assemble_into(target, height, width)
        if not whole.resizes or plan.strip is None or len(plan.pieces) == 1:
            yield plan, whole
            return
        scale = self.engine.scale
        for piece in plan.pieces:
            core = piece.core.scaled(scale).clipped(height, width)
            if core.area:
                block = ResizedAssembly(target, height, width, core.left, core.right)
                left, right = block.left // scale, -(-block.right // scale)
                yield self.engine.planner.up_to_date(self.engine.planner.part(plan, left, right)), block

    @staticmethod
    def _interpolated(alpha: Array, final: tuple[int, int]) -> Array:
        """(H, W) → (H', W'), bicubic. A constant plane, such as an opaque one, stays exactly as it is."""
        if np.ptp(alpha) == 0:
            return np.full(final, alpha[0, 0])
        share = alpha.astype(np.float32) / arrays.peak_of(alpha.dtype)
        return arrays.quantise(arrays.resize_bicubic(share, *final), alpha.dtype)

    def _padded_size(self, height: int, width: int) -> tuple[int, int]:
        multiple = math.lcm(self.engine.size_multiple, self.mod_scale or 1)
        return -(-(height + self.pre_pad) // multiple) * multiple, -(-(width + self.pre_pad) // multiple) * multiple

    def _pad(self, image: Array) -> Array:
        """Mirror `pre_pad` pixels at the right and the bottom, then mirror that up to whole multiples, as published."""
        height, width = self._padded_size(*image.shape[:2])
        image = arrays.pad_bottom_right(image, self.pre_pad, self.pre_pad)
        return arrays.pad_bottom_right(image, height - image.shape[0], width - image.shape[1])

    def pre_process(self, img: Array) -> None:
        """Set `.img` to (H, W, 3) RGB in [0, 1] as (1, 3, H', W'), padded by `pre_pad` and to whole multiples.

        For networks of other pictures there are as many channels as they take.
        As published, `.scale` 2 or 1 sets `.mod_scale`, which otherwise keeps its value.
        """
        self.mod_scale = PUBLISHED_MULTIPLES.get(self.scale, self.mod_scale)
        self._size = img.shape[:2]
        padded = self._pad(np.asarray(img, np.float32))
        self.img = tensors.to_tensor(padded, self.device, self.engine.channels).to(self.engine.input_dtype)

    def process(self) -> None:
        """Set `.output` to the network's result for the whole of `.img`."""
        self._process(0)

    def tile_process(self) -> None:
        """Set `.output` to the network's result for `.img`, tile by tile, collected in host memory."""
        self._process(self.tile_size)

    @torch.no_grad()
    def _process(self, tile: int) -> None:
        height, width = self.img.shape[-2:]
        scale = self.engine.scale
        output = np.empty((height * scale, width * scale, self.engine.channels), np.float32)
        levels = Levels(np.dtype(np.float32), alpha=True, clamped=False)

        def read(box: Box) -> Array:
            return self.img[(0, ..., *box.slices)].permute(1, 2, 0).float().cpu().numpy()

        plan = self.engine.plan(height, width, tile, self.tile_pad, read(Box(0, 0, height, width)))
        with self.engine.side_stream.use():
            for box, rows in self.engine.run(plan, read, levels):
                output[box.slices] = rows[..., _bgr_places(rows)]
        self.output = torch.from_numpy(output).permute(2, 0, 1)[None]

    def post_process(self) -> Tensor:
        """Cut what `pre_process` padded, enlarged `.scale` times, off `.output`, and return that."""
        height, width = self._size
        padded_height, padded_width = self.img.shape[-2:]
        below, right = (padded_height - height) * self.scale, (padded_width - width) * self.scale
        self.output = self.output[..., : self.output.shape[-2] - below, : self.output.shape[-1] - right]
        return self.output


def _bgr_places(picture: Array) -> list[int]:
    """Where each channel of (H, W, C), gray, RGB or RGBA, is in OpenCV's order, and the other way round."""
    return [0] if picture.shape[2] == 1 else [2, 1, 0, 3][: picture.shape[2]]


def _choose_device(device: torch.device | str | None, gpu_id: int | None) -> torch.device:
    """`device` if given, else CUDA device `gpu_id`; without CUDA, as published, the best there is."""
    if device is None and gpu_id is not None and torch.cuda.is_available():
        return as_device(f"cuda:{gpu_id}")
    return as_device(device)


def load_upsampler(
    name: str | None = None,
    *,
    model_path: str | Path | None = None,
    denoise_strength: float = 0.5,
    tile: int = 0,
    tile_pad: int | None = None,
    pre_pad: int = 0,
    fp32: bool = False,
    device: torch.device | str | None = None,
    max_memory: int | None = None,
    engine: EngineKind = "auto",
    report: Report | None = None,
) -> RealESRGANer:
    """Load a model of the zoo by name, or any Real-ESRGAN weights file by path; missing published files are fetched.

    Given both, the file must hold the network of that name. `denoise_strength` applies to models with a pair of files;
    `report` is called as files are downloaded.

    Raises:
        UsageError: there is no such model, or `tile` does not suit it.
        WeightsError: the weights cannot be found, fetched or read, or do not fit.
    """
    model = None if name is None else find_model(name)
    paths, shares = chosen_weights(model, model_path, denoise_strength, report)
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
        engine=engine,
    )
    refuse_other_network(model, upsampler.engine.spec, paths[0])
    return upsampler
