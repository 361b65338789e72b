"""The calls of the HTTP interface. Each finds the job, asks the desk, and answers; nothing is computed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, StreamingResponse

from . import taking_on
from .clients import client_of
from .desk import Desk
from .estimates import estimate
from .events import message
from .models import ENDED, Clips, Estimate, EstimateRequest, Job, Jobs, Options, Problem, PyramidInfo
from .problems import Refused
from .showing import Showing, Side, finished_file
from .store import Entry

MAX_IN_ZIP = 1000
_CHUNK_BYTES = 1 << 20
_KEPT = {"cache-control": "private, max-age=3600, immutable"}  # what never changes under its address


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}


def _form(description: str) -> dict[str, Any]:
    """The documentation of a form that is received as it streams in."""
    options = Options.model_json_schema()["properties"]
    properties = {"file": {"type": "string", "format": "binary", "description": description}, **options}
    schema = {"type": "object", "properties": properties, "required": ["file"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def showing_of(request: Request) -> Showing:
    showing: Showing = request.app.state.showing
    return showing


def entry_of(id: str, request: Request) -> Entry:
    return desk_of(request).find(id)


TheDesk = Annotated[Desk, Depends(desk_of)]
TheShowing = Annotated[Showing, Depends(showing_of)]
TheEntry = Annotated[Entry, Depends(entry_of)]
Number = Annotated[int, Query(ge=0)]

router = APIRouter(prefix="/v1")


@router.post("/estimate", responses=_problems(422))
async def estimate_job(request: EstimateRequest, desk: TheDesk) -> Estimate:
    """About how long a picture or video would take, and how large its result would be."""
    return estimate(request, desk.speeds, desk.waiting_s(), desk.limits)


@router.post(
    "/jobs",
    status_code=202,
    response_model=Job,
    responses=_problems(400, 408, 413, 415, 422, 429, 507),
    openapi_extra=_form("a picture or a video"),
)
async def create_job(request: Request, response: Response, desk: TheDesk) -> Job:
    """Upload a picture or a video and have it restored; the answer comes before that is done."""
    entry = await taking_on.upload(request, desk, client_of(request))
    response.headers["location"] = f"/v1/jobs/{entry.job.id}"
    return desk.shown([entry])[0]


@router.get("/jobs")
async def list_jobs(request: Request, desk: TheDesk) -> Jobs:
    """The jobs of this client, oldest first: a browser is known by its cookie, a program by its address."""
    return Jobs(jobs=desk.jobs_of(client_of(request)))


@router.get("/jobs/{id}", responses=_problems(404))
async def show_job(entry: TheEntry, desk: TheDesk) -> Job:
    """How a job stands."""
    return desk.shown([entry])[0]


@router.delete("/jobs/{id}", status_code=204, responses=_problems(404))
async def remove_job(entry: TheEntry, desk: TheDesk) -> None:
    """Cancel a job if it has not ended, and remove everything of it."""
    desk.remove(entry)


@router.post("/jobs/{id}/cancel", responses=_problems(404, 409))
async def cancel_job(entry: TheEntry, desk: TheDesk) -> Job:
    """Stop a job. The finished segments of a video stay, and `resume` goes on from there."""
    desk.cancel(entry)
    return desk.shown([entry])[0]


@router.post("/jobs/{id}/resume", responses=_problems(404, 409, 429))
async def resume_job(entry: TheEntry, desk: TheDesk) -> Job:
    """Queue a job that was cancelled or has failed once more."""
    desk.resume(entry)
    return desk.shown([entry])[0]


@router.get(
    "/events",
    responses={200: {"content": {"text/event-stream": {}}}, **_problems(503)},
    response_class=StreamingResponse,
)
async def listen_to_all(request: Request, desk: TheDesk) -> StreamingResponse:
    """Server-sent events about all jobs of this client: jobs (all, at first), job (one that changed), removed."""
    client = client_of(request)
    desk.listeners.refuse_if_full()
    return _stream(
        desk.listeners.listen(
            concerns=lambda entry: entry.record.client == client and entry.record.listed,
            first=lambda: message("jobs", Jobs(jobs=desk.jobs_of(client)).model_dump_json()),
            show=desk.shown,
            until=lambda: False,
        )
    )


@router.get(
    "/jobs/{id}/events",
    responses={200: {"content": {"text/event-stream": {}}}, **_problems(404, 503)},
    response_class=StreamingResponse,
)
async def listen_to_job(entry: TheEntry, desk: TheDesk) -> StreamingResponse:
    """Server-sent events about one job, until it has ended."""
    desk.listeners.refuse_if_full()
    return _stream(
        desk.listeners.listen(
            concerns=lambda other: other is entry,
            first=lambda: message("job", desk.shown([entry])[0].model_dump_json()),
            show=desk.shown,
            until=lambda: entry.job.state in ENDED or entry.job.id not in desk.entries,
        )
    )


def _stream(messages: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(messages, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.get("/jobs/{id}/result", response_class=FileResponse, responses=_problems(404, 409))
async def download_result(entry: TheEntry, inline: bool = False) -> FileResponse:
    """The finished file, in parts where asked for (Range); `inline` shows it instead of saving it."""
    target, result = finished_file(entry), entry.job.result
    assert result is not None
    disposition = "inline" if inline else "attachment"
    return FileResponse(target, media_type=result.type, filename=result.name, content_disposition_type=disposition)


@router.get(
    "/results.zip",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}, **_problems(404, 409, 422)},
)
async def download_results(
    id: Annotated[list[str], Query(min_length=1, max_length=MAX_IN_ZIP)], desk: TheDesk
) -> StreamingResponse:
    """Several finished files as one zip."""
    files: dict[str, Path] = {}
    for entry in map(desk.find, dict.fromkeys(id)):
        path, result = finished_file(entry), entry.job.result
        assert result is not None
        files[_distinct(result.name, files)] = path
    headers = {"content-disposition": 'attachment; filename="restored.zip"'}
    return StreamingResponse(_zipped(files), media_type="application/zip", headers=headers)


def _distinct(name: str, taken: dict[str, Path]) -> str:
    stem, dot, extension = name.rpartition(".")
    number = 1
    while name in taken:
        number += 1
        name = f"{stem} ({number}){dot}{extension}"
    return name


def _zipped(files: dict[str, Path]) -> Iterator[bytes]:
    """The bytes of a zip of `files`, not compressed: pictures and videos are already."""
    outlet = _Outlet()
    with ZipFile(outlet, "w", ZIP_STORED) as archive:
        for name, path in files.items():
            info = ZipInfo.from_file(path, name)
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
                while chunk := source.read(_CHUNK_BYTES):
                    sink.write(chunk)
                    yield outlet.take()
    yield outlet.take()


class _Outlet:
    """A file that only passes on what is written to it."""

    def __init__(self) -> None:
        self._content = bytearray()

    def write(self, content: bytes) -> int:
        self._content += content
        return len(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        content = bytes(self._content)
        self._content.clear()
        return content


@router.get("/jobs/{id}/{side}/pyramid", responses=_problems(404, 409))
async def show_pyramid(entry: TheEntry, side: Side, showing: TheShowing) -> PyramidInfo:
    """The sizes of a picture in tiles, before or after."""
    return await showing.pyramid_info(entry, side)


@router.get(
    "/jobs/{id}/{side}/tiles/{level}/{column}_{row}.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **_problems(404, 409)},
)
async def show_tile(entry: TheEntry, side: Side, level: int, column: int, row: int, showing: TheShowing) -> Response:
    """A tile of a picture, lossless; level 0 is the full size."""
    content = await showing.tile(entry, side, level, column, row)
    return Response(content, media_type="image/png", headers=_KEPT)


@router.get("/jobs/{id}/clips", responses=_problems(404))
async def list_clips(entry: TheEntry, showing: TheShowing) -> Clips:
    """The parts of a video that can be shown already."""
    return await showing.clips(entry)


@router.get(
    "/jobs/{id}/{side}/clips/{number}.mp4",
    response_class=Response,
    responses={200: {"content": {"video/mp4": {}}}, **_problems(404)},
)
async def show_clip(entry: TheEntry, side: Side, number: int, showing: TheShowing) -> Response:
    """A part of a video for Media Source Extensions, at its times in the whole."""
    return Response(await showing.clip(entry, side, number), media_type="video/mp4", headers=_KEPT)


@router.post(
    "/upscale",
    response_class=FileResponse,
    responses={200: {"content": {"image/*": {}}}, **_problems(400, 408, 413, 415, 422, 429, 507)},
    openapi_extra=_form("a picture"),
)
async def upscale(request: Request, desk: TheDesk) -> Response:
    """Restore a picture and answer with it: for scripts. If the client goes away, the work stops."""
    entry = await taking_on.upload(request, desk, client_of(request), kind="picture", listed=False)
    await taking_on.result_of(request, desk, entry)
    job = entry.job
    if job.state != "done" or job.result is None:
        desk.remove(entry)
        raise Refused(422, job.error or f"the job was {job.state}", job.error_field)
    done = BackgroundTask(_remove, desk, entry)
    return FileResponse(finished_file(entry), media_type=job.result.type, filename=job.result.name, background=done)


async def _remove(desk: Desk, entry: Entry) -> None:
    desk.remove(entry)
