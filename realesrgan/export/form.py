"""In what form an exported model takes and gives pictures. Knows no format of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import UsageError

Layout = Literal["nchw", "nhwc"]
ColourOrder = Literal["rgb", "bgr"]
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)  # which axes become the four of a layout


@dataclass(frozen=True)
class Form:
    """What a model takes and gives; pictures go in and come out in the same form.

    Attributes:
        fp16: weights, and values between layers, in 16 bits; numbers go in and out in 16 bits too, unless `uint8`.
        uint8: bytes, 0 to 255, go in and come out, clamped and rounded; else numbers with 1.0 for white, not clamped.
        layout: "nchw" is (pictures, channels, height, width), "nhwc" has the channels last.
        colour_order: of pictures with colours.
    """

    fp16: bool = False
    uint8: bool = False
    layout: Layout = "nchw"
    colour_order: ColourOrder = "rgb"

    @property
    def value_range(self) -> str:
        """The values in words."""
        return "bytes, 0 to 255" if self.uint8 else "0 to 1; the output is not clamped"

    def axes(self, channels: int) -> tuple[str | int, ...]:
        """The shape of a batch of pictures of so many channels; names stand for numbers that are free."""
        if self.layout == "nhwc":
            return "batch", "height", "width", channels
        return "batch", channels, "height", "width"

    def order(self, channels: int) -> tuple[int, ...] | None:
        """Where each RGB channel, and those after it, stands in the pictures; None: where the network has it."""
        if self.colour_order == "rgb" or channels < 3:
            return None
        return 2, 1, 0, *range(3, channels)


def check_form(form: Form) -> Form:
    """Return `form` if it is one.

    Raises:
        UsageError: `layout` or `colour_order` is unknown.
    """
    for option, kind in (("layout", Layout), ("colour_order", ColourOrder)):
        if getattr(form, option) not in get_args(kind):
            raise UsageError(f"`{option}` {getattr(form, option)}: there is {' and '.join(get_args(kind))}")
    return form
