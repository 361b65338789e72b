"""The published address of RealESRGANer: `from realesrgan.utils import RealESRGANer`. The class is in `upsampler`."""

from .upsampler import RealESRGANer

__all__ = ["RealESRGANer"]
