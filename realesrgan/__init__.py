"""Real-ESRGAN: restore pictures and videos that are small, noisy, compressed or old (Wang et al., arXiv:2107.10833)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import restore_images, restore_video
    from .errors import Cancelled, RealESRGANError
    from .export.job import export_onnx
    from .face.enhancer import GFPGANer, load_face_restorer
    from .restorer import Reporter
    from .upsampler import RealESRGANer, load_upsampler

__version__ = "0.1.0"
__all__ = [
    "Cancelled",
    "GFPGANer",
    "RealESRGANError",
    "RealESRGANer",
    "Reporter",
    "__version__",
    "export_onnx",
    "load_face_restorer",
    "load_upsampler",
    "restore_images",
    "restore_video",
]

# Importing torch takes a second or two, so names are imported when they are first used.
_HOMES = {
    "api": ("restore_images", "restore_video"),
    "errors": ("Cancelled", "RealESRGANError"),
    "export.job": ("export_onnx",),
    "face.enhancer": ("GFPGANer", "load_face_restorer"),
    "restorer": ("Reporter",),
    "upsampler": ("RealESRGANer", "load_upsampler"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
