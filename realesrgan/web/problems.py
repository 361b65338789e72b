"""Refusals: an HTTP status, one sentence, and the option to change."""

from __future__ import annotations

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
