"""The report of a training: a page that is whole, small, safe and needs no script, and curves that are true."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from tiny import picture

from realesrgan.errors import RealESRGANError
from realesrgan.training import page_samples, report
from realesrgan.training.curves import (
    LEFT,
    MOST_POINTS,
    RIGHT,
    WIDTH,
    Level,
    Line,
    chart,
    smooth,
    thin,
    thousands,
    ticks,
)
from realesrgan.training.held_out import HeldOut, Sample
from realesrgan.training.journal import Journal
from realesrgan.training.lines import Logged
from realesrgan.training.report import State, write
from realesrgan.training.validation import Measurement, bicubic, judge
from realesrgan.training.watch import Finding

VOID = {"meta", "img", "input"}
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


class Page(HTMLParser):
    """The elements of a page, which must be nested properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


def pictures(*names: str, side: int = 64) -> HeldOut:
    samples = []
    for seed, name in enumerate(names):
        target = picture(side, side, seed=seed)
        samples.append(Sample(name, np.ascontiguousarray(target[::4, ::4]), target))
    return HeldOut(tuple(samples), 4)


def measured(held_out: HeldOut, iteration: int, worse: int) -> Measurement:
    return judge([sample.target - np.minimum(sample.target, worse) for sample in held_out.samples], held_out, iteration)


def page(
    folder: Path, condition: str = "running", *names: str, name: str = "mine", best: str = "net_g_8.pth"
) -> tuple[Page, str]:
    held_out = pictures(*(names or ("cat.png", "dog.png")))
    start, now = measured(held_out, 0, 9), measured(held_out, 8, 4)
    state = State(name, condition, 8, 20, seconds_left=75, best=best, facts=(("Device", "cpu"),))  # type: ignore[arg-type]
    with Journal(folder) as journal:
        for iteration in (4, 8):
            losses = {"l_g_pix": 0.5 / iteration, "l_d_real": 0.6, "l_d_fake": 0.7}
            rate = {"pictures_per_second": 6.0, "waiting_share": 0.0125}
            line = {"iteration": iteration, "pictures": iteration, "seconds": 60, "losses": losses, "lr": 2e-4}
            journal.add(Logged.model_validate(line | rate))
        journal.add(start.line)
        journal.add(now.line)
        path = write(
            folder,
            state,
            journal,
            held_out=held_out,
            bicubic=bicubic(held_out),
            start=start,
            now=now,
            findings=[Finding("idle", "No progress <at all>")],
            written=NOON,
        )
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def test_a_page_says_where_the_training_stands(tmp_path: Path) -> None:
    parsed, _ = page(tmp_path)
    words = " ".join(parsed.texts)
    for said in (
        "mine",
        "Running",
        "8 of 20",
        "about 1 min 15 s",
        "6 pictures/s",
        "1.2% of the time",
        "net_g_8.pth",
        "cpu",
    ):
        assert said in words
    assert "40%, running: mine" in parsed.texts
    assert "2026-01-02 12:00:00 +0000" in words


def test_a_page_has_the_curves_of_what_was_logged_and_measured(tmp_path: Path) -> None:
    parsed, text = page(tmp_path)
    titles = [words for words in parsed.texts if words in {"PSNR", "SSIM", "Sharpness"} or "loss" in words.lower()]
    assert list(dict.fromkeys(titles)) == [
        "PSNR",
        "SSIM",
        "Sharpness",
        "Pixel loss (L1)",
        "Discriminator's losses",
    ]
    held_out = pictures("cat.png", "dog.png")
    for label, found in (("", measured(held_out, 8, 4)), ("bicubic ", bicubic(held_out))):
        assert f"{label}{found.line.validation.psnr:.2f} dB" in parsed.texts
    assert text.count('opacity=".25"') == 3  # losses are drawn smoothed, over what they are made from


def test_a_page_reloads_itself_only_while_training_runs(tmp_path: Path) -> None:
    for condition in ("running", "stopped", "finished"):
        parsed, _ = page(tmp_path / condition, condition)
        refreshes = [meta for meta in parsed.all("meta") if meta.get("http-equiv") == "refresh"]
        assert bool(refreshes) == bool(list(parsed.all("script"))) == (condition == "running")


