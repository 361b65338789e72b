"""The job: in order whatever the workers, one failure costs one pair, and files that say what was measured."""

from __future__ import annotations

import csv
import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.errors import Cancelled, ImageFileError, RealESRGANError, UsageError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.metrics import evaluation, metric, report, worst
from realesrgan.metrics.evaluation import Evaluation, evaluate
from realesrgan.metrics.files import Kept
from realesrgan.metrics.metric import Metric
from realesrgan.metrics.pairs import match
from realesrgan.restorer import Reporter

COUNT = 7
PSNR, SSIM = metric.BUILT_IN["psnr"], metric.BUILT_IN["ssim"]


class Heard(Reporter):
    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self.failures: dict[str, str] = {}
        self.done: dict[str, float] = {}

    def remark(self, message: str) -> None:
        self.remarks.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def failed(self, source: Path, reason: str) -> None:
        self.failures[source.name] = reason

    def progressed(self, source: Path, done: float) -> None:
        self.done[source.name] = done


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results 0 to 6, each off by its number in levels: 0 is its original."""
    monkeypatch.chdir(tmp_path)
    for folder in ("r", "t"):
        Path(folder).mkdir()
    for number in range(COUNT):
        original = picture(20, 18, seed=number) // 2
        files.write(Path(f"t/{number}.png"), Picture(original))
        files.write(Path(f"r/{number}_out.png"), Picture((original + number).astype(np.uint8)))


def run(*metrics: Metric, workers: int | None = None, border: int = 0, reporter: Reporter | None = None) -> Evaluation:
    matched = match(["r"], ["t"])
    return evaluate(matched, metrics or (PSNR, SSIM), reporter or Reporter(), workers=workers, border=border)


def numbers(found: Evaluation) -> list[str]:
    return [row.pair.result.stem[0] for row in found.rows]


def off_by(levels: int) -> float:
    return 20 * math.log10(255 / levels)


def test_each_picture_and_the_mean_are_measured() -> None:
    found = run()
    assert [row.values["psnr"] for row in found.rows] == pytest.approx([math.inf, *map(off_by, range(1, COUNT))])
    assert found.means()["psnr"] == pytest.approx(sum(map(off_by, range(1, COUNT))) / (COUNT - 1))
    assert found.infinite("psnr") == 1
    assert found.means()["ssim"] == pytest.approx(sum(row.values["ssim"] for row in found.rows) / COUNT)


@pytest.mark.parametrize("workers", [2, 5, 50, None])
def test_several_workers_give_what_one_gives_in_the_same_order(workers: int | None) -> None:
    alone, together = run(workers=1), run(workers=workers)
    assert numbers(together) == numbers(alone) == [str(number) for number in range(COUNT)]
    assert [row.values for row in together.rows] == [row.values for row in alone.rows]


def test_the_order_does_not_depend_on_who_is_ready_first() -> None:
    last_is_done = threading.Event()

    def measure(result: Array, original: Array) -> float:
        number = int(result.max() - original.max())
        if number == COUNT - 1:
            last_is_done.set()
        if number == 0:
            last_is_done.wait(60)
        return number

    assert [row.values["late"] for row in run(Metric("late", measure), workers=2).rows] == list(range(COUNT))


def test_a_damaged_picture_fails_alone() -> None:
    path = Path("r/3_out.png")
    path.write_bytes(path.read_bytes()[:-200])
    reporter = Heard()
    found = run(reporter=reporter)
    assert numbers(found) == list("012456")
    assert list(reporter.failures) == ["3_out.png"]
    assert len(found.failures) == 1
    assert reporter.done["3_out.png"] == 20 * 18


def test_what_failed_before_measuring_counts_as_failed() -> None:
    Path("r/3_out.png").unlink()
    assert [line.split(":")[0] for line in run().failures] == ["t/3.png"]


def test_a_metric_that_fails_costs_its_value_and_not_the_others() -> None:
    def measure(result: Array, original: Array) -> float:
        if result.max() - original.max() == 2:
            raise RealESRGANError("odd cannot be computed (whatever)")
        return 1.0

    reporter = Heard()
    found = run(PSNR, Metric("odd", measure), reporter=reporter)
    assert numbers(found) == [str(number) for number in range(COUNT)]
    assert math.isnan(found.rows[2].values["odd"])
    assert found.rows[2].values["psnr"] == pytest.approx(off_by(2))
    assert found.failures == ["r/2_out.png: odd cannot be computed (whatever)"]
    assert reporter.failures == {"2_out.png": "odd cannot be computed (whatever)"}


def test_a_border_that_leaves_nothing_fails_and_names_the_option() -> None:
    assert len(run(border=8).rows) == COUNT
    found = run(border=9)
    assert found.rows == []
    assert all("`border` 9 leaves nothing of 18×20 pixels" in line for line in found.failures)


def test_every_metric_sees_the_picture_without_its_border() -> None:
    shapes = run(Metric("height", lambda result, original: result.shape[0] + original.shape[0] / 100), border=3)
    assert {row.values["height"] for row in shapes.rows} == {14.14}


def test_a_picture_too_small_for_a_metric_is_said_and_is_not_in_its_mean() -> None:
    small = picture(8, 8)
    for name in ("r/tiny_out.png", "t/tiny.png"):
        files.write(Path(name), Picture(small))
    before, reporter = run().means()["ssim"], Heard()
    Path("r/tiny_out.png").touch()
    assert run(reporter=reporter).means()["ssim"] == before
    assert reporter.remarks == ["r/tiny_out.png: too small to measure ssim"]


def test_transparency_is_explained_once() -> None:
    for number in range(2):
        files.write(Path(f"t/{number}.png"), Picture(picture(20, 18, 4)))
    reporter = Heard()
    run(reporter=reporter)
    assert reporter.remarks == ["pictures with transparency are compared as they look on black"]


def test_cancelling_stops_between_two_metrics() -> None:
    measured: list[int] = []

    class Stop(Reporter):
        def check(self) -> None:
            if measured:
                raise Cancelled

    def measure(result: Array, original: Array) -> float:
        measured.append(1)
        return 0.0

    with pytest.raises(Cancelled):
        run(Metric("one", measure), Metric("two", measure), workers=1, reporter=Stop())
    assert len(measured) == 1


@pytest.mark.parametrize(("border", "workers"), [(-1, None), (1.5, None), (0, 0)])
def test_options_without_sense_are_refused(border: int, workers: int | None) -> None:
    with pytest.raises(UsageError):
        run(border=border, workers=workers)


def test_little_memory_means_few_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = match(["r"], ["t"]).pairs
    monkeypatch.setattr(evaluation, "processor_count", lambda: 64)
    monkeypatch.setattr(evaluation, "free_memory_bytes", lambda: 3 * pairs[0].held_bytes / evaluation.HELD_SHARE)
    assert evaluation._default_workers(pairs) == 3
    monkeypatch.setattr(evaluation, "free_memory_bytes", lambda: 0)
    assert evaluation._default_workers(pairs) == 1


@pytest.mark.parametrize(
    ("values", "mean"),
    [([1.0, 3.0], 2.0), ([1.0, math.inf, 3.0], 2.0), ([math.inf], math.inf), ([math.nan, 5.0], 5.0)],
)
def test_the_mean_is_that_of_the_finite_values(values: list[float], mean: float) -> None:
    assert metric.mean(values) == mean
    assert math.isnan(metric.mean([math.nan]))


def test_the_table_is_aligned_and_ends_with_the_mean() -> None:
    files.write(Path("t/漢字.png"), Picture(picture(20, 18)))
    files.write(Path("r/漢字.png"), Picture(picture(20, 18)))
    lines = report.table(run())
    assert len(lines) == 1 + COUNT + 1 + 1
    assert lines[0].split() == ["psnr", "ssim"]
    assert lines[1].split() == ["r/0_out.png", "inf", "1.0000"]
    assert lines[-1].split()[:3] == ["mean", "of", "8"]
    assert {len(line) for line in lines if "漢" not in line} == {len(lines[-2]) + 2}  # two letters take four columns


def test_csv_has_every_value_and_the_mean() -> None:
    found = run()
    rows = list(csv.DictReader(report.as_csv(found).splitlines()))
    assert [row["result"] for row in rows] == [*(f"r/{number}_out.png" for number in range(COUNT)), "mean"]
    assert rows[0]["psnr"] == "inf"
    assert float(rows[4]["psnr"]) == pytest.approx(off_by(4), abs=1e-6)
    assert rows[4]["original"] == "t/4.png"


def test_json_is_strict_and_has_what_failed() -> None:
    Path("r/3_out.png").write_bytes(b"")
    found = run(Metric("nothing", lambda result, original: math.nan, lower_is_better=True), PSNR)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    told = json.loads(report.as_json(found), parse_constant=refuse)
    assert [one["values"]["psnr"] for one in told["results"]][:2] == ["inf", pytest.approx(off_by(1), abs=1e-6)]
    assert told["results"][0]["values"]["nothing"] is None
    assert told["lower_is_better"] == ["nothing"]
    assert told["failures"] == ["r/3_out.png: an empty file"]


def test_the_worst_come_first_whichever_way_is_better() -> None:
    levels = Metric("levels", lambda result, original: float(result.max() - original.max()), lower_is_better=True)
    found = run(PSNR, levels)
    by_psnr, by_levels = (worst.worst_rows(found.rows, one) for one in (PSNR, levels))
    assert [row.pair.result.stem[0] for row in by_psnr] == list("65432")
    assert by_levels == by_psnr


def test_the_sheet_has_the_original_the_result_and_their_difference_made_visible() -> None:
    files.write(Path("r/6_out.png"), Picture((files.read(Path("t/6.png")).pixels + 12).astype(np.uint8)))
    drawn = worst.sheet(run(), count=1)
    ours, theirs = (files.read(Path(name)).pixels for name in ("r/6_out.png", "t/6.png"))

    def shows(pixels: Array) -> bool:
        windows = np.lib.stride_tricks.sliding_window_view(drawn, pixels.shape)
        return bool((windows == pixels).all(axis=(3, 4, 5)).any())

    assert shows(theirs)
    assert shows(ours)
    assert shows(np.full_like(ours, 12 * 16))  # twelve levels everywhere, sixteen times as strong
    assert not shows(np.full_like(ours, 12 * 8))


def test_of_a_large_picture_the_sheet_shows_where_it_differs_most() -> None:
    original = np.zeros((worst.SIDE_PX + 300, worst.SIDE_PX + 200), np.uint8)
    result = original.copy()
    result[-2:, -3:] = 200
    assert worst._most_different(result, original) == (300, 200)
    result = original.copy()
    result[:2, :2] = 200
    assert worst._most_different(result, original) == (0, 0)
    assert worst._most_different(original[:9, :9], result[:9, :9]) == (0, 0)


def test_gray_against_colour_and_16_bits_against_8_can_be_drawn() -> None:
    files.write(Path("r/0_out.png"), Picture(picture(20, 18, 1)))
    files.write(Path("r/1_out.png"), Picture(picture(20, 18, 4, np.uint16)))
    assert worst.sheet(run(), count=COUNT).dtype == np.uint8


def test_files_appear_whole_and_leave_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(Path("out/a.csv"), Path("out/a.json"), Path("out/a.png"))
    kept.check()
    assert kept.write(run()) == [Path("out/a.csv"), Path("out/a.json"), Path("out/a.png")]
    before = Path("out/a.csv").read_bytes()

    def refuse(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UsageError, match="No space left"):
        kept.write(Evaluation((PSNR,)))
    assert Path("out/a.csv").read_bytes() == before
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.csv", "a.json", "a.png"]


def test_a_name_that_is_not_utf8_can_be_written() -> None:
    raw = b"t/\xff.png".decode("utf-8", "surrogateescape")
    row = replace(run().rows[0], pair=replace(run().rows[0].pair, result=Path(raw)))
    Kept(csv=Path("a.csv"), json=Path("a.json")).write(Evaluation((PSNR,), [row], [f"{raw}: damaged"]))
    assert "t/\\udcff.png,t/0.png" in Path("a.csv").read_text(encoding="utf-8")
    told = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert told["results"][0]["result"] == "t/\\udcff.png"
    assert told["failures"] == ["t/\\udcff.png: damaged"]


@pytest.mark.parametrize("name", ["r/0_out.png", "t/3.png", "r/../t/3.png"])
def test_no_picture_that_is_measured_is_overwritten(name: str) -> None:
    with pytest.raises(UsageError, match="sheet"):
        Kept(sheet=Path(name)).refuse_overwrites(match(["r"], ["t"]))


@pytest.mark.parametrize(
    ("kept", "option"),
    [
        (Kept(sheet=Path("a.txt")), "sheet"),
        (Kept(csv=Path("r")), "csv"),
        (Kept(csv=Path("a"), json=Path("./a")), "csv"),
        (Kept(sheet=Path("a.png"), per_frame=True), "per_frame"),
        (Kept(json=Path("t/3.png/a.json")), "json"),
    ],
)
def test_files_that_could_not_be_written_are_refused_before_any_work(kept: Kept, option: str) -> None:
    with pytest.raises(UsageError) as raised:
        kept.check()
    assert raised.value.option == option


def test_a_sheet_of_nothing_is_an_error_that_says_so() -> None:
    with pytest.raises((RealESRGANError, ImageFileError), match="psnr"):
        worst.sheet(Evaluation((PSNR,)))
