"""What assistive technology is told: names, headings, languages, and news."""

from __future__ import annotations

import re
from typing import Any

from visitor import Visitor, sync_api
from web import picture

expect = sync_api.expect
# How a snapshot of the accessibility tree writes a control without a name: `- button`, and nothing after it.
NAMELESS = re.compile(
    r"^\s*- (button|link|textbox|combobox|slider|checkbox|radio|progressbar|dialog|spinbutton)(?! \")", re.M
)

UNLABELLED = """() => [...document.querySelectorAll("form input, form select")]
  .filter((field) => !field.labels.length && !field.ariaLabel)
  .map((field) => field.id)"""


def check_names(page: Any) -> None:
    snapshot = page.locator("body").aria_snapshot()
    assert not NAMELESS.findall(snapshot), snapshot


def test_every_control_has_a_name_and_the_page_one_main_heading(visitor: Visitor) -> None:
    page = visitor.page
    visitor.choose({"name": "chosen.png", "mimeType": "image/png", "buffer": picture()})
    visitor.submit(picture(), "done.png")
    visitor.expect_state("done.png", "done")
    check_names(page)
    assert page.locator("h1:visible").count() == 1
    assert page.locator("main:visible").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title()
    assert page.locator("img:not([alt])").count() == 0
    assert page.evaluate(UNLABELLED) == []
    visitor.compare("done.png")
    check_names(page)
    expect(page.get_by_role("dialog", name="done.png")).to_be_visible()
    expect(page.get_by_role("slider", name="Divider between before and after")).to_be_visible()


def test_errors_are_bound_to_their_fields(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("radio", name="Other").check()
    page.get_by_role("spinbutton", name="Enlargement, as a number").fill("-1")
    group = page.get_by_role("group", name="Enlargement")
    expect(group).to_have_attribute("aria-invalid", "true")
    expect(group).to_have_attribute("aria-describedby", "outscale-error")
    expect(page.locator("#outscale-error")).to_have_text("Enter a number above 0, up to 64.")


def test_news_are_announced_without_moving_the_focus(visitor: Visitor) -> None:
    page = visitor.page
    visitor.watch.expect(r"status of 4\d\d")
    page.evaluate(
        """() => {
          window.said = [];
          const live = document.querySelector("[aria-live=polite][role=status]");
          const observer = new MutationObserver(() => window.said.push(live.textContent));
          observer.observe(live, { childList: true, characterData: true, subtree: true });
        }"""
    )
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\\x89PNG nonsense"}
    visitor.choose({"name": "good.png", "mimeType": "image/png", "buffer": picture()}, broken)
    visitor.start()
    visitor.expect_state("good.png", "done")
    visitor.expect_state("broken.png", "upload-failed", "failed")
    said = page.evaluate("window.said")
    assert "2 files added" in said
    assert "good.png: done" in said
    assert "broken.png: Not uploaded" in said
    expect(page.locator("#queue-title")).to_be_focused()
