"""The application: the page, the interface and what guards them, put together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..image.formats import writable_formats
from ..model_zoo import FACE_MODELS, all_models
from ..video.request import EXTENSIONS
from ..weights.store import find
from . import cog_routes, routes, samples
from .clients import introduce, set_cookie
from .desk import Desk
from .guard import LOOPBACK_NAMES, SESSION_COOKIE, Guard, is_same, session_of
from .models import DEFAULT_MODELS, Catalogue, FacesInfo, LimitsInfo, Problem, Sample, Token, catalogue_models
from .problems import Refused
from .showing import Showing

PAGE = Path(__file__).parent / "page"
MAX_PREDICTION_BYTES = 100_000_000  # in base64, a third more than the picture
DESCRIPTION = """Restores pictures and videos on this machine.

Upload with `POST /v1/jobs`, follow the job by its id, fetch the result. `POST /v1/upscale` does all that in one call
for a picture. Answers to refused requests are `{"error": one sentence, "field": the option to change or null}`."""

log = logging.getLogger("realesrgan")


def build(desk: Desk, *, token: str | None = None, warm_up: bool = True) -> FastAPI:
    """The application over `desk`. Without a token it answers only to this machine's own names."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await desk.start(warm_up=warm_up)
        try:
            yield
        finally:
            await desk.stop()

    app = FastAPI(
        title="Real-ESRGAN",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={401: {"model": Problem}, 422: {"model": Problem}} if token else {422: {"model": Problem}},
    )
    app.state.desk, app.state.showing, app.state.predictions = desk, Showing(desk), {}
    app.include_router(routes.router)
    app.include_router(cog_routes.router)
    _add_page(app, desk, token)
    _add_catalogue(app, desk)
    _add_problems(app)
    app.add_middleware(
        Guard,
        names=LOOPBACK_NAMES if token is None else None,
        token=token,
        large={
            "/v1/jobs": None,
            "/v1/upscale": None,
            "/predictions": MAX_PREDICTION_BYTES,
            "/predictions/": MAX_PREDICTION_BYTES,
        },
    )
    return app


def _add_page(app: FastAPI, desk: Desk, token: str | None) -> None:
    app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        given = request.query_params.get("token")
        if given is None:
            response: Response = FileResponse(PAGE / "index.html")
        else:  # the address that the server prints: keep the token, and take it out of the address bar
            response = RedirectResponse("/", 303)
            if token is not None and is_same(given, token):
                set_cookie(response, SESSION_COOKIE, session_of(token))
        introduce(request, response)
        return response

    @app.get("/docs", include_in_schema=False)
    def documentation() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    @app.get("/samples/{name}", include_in_schema=False)
    def sample(name: str) -> FileResponse:
        path = samples.samples().get(name)
        if path is None:
            raise Refused(404, "there is no such sample")
        return FileResponse(path)

    @app.post("/v1/session", status_code=204, responses={401: {"model": Problem}})
    def open_session(body: Token, response: Response) -> None:
        """Exchange the server's token for a cookie, where a token is needed."""
        if token is not None:
            if not is_same(body.token, token):
                raise Refused(401, "this is not the server's token", "token")
            set_cookie(response, SESSION_COOKIE, session_of(token))


def _add_catalogue(app: FastAPI, desk: Desk) -> None:
    @app.get("/v1/models")
    def list_models() -> Catalogue:
        """What this server can do: models, formats, limits."""
        is_here = {file.name: find(file) is not None for model in all_models() for file in model.files}
        faces = FACE_MODELS["1.3"].files
        missing = [file for file in faces if not is_here[file.name]]
        limits = desk.limits
        return Catalogue(
            version=__version__,
            device=desk.speeds.devices,
            models=catalogue_models(is_here),
            default=DEFAULT_MODELS,
            faces=FacesInfo(here=not missing, download_bytes=sum(file.size_bytes or 0 for file in missing)),
            formats={"picture": ["auto", *writable_formats()], "video": ["auto", *EXTENSIONS]},
            limits=LimitsInfo(
                upload_bytes=limits.upload_bytes, pixels=limits.pixels, seconds=limits.seconds, jobs=limits.jobs
            ),
            keep_hours=limits.keep_s / 3600,
        )

    @app.get("/v1/samples")
    def list_samples() -> list[Sample]:
        """Files to try the server with."""
        return samples.described()


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return _answer(error.status, error.error, error.field)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":  # its place is a number of letters, not a field
            return _answer(422, "the body is not JSON", None)
        field = str(first["loc"][-1]) if len(first["loc"]) > 1 else None
        reason = first["msg"][0].lower() + first["msg"][1:]
        return _answer(422, f"{field}: {reason}" if field else reason, field)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> JSONResponse:
        answer = _answer(error.status_code, str(error.detail).lower(), None)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return _answer(500, "an unexpected error; the server's terminal shows it", None)


def _answer(status: int, error: str, field: str | None) -> JSONResponse:
    return JSONResponse(Problem(error=error, field=field).model_dump(), status)
