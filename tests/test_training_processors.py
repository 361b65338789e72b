"""A CPU's processors are shared between learning and preparing pictures by what each of them costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import picture

from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Reporter
from realesrgan.training import plan
from realesrgan.training.plan import Request, prepared
from realesrgan.training.processors import Shares, share
from realesrgan.training.recipe import TrainingRecipe

TINY, SMALL, LARGE = 52_000, 600_000, 16_700_000  # weights: of a toy, realesr-animevideov3, RealESRGAN_x4plus


def recipe(*, crop: int = 192, size: int = 128, stage: int = 1, pictures: Path = Path("pictures")) -> TrainingRecipe:
    content: dict[str, Any] = {
        "name": "tiny",
        "model_type": "RealESRNetModel" if stage == 1 else "RealESRGANModel",
        "scale": 4,
        "gt_size": size,
        "datasets": {
            "train": {
                "type": "RealESRGANDataset",
                "dataroot_gt": pictures,
                "crop_pad_size": crop,
                "num_worker_per_gpu": 16,
                "batch_size_per_gpu": 1,
            }
        },
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1},
        "train": {"optim_g": {"lr": 1e-3}, "total_iter": 1, "pixel_opt": {"type": "L1Loss"}},
    }
    return TrainingRecipe.model_validate(content)


@pytest.mark.parametrize("weights", [1, TINY, SMALL, LARGE])
@pytest.mark.parametrize("processors", [1, 2, 3, 8, 64])
def test_only_a_worker_that_may_sleep_is_one_too_many(weights: int, processors: int) -> None:
    shares = share(recipe(), weights, processors)
    assert 1 <= shares.threads <= processors
    assert 1 <= shares.workers <= processors
    assert shares.threads + shares.workers <= processors + 1


def test_a_network_that_costs_less_than_its_pictures_leaves_processors_to_them() -> None:
    assert share(recipe(), TINY, 2) == Shares(threads=1, workers=2)
    assert share(recipe(), LARGE, 2) == Shares(threads=2, workers=1)
    assert share(recipe(crop=320, size=256), SMALL, 2) == Shares(threads=2, workers=1)


def test_larger_crops_take_more_workers_and_larger_networks_fewer() -> None:
    workers = [share(recipe(crop=crop), TINY, 16).workers for crop in (128, 192, 256, 400)]
    assert workers == sorted(set(workers))
    workers = [share(recipe(), weights, 16).workers for weights in (LARGE, SMALL, TINY, 1)]
    assert workers == sorted(set(workers))


def test_beside_a_discriminator_pictures_cost_nothing() -> None:
    assert share(recipe(stage=2), TINY, 8) == Shares(threads=8, workers=1)


def test_torch_has_the_threads_that_are_left_until_the_training_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    files.write(tmp_path / "pictures" / "0.png", Picture(picture(40, 50)))
    monkeypatch.setattr(plan, "processor_count", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        request = Request(recipe(pictures=tmp_path / "pictures"), folder=tmp_path / "out", gpu_id="cpu")
        with prepared(request, Reporter()) as training:
            # Of so small a network all the work is its pictures.
            assert (torch.get_num_threads(), training.workers) == (1, 3)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
