"""The journal of a training: every line at once, and after a kill the lines of a run that was not killed."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from realesrgan.errors import RealESRGANError
from realesrgan.restorer import Reporter
from realesrgan.training import journal as journal_module
from realesrgan.training.journal import FILE_NAME, Journal
from realesrgan.training.lines import Line, Logged, Validated, Values, mean_of, parse


class Heard(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def logged(iteration: int, **losses: float) -> Logged:
    return Logged(
        iteration=iteration,
        pictures=4 * iteration,
        seconds=iteration / 3,
        losses=losses or {"l_pix": 1 / iteration},
        lr=1e-4,
        pictures_per_second=12.0,
        waiting_share=0.01,
    )


def values(psnr: float = 20.0, sharpness: float = 1.0, colour: float = 0.0) -> Values:
    return Values(psnr=psnr, ssim=0.5, sharpness=sharpness, contrast=1.0, colour=(colour, colour, colour))


def validated(iteration: int, psnr: float = 20.0) -> Validated:
    return Validated(iteration=iteration, validation=values(psnr), each={"cat": values(psnr)})


def story(last: int, first: int = 0) -> list[Line]:
    """What a training writes: a validation at the start and every 4 iterations, losses every 2."""
    lines: list[Line] = []
    for iteration in range(first, last + 1):
        if iteration and iteration % 2 == 0:
            lines.append(logged(iteration))
        if iteration % 4 == 0:
            lines.append(validated(iteration, 20 + iteration))
    return lines


def write(folder: Path, lines: list[Line], **options: Any) -> Journal:
    with Journal(folder, **options) as journal:
        for line in lines:
            journal.add(line)
    return journal


def test_a_line_is_on_the_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add(logged(2, l_pix=0.25))
        (line,) = (tmp_path / FILE_NAME).read_text().splitlines()
    assert json.loads(line) == {
        "iteration": 2,
        "pictures": 8,
        "seconds": 0.6666667,
        "losses": {"l_pix": 0.25},
        "lr": 1e-4,
        "pictures_per_second": 12.0,
        "waiting_share": 0.01,
    }


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written = write(tmp_path, story(9))
    again = Journal(tmp_path, iteration=9)
    again.close()
    assert (again.logged, again.validated) == (written.logged, written.validated)
    assert again.seconds == written.seconds == pytest.approx(8 / 3)


@pytest.mark.parametrize("checkpoint", range(12))
@pytest.mark.parametrize("beyond_bytes", [0, 1, 100, 150, 10_000])  # written after the checkpoint, until the kill
def test_a_killed_and_resumed_run_has_the_lines_of_one_that_was_not(
    tmp_path: Path, checkpoint: int, beyond_bytes: int
) -> None:
    write(tmp_path / "whole", story(20))
    write(tmp_path / "killed", story(checkpoint))
    whole, killed = tmp_path / "whole" / FILE_NAME, tmp_path / "killed" / FILE_NAME
    until = killed.stat().st_size
    killed.write_bytes(whole.read_bytes()[: until + beyond_bytes])
    write(tmp_path / "killed", story(20, checkpoint + 1), iteration=checkpoint)
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("checkpoint", range(9))
def test_what_lies_after_the_checkpoint_is_forgotten(tmp_path: Path, checkpoint: int) -> None:
    write(tmp_path, story(8))
    with Journal(tmp_path, iteration=checkpoint) as journal:
        kept = [*journal.logged, *journal.validated]
    assert {line.iteration for line in kept} == {line.iteration for line in story(checkpoint)}
    assert len((tmp_path / FILE_NAME).read_text().splitlines()) == len(kept) == len(story(checkpoint))


def test_what_is_measured_again_after_a_resume_is_written_once(tmp_path: Path) -> None:
    write(tmp_path, story(8))
    write(tmp_path, story(12, first=8), iteration=8)
    iterations = [json.loads(line)["iteration"] for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert iterations == [line.iteration for line in story(12)]


def test_a_new_training_in_an_old_folder_begins_anew(tmp_path: Path) -> None:
    write(tmp_path, [*story(8)][1:])
    assert write(tmp_path, []).logged == []
    assert (tmp_path / FILE_NAME).read_bytes() == b""


def test_no_kill_while_a_journal_is_opened_loses_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, story(8))
    before = (tmp_path / FILE_NAME).read_bytes()
    monkeypatch.setattr(journal_module, "parse", lambda text: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Journal(tmp_path, iteration=8)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b"[]", b'{"iteration": 3}', b"\xff\xfe", b'{"losses": {}}'])
def test_what_is_no_line_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    lines = story(8)
    text = [line.model_dump_json().encode() for line in lines]
    (tmp_path / FILE_NAME).write_bytes(b"\n".join([*text[:3], damage, *text[3:]]))
    with Journal(tmp_path, iteration=8) as journal:
        assert [*journal.logged, *journal.validated] == sorted(lines, key=lambda line: isinstance(line, Validated))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_valid_json_and_stays_none(value: float) -> None:
    text = logged(2, l_pix=value).model_dump_json()
    assert json.loads(text)["losses"] == {"l_pix": None}
    again = parse(text.encode())
    assert isinstance(again, Logged)
    assert math.isnan(again.losses["l_pix"])


def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.full = file, True

        def write(self, text: bytes) -> int:
            if self.full:
                self.file.write(text[:20])
                raise OSError(28, "No space left on device")
            return int(self.file.write(text))

        def close(self) -> None:
            self.file.close()

    heard = Heard()
    with Journal(tmp_path, reporter=heard) as journal:
        journal.add(logged(2))
        full = Full(journal._file)
        journal._file = full  # type: ignore[assignment]
        journal.add(logged(4))
        journal.add(logged(6))
        full.full = False
        journal.add(logged(8))
        assert [line.iteration for line in journal.logged] == [2, 4, 6, 8]
    assert heard.warnings == [
        f"{tmp_path / FILE_NAME}: cannot be written (No space left on device); training goes on without it"
    ]
    with Journal(tmp_path, iteration=8) as again:
        assert [line.iteration for line in again.logged] == [2, 8]


def test_a_folder_that_cannot_be_made_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RealESRGANError, match=r"metrics\.jsonl: cannot be written"):
        Journal(tmp_path / "file")


def test_a_mean_leaves_out_what_is_no_number_and_halves_and_doubles_cancel() -> None:
    mean = mean_of([values(20, 0.5, 2.0), values(30, 2.0, -4.0), values(math.nan, math.nan, 2.0)])
    assert (mean.psnr, mean.sharpness, mean.colour) == (25, pytest.approx(1.0), (0, 0, 0))
    assert mean_of([values(sharpness=0.0)]).sharpness == pytest.approx(1e-6)


class Writer:
    """What TensorBoard's writer would be told."""

    made: list[Writer]

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step, self.closed = folder, purge_step, False
        self.scalars: list[tuple[str, float, int]] = []
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_the_published_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "made", [], raising=False)
    losses = {"l_d_real": 0.5, "out_d_real": 1.5, "l_g_pix": math.nan}
    write(tmp_path, [logged(12, **losses), validated(12, 21.0)], iteration=10, tensorboard=tmp_path / "board")
    (writer,) = Writer.made
    assert (writer.folder, writer.purge_step, writer.closed) == (str(tmp_path / "board"), 11, True)
    assert {step for _, _, step in writer.scalars} == {12}
    written = {name: value for name, value, _ in writer.scalars}
    assert written["losses/l_d_real"] == 0.5
    assert written["out_d_real"] == 1.5
    assert written["metrics/psnr"] == 21.0
    assert "losses/l_g_pix" not in written


def test_tensorboard_that_is_missing_is_said_in_one_line_and_only_if_it_was_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    heard = Heard()
    write(tmp_path, story(2), reporter=heard)
    assert heard.warnings == []
    write(tmp_path, story(2), reporter=heard, tensorboard=tmp_path / "board")
    (line,) = heard.warnings
    assert 'pip install "realesrgan[train]"' in line
    assert "\n" not in line
