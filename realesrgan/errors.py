"""What can go wrong that a user can mend. Each error says what was asked, why it cannot be, and what to do instead."""


class RealESRGANError(Exception):
    """Base of every error this package raises on purpose; anything else is a bug and keeps its traceback."""


class UsageError(RealESRGANError):
    """The request itself cannot be carried out: a wrong option, an unknown name, two inputs for one output."""


class WeightsError(RealESRGANError):
    """A weights file is missing, damaged, unsafe, or belongs to another network."""


class DeviceError(RealESRGANError):
    """The device asked for is not there, or is too small even for the smallest piece of work."""


class ImageFileError(RealESRGANError):
    """A picture cannot be read or written."""


class VideoFileError(RealESRGANError):
    """A video cannot be read or written."""
