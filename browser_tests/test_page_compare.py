"""The slider across a picture before and after: by pointer, finger and keys, and exact to the pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import canvas
import cv2
import numpy as np
import pytest
from server_process import PROJECT
from visitor import Visitor, sync_api

expect = sync_api.expect
CAT = (PROJECT / "inputs" / "cat.jpg").read_bytes()
SIZE = (160, 120)


class Compared:
    """A picture that is restored and open in the slider."""

    def __init__(self, visitor: Visitor, content: bytes = CAT, **options: Any) -> None:
        visitor.submit(content, "cat.png", ext="png", **options)
        visitor.expect_state("cat.png", "done")
        self.visitor, self.page = visitor, visitor.page
        self.before = canvas.decoded(content)
        self.after = canvas.decoded(visitor.result_of("cat.png"))
        visitor.compare("cat.png")
        self.divider = self.page.locator('[data-test="divider"]')

    def check(self) -> canvas.Shown:
        return canvas.check(self.visitor, self.before, self.after)

    def actual_size(self) -> canvas.Shown:
        self.page.locator('[data-test="zoom-actual"]').click()
        return self.check()

    def share(self) -> int:
        """What the divider tells assistive technology, in percent."""
        return int(self.divider.get_attribute("aria-valuenow") or "")

    def handle(self) -> tuple[float, float]:
        """The middle of the handle in the window."""
        box = self.page.locator(".handle").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture
def compared(visitor: Visitor) -> Compared:
    return Compared(visitor)


def test_each_side_shows_its_own_pixels_wherever_the_pointer_drags_the_divider(compared: Compared) -> None:
    seen = compared.actual_size()
    assert compared.share() == 50
    assert seen.divider == round(seen.left + compared.after.shape[1] / 2)
    x, y = compared.handle()
    compared.page.mouse.move(x, y)
    compared.page.mouse.down()
    for to, percent in ((x - 160, 25), (x + 192, 80), (x - 1000, 0), (x + 1000, 100)):
        compared.page.mouse.move(to, y)
        assert compared.share() == percent
        seen = compared.check()
        assert seen.divider == seen.left + round(compared.after.shape[1] * percent / 100)
    compared.page.mouse.up()


def test_the_screen_shows_what_the_canvas_holds_with_the_divider_between(compared: Compared) -> None:
    seen = compared.actual_size()
    box = compared.page.locator("#picture").bounding_box()
    # Beside the tags and the handle.
    clip = {"x": box["x"] + seen.left, "y": box["y"] + seen.top + 300, "width": 640, "height": 100}
    screen = canvas.decoded(compared.page.screenshot(clip=clip))
    drawn = seen.pixels[seen.top + 300 : seen.top + 400, seen.left : seen.left + 640, :3]
    difference = np.abs(screen.astype(int) - drawn).max(axis=(0, 2))
    near = np.abs(np.arange(640) + seen.left - seen.divider) < 24  # the line and its shadow
    assert difference[~near].max() <= 1
    assert screen[:, 320].min() > 200, "there is no white line between them"


def test_keys_move_the_divider_and_what_it_says_follows(compared: Compared) -> None:
    expect(compared.divider).to_be_focused()
    compared.actual_size()
    compared.divider.focus()
    for key, percent in (
        ("ArrowRight", 51),
        ("ArrowLeft", 50),
        ("PageUp", 60),
        ("Home", 0),
        ("ArrowUp", 1),
        ("End", 100),
    ):
        compared.page.keyboard.press(key)
        assert compared.share() == percent
        expect(compared.divider).to_have_attribute("aria-valuetext", f"{percent}% before")
        assert compared.check().divider == compared.check().left + round(compared.after.shape[1] * percent / 100)


def test_a_finger_moves_the_divider_and_two_fingers_the_picture(visit: Callable[..., Visitor]) -> None:
    phone = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2).open()
    compared = Compared(phone)
    x, y = compared.handle()
    fingers = Fingers(phone)
    fingers.touch("touchStart", (x, y))
    fingers.touch("touchMove", (x + 60, y))
    fingers.touch("touchEnd")
    phone.until(lambda: compared.share() > 60)
    compared.actual_size()  # 640 device pixels in 720
    before = canvas.shown(phone)
    fingers.touch("touchStart", (100, 250), (100, 330))
    fingers.touch("touchMove", (100, 210), (100, 370))
    fingers.touch("touchEnd")
    phone.until(lambda: canvas.shown(phone).scale == pytest.approx(2 * before.scale, rel=0.02))
    at = canvas.shown(phone)
    fingers.touch("touchStart", (100, 500))
    fingers.touch("touchMove", (70, 500))
    fingers.touch("touchEnd")
    phone.until(lambda: canvas.shown(phone).left == at.left - 60)  # two device pixels for each
    assert phone.page.evaluate("[scrollX, visualViewport.scale]") == [0, 1], "the page moved instead"


class Fingers:
    """Real touches, which the browser turns into pointer events and gestures of its own."""

    def __init__(self, visitor: Visitor) -> None:
        self._session = visitor.context.new_cdp_session(visitor.page)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


def test_zoom_keeps_the_point_under_the_pointer_and_its_number_follows(compared: Compared) -> None:
    page, zoom = compared.page, compared.page.locator("#zoom")
    fitted = compared.check()
    seen = compared.actual_size()
    expect(zoom).to_have_text("100 %")
    box = page.locator("#picture").bounding_box()
    at = (seen.left + 100, seen.top + 90)
    page.mouse.move(box["x"] + at[0], box["y"] + at[1])
    page.mouse.wheel(0, -900)
    closer = compared.visitor.until(lambda: found if (found := canvas.shown(compared.visitor)).scale > 2 else None)
    place = ((at[0] - closer.left) / closer.scale, (at[1] - closer.top) / closer.scale)
    assert place == pytest.approx((100, 90), abs=1)
    expect(zoom).to_have_text(f"{closer.scale * 100:.0f} %")
    page.locator('[data-test="zoom-out"]').click()
    assert canvas.shown(compared.visitor).scale == pytest.approx(closer.scale / 1.25)
    page.locator('[data-test="zoom-in"]').click()
    assert canvas.shown(compared.visitor).scale == pytest.approx(closer.scale)
    page.keyboard.press("+")
    assert canvas.shown(compared.visitor).scale == pytest.approx(closer.scale * 1.25)
    page.locator('[data-test="zoom-fit"]').click()
    assert compared.check().scale == fitted.scale


def test_single_pixels_can_be_judged_and_a_drag_or_keys_move_to_any_of_them(compared: Compared) -> None:
    page = compared.page
    compared.actual_size()
    for _ in range(40):
        page.keyboard.press("+")
    largest = compared.check()
    assert largest.scale == 32
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + 900, box["y"] + 600)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 500, steps=4)
    page.mouse.up()
    moved = compared.check()
    assert (moved.left, moved.top) == (largest.left - 200, largest.top - 100)
    page.keyboard.press("Shift+ArrowLeft")
    assert compared.check().left == moved.left + round(0.1 * box["width"])


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
def test_one_pixel_of_the_result_is_one_pixel_of_any_screen(visit: Callable[..., Visitor], ratio: float) -> None:
    compared = Compared(visit(viewport={"width": 500, "height": 620}, device_scale_factor=ratio).open())
    assert compared.actual_size().scale == 1


def test_gray_and_transparent_pictures_are_shown_as_they_are(visitor: Visitor) -> None:
    gray = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8))[1].tobytes()
    compared = Compared(visitor, gray)
    compared.before = cv2.cvtColor(compared.before, cv2.COLOR_GRAY2BGR)
    compared.after = cv2.cvtColor(compared.after, cv2.COLOR_GRAY2BGR)
    compared.actual_size()


def test_the_address_names_the_comparison_so_that_back_and_reload_do_what_they_should(compared: Compared) -> None:
    page, dialog = compared.page, compared.page.locator("#compare")
    page.reload()
    expect(dialog).to_be_visible()
    compared.actual_size()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert "#" not in page.url
    compared.visitor.press("cat.png", "compare")
    expect(dialog).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()
