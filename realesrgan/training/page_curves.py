"""The curves on a report: which are drawn of a journal, and what they are called."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .curves import Level, Line, chart
from .lines import Logged, Validated
from .validation import Measurement

# A chart's title, its losses by their published names with labels, and whether it is drawn smoothed.
_LOSSES = (
    ("Pixel loss (L1)", {"l_pix": "", "l_g_pix": ""}),
    ("Perceptual loss", {"l_percep": "", "l_g_percep": ""}),
    ("Style loss", {"l_style": "", "l_g_style": ""}),
    ("Generator's GAN loss", {"l_g_gan": ""}),
    ("Discriminator's losses", {"l_d_real": "real", "l_d_fake": "generated"}),
    ("Discriminator's outputs", {"out_d_real": "real", "out_d_fake": "generated"}),
)


def draw(logged: Sequence[Logged], validated: Sequence[Validated], bicubic: Measurement | None) -> Iterator[str]:
    """HTML of all charts: what held-out pictures came to first, then the losses."""
    yield '<h2 id="curves">Curves</h2><div class="charts">'
    if validated:
        yield from _of_pictures(validated, bicubic)
    yield from _of_losses(logged)
    yield "</div>"


def _of_pictures(validated: Sequence[Validated], bicubic: Measurement | None) -> Iterator[str]:
    simple = bicubic.line.validation if bicubic else None
    at = [one.iteration for one in validated]
    values = [one.validation for one in validated]

    def levels(value: float | None) -> list[Level]:
        return [] if value is None else [Level("bicubic", value)]

    def line(label: str, numbers: Sequence[float], paint: int = 1) -> Line:
        return Line(label, list(zip(at, numbers, strict=True)), paint)

    psnr, ssim = [line("", [one.psnr for one in values])], [line("", [one.ssim for one in values])]
    yield chart("PSNR", psnr, name="psnr", unit="dB", levels=levels(simple.psnr if simple else None))
    yield chart("SSIM", ssim, name="ssim", levels=levels(simple.ssim if simple else None), digits=3)
    sharpness = [line("", [one.sharpness for one in values])]
    as_sharp = [Level("as the target", 1.0), *levels(simple.sharpness if simple else None)]
    yield chart("Sharpness", sharpness, name="sharpness", levels=as_sharp)
    names = (("red", 2), ("green", 3), ("blue", 1))
    shifts = [line(name, [one.colour[n] for one in values], paint) for n, (name, paint) in enumerate(names)]
    yield chart("Colour shift, levels of 255", shifts, name="colour", levels=[Level("none", 0.0)])


def _of_losses(logged: Sequence[Logged]) -> Iterator[str]:
    for number, (title, labels) in enumerate(_LOSSES):
        lines: list[Line] = []
        for name, label in labels.items():
            points = [(float(one.iteration), one.losses.get(name, math.nan)) for one in logged]
            if any(math.isfinite(value) for _, value in points):
                lines.append(Line(label, points, paint=len(lines) + 1, smooth=True))
        if lines or number == 0:  # before the first interval, too, a page has a place for losses
            yield chart(title, lines, name=f"loss{number}", digits=4)
