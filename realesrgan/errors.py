"""What can go wrong that a user can mend. Each error says what was asked, why it cannot be, and what to do instead.

Messages name options in backticks, the way Python knows them: "`tile` 33 does not suit …". The library knows no flags;
a front end spells each option its own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_OPTION = re.compile(r"`([a-z][a-z0-9_]*)`")


def spell(message: str, spelling: Callable[[str], str]) -> str:
    """Write each option that `message` names in backticks as `spelling` has it."""
    return _OPTION.sub(lambda match: spelling(match[1]), message)


class RealESRGANError(Exception):
    """Base of every error this package raises on purpose; anything else is a bug and keeps its traceback."""

    def __str__(self) -> str:
        return self.spelled(lambda option: option)

    def spelled(self, spelling: Callable[[str], str]) -> str:
        """The message, with options as a front end spells them."""
        return spell(self.message, spelling)

    @property
    def message(self) -> str:
        """The message with options still in backticks, to be spelled later."""
        return super().__str__()

    @property
    def option(self) -> str | None:
        """The first option the message names: the one to change."""
        match = _OPTION.search(self.message)
        return match[1] if match else None


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


class Cancelled(Exception):
    """Raised by a Reporter's `check` to end the work. Not an error: nobody has anything to mend."""
