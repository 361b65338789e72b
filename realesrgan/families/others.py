"""Networks that users mix up with a generator, by what their keys begin with."""

from __future__ import annotations

from collections.abc import Iterable

_OTHER_NETWORKS = {
    "stylegan_decoder.": "the GFPGAN face restorer, which `face_enhance` uses by itself",
    "conv1.weight_orig": "a discriminator, which only training uses",
    "ClassHead.": "the RetinaFace face detector",
    "encoder.0.conv2d.": "the ParseNet face parser",
    "model.1.ffc.": "LaMa, which fills in what a mask marks",
}


def other_network(keys: Iterable[str]) -> str | None:
    """Say which other network a checkpoint is of, if it is a known one."""
    keys = list(keys)
    found = (other for start, other in _OTHER_NETWORKS.items() if any(key.startswith(start) for key in keys))
    return next(found, None)
