"""What a batch refuses before any work: results that the memory or the format cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import picture

from realesrgan.arrays import held_bytes
from realesrgan.engine import cgroups
from realesrgan.image import batch, files
from realesrgan.image.batch import HELD_SHARE, Batch, select
from realesrgan.loading import Settings

HEIGHT, WIDTH = 40, 50


@pytest.fixture(autouse=True)
def with_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write(Path("a.png"), files.Picture(picture(HEIGHT, WIDTH)))


def is_refused(outscale: float, max_memory: int | None = None) -> bool:
    selection, _ = select(Batch(["a.png"]), Settings(outscale=outscale, max_memory=max_memory))
    assert len(selection.jobs) + len(selection.failures) == 1
    assert all("too large: 50×40 pixels" in line for line in selection.failures)
    return bool(selection.failures)


def needed(outscale: float) -> int:
    return held_bytes(HEIGHT, WIDTH, 3, 8, (int(HEIGHT * outscale), int(WIDTH * outscale)))


@pytest.mark.parametrize("outscale", [1, 2, 3.5, 4, 6])
def test_a_picture_is_refused_exactly_where_it_and_its_result_do_not_fit(monkeypatch, outscale):
    for free, refused in ((needed(outscale) / HELD_SHARE + 2, False), (needed(outscale) / HELD_SHARE - 2, True)):
        monkeypatch.setattr(batch, "free_memory_bytes", lambda free=free: free)
        assert is_refused(outscale) is refused


def test_what_fits_enlarged_more_also_fits_enlarged_less(monkeypatch):
    scales = [0.5, 1, 2, 3, 3.9, 4, 4.1, 6, 8]
    for free in range(10_000, 500_000, 20_000):
        monkeypatch.setattr(batch, "free_memory_bytes", lambda free=free: free)
        answers = [is_refused(outscale) for outscale in scales]
        assert answers == sorted(answers)


def test_a_container_and_max_memory_set_the_limit(monkeypatch):
    monkeypatch.setattr(cgroups, "memory_left_bytes", lambda: int(needed(4) / HELD_SHARE) - 2)
    assert is_refused(4)
    assert not is_refused(3)
    assert not is_refused(4, max_memory=needed(4) + 1)
    assert is_refused(4, max_memory=needed(4) - 1)
