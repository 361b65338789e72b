"""A contact sheet shows every picture unchanged, in its place, with room for its label."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.image.sheet import GAP, LABEL_HEIGHT, LINE_HEIGHT, Cell, draw_sheet, on_paper


def holds(sheet: Array, pixels: Array, top: int, left: int) -> bool:
    height, width = pixels.shape[:2]
    return np.array_equal(sheet[top : top + height, left : left + width], on_paper(pixels))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_pictures_of_any_size_stand_in_columns_and_rows(channels: int, depth: type) -> None:
    small, tall, wide = (picture(*size, channels, depth) for size in ((20, 30), (90, 170), (40, 400)))
    sheet = draw_sheet([[Cell("small", small), Cell("tall", tall)], [Cell("wide", wide)]])
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * LABEL_HEIGHT + 90 + 40 + 2 * GAP, 400 + 170 + 3 * GAP, 3)
    assert holds(sheet, small, LABEL_HEIGHT, GAP)
    assert holds(sheet, tall, LABEL_HEIGHT, GAP + 400 + GAP)
    assert holds(sheet, wide, LABEL_HEIGHT + 90 + GAP + LABEL_HEIGHT, GAP)


def test_labels_and_the_title_are_drawn_and_further_lines_make_room() -> None:
    plain = np.full((50, 300, 3), 200, np.uint8)
    one, two = draw_sheet([[Cell("one", plain)]]), draw_sheet([[Cell("one\ntwo", plain)]])
    assert two.shape[0] == one.shape[0] + LINE_HEIGHT
    assert one[:LABEL_HEIGHT].min() < 100
    assert two[LABEL_HEIGHT : LABEL_HEIGHT + LINE_HEIGHT].min() < 100
    assert draw_sheet([[Cell("", plain)]])[:LABEL_HEIGHT].min() == 255
    titled = draw_sheet([[Cell("", plain)]], title="title")
    assert titled.shape[0] == one.shape[0] + LABEL_HEIGHT + GAP
    assert titled[:LABEL_HEIGHT].min() < 100


def test_a_letter_that_cannot_be_drawn_becomes_one_question_mark() -> None:
    plain = np.full((50, 300, 3), 200, np.uint8)
    assert np.array_equal(
        draw_sheet([[Cell("gr\u00fcn", plain)]], title="\u732b"), draw_sheet([[Cell("gr?n", plain)]], title="?")
    )
