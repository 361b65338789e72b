"""Restore the frames of a video job: what a job needs of whoever does it, and how this machine does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..arrays import final_size
from ..loading import Loaded
from ..restorer import FacePair
from .encoding import Encoding
from .pipeline import Excerpt, Tally, frames_in_flight, restore_frames
from .segments import Workspace
from .sources.source import VideoSource


@dataclass(frozen=True)
class FrameWork:
    """Frames to restore: an excerpt of `source`, enlarged `outscale` times and encoded into the segments of a job."""

    source: VideoSource
    excerpt: Excerpt
    encoding: Encoding
    outscale: float


@dataclass(frozen=True)
class Hearing:
    """What a job calls as its frames are restored.

    Attributes:
        on_frame: is given how many frames are done in all, those of earlier runs included; parts of frames count.
        on_faces: is given a frame's number and its faces. Without `wants_faces` these are only counted.
        check: is called often, and may raise to stop.
        remark, warn: are told of the machines that work.
    """

    on_frame: Callable[[float], None]
    on_faces: Callable[[int, Sequence[FacePair]], None]
    check: Callable[[], None]
    remark: Callable[[str], None]
    warn: Callable[[str], None]
    wants_faces: bool = False


class FrameRestorer(Protocol):
    """Restores the frames of videos: on this machine, or on others."""

    @property
    def devices(self) -> str:
        """What computes, as users know it."""

    def restore_frames(self, work: FrameWork, workspace: Workspace, hearing: Hearing) -> Tally:
        """Restore every frame that `workspace` does not hold yet, as `pipeline.restore_frames` does."""


@dataclass(frozen=True)
class FramesHere(FrameRestorer):
    """On the devices of this machine."""

    loaded: Loaded

    @property
    def devices(self) -> str:
        return self.loaded.devices

    def restore_frames(self, work: FrameWork, workspace: Workspace, hearing: Hearing) -> Tally:
        loaded, source = self.loaded, work.source
        if line := workspace.note_way(loaded.way):
            hearing.warn(line)
        height, width = final_size(source.height, source.width, work.outscale)
        frame_bytes = 3 * (source.area + height * width) * (2 if source.depth_bits > 8 else 1)
        return restore_frames(
            source,
            work.excerpt,
            loaded.restorers,
            workspace,
            work.encoding,
            multiply_adds_per_frame=loaded.multiply_adds(source.area),
            window=frames_in_flight(frame_bytes, len(loaded.restorers)),
            on_frame=hearing.on_frame,
            on_faces=hearing.on_faces,
            check=hearing.check,
        )
