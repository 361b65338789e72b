"""The server and the browser of all tests, and what every test checks at its end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from server_process import ServerProcess
from watch import Watch

if TYPE_CHECKING:
    from visitor import Visitor

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs Chromium: none of {', '.join(PROGRAMS)} is installed")
    from playwright.sync_api import sync_playwright

    arguments = ["--autoplay-policy=no-user-gesture-required"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run as root otherwise
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server that most tests share; each visitor sees only its own jobs."""
    running = ServerProcess(tmp_path_factory.mktemp("server"))
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
    request = visitor.context.request
    listed = request.get(f"{visitor.server.address}v1/jobs", fail_on_status_code=False)
    for job in listed.json()["jobs"] if listed.ok else []:
        request.delete(f"{visitor.server.address}v1/jobs/{job['id']}")
