from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import picture

from benchmarks import engines
from benchmarks.engines import Run


def test_an_engine_is_measured_in_a_process_of_its_own_and_a_missing_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ncnn.py").write_text("raise ImportError('ncnn is not here')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    chosen = ["torch-fp32", "ncnn-fp32"]
    run, missing = engines.measure("realesr-animevideov3", picture(12, 16), chosen, rounds=2, threads=1)
    assert missing.left_out == "ncnn is not here"
    assert (run.left_out, run.precision, len(run.seconds), len(run.processor_s)) == (None, "fp32", 2, 2)
    assert run.psnr_db > 70  # channels in another order leave 10 dB
    assert run.peak_bytes > 1e8  # torch alone


def test_the_table_compares_the_best_rounds_with_torch() -> None:
    fast = Run("native", "mixed bf16", True, None, [2.0, 1.0, 4.0], [3.0, 1.5, 3.0], 55.55, 200_000_000)
    beside = Run("torch", "mixed bf16", True, None, [3.0], [6.0], 50, 300_000_000)
    absent = Run("ncnn", left_out="No module named 'ncnn'")
    lines = engines.table("realesr-animevideov3", picture(100, 200), [fast, beside, absent], {"mixed bf16": 0.1})
    (row,) = (line for line in lines if "compiled kernels" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:7] == ["mixed bf16", "bytes", "20.00", "10.00", "1.50", "3.00"]
    assert cells[7:] == ["0.25", "55.5", "200"]
    assert lines[-2] == "- ncnn (ncnn): No module named 'ncnn'"


@pytest.mark.parametrize(("height", "width"), [(5, 7), (30, 20), (12, 50)])
def test_a_picture_is_mirrored_to_a_larger_size_and_cut_to_a_smaller_one(height: int, width: int) -> None:
    photograph = picture(12, 16)
    result = engines.enlarged(photograph, width, height)
    assert result.shape == (height, width, 3)
    inside = min(height, 12), min(width, 16)
    assert np.array_equal(result[: inside[0], : inside[1]], photograph[: inside[0], : inside[1]])
    if width > 16:
        assert np.array_equal(result[:, 16:20], result[:, 15:11:-1])
