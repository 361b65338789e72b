"""The end of a training: its best weights as files, with what is to be known of them."""

from __future__ import annotations

from pathlib import Path

from .. import __version__
from .checkpoint import Checkpoints
from .ema import MovingAverage
from .loop import Ended, Training
from .weights_out import write_weights


def finish(training: Training, ended: Ended) -> list[Path]:
    """Write the best weights, or the last if none were measured, as NAME.pth and NAME.safetensors into the folder.

    The last ones also get their published name, which recipes of stage 2 start from.

    Raises:
        WeightsError: the disk refuses, or the best checkpoint cannot be read.
    """
    checkpoints = Checkpoints(training.folder)
    checkpoints.name_latest(ended.iteration)
    recipe, state = training.recipe, training.state
    iteration = ended.best.iteration if ended.best is not None else ended.iteration
    network, average = state.generator.network, MovingAverage(state.average.network, recipe.train.ema_decay)
    if iteration != ended.iteration:
        checkpoint = checkpoints.load(iteration)
        network = MovingAverage(network, 0).network
        network.load_state_dict(checkpoint.networks["g"])
        average.network.load_state_dict(checkpoint.networks["g_ema"])
    facts = {
        "made_by": f"realesrgan {__version__}",
        "name": recipe.name,
        "model_type": recipe.model_type,
        "network": recipe.network_g.model_dump(),
        "scale": recipe.scale,
        "iterations": iteration,
        "pictures": iteration * training.global_batch,
        "started_from": recipe.path.pretrain_network_g,
        "psnr": ended.best.psnr if ended.best is not None else None,
    }
    return write_weights(training.folder / recipe.name, network, average, facts)
