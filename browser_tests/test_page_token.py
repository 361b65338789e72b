"""A server with a token: the page asks for it, refuses a wrong one in words, and opens with the right one."""

from __future__ import annotations

from collections.abc import Callable

from conftest import TOKEN
from server_process import ServerProcess
from visitor import Visitor, sync_api
from web import picture

expect = sync_api.expect
REFUSED = "status of 401"  # how Chromium notes it in the console


def test_the_page_opens_with_the_token_and_with_no_other(guarded: ServerProcess, visit: Callable[..., Visitor]) -> None:
    visitor = visit(guarded)
    visitor.watch.expect(REFUSED)
    page = visitor.page
    page.goto(guarded.address)
    field, error = page.get_by_label("Token"), page.locator("#token-error")
    expect(field).to_be_focused()
    expect(page.locator("#page")).to_be_hidden()
    field.fill("not this one, surely")
    page.keyboard.press("Enter")
    expect(error).to_have_text("This token is not right.")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    page.locator("#page").wait_for()
    visitor.submit(picture(), "secret.png")
    page.reload()  # the browser keeps it
    visitor.row("secret.png").wait_for()


def test_the_printed_address_opens_the_page_and_does_not_stay_in_the_address_bar(
    guarded: ServerProcess, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(guarded).open(f"?token={TOKEN}")
    assert visitor.page.url == guarded.address
    expect(visitor.page.locator("#gate")).to_be_hidden()
