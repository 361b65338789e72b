"""Who may ask, and for what: a layer around the application that checks every request before anything reads it.

Against DNS rebinding, the Host must be one of this server's names. Against posts from other sites, the Origin must be
this server. Beyond the own machine, every call needs the token. Bodies are counted, and must keep coming.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import MAX_BODY_BYTES, PATIENCE_S

SESSION_COOKIE = "realesrgan_session"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_OPEN = ("/", "/docs", "/v1/session", "/health-check", "/favicon.ico")  # hold no secrets, besides what is in /page/
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def session_of(token: str) -> str:
    """What a browser keeps in its cookie instead of the token."""
    return hashlib.sha256(f"realesrgan session {token}".encode()).hexdigest()


def is_same(given: str, expected: str) -> bool:
    """Compare secrets in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode(), expected.encode())


def cookie(headers: Headers, name: str) -> str:
    """A cookie's value; empty if there is none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


class Guard:
    """Checks host, origin, token and size of each request, and adds headers for safety to each answer.

    Args:
        names: the host names that count as this server; None: any, which only a token makes safe.
        token: what clients must send, as `Authorization: Bearer`, or in the cookie that /v1/session sets.
        large: how large a body may be where that is not `MAX_BODY_BYTES`, by path, or its beginning where that ends in
            a slash; None: whoever reads it counts.
        patience_s: how long to wait for the next bytes of a body.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Iterable[str] | None,
        token: str | None,
        large: dict[str, int | None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._app = app
        self._names = None if names is None else set(names)
        self._token = token
        self._large = large
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                answer.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            return await refusal(scope, receive, send_guarded)
        return await self._watched(scope, receive, send_guarded, self._limit(scope["path"]))

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._names is not None and _host_name(host) not in self._names:
            return _problem(421, f"this server does not answer to the name {_host_name(host)[:100]}")
        origin = headers.get("origin")
        if scope["method"] not in _SAFE_METHODS:
            foreign = origin is not None and _host_of(origin) != host
            if foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                return _problem(403, "requests from other sites are refused")
        if self._token is not None and not self._is_open(scope["path"]) and not self._is_authorised(headers):
            answer = _problem(401, "this server needs its token")
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        return None

    def _limit(self, path: str) -> int | None:
        for known, limit in self._large.items():
            if path == known or (known.endswith("/") and path.startswith(known)):
                return limit
        return MAX_BODY_BYTES

    def _is_open(self, path: str) -> bool:
        return path in _OPEN or path.startswith("/page/")

    def _is_authorised(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_same(given.strip(), self._token):
            return True
        return is_same(cookie(headers, SESSION_COOKIE), session_of(self._token))

    async def _watched(self, scope: Scope, receive: Receive, send: Send, limit: int | None) -> None:
        """Pass on a request whose body must not be larger than `limit`, nor stop coming."""
        too_large = _problem(413, f"the request is larger than {(limit or 0) / 1e6:g} MB")
        announced = Headers(scope=scope).get("content-length", "0")
        if limit is not None and (not announced.isdecimal() or int(announced) > limit):
            return await too_large(scope, receive, send)
        received, is_whole, is_answered = 0, False, False

        async def receive_watched() -> Message:
            nonlocal received, is_whole
            if is_whole:  # what comes now is that the client has gone, at any time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._patience_s)
            except asyncio.TimeoutError:
                if is_answered:
                    return {"type": "http.disconnect"}
                raise _Stopped(_problem(408, f"nothing came for {self._patience_s:.0f} s")) from None
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if limit is not None and received > limit:
                raise _Stopped(too_large)
            return message

        async def send_watched(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            return await self._app(scope, receive_watched, send_watched)
        except _Stopped as stopped:
            answer = stopped.answer
        except asyncio.CancelledError:  # the server ends
            if is_answered:
                raise
            answer = _problem(503, "the server is being stopped; try again later")
        answer.headers["connection"] = "close"  # the rest of the body is not waited for
        return await answer(scope, receive, send)


class _Stopped(BaseException):
    """Passes through whatever reads the body; no handler of the application is to answer it."""

    def __init__(self, answer: JSONResponse) -> None:
        super().__init__()
        self.answer = answer


def _host_name(host: str) -> str:
    """`localhost:8000` → `localhost`, `[::1]:8000` → `::1`."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _host_of(origin: str) -> str | None:
    """`http://localhost:8000` → `localhost:8000`; None: it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _problem(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error, "field": None}, status)
