"""A result of many megapixels: drawn exactly, from a bounded number of tiles."""

from __future__ import annotations

from collections.abc import Callable

import canvas
import pytest
from visitor import Visitor
from web import picture

WIDTH, HEIGHT, ENLARGED = 94, 63, 64  # → 6016 × 4032
TILE = 256
KEPT = 200  # realesrgan/web/page/tiles.js

# Bitmaps are memory outside the heap: nothing else tells how many there are.
COUNT_BITMAPS = """
window.bitmaps = 0;
window.mostBitmaps = 0;
const decode = window.createImageBitmap;
window.createImageBitmap = async (...given) => {
  const bitmap = await decode(...given);
  window.bitmaps += 1;
  window.mostBitmaps = Math.max(window.mostBitmaps, window.bitmaps);
  const close = bitmap.close.bind(bitmap);
  bitmap.close = () => { window.bitmaps -= 1; close(); };
  return bitmap;
};
"""


@pytest.fixture
def large(visit: Callable[..., Visitor]) -> Visitor:
    visitor = visit(viewport={"width": 1800, "height": 1300})
    visitor.context.add_init_script(COUNT_BITMAPS)
    visitor.open()
    visitor.submit(picture(WIDTH, HEIGHT), "large.png", outscale=ENLARGED, ext="bmp")  # the fastest to write
    visitor.expect_state("large.png", "done")
    visitor.compare("large.png")
    return visitor


def tiles_asked(visitor: Visitor) -> int:
    return sum("/tiles/" in path for path in visitor.watch.asked)


def test_a_far_corner_is_exact_and_few_tiles_are_asked_for_and_kept(large: Visitor) -> None:
    view = large.page.locator("#picture").bounding_box()
    a_view = (view["width"] / TILE + 2) * (view["height"] / TILE + 2)
    assert tiles_asked(large) < 4 * a_view, "the whole picture is shown from a coarse level"
    asked = tiles_asked(large)
    fitted = canvas.shown(large)
    corner = (fitted.left + fitted.scale * WIDTH * ENLARGED - 2, fitted.top + fitted.scale * HEIGHT * ENLARGED - 2)
    large.page.mouse.dblclick(view["x"] + corner[0], view["y"] + corner[1])
    large.until(lambda: canvas.shown(large).scale == 1)
    drag(large, -500, -500)
    after = canvas.decoded(large.result_of("large.png"))
    assert after.shape[:2] == (HEIGHT * ENLARGED, WIDTH * ENLARGED)
    seen = canvas.check(large, canvas.decoded(picture(WIDTH, HEIGHT)), after)
    height, width = seen.pixels.shape[:2]
    assert (seen.left, seen.top) == (width - after.shape[1], height - after.shape[0])
    assert tiles_asked(large) - asked < 2 * a_view
    asked = tiles_asked(large)
    for row in range(4):
        for _ in range(3):
            large.until_drawn()
            drag(large, -1500 if row % 2 else 1500, 0)
        large.until_drawn()
        drag(large, 0, 900)
    assert tiles_asked(large) - asked > KEPT, "too little was looked at to tell"
    assert large.page.evaluate("window.mostBitmaps") <= KEPT + 8
    large.page.keyboard.press("Escape")
    large.until(lambda: large.page.evaluate("window.bitmaps") == 0)


def drag(visitor: Visitor, x: float, y: float) -> None:
    """Move the picture by so many pixels, across the middle of the view but beside the divider."""
    box = visitor.page.locator("#picture").bounding_box()
    start = (box["x"] + (box["width"] - x) / 2 + 100, box["y"] + (box["height"] - y) / 2)
    visitor.page.mouse.move(*start)
    visitor.page.mouse.down()
    visitor.page.mouse.move(start[0] + x, start[1] + y)
    visitor.page.mouse.up()