def test_a_page_loads_nothing_from_anywhere(tmp_path: Path) -> None:
    parsed, text = page(tmp_path)
    links = [value for _, attributes in parsed.elements for key, value in attributes.items() if key in ("src", "href")]
    assert len(links) > 10
    assert all(link and link.startswith(("data:image/webp;base64,", "#")) for link in links)
    assert re.findall(r"https?:|//\w|url\(|@import", re.sub(r"base64,[^\"]*", "", text)) == []
    (policy,) = [meta["content"] for meta in parsed.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=//x onerror=alert(1)>&amp;\udcff'
    parsed, text = page(tmp_path, "finished", evil, name=evil, best=evil)
    assert list(parsed.all("script")) == []
    assert {"onerror", "onclick"} & {key for _, attributes in parsed.elements for key in attributes} == set()
    shown = evil.replace("\udcff", "\\udcff")
    assert sum(shown in text for text in parsed.texts) >= 3
    assert shown + ", now" in [image["alt"] for image in parsed.all("img")]
    assert "No progress <at all>." in parsed.texts


def test_each_picture_is_shown_in_five_versions_with_words(tmp_path: Path) -> None:
    parsed, _ = page(tmp_path)
    versions = ("input", "bicubic", "start", "now", "target")
    assert [image["alt"] for image in parsed.all("img")] == [
        f"{name}, {version}" for name in ("cat.png", "dog.png") for version in versions
    ]


def test_every_control_has_a_label_and_identifiers_are_unique(tmp_path: Path) -> None:
    parsed, _ = page(tmp_path)
    ids = Counter(attributes["id"] for _, attributes in parsed.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    labels = {label["for"] for label in parsed.all("label")}
    inputs = list(parsed.all("input"))
    assert inputs
    assert {one["id"] for one in inputs} == labels
    assert all(one["type"] == "radio" and one["aria-label"] for one in inputs)
    named = {name for _, attributes in parsed.elements for name in (attributes.get("aria-labelledby") or "").split()}
    assert named
    assert named <= set(ids)
    assert {link["href"] for link in parsed.all("a")} <= {f"#{name}" for name in ids}


def test_every_version_that_can_be_chosen_has_its_rule(tmp_path: Path) -> None:
    parsed, text = page(tmp_path)
    for kind in {one["class"] for one in parsed.all("input")} - {"all"}:
        assert f".{kind}:checked" in text


def test_a_version_that_is_not_known_is_left_out() -> None:
    held_out = pictures("cat")
    alone = Page(page_samples.draw(held_out, now=measured(held_out, 3, 5), limit_bytes=10**7))
    assert [image["alt"] for image in alone.all("img")] == ["cat, input", "cat, now", "cat, target"]


def test_pictures_are_compressed_and_left_out_until_they_fit() -> None:
    held_out = pictures("one", "two", "three", side=128)
    now = measured(held_out, 1, 3)
    whole = page_samples.draw(held_out, now=now, limit_bytes=10**7)
    smaller = page_samples.draw(held_out, now=now, limit_bytes=len(whole) - 1)
    assert smaller.count("<img") == 9
    fewer = page_samples.draw(held_out, now=now, limit_bytes=len(smaller) // 2)
    assert 0 < fewer.count("<img") < 9
    assert len(fewer) < len(smaller) // 2 + 200
    assert "of 3 pictures are shown" in fewer
    Page(fewer)


def test_all_but_the_pictures_stays_small_however_long_a_training_lasts(tmp_path: Path) -> None:
    held_out = pictures("cat")
    now = measured(held_out, 1, 3)
    names = ["l_g_pix", "l_g_percep", "l_g_style", "l_g_gan", "l_d_real", "l_d_fake", "out_d_real", "out_d_fake"]
    rate = {"pictures": 9, "seconds": 9, "lr": 1e-4, "pictures_per_second": 6.0, "waiting_share": 0.01}
    with Journal(tmp_path) as journal:
        for n in range(1, 3000):
            losses = {name: math.sin(n * len(name)) for name in names}
            journal.logged.append(Logged.model_validate({"iteration": n, "losses": losses, **rate}))
        journal.validated += [now.line.model_copy(update={"iteration": n}) for n in range(3000)]
        path = write(tmp_path, State("long", "running", 3), journal, held_out=held_out, now=now)
    without = re.sub(r"base64,[^\"]*", "", path.read_text(encoding="utf-8"))
    assert 50_000 < len(without.encode()) < report._WITHOUT_PICTURES / 4


def test_pictures_are_encoded_anew_only_when_there_are_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = pictures("cat")
    now, later = measured(held_out, 1, 3), measured(held_out, 2, 1)
    first = page_samples.draw(held_out, now=now, limit_bytes=10**7)
    monkeypatch.setattr(page_samples, "_address", lambda pixels, **options: "data:new")
    assert page_samples.draw(held_out, now=now, limit_bytes=10**7) == first
    assert page_samples.draw(held_out, now=later, limit_bytes=10**7).count("data:new") == 1


def test_a_page_is_there_before_anything_is_measured(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        path = write(tmp_path, State("new", "running", 0), journal)
    assert "Nothing measured yet." in Page(path.read_text(encoding="utf-8")).texts


def test_a_page_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = page(tmp_path)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with Journal(tmp_path / "other") as journal, pytest.raises(RealESRGANError, match="No space left"):
        write(tmp_path, State("new", "running", 0), journal)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "other", "report.html"]


def svg_of(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure[figure.index("<svg viewBox") : figure.rindex("</svg>") + 6])


def heights(figure: str, tag: str) -> list[float]:
    return [float(one.attrib["cy"]) for one in svg_of(figure).iter(tag)]


def test_a_chart_says_in_words_what_it_draws() -> None:
    figure = chart("PSNR <dB>", [Line("mine", [(0, 20.0), (10, 26.5), (20, 25.25)])], name="psnr", unit="dB")
    drawing = svg_of(figure)
    assert drawing.attrib["role"] == "img"
    title, description = drawing[0], drawing[1]
    assert (title.text, title.attrib["id"]) == ("PSNR <dB>", "psnr-title")
    assert description.text == (
        "mine: from 20.00 dB at iteration 0 to 25.25 dB at iteration 20, "
        "lowest 20.00 dB at iteration 0, highest 26.50 dB at iteration 10"
    )
    assert "mine 25.25 dB" in figure


def test_higher_values_are_drawn_higher_and_in_proportion() -> None:
    first, middle, last = heights(chart("x", [Line("", [(0, 1.0), (1, 2.0), (2, 5.0)])], name="x"), "circle")
    assert first > middle > last
    assert (first - last) == pytest.approx(4 * (first - middle), abs=0.2)


def test_what_is_no_number_is_left_out_of_a_chart() -> None:
    figure = chart("x", [Line("", [(0, math.nan), (1, 2.0), (2, math.inf), (3, 5.0)])], name="x")
    assert len(heights(figure, "circle")) == 2
    assert "nan" not in figure
    assert "Nothing measured yet." in chart("x", [Line("", [(0, math.nan)])], name="x")


@pytest.mark.parametrize("points", [[(5.0, 1.0)], [(0.0, 3.0), (9.0, 3.0)], [(0.0, 0.0), (1.0, 0.0)]])
def test_a_single_point_and_a_level_line_can_be_drawn(points: list[tuple[float, float]]) -> None:
    figure = chart("x", [Line("", points)], name="x")
    assert len(heights(figure, "circle")) == len(points)
    assert all(0 < height < 240 for height in heights(figure, "circle"))


def test_a_level_to_compare_with_is_always_in_sight() -> None:
    figure = chart("x", [Line("", [(0, 1.0), (1, 2.0)])], name="x", levels=[Level("bicubic", 10.0)])
    assert "bicubic 10.00" in figure
    (top,) = {height for height in heights(figure, "circle") if height == max(heights(figure, "circle"))}
    assert top - min(heights(figure, "circle")) < 30  # the lines share the drawing with the level


def test_lines_stay_inside_the_axes_and_are_not_told_apart_by_colour_alone() -> None:
    lines = [Line("", [(n, math.sin(n * paint)) for n in range(500)], paint, smooth=True) for paint in (1, 2, 3)]
    figure = chart("x", lines, name="x")
    paths = [path.attrib for path in svg_of(figure).iter("path") if "stroke-dasharray" in path.attrib]
    across = [float(point) for path in paths for point in re.findall(r"[ML]([\d.]+) ", path["d"])]
    assert (min(across), max(across)) == pytest.approx((LEFT, WIDTH - RIGHT), abs=1)
    assert len({path["stroke-dasharray"] for path in paths}) == 3


def test_smoothing_keeps_lines_and_means_and_removes_noise() -> None:
    straight = [2.0 * n for n in range(400)]
    assert smooth(straight)[20:-20] == pytest.approx(straight[20:-20])
    assert smooth([3.0] * 50) == pytest.approx([3.0] * 50)
    noise = np.random.default_rng(0).normal(size=1000)
    assert np.std(smooth(noise.tolist())) < np.std(noise) / 5
    assert smooth([1.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize("count", [1, MOST_POINTS, MOST_POINTS + 1, 5000])
def test_thinning_keeps_the_last_point_the_order_and_the_mean(count: int) -> None:
    points = [(float(n), float(n % 7)) for n in range(count)]
    thinned = thin(points)
    assert len(thinned) == min(count, MOST_POINTS)
    assert thinned[-1] == points[-1]
    assert thinned == sorted(thinned)
    assert np.mean([y for _, y in thinned]) == pytest.approx(np.mean([y for _, y in points]), abs=0.2)


@pytest.mark.parametrize("low", [-3.7, 0.0, 0.013, 19.2, 123456.0])
@pytest.mark.parametrize("span", [1e-5, 0.07, 0.3, 1.0, 2.4, 8.01, 37.0, 999.0, 5e6])
def test_two_to_six_round_numbers_stand_at_an_axis(low: float, span: float) -> None:
    marks = ticks(low, low + span)
    assert 2 <= len(marks) <= 6
    assert all(low - 1e-6 * span <= mark <= low + span * (1 + 1e-6) for mark in marks)
    steps = np.diff(marks)
    assert steps == pytest.approx(steps[0], rel=1e-3)
    assert f"{steps[0]:.0e}"[0] in "125"


def test_large_numbers_are_short() -> None:
    assert [thousands(number) for number in (0, 950, 12000, 1.5e6, -2500)] == ["0", "950", "12k", "1.5M", "−2.5k"]
