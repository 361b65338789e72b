"""What a scheduler needs of whoever has the workers: give units, hear events. The real one is in `session`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .units import Delivery, Unit, WorkerInfo


@dataclass(frozen=True)
class Joined:
    """A worker is ready for units of this session."""

    info: WorkerInfo


@dataclass(frozen=True)
class Lost:
    """A worker is gone. `crashed`: its own process ended, so perhaps because of what it worked on."""

    worker: str
    reason: str
    crashed: bool = False


@dataclass(frozen=True)
class Heard:
    """A worker answered; nothing is said about its units."""

    worker: str


@dataclass(frozen=True)
class Progressed:
    """So much of a unit is done, from 0 to 1; the first time, the worker begins to compute it."""

    worker: str
    number: int
    share: float


@dataclass(frozen=True)
class Done:
    """A unit is done and its files are here."""

    worker: str
    number: int
    delivery: Delivery


@dataclass(frozen=True)
class Failed:
    """A worker could not do a unit. `final`: no other could: the unit itself is at fault, or this machine."""

    worker: str
    number: int
    reason: str
    final: bool


@dataclass(frozen=True)
class Said:
    """Something about the workers to tell a person; `warning`: it makes the work slower."""

    message: str
    warning: bool = False


@dataclass(frozen=True)
class Broken:
    """The cluster itself is gone; no worker will come any more."""

    reason: str


Event: TypeAlias = "Joined | Lost | Heard | Progressed | Done | Failed | Said | Broken"


class Session(Protocol):
    """The workers as one job sees them. All calls return at once, but for `events`."""

    def give(self, worker: str, unit: Unit) -> None:
        """Have a worker do a unit, after those given before."""

    def drop(self, worker: str, number: int) -> None:
        """Nobody wants this any more; no event of it will come."""

    def dismiss(self, worker: str, reason: str) -> None:
        """End a worker that does not answer. `Lost` follows, and perhaps a new one joins in its place."""

    def events(self, timeout_s: float) -> Iterable[Event]:
        """What happened since the last call; waits for the first event, but not longer than this.

        Those that are not taken come again with the next call.
        """

    def is_expecting(self) -> bool:
        """Whether workers are on their way: being started, or loading the model."""
