"""Jobs outlast what happens to the page: cancelled and resumed, reloaded, closed, the server restarted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from coded_video import write_coded
from conftest import TOKEN
from server_process import ServerProcess
from visitor import Visitor, sync_api
from web import picture

expect = sync_api.expect
STOPPED_WITHIN_S = 2.0
FIRST_CLIP = 240  # frames: realesrgan/video/segments.py


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_coded(tmp_path_factory.mktemp("film") / "film.mp4", 400).read_bytes()


def until_under_way(visitor: Visitor, name: str) -> None:
    """Wait until a part of the job is done."""
    visitor.until(lambda: (job := visitor.job_of(name))["done"] and job["state"] == "running")


def test_cancelling_stops_within_two_seconds_even_inside_a_large_picture(visitor: Visitor) -> None:
    visitor.choose({"name": "large.png", "mimeType": "image/png", "buffer": picture(1600, 1200)})
    visitor.start("RealESRGAN_x4plus")
    visitor.expect_state("large.png", "running")
    until_under_way(visitor, "large.png")
    start_s = time.monotonic()
    visitor.press("large.png", "cancel")
    visitor.expect_state("large.png", "cancelled")
    resume = f"{visitor.server.address}v1/jobs/{visitor.job_of('large.png')['id']}/resume"
    # It is taken again only once what restores has let go of it.
    visitor.until(lambda: visitor.context.request.post(resume, fail_on_status_code=False).ok, STOPPED_WITHIN_S * 5)
    assert time.monotonic() - start_s < STOPPED_WITHIN_S
    visitor.expect_state("large.png", "running")
    visitor.press("large.png", "cancel")
    visitor.expect_state("large.png", "cancelled")


def test_a_cancelled_video_goes_on_after_what_is_finished(visitor: Visitor, film: bytes) -> None:
    visitor.submit(film, "film.mp4")
    row = visitor.row("film.mp4")
    row.locator('[data-action="watch"]').wait_for()  # its first segment is finished
    visitor.press("film.mp4", "cancel")
    visitor.expect_state("film.mp4", "cancelled")
    expect(row.locator('[data-test="line"]')).to_have_text(re.compile("Cancelled at frame"))
    visitor.press("film.mp4", "resume")
    visitor.expect_state("film.mp4", "queued", "running")
    assert visitor.until(lambda: visitor.job_of("film.mp4")["done"]) >= FIRST_CLIP
    visitor.expect_state("film.mp4", "done")


def test_a_waiting_job_says_so_and_can_be_cancelled_and_removed(visitor: Visitor, film: bytes) -> None:
    visitor.submit(film, "first.mp4")
    visitor.submit(film, "second.mp4")
    row = visitor.expect_state("second.mp4", "queued")
    expect(row.locator('[data-test="line"]')).to_have_text("Waiting · next")
    visitor.press("second.mp4", "cancel")
    visitor.expect_state("second.mp4", "cancelled")
    visitor.press("second.mp4", "remove")
    expect(visitor.row("second.mp4")).to_have_count(0)
    visitor.expect_state("first.mp4", "running")


def test_a_job_is_there_again_after_a_reload_and_in_another_tab_but_for_nobody_else(
    visitor: Visitor, visit: Callable[..., Visitor], film: bytes
) -> None:
    visitor.submit(film, "film.mp4")
    visitor.expect_state("film.mp4", "running")
    until_under_way(visitor, "film.mp4")
    visitor.page.reload()
    visitor.expect_state("film.mp4", "running")
    shown = visitor.row("film.mp4").locator("progress")
    visitor.until(lambda: 0 < float(shown.get_attribute("value") or 0) < 1)
    visitor.page.close()
    visitor.page = visitor.context.new_page()
    visitor.open()
    visitor.expect_state("film.mp4", "running", "done")
    stranger = visit().open()
    expect(stranger.page.locator("#queue-empty")).to_be_visible()
    assert stranger.page.locator("#queue > .row").count() == 0
    visitor.press("film.mp4", "cancel")
    visitor.expect_state("film.mp4", "cancelled")


def test_two_tabs_of_one_browser_show_the_same(visitor: Visitor) -> None:
    other = visitor.context.new_page()
    other.goto(visitor.server.address)
    visitor.choose({"name": "both.png", "mimeType": "image/png", "buffer": picture()})
    visitor.start()
    rows = other.locator("#queue > .row[data-state='done']")
    expect(rows).to_have_count(1)
    rows.locator('[data-action="remove"]').click()
    expect(visitor.page.locator("#queue > .row")).to_have_count(0)
    other.close()


def test_the_page_finds_a_restarted_server_and_the_video_goes_on(
    guarded: ServerProcess, visit: Callable[..., Visitor], film: bytes
) -> None:
    visitor = visit(guarded).open(f"?token={TOKEN}")
    visitor.watch.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    visitor.submit(film, "film.mp4")
    visitor.row("film.mp4").locator('[data-action="watch"]').wait_for()
    guarded.stop()
    lost = visitor.page.locator("#connection")
    expect(lost).to_be_visible()
    expect(lost).to_contain_text("server")
    guarded.start()
    expect(lost).to_be_hidden()
    visitor.expect_state("film.mp4", "queued", "running")
    # It begins with the finished frames, not with the first.
    assert visitor.until(lambda: visitor.job_of("film.mp4")["done"]) >= FIRST_CLIP
    visitor.expect_state("film.mp4", "running", "done")
