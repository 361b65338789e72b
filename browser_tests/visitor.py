"""A person at the page: one browser profile with one tab. Says what is done, not how the page is built inside."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from server_process import ServerProcess
from watch import Watch

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: see requirements-browser.txt")

FAST_MODEL = "realesr-animevideov3"
PATIENCE_S = 90.0
Value = TypeVar("Value")

sync_api.expect.set_options(timeout=PATIENCE_S * 1000)  # machines that do other work, too, are slow


class Visitor:
    """Attributes:
    page: the tab.
    watch: what the page asks and says.
    """

    def __init__(self, context: Any, server: ServerProcess, watch: Watch) -> None:
        self.context, self.server, self.watch = context, server, watch
        context.set_default_timeout(PATIENCE_S * 1000)
        self.page = context.new_page()

    def open(self, path: str = "") -> Visitor:
        """Open the page and wait until it can be used."""
        self.page.goto(self.server.address + path)
        self.page.locator("#page").wait_for()
        return self

    def until(self, condition: Callable[[], Value], patience_s: float = PATIENCE_S) -> Value:
        """What `condition` gives, as soon as that is true; the page goes on meanwhile."""
        end_s = time.monotonic() + patience_s
        while not (value := condition()):
            assert time.monotonic() < end_s, "waited in vain"
            self.page.wait_for_timeout(20)
        return value

    # The form

    def choose(self, *files: Path | dict[str, Any]) -> None:
        """Choose files by the button; a dictionary is {name, mimeType, buffer}."""
        for group in (Path, dict):  # the browser takes one kind at a time
            chosen = [file for file in files if isinstance(file, group)]
            if chosen:
                self.page.set_input_files("#file-input", chosen)

    def start(self, model: str = FAST_MODEL) -> None:
        """Choose a model and press the button."""
        for kind in ("picture", "video"):
            if self.page.locator(f"#{kind}-model").is_visible():
                self.page.select_option(f"#{kind}-model", model)
        self.page.locator("#start").click()

    # The list of results

    def row(self, name: str) -> Any:
        # While the answer to an upload is on its way, the job may be there already, beside it.
        there = "#queue > .row:not([data-state=uploading])"
        return self.page.locator(there, has=self.page.get_by_text(name, exact=True))

    def expect_state(self, name: str, *states: str) -> Any:
        """The row of `name` once it is in one of these states."""
        row = self.row(name)
        wanted = re.compile(f"^({'|'.join(states)})$")
        sync_api.expect(row).to_have_attribute("data-state", wanted)
        return row

    def press(self, name: str, action: str) -> None:
        """Press a button of a row: compare, watch, cancel, resume, remove."""
        self.row(name).locator(f'[data-action="{action}"]').click()

    def compare(self, name: str) -> None:
        """Open the comparison of a finished picture and wait until it is drawn."""
        self.press(name, "compare")
        self.until_drawn()

    def until_drawn(self) -> None:
        """Wait until the comparison shows what it was asked for last; moves of the pointer count with the next turn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.until(lambda: self.page.evaluate("document.querySelector('#picture')?.settled"))

    # Behind the page's back

    def submit(self, content: bytes, name: str, **options: Any) -> dict[str, Any]:
        """Upload as a program would, with this browser's cookies. Returns the job."""
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        fields = {"model_name": FAST_MODEL, **{key: str(value) for key, value in options.items()}}
        answer = self.context.request.post(f"{self.server.address}v1/jobs", multipart={**fields, "file": file})
        assert answer.status == 202, answer.text()
        return dict(answer.json())

    def job_of(self, name: str) -> dict[str, Any]:
        """What the server says of the job in a row."""
        return dict(self.fetch(f"v1/jobs/{self.row(name).get_attribute('data-id')}").json())

    def fetch(self, path: str) -> Any:
        answer = self.context.request.get(self.server.address + path)
        assert answer.ok, answer.text()
        return answer

    def result_of(self, name: str) -> bytes:
        """The finished file of a row, by the interface."""
        return bytes(self.fetch(f"v1/jobs/{self.row(name).get_attribute('data-id')}/result").body())
