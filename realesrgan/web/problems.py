"""Refusals: an HTTP status, one sentence, and the option to change."""

from __future__ import annotations

import errno

from ..errors import RealESRGANError


class Refused(Exception):
    """A request that is answered with `status` and a `models.Problem`."""

    def __init__(self, status: int, error: str, field: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.field = field


def plain(message: str) -> str:
    """A message without the backticks around options: a page marks the field instead."""
    return RealESRGANError(message).spelled(lambda option: option)


def option_in(message: str) -> str | None:
    """The option that `message` names in backticks."""
    return RealESRGANError(message).option


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or what led to it, is that the disk holds no more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full() -> Refused:
    return Refused(507, "the server's disk is full; try again later")
