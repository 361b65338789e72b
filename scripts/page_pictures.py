"""Make the pictures of the page that README.md shows, docs/pictures/page.jpg and compare.jpg, from the page itself.

Needs requirements-browser.txt and Chromium. Run `python scripts/page_pictures.py`; it restores two pictures and a clip
of inputs/ with a server of its own, which takes a minute or two.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "browser_tests"))
import chromium  # noqa: E402
from server_process import ServerProcess  # noqa: E402

PICTURES = PROJECT / "docs" / "pictures"
PAGE_VIEW = {"width": 1200, "height": 1010}  # ends below the third row
COMPARE_VIEW = {"width": 1200, "height": 800}
QUALITY = 85
PATIENCE_S = 600.0
SHARE_DONE = 0.4  # of the clip, when the page is shown


def restore(page: Page, *names: str) -> None:
    """Choose files of inputs/ and press the button."""
    page.set_input_files("#file-input", [PROJECT / "inputs" / name for name in names])
    for name in names:
        page.locator("#chosen").get_by_text(Path(name).name).wait_for()
    page.locator("#start").click()


def wait_until(page: Page, condition: Callable[[], Any]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError("the page did not come so far")
        page.wait_for_timeout(50)


def show_page(page: Page) -> None:
    """Two results, and a clip that is being restored."""
    page.set_viewport_size(PAGE_VIEW)
    restore(page, "portrait.jpg", "cat.jpg")
    done = page.locator('#queue > [data-state="done"]')
    wait_until(page, lambda: done.count() == 2)
    restore(page, "video/clip.mkv")
    progress = page.locator('[data-kind="video"][data-state="running"] progress')
    wait_until(page, lambda: progress.count() and float(progress.get_attribute("value") or 0) > SHARE_DONE)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    page.screenshot(path=PICTURES / "page.jpg", type="jpeg", quality=QUALITY)


def show_comparison(page: Page) -> None:
    """The portrait on both sides of the divider."""
    page.set_viewport_size(COMPARE_VIEW)
    page.locator('#queue > .row:has-text("portrait.jpg") [data-action="compare"]').click()
    wait_until(page, lambda: page.evaluate("document.querySelector('#picture')?.settled"))
    page.screenshot(path=PICTURES / "compare.jpg", type="jpeg", quality=QUALITY)


def main() -> None:
    program = chromium.find()
    if program is None:
        sys.exit("needs Chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServerProcess(Path(folder))
        try:
            browser = chromium.launch(playwright, program)
            page = browser.new_page(locale="en-US", color_scheme="light", reduced_motion="reduce")
            page.goto(server.address)
            show_page(page)
            show_comparison(page)
            browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
