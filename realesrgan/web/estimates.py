"""How long a job would take and how large its result would be, from what was measured on this server."""

from __future__ import annotations

from ..arrays import final_size
from ..model_zoo import MODELS
from .limits import Limits
from .messages import Equipped, Kind
from .models import DEFAULT_MODELS, Estimate, EstimateRequest, Job, Options, Source

MEASURED_FROM_S = 1.0  # shorter jobs say little about speed
_BYTES_PER_PIXEL = {"png": 1.9, "tiff": 2.0, "bmp": 3.0, "jpg": 0.45, "webp": 0.3, "avif": 0.25}  # of photographs
_VIDEO_BYTES_PER_PIXEL = 0.02  # H.264 at the default quality


class Speeds:
    """Multiply-adds a second of a device, by precision; small at first, then what finished jobs reached."""

    def __init__(self) -> None:
        self.devices: str | None = None
        self.at_once = 1  # devices that compute pictures side by side, and a video together
        self._speeds: dict[tuple[bool, str | None], float] = {}  # by fp32 and model; None: any

    def equipped(self, report: Equipped) -> None:
        self.devices, self.at_once = report.devices, report.at_once
        if report.speed is not None:
            self._speeds.setdefault((report.fp32, None), report.speed)

    def finished(self, job: Job, seconds: float) -> None:
        """Learn from a job that is done."""
        work = _multiply_adds(job.kind, job.source, job.options)
        if seconds >= MEASURED_FROM_S and work and not job.options.face_enhance:
            for model in (job.options.model_name, None):
                self._speeds[job.options.fp32, model] = work / seconds / self._devices_of(job.kind)

    def seconds(self, kind: Kind, source: Source, options: Options) -> float | None:
        """About how long the network takes; None: not known yet."""
        speed = self._speeds.get((options.fp32, options.model_name)) or self._speeds.get((options.fp32, None))
        work = _multiply_adds(kind, source, options)
        return None if speed is None or not work else work / speed / self._devices_of(kind)

    def _devices_of(self, kind: Kind) -> int:
        return self.at_once if kind == "video" else 1


def estimate(request: EstimateRequest, speeds: Speeds, waiting_s: float | None, limits: Limits) -> Estimate:
    """Time and size of a result, or why there would be none."""
    options = request.options
    height, width = final_size(request.height, request.width, options.outscale)
    source = Source(width=request.width, height=request.height, frames=request.frames, bytes=0)
    frames = request.frames if request.kind == "video" else 1
    size_bytes = None
    if frames is not None:
        per_pixel = _VIDEO_BYTES_PER_PIXEL if request.kind == "video" else _BYTES_PER_PIXEL.get(options.ext, 1.0)
        size_bytes = round(width * height * frames * per_pixel)
    return Estimate(
        width=width,
        height=height,
        seconds=speeds.seconds(request.kind, source, options),
        bytes=size_bytes,
        waiting_seconds=waiting_s,
        error=limits.too_many_pixels(request.width, request.height),
    )


def _multiply_adds(kind: Kind, source: Source, options: Options) -> float:
    """The work of a network of the zoo; 0: not known."""
    model = MODELS.get(options.model_name or DEFAULT_MODELS[kind])
    frames = source.frames or 0 if kind == "video" else 1
    return model.network.multiply_adds * source.area * frames if model is not None else 0.0
