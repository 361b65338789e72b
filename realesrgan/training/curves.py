"""Line charts as SVG, to be read without a script, in light and in dark. Knows nothing of what the lines mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
WIDTH, HEIGHT = 480, 240  # units of the drawing; letters of 13 are readable at the width of a phone
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 10, 36  # where the axes' labels stand
MOST_POINTS = 240  # drawn of each line: one every two units
MOST_DOTS = 40  # above, single points are too dense to be marked
_SMOOTHING = 20  # a line is smoothed over a twentieth of its length
_OUTLIERS = 0.02  # share of what is smoothed, at either end, that may lie outside the drawing: losses begin high
_STEPS = (1, 2, 5, 10, 20, 50)
_PAINTS = {
    1: "var(--line-1,#0b62c4)",
    2: "var(--line-2,#b3420a)",
    3: "var(--line-3,#1d7a3a)",
    4: "var(--line-4,#7a3fb0)",
}
_DASHES = {1: "", 2: "7 3", 3: "2 3", 4: "9 3 2 3"}
# As attributes, so that a drawing is whole wherever it is put.
_STYLES = {
    f"line-{paint}": f' fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{_DASHES[paint] or "none"}"'
    for paint, colour in _PAINTS.items()
} | {
    f"level-{number}": f' fill="none" stroke="var(--muted,#5b6472)" stroke-width="1.5" stroke-dasharray="{dashes}"'
    for number, dashes in enumerate(("1 4", "6 5"))
}


@dataclass(frozen=True)
class Line:
    """Points from left to right. `paint` is a number from 1 to 4: one of the page's colours, each with its own dashes.

    A `smooth` line is drawn smoothed, over what it was made from.
    """

    label: str
    points: Sequence[Point]
    paint: int = 1
    smooth: bool = False


@dataclass(frozen=True)
class Level:
    """A value to compare with, drawn from the left to the right."""

    label: str
    value: float


def chart(
    title: str, lines: Sequence[Line], *, name: str, unit: str = "", levels: Sequence[Level] = (), digits: int = 2
) -> str:
    """Draw a figure in HTML: a caption that names each line and its last value, and an SVG with title and description.

    Colours come from the CSS variables --ink, --muted, --rule and --line-1 to --line-4, with values for white paper
    where a page defines none.

    Args:
        levels: two at most.
        name: of this chart on its page, for identifiers: letters and digits.
        digits: of values, after the point.
    """
    drawn = [_finite(line) for line in lines]
    drawn = [line for line in drawn if line.points]
    levels = [level for level in levels if math.isfinite(level.value)]
    suffix = f" {unit}" if unit else ""
    keys = [_key(line, digits, suffix) for line in drawn]
    keys += [
        _swatch(f"level-{number}", f"{level.label} {_number(level.value, digits)}{suffix}")
        for number, level in enumerate(levels)
    ]
    caption = f"<figcaption><b>{escape(title)}</b> {' '.join(keys)}</figcaption>"
    if not drawn:
        return f'<figure class="chart">{caption}<p class="nothing">Nothing measured yet.</p></figure>'
    description = "; ".join(_describe(line, digits, suffix) for line in drawn)
    body = "".join(_body(drawn, levels, digits, suffix))
    return (
        f'<figure class="chart">{caption}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{name}-title {name}-text"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(description)}</desc>{body}</svg></figure>'
    )


def smooth(values: Sequence[float]) -> list[float]:
    """The mean of each value and its neighbours, in all a twentieth of the values; at the ends of those there are."""
    half = len(values) // (2 * _SMOOTHING)
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    smoothed = []
    for index in range(len(values)):
        start, end = max(0, index - half), min(len(values), index + half + 1)
        smoothed.append((sums[end] - sums[start]) / (end - start))
    return smoothed


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points: means of neighbours, the last one as it is."""
    if len(points) <= most:
        return list(points)
    edges = [index * (len(points) - 1) // (most - 1) for index in range(most)]
    groups = [points[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [*means, points[-1]]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, two to `most` of them."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * power for step in _STEPS if span / (step * power) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def thousands(number: float) -> str:
    """950, 12k, 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{letter}".replace("-", "−")
    return f"{number:g}".replace("-", "−")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _finite(line: Line) -> Line:
    points = [(x, y) for x, y in line.points if math.isfinite(y)]
    return Line(line.label, points, line.paint, line.smooth)


def _smoothed(line: Line) -> list[Point]:
    if not line.smooth:
        return list(line.points)
    return list(zip((x for x, _ in line.points), smooth([y for _, y in line.points]), strict=True))


def _key(line: Line, digits: int, suffix: str) -> str:
    last = _smoothed(line)[-1][1]
    return _swatch(f"line-{line.paint}", f"{line.label} {_number(last, digits)}{suffix}".strip())


def _swatch(kind: str, text: str) -> str:
    sample = f'<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true"><path d="M0 4H24"{_STYLES[kind]}/></svg>'
    return f'<span class="key">{sample}{escape(text)}</span>'


def _describe(line: Line, digits: int, suffix: str) -> str:
    points = _smoothed(line)
    lowest, highest = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])

    def at(point: Point) -> str:
        return f"{_number(point[1], digits)}{suffix} at iteration {point[0]:.0f}"

    label = f"{line.label}: " if line.label else ""
    return f"{label}from {at(points[0])} to {at(points[-1])}, lowest {at(lowest)}, highest {at(highest)}"


@dataclass(frozen=True)
class _Frame:
    """What part of the plane is drawn, and where."""

    first: float
    last: float
    low: float
    high: float

    def across(self, x: float) -> float:
        return LEFT + (x - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def down(self, y: float) -> float:
        inside = min(max(y, self.low), self.high)
        return TOP + (self.high - inside) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{self.across(x):.1f} {self.down(y):.1f}" for x, y in points)


def _frame(lines: Sequence[Line], levels: Sequence[Level]) -> _Frame:
    first, last = min(line.points[0][0] for line in lines), max(line.points[-1][0] for line in lines)
    if last <= first:
        first, last = first - 1, last + 1
    shown = [level.value for level in levels]
    for line in lines:
        for points in (line.points, _smoothed(line)):
            values = sorted(y for _, y in points)
            cut = int(len(values) * _OUTLIERS) if line.smooth else 0
            shown += [values[cut], values[-1 - cut]]
    low, high = min(shown), max(shown)
    margin = 0.05 * (high - low) or max(abs(high) * 0.05, 1e-6)
    return _Frame(first, last, low - margin, high + margin)


def _body(lines: Sequence[Line], levels: Sequence[Level], digits: int, suffix: str) -> Iterator[str]:
    frame = _frame(lines, levels)
    yield from _grid(frame)
    for number, level in enumerate(levels):
        ends = frame.path([(frame.first, level.value), (frame.last, level.value)])
        yield f'<path d="{ends}"{_STYLES[f"level-{number}"]}/>'
    for line in lines:
        style = _STYLES[f"line-{line.paint}"]
        if line.smooth:
            yield f'<path d="{frame.path(thin(line.points))}"{style} opacity=".25"/>'
        yield f'<path d="{frame.path(thin(_smoothed(line)))}"{style}/>'
        if not line.smooth and len(line.points) <= MOST_DOTS:
            yield from (_dot(frame, line, point, digits, suffix) for point in line.points)


def _dot(frame: _Frame, line: Line, point: Point, digits: int, suffix: str) -> str:
    """A mark that tells its numbers to a pointer resting on it."""
    x, y = point
    label = f"{line.label}, " if line.label else ""
    says = f"{label}iteration {x:.0f}: {_number(y, digits)}{suffix}"
    return (
        f'<circle cx="{frame.across(x):.1f}" cy="{frame.down(y):.1f}" r="3" fill="{_PAINTS[line.paint]}">'
        f"<title>{escape(says)}</title></circle>"
    )


def _grid(frame: _Frame) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    text = 'font-family="inherit" font-size="13" fill="var(--muted,#5b6472)"'
    for value in ticks(frame.low, frame.high):
        down = f"{frame.down(value):.1f}"
        yield f'<path d="M{LEFT} {down}H{right}" stroke="var(--rule,#d8dce2)"/>'
        yield f'<text x="{LEFT - 8}" y="{down}" dy=".35em" text-anchor="end" {text}>{thousands(value)}</text>'
    for value in ticks(max(frame.first, 0), frame.last):
        across = f"{frame.across(value):.1f}"
        anchor = "end" if frame.across(value) > right - 20 else "middle"
        yield f'<path d="M{across} {bottom}v4" stroke="var(--muted,#5b6472)"/>'
        yield f'<text x="{across}" y="{bottom + 18}" text-anchor="{anchor}" {text}>{thousands(value)}</text>'
    yield f'<path d="M{LEFT} {bottom}H{right}" stroke="var(--muted,#5b6472)"/>'
    yield f'<text x="{right}" y="{HEIGHT - 3}" text-anchor="end" {text}>iterations</text>'
