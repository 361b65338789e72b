"""What the server and the process that restores tell each other. Plain data, so that it can be pickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ..loading import Settings

Kind: TypeAlias = Literal["picture", "video"]


@dataclass(frozen=True)
class Task:
    """One job to restore: the uploaded file, the name its owner knows it by, and how and where to write the result."""

    job: str
    kind: Kind
    source: Path
    name: str
    output: Path  # a folder of its own
    ext: str
    settings: Settings


@dataclass(frozen=True)
class WarmUp:
    """Load the model of `settings` and tell what computes, before anybody asks for it."""

    settings: Settings


@dataclass(frozen=True)
class Cancel:
    job: str
    kind: Kind


@dataclass(frozen=True)
class Stop:
    """End the process as soon as files are in order."""


Order: TypeAlias = Task | WarmUp | Cancel | Stop


@dataclass(frozen=True)
class Loading:
    """A model is being loaded for a job."""

    job: str


@dataclass(frozen=True)
class Downloading:
    """Weights are being downloaded for a job; `total_bytes` is None where the size is not known."""

    job: str
    name: str
    here_bytes: int
    total_bytes: int | None


@dataclass(frozen=True)
class Started:
    """Restoring begins: `total` pixels or frames (0: unknown), of which an earlier run did `done`."""

    job: str
    total: int
    done: int


@dataclass(frozen=True)
class Progressed:
    """So many pixels or frames are done, and so many clips of a video can be shown."""

    job: str
    done: float
    clips: int = 0


@dataclass(frozen=True)
class Said:
    """A remark or a warning about a job, with options in backticks."""

    job: str
    text: str
    warning: bool


@dataclass(frozen=True)
class Finished:
    """The result is written. `seconds` is how long the job computed, for estimates."""

    job: str
    target: Path
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The job failed; `reason` names options in backticks."""

    job: str
    reason: str


@dataclass(frozen=True)
class Dropped:
    """A cancelled job no longer takes any time."""

    job: str


@dataclass(frozen=True)
class Equipped:
    """What computes.

    Attributes:
        devices: what they are called.
        at_once: how many pictures they compute at once; a video takes them all.
        fp32: what `speed` is for.
        speed: multiply-adds a second of one of them; None: not measured.
    """

    devices: str
    at_once: int
    fp32: bool = False
    speed: float | None = None


@dataclass(frozen=True)
class Noticed:
    """Something for the server's terminal: about nodes, and not about any job."""

    text: str
    warning: bool


Report: TypeAlias = (
    Loading | Downloading | Started | Progressed | Said | Finished | Failed | Dropped | Equipped | Noticed
)
