"""What travels between this machine and the workers: units of work, and what is made of them. Knows no Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..loading import Settings


@dataclass(frozen=True)
class Unit:
    """A picture, or a segment of a video.

    Attributes:
        number: which of its job; no two have the same.
        name: what to call it in messages.
        content: the file to send; it must stay until the unit is done.
        order: what else the worker is told; small.
        work: how much there is to do, in pixels of the input.
    """

    number: int
    name: str
    content: Path
    order: Any
    work: float


@dataclass(frozen=True)
class Delivery:
    """What a worker made of a unit: facts, and files that now lie in the spool, to be moved from there."""

    facts: Any
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class WorkerInfo:
    """A worker, which is one device of a node, once it is ready for a job.

    Attributes:
        worker: a name for it, of no meaning.
        node: the same for all workers of a node.
        name: what people call the node.
        device: what computes, in words.
        way: how it computes, as far as rounding depends on it (`Loaded.way`).
        digest: of its result for a small picture: workers whose digests are equal compute alike.
    """

    worker: str
    node: str
    name: str
    device: str
    way: str = ""
    digest: int = 0


@dataclass(frozen=True)
class ShippedFile:
    """A weights file: its name, size in bytes and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelOrder:
    """A model that a job needs.

    Attributes:
        settings: how to restore; the device is the worker's own, and `model_path` is the driver's.
        model_name: the model that `settings` come to; None: it is recognised from the weights.
        published: the published files, each under its name with the files that stand for it: ncnn has two.
        own: the files that stand for `settings.model_path`, itself first.
        identity: of all weights, as `Setup.weights_identity`.
    """

    settings: Settings
    model_name: str | None
    for_video: bool
    published: tuple[tuple[str, tuple[ShippedFile, ...]], ...]
    own: tuple[ShippedFile, ...]
    identity: str

    @property
    def files(self) -> tuple[ShippedFile, ...]:
        return (*self.own, *(file for _, files in self.published for file in files))


@dataclass(frozen=True)
class Prepared:
    """A model is loaded by a worker; or not, because these files are `missing`."""

    missing: tuple[ShippedFile, ...] = ()
    device: str = ""
    way: str = ""
    digest: int = 0


@dataclass(frozen=True)
class PictureOrder:
    """A picture to restore.

    Attributes:
        source: what messages call it.
        name: of the file that is sent; its ending counts.
        targets: the names of the files to be made.
        wants_faces: whether to send the faces too, and not only how many there are.
    """

    source: str
    name: str
    targets: tuple[str, ...]
    quality: int
    wants_faces: bool


@dataclass(frozen=True)
class SegmentOrder:
    """A piece of a video to restore and encode. What is sent is a pickled `Piece`; `encoding` is an `Encoding`."""

    encoding: Any
    wants_faces: bool


@dataclass(frozen=True)
class PictureFacts:
    """What became of a picture: lines to report, and how many faces it has; None: nobody looked."""

    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: tuple[str, ...]
    faces: int | None
    files: int  # results; faces follow


@dataclass(frozen=True)
class SegmentFacts:
    """What became of a segment: how many frames are in its file, and the faces of each that was looked into.

    `differs`: nothing was made, because the packets were decoded into other frames here.
    """

    frames: int
    way: str = ""  # `WorkerInfo.way`
    repeats: int = 0  # frames that were not computed
    faces: tuple[tuple[int, int], ...] = ()  # frame, count
    differs: bool = False


@dataclass(frozen=True)
class MadeFile:
    """A file that waits to be fetched from a worker."""

    size_bytes: int
    checksum: int  # CRC-32


@dataclass(frozen=True)
class Report:
    """How a unit ended at a worker.

    Attributes:
        files: what it made, in order.
        content: all of these, one after the other, if they are small enough to come at once.
        error: why it failed, options in backticks.
        final: it would fail anywhere.
    """

    facts: Any = None
    files: tuple[MadeFile, ...] = ()
    content: bytes | None = None
    error: str | None = None
    final: bool = False
