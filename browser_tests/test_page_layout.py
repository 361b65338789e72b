"""On phones, with large text, with keys alone, dark and light: everything can be seen, reached and pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import canvas
import numpy as np
import pytest
from server_process import PROJECT
from visitor import Visitor, sync_api
from web import picture

expect = sync_api.expect
SMALLEST_TARGET = 44  # CSS pixels
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

# Controls that a finger cannot hit well, and what is cut off or lies outside of the window's width. Where a label goes
# with its field, it counts: pressing it does the same.
UNREACHABLE = """(smallest) => {
  const wrong = [];
  const root = document.querySelector("dialog[open]") ?? document.body;
  for (const element of root.querySelectorAll("button, a[href], input, select, [role=slider]")) {
    if (!element.checkVisibility({ visibilityProperty: true }) || element.matches(".skip, .hidden-text")) continue;
    const boxes = [element, ...(element.labels ?? [])].map((one) => one.getBoundingClientRect());
    const name = element.id || element.getAttribute("aria-label") || element.textContent;
    const isLarge = ({ width, height }) => Math.min(width, height) >= smallest - 0.5;
    if (!boxes.some(isLarge)) wrong.push(`${name} is too small`);
    const { left, right } = boxes[0];
    if (left < -22 || right > window.innerWidth + 22) wrong.push(`${name} is outside: ${left} to ${right}`);
  }
  if (document.documentElement.scrollWidth > window.innerWidth) wrong.push("the page scrolls sideways");
  return wrong;
}"""


def check_reachable(page: Any, smallest: int = SMALLEST_TARGET) -> None:
    assert page.evaluate(UNREACHABLE, smallest) == []


def fill(visitor: Visitor) -> None:
    """Files chosen, a result, one that runs, and one with a long name that was cancelled."""
    visitor.submit(picture(), "done.png")
    visitor.expect_state("done.png", "done")
    visitor.submit(picture(1000, 900), "long.png", model_name="RealESRGAN_x4plus")
    name = "a-name-that-is-far-longer-than-any-phone-is-wide-" * 3 + ".png"
    visitor.submit(picture(), name)
    visitor.choose({"name": name, "mimeType": "image/png", "buffer": picture()}, PROJECT / "inputs/video/clip.mkv")
    visitor.expect_state("long.png", "running")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_phone_needs_no_scrolling_sideways_and_every_target_is_large(
    visit: Callable[..., Visitor], locale: str
) -> None:
    visitor = visit(**PHONE, locale=locale).open()
    check_reachable(visitor.page)
    fill(visitor)
    check_reachable(visitor.page)
    visitor.row("done.png").locator('[data-action="compare"]').tap()
    visitor.until_drawn()
    check_reachable(visitor.page)
    visitor.page.locator("#compare-close").tap()
    expect(visitor.page.locator("#compare")).to_be_hidden()


def test_text_twice_as_large_fits(visit: Callable[..., Visitor]) -> None:
    visitor = visit(viewport={"width": 800, "height": 900}).open()
    visitor.page.evaluate("document.documentElement.style.fontSize = '200%'")
    fill(visitor)
    check_reachable(visitor.page)
    visitor.compare("done.png")
    check_reachable(visitor.page)
    picture_box = visitor.page.locator("#picture").bounding_box()
    assert picture_box["height"] > 400, "the bars leave no room for the picture"


# Where the focus is: what a person who cannot see the element's name in the source would call it, and whether it shows.
FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const seen = element.matches(".hidden-text") ? element.labels[0] : element;
  const { left, top, right, bottom, width } = seen.getBoundingClientRect();
  // The mark may be on the element, on what is drawn in its place beside it, or on a part of it.
  const places = [seen, ...seen.querySelectorAll("*"), seen.nextElementSibling].filter(Boolean);
  const isMark = ({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  return {
    name: [element.id, element.dataset.action, element.dataset.test, element.name, element.className].find(Boolean),
    isOnScreen: width > 0 && right > 0 && left < innerWidth && bottom > 0 && top < innerHeight,
    // A heading that is only jumped to is where reading goes on, not something to press.
    isMarked: element.tabIndex < 0 || places.some((one) => isMark(getComputedStyle(one))),
  };
}"""


class Keys:
    """The keyboard alone; the focus is never lost and always to be seen."""

    def __init__(self, visitor: Visitor) -> None:
        self.page = visitor.page
        self.until = visitor.until

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go_to(self, name: str) -> None:
        """Press Tab until this is focused."""
        passed = []
        for _ in range(60):
            focus = self.page.evaluate(FOCUS)
            if focus and focus["name"] == name:
                return
            if focus:
                assert focus["isOnScreen"], focus
                assert focus["isMarked"], focus
                passed.append(focus["name"])
            self.press("Tab")
        raise AssertionError(f"{name} is not reached: {passed}")

    def focused(self) -> str | None:
        focus = self.page.evaluate(FOCUS)
        return None if focus is None else str(focus["name"])


def test_keys_alone_choose_set_start_compare_and_close(visitor: Visitor) -> None:
    keys, page = Keys(visitor), visitor.page
    # Listened to from the start: the browser takes a moment to hand the dialog to the test instead of opening it.
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # playwright takes no builtin
    keys.go_to("skip")
    keys.go_to("file-input")
    keys.press("Enter")
    visitor.until(lambda: choosers)
    choosers[0].set_files({"name": "keys.png", "mimeType": "image/png", "buffer": picture()})
    page.locator("#chosen > .row").wait_for()
    assert keys.focused() == "file-input"
    keys.go_to("picture-model")
    keys.press("r", "e", "a", "l", "e", "s", "r", "-", "a")
    expect(page.locator("#picture-model")).to_have_value("realesr-animevideov3")
    keys.go_to("outscale")
    keys.press("ArrowLeft", "ArrowLeft")
    expect(page.get_by_role("radio", name="2×")).to_be_checked()
    keys.go_to("fp32")
    keys.press("Space")
    keys.go_to("start")
    keys.press("Enter")
    visitor.expect_state("keys.png", "done")
    assert keys.focused() == "queue-title", "the focus was lost with the button"
    keys.go_to("compare")
    keys.press("Enter")
    visitor.until_drawn()
    expect(page.locator('[data-test="divider"]')).to_be_focused()
    keys.press("ArrowRight")
    expect(page.locator('[data-test="divider"]')).to_have_attribute("aria-valuenow", "51")
    for _ in range(12):  # the dialog keeps the focus
        keys.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    keys.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    assert keys.focused() == "compare", "the focus does not come back to where the comparison was opened"
    job = visitor.job_of("keys.png")
    assert (job["options"]["outscale"], job["options"]["fp32"]) == (2, True)
    keys.go_to("remove")
    keys.press("Enter")
    expect(visitor.row("keys.png")).to_have_count(0)
    assert keys.focused() == "queue-title"


CONTRASTS = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((level) => (level /= 255) <= 0.03928 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4)
    .reduce((sum, level, index) => sum + level * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(one).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".hidden-text, :disabled, noscript, option")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) weak.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
  }
  return weak;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_the_dark_and_in_the_light(visit: Callable[..., Visitor], scheme: str) -> None:
    visitor = visit(color_scheme=scheme).open()
    fill(visitor)
    screen = canvas.decoded(visitor.page.screenshot())
    assert (np.median(screen) > 128) == (scheme == "light")
    assert visitor.page.evaluate(CONTRASTS) == []
