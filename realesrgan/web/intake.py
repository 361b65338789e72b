"""Look at an upload and its options before it is queued: what cannot be restored is refused, with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import RealESRGANError, UsageError
from ..image import batch as images
from ..image import files, formats
from ..loading import Settings
from ..video import inputs
from ..video.request import VideoJob, check_request, plan_job
from ..video.sources.ffmpeg import refuse_playlists
from .limits import Limits
from .messages import Kind, Task
from .models import Options, Source
from .problems import Refused, option_in, plain
from .video_lane import request_of

MAX_NAME = 200  # bytes of a display name: file systems take 255, and "_out" is added
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Accepted:
    """An upload that can be restored."""

    kind: Kind
    source: Source


def display_name(given: str) -> str:
    """The client's name for its file as text to show and to offer for saving: no folders, nothing unprintable."""
    name = _UNPRINTABLE.sub("", re.split(r"[/\\]", given)[-1]).strip(". ")
    stem, dot, extension = name.rpartition(".")
    if len(name.encode()) > MAX_NAME:
        name = f"{_cut(stem, MAX_NAME - 33)}{dot}{_cut(extension, 32)}" if dot else _cut(name, MAX_NAME)
    return name or "file"


def _cut(text: str, most: int) -> str:
    """The beginning of `text`, of so many bytes at most."""
    return text.encode()[:most].decode(errors="ignore")


def file_name(name: str) -> str:
    """What the upload is called on disk: only its extension is the client's, if it is a usual one."""
    extension = name.rpartition(".")[2].lower()
    known = extension in formats.PICTURE_EXTENSIONS or extension in inputs.VIDEO_EXTENSIONS
    return f"input.{extension}" if known else "input"


def options_of(fields: Mapping[str, Any]) -> Options:
    """The options of a form; empty fields count as not given.

    Raises:
        Refused: an option does not exist or has a value that it cannot have.
    """
    try:
        return Options.model_validate({name: value for name, value in fields.items() if value != ""})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise Refused(422, f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}", name) from None


def examine(
    path: Path, output: Path, options: Options, machine: Settings, limits: Limits, kind: Kind | None = None
) -> Accepted:
    """Find out what was uploaded, and whether it can be restored as asked. Reads headers only.

    Args:
        path: the upload.
        output: the folder for the result.
        kind: what it must be; None: either.

    Raises:
        Refused: it is neither picture nor video, too large, too long, or an option does not suit it.
    """
    try:
        header = None if inputs.is_video(path) else files.read_header(path)
    except RealESRGANError as error:
        raise Refused(415, f"the file cannot be read: {_without_names(path, error.message)}", "file") from None
    found: Kind = "video" if header is None else "picture"
    task = Task("", found, path, "", output, options.ext, options.settings(found, machine))
    if kind is not None and found != kind:
        raise Refused(415, f"the file is not a {kind} that can be read here", "file")
    size_bytes = path.stat().st_size
    if header is not None:
        source = Source(width=header.width, height=header.height, bytes=size_bytes)
        _check_size(source, limits)
        _check_picture(task)
        return Accepted("picture", source)
    job = _plan_video(task)
    video = job.source
    source = Source(
        width=video.width,
        height=video.height,
        frames=job.frame_count or None,
        seconds=None if video.duration_s is None else float(video.duration_s),
        bytes=size_bytes,
    )
    _check_size(source, limits)
    if (source.seconds or 0) > limits.seconds:
        raise Refused(422, f"the video is longer than {limits.seconds:.0f} s, the most this server takes", "file")
    return Accepted("video", source)


def _check_size(source: Source, limits: Limits) -> None:
    if reason := limits.too_many_pixels(source.width, source.height):
        raise Refused(422, reason, "file")


def _check_picture(task: Task) -> None:
    try:
        selection, _ = images.select(images.Batch([str(task.source)], task.output, ext=task.ext), task.settings)
    except UsageError as error:
        raise Refused(422, _reason(task, error), error.option) from None
    for reason in selection.failures:
        raise Refused(422, _without_names(task.source, reason), option_in(reason))


def _plan_video(task: Task) -> VideoJob:
    request = request_of(task)
    try:
        check_request(request, task.settings)
    except UsageError as error:
        raise Refused(422, _reason(task, error), error.option) from None
    try:
        refuse_playlists(task.source)
        return plan_job(task.source, request)
    except UsageError as error:
        raise Refused(422, _reason(task, error), error.option) from None
    except RealESRGANError as error:
        raise Refused(
            415, f"neither a picture nor a video that can be read here: {_reason(task, error)}", "file"
        ) from None


def _reason(task: Task, error: RealESRGANError) -> str:
    return _without_names(task.source, error.message)


def _without_names(path: Path, message: str) -> str:
    """`message` without the server's folders."""
    return plain(message.replace(f"{path}: ", "").replace(str(path), "the file").replace(f"{path.parent}/", ""))
