"""The routes of the Cog interface; `predictions` has what goes over them."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool

from . import taking_on
from .clients import client_of
from .desk import Desk
from .models import Problem
from .predictions import ID_PATTERN, PredictionRequest, PredictionResponse, options_of, picture_in, response
from .problems import Refused
from .routes import TheDesk
from .store import Entry

_REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (409, 413, 415, 422, 429, 507)}
TheId = Annotated[str, Path(pattern=ID_PATTERN)]

router = APIRouter()


@router.get("/health-check")
async def check_health() -> dict[str, str]:
    """Whether predictions are answered, as Cog says it."""
    return {"status": "READY"}


@router.post("/predictions", responses=_REFUSALS)
async def predict(body: PredictionRequest, request: Request, desk: TheDesk) -> PredictionResponse:
    """Restore a picture and answer with it, as Cog servers do."""
    return await _predict(body.id or secrets.token_urlsafe(16), body, request, desk)


@router.put("/predictions/{id}", responses=_REFUSALS)
async def predict_by_id(id: TheId, body: PredictionRequest, request: Request, desk: TheDesk) -> PredictionResponse:
    """The same under an id of the client's, by which it can be cancelled."""
    if body.id not in (None, id):
        raise Refused(422, "the id in the address and the one in the body differ", "id")
    return await _predict(id, body, request, desk)


@router.post("/predictions/{id}/cancel", responses={404: {"model": Problem}})
async def cancel_prediction(id: TheId, request: Request, desk: TheDesk) -> dict[str, str]:
    """Cancel a prediction that runs."""
    entry = _running(request).get(id)
    if entry is None:
        raise Refused(404, "no prediction of this id is running")
    desk.cancel(entry)
    return {}


def _running(request: Request) -> dict[str, Entry]:
    running: dict[str, Entry] = request.app.state.predictions
    return running


async def _predict(id: str, body: PredictionRequest, request: Request, desk: Desk) -> PredictionResponse:
    running = _running(request)
    if id in running:
        raise Refused(409, "a prediction of this id is running already", "id")
    name, content = picture_in(body)
    entry = await taking_on.content(desk, client_of(request), name, content, options_of(body))
    if id in running:  # another one of this id was faster
        desk.remove(entry)
        raise Refused(409, "a prediction of this id is running already", "id")
    running[id] = entry
    try:
        await taking_on.result_of(request, desk, entry)
        return await run_in_threadpool(response, id, body, entry.job, entry.target)
    finally:
        running.pop(id, None)
        desk.remove(entry)
