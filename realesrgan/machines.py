"""Where restoring happens: on this machine, or on the nodes of a cluster. All front ends choose here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .errors import UsageError
from .image.restoring import PictureRestorer, PicturesHere
from .loading import Setup, load
from .restorer import Reporter
from .video.restoring import FrameRestorer, FramesHere

if TYPE_CHECKING:
    from .cluster.crew import Crew


@dataclass(frozen=True)
class Where:
    """Where to restore; the names are those of the command line.

    Attributes:
        ray: the head of a Ray cluster as HOST:PORT, "auto" for the cluster that this machine is a node of, or "local"
            for one of this machine alone; None: without a cluster.
        mixed: let each node compute in its own best way, though results may differ by rounding.
    """

    ray: str | None = None
    mixed: bool = False


class Machines(PictureRestorer, FrameRestorer, Protocol):
    """Restores pictures and videos with one model."""

    @property
    def speed(self) -> float | None:
        """Multiply-adds a second, measured on a small picture; None: not known before something is restored."""

    @property
    def at_once(self) -> int:
        """How many pictures are computed at once; a video takes all that this needs."""

    def wait(self, reporter: Reporter) -> None:
        """Return once something can compute. Raises what `reporter.check` raises."""

    def lines(self) -> Sequence[str]:
        """What each node has done so far, where there are several."""


class Connection(Protocol):
    """Where restoring happens, ready for models: several at a time, for several threads."""

    @property
    def is_lost(self) -> bool:
        """Whether this is of no use any more. A cluster that is there again wants another process."""

    def engaged(
        self, setup: Setup, reporter: Reporter, folder: Path, *, for_video: bool = False
    ) -> AbstractContextManager[Machines]:
        """Load a model, and have it ready for as long as this lasts. Otherwise as `engaged` below."""


@dataclass(frozen=True)
class Here(PicturesHere, FramesHere):
    """The devices of this machine."""

    @property
    def speed(self) -> float | None:
        return self.loaded.multiply_adds(1.0) / self.loaded.seconds_for(1.0)

    @property
    def at_once(self) -> int:
        return len({upsampler.device for upsampler in self.loaded.upsamplers})

    def wait(self, reporter: Reporter) -> None:
        return None

    def lines(self) -> Sequence[str]:
        return ()


class _ConnectionHere(Connection):
    @property
    def is_lost(self) -> bool:
        return False

    @contextmanager
    def engaged(self, setup: Setup, reporter: Reporter, folder: Path, *, for_video: bool = False) -> Iterator[Machines]:
        yield Here(load(setup, reporter, for_video=for_video))


@dataclass(frozen=True)
class _CrewConnection(Connection):
    crew: Crew

    @property
    def is_lost(self) -> bool:
        return self.crew.broken is not None

    def engaged(
        self, setup: Setup, reporter: Reporter, folder: Path, *, for_video: bool = False
    ) -> AbstractContextManager[Machines]:
        from .cluster.restoring import machines_of

        return machines_of(self.crew, setup, reporter, folder, for_video=for_video)


def check_where(where: Where, gpu_id: str | int | None) -> None:
    """Raise UsageError if options do not go together, or what a cluster needs is not installed."""
    if where.ray is None:
        if where.mixed:
            raise UsageError("`mixed`: goes with `ray`")
        return
    if importlib.util.find_spec("ray") is None:
        raise UsageError('`ray` needs one more package: pip install "realesrgan[cluster]"')
    from .cluster.nodes import is_only_cpu

    is_only_cpu(gpu_id)


@contextmanager
def connected(where: Where, reporter: Reporter, gpu_id: str | int | None) -> Iterator[Connection]:
    """Be ready to load models wherever they are to be used; `gpu_id` is that of all their settings.

    Raises:
        UsageError: there is no such cluster, or it has no use for `gpu_id`.
    """
    if where.ray is None:
        yield _ConnectionHere()
        return
    from .cluster.restoring import crew_at

    with crew_at(where.ray, reporter, mixed=where.mixed, gpu_id=gpu_id) as crew:
        yield _CrewConnection(crew)


@contextmanager
def engaged(
    setup: Setup, reporter: Reporter, where: Where, folder: Path, *, for_video: bool = False
) -> Iterator[Machines]:
    """Load the model of `setup` wherever it is to be used, and have it ready for as long as this lasts.

    From other machines, results arrive in `folder` before they go to their places.

    Raises:
        UsageError, DeviceError: there is no such cluster or device.
        WeightsError: weights cannot be found, fetched or read, or do not fit.
    """
    with (
        connected(where, reporter, setup.settings.gpu_id) as connection,
        connection.engaged(setup, reporter, folder, for_video=for_video) as machines,
    ):
        yield machines
