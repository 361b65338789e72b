"""Videos before and after: playable before they are done, and in step, which is told by the frames themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coded_video import RATE, read, write_coded
from visitor import Visitor, sync_api

expect = sync_api.expect
FRAMES = 600  # the first clip holds 240: realesrgan/video/segments.py
FRAME_S = 1 / RATE


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_coded(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES).read_bytes()


@pytest.fixture(scope="module")
def two_clips(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_coded(tmp_path_factory.mktemp("film") / "two.mp4", 300).read_bytes()


def standing_on(visitor: Visitor, number: int) -> Callable[[], Any]:
    """Whether both sides stand still on this frame, by their pictures and by their positions."""

    def stand() -> Any:
        seen = read(visitor.page)
        frames = [int(time * RATE + 1e-3) for time in seen["times"].values()]
        return seen["paused"] == [True, True] and seen["numbers"] == [number, number] == frames

    return stand


def seek(visitor: Visitor, time_s: float) -> None:
    visitor.page.locator("#seek").fill(str(time_s))


def check_in_step(visitor: Visitor, moments: int) -> None:
    """Both sides play, never more than a frame apart. They may need a second to fall into step."""
    start_s = visitor.until(lambda: seen["times"]["after"] if playing(seen := read(visitor.page)) else None)
    visitor.until(lambda: read(visitor.page)["times"]["after"] > start_s + 1)
    positions = []
    for _ in range(moments):
        seen = read(visitor.page)
        before_s, after_s = seen["times"]["before"], seen["times"]["after"]
        assert abs(before_s - after_s) <= FRAME_S, seen
        # A picture is drawn up to two turns of the screen after its time has come.
        assert -1 not in seen["numbers"]
        assert abs(seen["numbers"][0] - seen["numbers"][1]) <= 2, seen
        positions.append(after_s)
        visitor.page.wait_for_timeout(60)
    assert positions[-1] > positions[0], "they did not play"


def playing(seen: dict[str, Any]) -> bool:
    return seen["paused"] == [False, False] and seen["numbers"][1] > 0


def test_a_video_plays_in_step_before_it_is_done_and_goes_on_to_its_end(visitor: Visitor, film: bytes) -> None:
    page = visitor.page
    visitor.submit(film, "film.mp4")
    visitor.expect_state("film.mp4", "running")
    visitor.row("film.mp4").locator('[data-action="watch"]').wait_for()
    visitor.press("film.mp4", "watch")
    visitor.until(standing_on(visitor, 0))
    assert visitor.job_of("film.mp4")["state"] == "running", "this is to be seen while the rest is restored"
    expect(page.locator(".part")).to_contain_text("restored up to 0:09")
    page.locator("#play").click()
    check_in_step(visitor, 10)
    page.locator("#play").click()
    visitor.until(lambda: (seen := read(page))["paused"] == [True, True] and seen["numbers"][0] == seen["numbers"][1])
    visitor.until(lambda: visitor.job_of("film.mp4")["state"] == "done")
    expect(page.locator(".part")).to_be_hidden()
    seek(visitor, 23.0)  # was not there before
    visitor.until(standing_on(visitor, 575))
    page.keyboard.press("k")
    visitor.until(lambda: read(page)["numbers"] == [FRAMES - 1] * 2)
    expect(page.locator('[data-test="clock"]')).to_have_text("0:24 / 0:24")


def test_both_sides_stand_on_the_same_frame_after_every_seek_step_and_pause(visitor: Visitor, two_clips: bytes) -> None:
    page = visitor.page
    visitor.submit(two_clips, "film.mp4")
    visitor.expect_state("film.mp4", "done")
    visitor.press("film.mp4", "watch")
    visitor.until(standing_on(visitor, 0))
    for time_s in (3.3, 9.59, 9.6, 11.9, 0.04):  # also beside the border between two clips
        seek(visitor, time_s)
        visitor.until(standing_on(visitor, int(time_s * RATE + 1e-6)))
    page.keyboard.press(".")
    visitor.until(standing_on(visitor, 2))
    page.keyboard.press(",")
    visitor.until(standing_on(visitor, 1))
    page.locator("#seek").focus()
    page.keyboard.press("PageUp")
    visitor.until(standing_on(visitor, 251))
    expect(page.locator("#seek")).to_have_attribute("aria-valuetext", "0:10 / 0:12")
    seek(visitor, 1.0)
    page.locator("#play").click()
    check_in_step(visitor, 10)
    seek(visitor, 5.0)  # while playing
    check_in_step(visitor, 5)
    page.locator("#play").click()
    paused = visitor.until(lambda: seen if (seen := read(page))["paused"] == [True, True] else None)
    visitor.until(standing_on(visitor, int(paused["times"]["after"] * RATE + 1e-3)))


def test_the_divider_cuts_between_the_two_videos(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    visitor.submit(write_coded(tmp_path / "short.mp4", 30).read_bytes(), "short.mp4")
    visitor.expect_state("short.mp4", "done")
    visitor.press("short.mp4", "watch")
    visitor.until(standing_on(visitor, 0))
    page.locator('[data-test="divider"]').focus()
    for key in ("PageUp", "PageUp"):
        page.keyboard.press(key)
    boxes = page.evaluate(
        """() => ["before", "after"].map((side) => {
          const { left, top, width, height } = document.querySelector(`#${side}-video`).getBoundingClientRect();
          return [left, top, width, height];
        })"""
    )
    assert boxes[0] == boxes[1]
    clip_path = page.evaluate("document.querySelector('#before-video').style.clipPath")
    hidden = float(clip_path.split()[1].removesuffix("px"))
    assert hidden == pytest.approx(0.3 * boxes[0][2], abs=1)
