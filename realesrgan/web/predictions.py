"""The prediction call of Cog servers, for programs that speak it: a picture in a data URI in, one out.

https://cog.run/http: `POST /predictions`, `PUT /predictions/{id}`, `POST /predictions/{id}/cancel`, `/health-check`.
Addresses are never fetched: neither pictures' nor webhooks'.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..values import MOST_OUTSCALE
from .models import Job, Options
from .problems import Refused

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
_DATA_URI = re.compile(r"data:[\w.+-]*/?[\w.+-]*(;[\w.+=-]+)*;base64,", re.ASCII)
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/tiff": "tif", "image/bmp": "bmp"}


class PredictionInput(BaseModel):
    """The inputs of the hosted Real-ESRGAN."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="the picture as a data URI: data:image/png;base64,…")
    scale: float = Field(default=4.0, gt=0, le=MOST_OUTSCALE, description="final enlargement")
    face_enhance: bool = Field(default=False, description="restore faces with GFPGAN")


class PredictionRequest(BaseModel):
    """A prediction; `webhook` is refused, because this server fetches no addresses."""

    id: str | None = Field(default=None, pattern=ID_PATTERN)
    input: PredictionInput
    webhook: str | None = None
    webhook_events_filter: list[str] | None = None
    output_file_prefix: str | None = None


class PredictionResponse(BaseModel):
    """What became of it. `output` is a data URI."""

    id: str
    status: Literal["succeeded", "failed", "canceled"]
    input: dict[str, Any]
    output: str | None = None
    error: str | None = None
    logs: str = ""
    created_at: datetime
    started_at: datetime
    completed_at: datetime | None
    metrics: dict[str, float]


def picture_in(request: PredictionRequest) -> tuple[str, bytes]:
    """A file name and the content of the picture that a request holds.

    Raises:
        Refused: it is an address, or no data URI.
    """
    if request.webhook is not None or request.output_file_prefix is not None:
        raise Refused(
            422, "webhook and output_file_prefix: this server fetches no addresses; leave them out", "webhook"
        )
    match = _DATA_URI.match(request.input.image[:200])
    if match is None:
        raise Refused(422, "image: send the picture itself as a data URI; this server fetches no addresses", "image")
    try:
        content = base64.b64decode(request.input.image[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise Refused(422, "image: its base64 is damaged", "image") from None
    kind = match[0][5:].split(";")[0].lower()
    return f"image.{_EXTENSIONS.get(kind, 'png')}", content


def options_of(request: PredictionRequest) -> Options:
    return Options(outscale=request.input.scale, face_enhance=request.input.face_enhance)


def response(prediction_id: str, request: PredictionRequest, job: Job, target: Path | None) -> PredictionResponse:
    """Answer with what became of the job; the picture is not sent back among the inputs."""
    output = None
    if target is not None and job.result is not None:
        output = f"data:{job.result.type};base64,{base64.b64encode(target.read_bytes()).decode()}"
    seconds = (job.finished - job.created).total_seconds() if job.finished else 0.0
    return PredictionResponse(
        id=prediction_id,
        status="succeeded" if output else "canceled" if job.state == "cancelled" else "failed",
        input=request.input.model_dump(exclude={"image"}),
        output=output,
        error=job.error,
        logs="\n".join([*job.notes, *job.warnings]),
        created_at=job.created,
        started_at=job.created,
        completed_at=job.finished,
        metrics={"predict_time": seconds},
    )
