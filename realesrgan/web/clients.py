"""Whose request it is. A browser gets a random cookie with the page; a program is known by its address."""

from __future__ import annotations

import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

CLIENT_COOKIE = "realesrgan_client"
_CLIENT = re.compile(r"[A-Za-z0-9_-]{22}")
_YEAR_S = 365 * 24 * 3600


def client_of(request: Request) -> str:
    """A name for the client, for the queue and for listing its jobs."""
    return _cookie(request) or f"address {request.client.host if request.client else '?'}"


def introduce(request: Request, response: Response) -> None:
    """Give a browser its cookie, if it has none."""
    if not _cookie(request):
        set_cookie(response, CLIENT_COOKIE, secrets.token_urlsafe(16))


def set_cookie(response: Response, name: str, value: str) -> None:
    """Set a cookie that no script can read and no other site can use."""
    response.set_cookie(name, value, max_age=_YEAR_S, httponly=True, samesite="strict")


def _cookie(request: Request) -> str:
    value = request.cookies.get(CLIENT_COOKIE, "")
    return value if _CLIENT.fullmatch(value) else ""
