"""What a picture takes is known before it is degraded: too large ones are refused, and workers are as many as fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import picture

from realesrgan.degradation import batch as degradations
from realesrgan.degradation.batch import HELD_SHARE, Batch, choose_devices, select
from realesrgan.degradation.draw import draw
from realesrgan.degradation.memory import held_bytes, largest_area, most_bytes
from realesrgan.degradation.process import stages
from realesrgan.degradation.recipe import PUBLISHED, Recipe
from realesrgan.degradation.records import FILE_NAME, Record
from realesrgan.degradation.steps import Degradation, Resize
from realesrgan.image import files
from realesrgan.image.files import Picture

RECIPES = [PUBLISHED, Recipe(orders=1), Recipe(scale=1, resize_range2=(0.3, 3.0)), Recipe(resize_range=(0.1, 9.0))]


def make(folder: Path, count: int) -> list[str]:
    for number in range(count):
        files.write(folder / f"{number}.png", Picture(picture(40, 40, seed=number)))
    return [str(folder)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_largest_picture_on_the_way_is_the_one_foretold(recipe: Recipe) -> None:
    pictures = torch.rand(1, 3, 20, 28)
    for number in range(8):
        degradation = draw(0, number, recipe)
        areas = [after.shape[2] * after.shape[3] for _, after in stages(pictures, [degradation])]
        assert max(areas) == largest_area(20, 28, degradation)


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_drawn_takes_more_than_may_be_drawn(recipe: Recipe) -> None:
    for number in range(100):
        drawn = [draw(0, number, recipe)]
        assert held_bytes(300, 400, drawn) <= most_bytes(300, 400, recipe, 1)


def test_there_are_no_more_workers_than_memory_for_their_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr("realesrgan.engine.device.parse_devices", lambda gpu_id: [torch.device("cpu")])
    monkeypatch.setattr("realesrgan.engine.device.prepare_cpu", lambda *workers: None)
    plan = select(Batch(make(tmp_path, 6)))
    for workers in (1, 2, 5):
        free = (workers + 0.5) * plan.held_bytes / HELD_SHARE
        monkeypatch.setattr(degradations, "free_memory_bytes", lambda free=free: free)
        assert len(choose_devices(None, plan)) == workers


def test_a_picture_that_would_grow_beyond_memory_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    inputs = make(tmp_path, 2)
    growing = (Resize(mode="area", factor=64, of="current"),) * 3
    records = [
        Record(
            output=f"{number}.png",
            source=f"{number}.png",
            sha256="",
            degradation=Degradation(seed=0, number=number, scale=4, steps=steps),
        )
        for number, steps in enumerate([growing, growing[:0]])
    ]
    (tmp_path / FILE_NAME).write_text("".join(record.line + "\n" for record in records))
    plan = select(Batch(inputs, tmp_path / "lq", replay=tmp_path / FILE_NAME))
    assert [job.source.name for job in plan.selection.jobs] == ["1.png"]
    (failure,) = [line for line in plan.selection.failures if "too large" in line]
    assert failure.startswith(f"{tmp_path / '0.png'}: ")


def test_variants_and_their_sheets_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, sheets = make(tmp_path, 1), tmp_path / "sheets"
    one = select(Batch(inputs, sheet=sheets)).held_bytes
    monkeypatch.setattr(degradations, "free_memory_bytes", lambda: 1.5 * one / HELD_SHARE)
    assert select(Batch(inputs, sheet=sheets)).selection.jobs
    assert select(Batch(inputs, count=2)).selection.jobs
    assert not select(Batch(inputs, count=2, sheet=sheets)).selection.jobs
