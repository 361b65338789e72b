"""What goes over HTTP: jobs, options and answers, as pydantic models. They document the interface."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..loading import Settings
from ..model_zoo import DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL, MODELS
from ..values import MOST_OUTSCALE
from .messages import Kind

State = Literal["queued", "running", "done", "failed", "cancelled"]
Stage = Literal["loading", "downloading", "restoring", "writing"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
DEFAULT_MODELS: dict[Kind, str] = {"picture": DEFAULT_IMAGE_MODEL, "video": DEFAULT_VIDEO_MODEL}


class Options(BaseModel):
    """How to restore; names, meanings and defaults are those of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_name: str | None = Field(
        default=None, description="None: the default for pictures or for videos", max_length=100
    )
    outscale: float = Field(default=4.0, gt=0, le=MOST_OUTSCALE, description="final enlargement")
    denoise_strength: float = Field(default=0.5, ge=0, le=1, description="only for models with `denoise`")
    face_enhance: bool = Field(default=False, description="restore faces with GFPGAN and paste them in")
    face_weight: float = Field(default=1.0, ge=0, le=1, description="share of the restored face")
    fp32: bool = Field(default=False, description="full precision everywhere")
    ext: str = Field(default="auto", pattern=r"^[a-z0-9]{1,8}$", description="format of the result")

    def settings(self, kind: Kind, machine: Settings) -> Settings:
        """These options on the devices of `machine`."""
        return Settings(
            model_name=self.model_name or DEFAULT_MODELS[kind],
            outscale=self.outscale,
            denoise_strength=self.denoise_strength,
            face_enhance=self.face_enhance,
            face_weight=self.face_weight,
            fp32=self.fp32,
            gpu_id=machine.gpu_id,
            max_memory=machine.max_memory,
            engine=machine.engine,
        )


class Source(BaseModel):
    """What was uploaded. `frames` and `seconds` are those of a video, None where its header does not say."""

    width: int
    height: int
    frames: int | None = None
    seconds: float | None = None
    bytes: int

    @property
    def area(self) -> int:
        return self.width * self.height


class Result(BaseModel):
    """The finished file, and the name to save it under."""

    name: str
    width: int
    height: int
    bytes: int
    type: str = Field(description="its media type")


class Download(BaseModel):
    """Weights that are being downloaded; bytes, `total` None where it is not known."""

    name: str
    done: int
    total: int | None


class Job(BaseModel):
    """A picture or a video that somebody wants restored, from the upload until it expires."""

    id: str
    name: str = Field(description="the file's name as its owner knows it")
    kind: Kind
    state: State = "queued"
    position: int | None = Field(default=None, description="how many are before it in the queue")
    stage: Stage | None = None
    done: float = Field(default=0.0, description="pixels of a picture, frames of a video")
    total: float = Field(default=0.0, description="0: not known")
    seconds_left: float | None = None
    download: Download | None = None
    notes: list[str] = []
    warnings: list[str] = []
    error: str | None = None
    error_field: str | None = Field(default=None, description="the option to change")
    source: Source
    result: Result | None = None
    options: Options
    created: datetime
    finished: datetime | None = None
    expires: datetime | None = Field(default=None, description="when the files are removed")
    clips: int = Field(default=0, description="parts of a video that can be shown")


class Jobs(BaseModel):
    jobs: list[Job]


class Problem(BaseModel):
    """Why a request was refused, in one sentence, and the option to change, if one is at fault."""

    error: str
    field: str | None = None


class ModelInfo(BaseModel):
    """A model; `download_bytes` is what its first use would fetch, `denoise` says that `denoise_strength` applies."""

    name: str
    summary: str
    scale: int
    for_drawings: bool
    denoise: bool
    here: bool
    download_bytes: int


class FacesInfo(BaseModel):
    here: bool
    download_bytes: int


class LimitsInfo(BaseModel):
    upload_bytes: int
    pixels: int
    seconds: float
    jobs: int


class Catalogue(BaseModel):
    """What this server can do."""

    version: str
    device: str | None = Field(default=None, description="None until a model was loaded")
    models: list[ModelInfo]
    default: dict[Kind, str]
    faces: FacesInfo
    formats: dict[Kind, list[str]]
    limits: LimitsInfo
    keep_hours: float


class Sample(BaseModel):
    name: str
    address: str
    kind: Kind


class EstimateRequest(BaseModel):
    """A picture or video that somebody might upload."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    width: int = Field(ge=1, le=1_000_000)
    height: int = Field(ge=1, le=1_000_000)
    frames: int | None = Field(default=None, ge=1, le=100_000_000)
    options: Options = Options()


class Estimate(BaseModel):
    """About how long it would take, without faces, and how large the result would be; None: not known."""

    width: int
    height: int
    seconds: float | None = None
    bytes: int | None = None
    waiting_seconds: float | None = None
    error: str | None = None


class Token(BaseModel):
    token: str = Field(max_length=1000)


class Level(BaseModel):
    width: int
    height: int
    columns: int
    rows: int


class PyramidInfo(BaseModel):
    """A picture in tiles; level 0 is the full size, each next one half of it."""

    width: int
    height: int
    tile: int
    levels: list[Level]


class ClipInfo(BaseModel):
    number: int
    start: float
    seconds: float
    frames: int


class Clips(BaseModel):
    """The finished parts of a video. A type is the one for Media Source Extensions; None: a page cannot show it."""

    after_type: str | None
    before_type: str | None
    complete: bool
    seconds: float | None
    clips: list[ClipInfo]


def catalogue_models(is_here: dict[str, bool]) -> list[ModelInfo]:
    """All models for pictures and videos; `is_here` has the names of the weight files that need no download."""
    return [
        ModelInfo(
            name=model.name,
            summary=model.summary.split(";")[0],
            scale=model.scale,
            for_drawings=model.for_drawings,
            denoise=model.weak_denoise is not None,
            here=all(is_here[file.name] for file in model.files),
            download_bytes=sum(file.size_bytes or 0 for file in model.files if not is_here[file.name]),
        )
        for model in MODELS.values()
    ]
