"""Real-ESRGAN: restore pictures and videos that are small, noisy, compressed or old (Wang et al., arXiv:2107.10833)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .face.enhancer import GFPGANer, load_face_restorer
    from .upsampler import RealESRGANer, load_upsampler

__version__ = "0.1.0"
__all__ = ["GFPGANer", "RealESRGANer", "__version__", "load_face_restorer", "load_upsampler"]


def __getattr__(name: str) -> Any:
    # Torch takes a second or two to import: only those who ask for a network pay for it.
    if name in ("RealESRGANer", "load_upsampler"):
        from . import upsampler

        return getattr(upsampler, name)
    if name in ("GFPGANer", "load_face_restorer"):
        from .face import enhancer

        return getattr(enhancer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
