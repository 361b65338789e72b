"""The server and the browser of all tests, and what every test checks at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import chromium
import pytest
from server_process import ServerProcess
from watch import Watch

if TYPE_CHECKING:
    from visitor import Visitor

LONG_MS = 90_000
TOKEN = "token-for-the-tests-of-the-page"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium."""
    program = chromium.find()
    if program is None:
        pytest.skip(f"needs Chromium: none of {', '.join(chromium.PROGRAMS)} is installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = chromium.launch(playwright, program)
        yield running
        running.close()


@pytest.fixture(scope="session")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server that most tests share; each visitor sees only its own jobs."""
    running = ServerProcess(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def guarded(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants `TOKEN`, and that a test may start again."""
    running = ServerProcess(tmp_path_factory.mktemp("guarded"), token=TOKEN)
    yield running
    running.stop()


@pytest.fixture
def visit(browser: Any, server: ServerProcess) -> Iterator[Callable[..., Visitor]]:
    """Make visitors, each with a profile of its own; nothing that one of them did may have been wrong."""
    from visitor import Visitor

    visitors: list[Visitor] = []

    def make(at: ServerProcess | None = None, **options: Any) -> Visitor:
        there = at or server
        settings = {"viewport": {"width": 1200, "height": 900}, "locale": "en-US", **options}
        context = browser.new_context(**settings)
        visitors.append(Visitor(context, there, Watch(context, there.origin)))
        return visitors[-1]

    yield make
    for one in visitors:
        one.page.close()  # first: what it fetches of a job that is gone would be an error
        remove_jobs(one)
        one.context.close()
    for one in visitors:
        one.watch.check()


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    """Somebody who has just opened the page."""
    return visit().open()


def remove_jobs(visitor: Visitor) -> None:
    """Leave the server idle for the next test."""
    request, jobs = visitor.context.request, f"{visitor.server.address}v1/jobs"
    listed = request.get(jobs, timeout=LONG_MS)
    for job in listed.json()["jobs"] if listed.ok else []:  # refused where no token was given
        request.delete(f"{jobs}/{job['id']}", timeout=LONG_MS)
