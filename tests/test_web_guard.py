"""Who may ask: hosts, origins, tokens, sizes; and what no answer lacks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from web import Served, picture, served

from realesrgan.errors import UsageError
from realesrgan.web.server import Address, address_of, check_address

TOKEN = "a-long-and-random-token"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, token=TOKEN, host="pictures.example") as made:
        yield made


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_this_machines_names_are_answered(server: Served, host: str) -> None:
    assert server.client.get("/v1/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example:80", "", "[", "10.0.0.1"]
)
def test_other_names_are_refused_against_dns_rebinding(server: Served, host: str) -> None:
    for path in ("/", "/v1/jobs", "/page/index.html", "/openapi.json"):
        assert server.client.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://localhost:9999"},  # another program's page on this machine
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_posts_from_other_sites_are_refused(server: Served, headers: dict[str, str]) -> None:
    files = {"file": ("a.png", picture())}
    for path in ("/v1/jobs", "/v1/upscale", "/predictions"):
        assert server.client.post(path, files=files, headers=headers).status_code == 403
    assert server.worker.tasks == []


def test_posts_from_the_page_itself_are_accepted(server: Served) -> None:
    headers = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    answer = server.client.post("/v1/jobs", files={"file": ("a.png", picture())}, headers=headers)
    assert answer.status_code == 202


def test_without_the_token_nothing_but_the_empty_page_is_there(guarded: Served) -> None:
    for path in ("/v1/jobs", "/v1/models", "/v1/events", "/openapi.json", "/samples/cat.jpg"):
        answer = guarded.client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (401, "this server needs its token")
    assert guarded.client.post("/v1/jobs", files={"file": ("a.png", picture())}).status_code == 401
    assert guarded.client.get("/").status_code == 200


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_programs_send_the_token_in_a_header(guarded: Served, given: str) -> None:
    assert guarded.client.get("/v1/jobs", headers={"authorization": given}).status_code == 200


@pytest.mark.parametrize("given", ["Bearer wrong", f"Basic {TOKEN}", "Bearer", "Bearer é", TOKEN])
def test_a_wrong_token_opens_nothing(guarded: Served, given: str) -> None:
    headers = {"authorization": given.encode()}
    assert guarded.client.get("/v1/jobs", headers=headers).status_code == 401
    assert guarded.client.post("/v1/session", json={"token": given}).status_code == (204 if given == TOKEN else 401)


@pytest.mark.parametrize("by_address", [True, False])
def test_a_browser_keeps_a_cookie_instead_of_the_token(guarded: Served, by_address: bool) -> None:
    if by_address:
        answer = guarded.client.get("/", params={"token": TOKEN}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    else:
        answer = guarded.client.post("/v1/session", json={"token": TOKEN})
        assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.client.get("/v1/jobs").status_code == 200


def test_a_wrong_token_in_the_address_gives_no_cookie(guarded: Served) -> None:
    guarded.client.get("/", params={"token": "wrong"})
    assert guarded.client.get("/v1/jobs").status_code == 401


def test_bodies_are_counted_whether_announced_or_not(server: Served) -> None:
    large = b"x" * 2_000_000
    assert server.client.post("/v1/estimate", content=large).status_code == 413

    def in_pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield large[:100_000]

    assert server.client.post("/v1/estimate", content=in_pieces()).status_code == 413
    assert server.client.post("/v1/estimate", headers={"content-length": "no"}).status_code in (400, 413)


@pytest.mark.parametrize("path", ["/", "/docs", "/page/index.html", "/v1/jobs", "/v1/jobs/nothing", "/nothing"])
def test_every_answer_keeps_browsers_strict(server: Served, path: str) -> None:
    headers = server.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="token"):
        check_address(Address(host))
    check_address(Address(host, token=TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_needs_none(host: str) -> None:
    check_address(Address(host))


def test_a_short_token_is_refused() -> None:
    with pytest.raises(UsageError, match="16 letters"):
        check_address(Address(token="secret"))


@pytest.mark.parametrize("token", ["a token with spaces", "ein-schlüssel-für-alle", "sixteen-letters-\n", "a\x00" * 10])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="without spaces"):
        check_address(Address(token=token))


def test_the_address_that_is_printed_opens_the_server_whatever_the_token_has(tmp_path: Path) -> None:
    token = "a+b&c#d%20e=f/g?h;i"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        shown = address_of(sock, Address(token=token))
    with served(tmp_path, token=token, host="127.0.0.1") as server:
        server.client.get(urlsplit(shown)._replace(scheme="", netloc="").geturl())
        assert server.client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"{'a': 1}"])
def test_a_body_that_is_not_json_is_said(server: Served, body: bytes) -> None:
    answer = server.client.post("/v1/estimate", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"error": "the body is not JSON", "field": None})
