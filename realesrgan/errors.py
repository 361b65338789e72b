"""Errors that a user can fix. Each says what was requested, why that is impossible, and what to do instead.

Messages name options in backticks, as Python spells them: "`tile` 33 does not suit …". The library knows no flags; each
front end has its own spelling.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_OPTION = re.compile(r"`([a-z][a-z0-9_]*)`")


def spell(message: str, spelling: Callable[[str], str]) -> str:
    """Replace each option that `message` names in backticks by its `spelling`."""
    return _OPTION.sub(lambda match: spelling(match[1]), message)


class RealESRGANError(Exception):
    """Base of all errors this package raises on purpose; any other is a bug and keeps its traceback."""

    def __str__(self) -> str:
        return self.spelled(lambda option: option)

    def spelled(self, spelling: Callable[[str], str]) -> str:
        """The message, with options in a front end's spelling."""
        return spell(self.message, spelling)

    @property
    def message(self) -> str:
        """The message with options still in backticks."""
        return super().__str__()

    @property
    def option(self) -> str | None:
        """The first option the message names: the one to change."""
        match = _OPTION.search(self.message)
        return match[1] if match else None


class UsageError(RealESRGANError):
    """The request is impossible as it stands: a wrong option, an unknown name, two inputs for one output."""


class WeightsError(RealESRGANError):
    """A weights file is missing, damaged, unsafe, or belongs to another network."""


class DeviceError(RealESRGANError):
    """The requested device does not exist, or has too little memory even for the smallest piece of work."""


class ImageFileError(RealESRGANError):
    """A picture cannot be read or written."""


class VideoFileError(RealESRGANError):
    """A video cannot be read or written."""


class Cancelled(Exception):
    """Raised by a Reporter's `check` to stop the work. Not an error: there is nothing to fix."""
