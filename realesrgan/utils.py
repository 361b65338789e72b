"""The published address of RealESRGANer: `from realesrgan.utils import RealESRGANer`. It lives in `upsampler`."""

from .upsampler import RealESRGANer

__all__ = ["RealESRGANer"]
