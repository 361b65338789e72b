"""What runs on a node: a model on one device, to which units come as bytes, and from which results go as bytes.

Knows no Ray. Several units are here at a time, each in a call of its own, and compute in turn.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..arrays import opencv_memory_errors
from ..errors import RealESRGANError, WeightsError
from ..loading import check, load, prepare_process
from ..model_zoo import DEFAULT_IMAGE_MODEL
from ..outputs import remove_stale_parts, spool
from ..restorer import Listener, Reporter, Restorer
from ..video.encoding import Encoding, even, to_frame
from ..video.job import reason_of
from ..video.sources.conversion import checksum_of, to_bgr
from ..video.sources.source import untagged_colour
from .picture_work import restore_picture
from .segment_work import restore_segment
from .shipping import Fetch, keep, missing_here, put_in_place
from .turns import Rank, Ticket, Turn, shared
from .units import MadeFile, ModelOrder, PictureOrder, Prepared, Report, SegmentOrder
from .work import AtFault, Dropped, Work

MODELS_KEPT = 2  # a model takes up to a gigabyte
TRIAL_SIDE = 48  # pixels, of the picture that shows whether workers compute alike
_CHUNK_BYTES = 1 << 20

log = logging.getLogger("realesrgan")


@dataclass(frozen=True)
class Model:
    """A loaded model. What it made of a small picture is in `prepared`: workers that compute alike are known by it."""

    label: str
    restorers: Sequence[Restorer]
    prepared: Prepared


LoadModel: TypeAlias = "Callable[[ModelOrder, str], Model]"


class Worker:
    """Carries out units on one device, "cpu" or "cuda:0".

    `at_once_bytes` is how large results may be to come back with the report; larger ones are fetched in parts. `load`
    loads a model on the device.
    """

    def __init__(self, device: str, at_once_bytes: int, load: LoadModel | None = None) -> None:
        prepare_process()
        from ..image import vips

        vips.prepare_process()
        self._device = device
        self._at_once_bytes = at_once_bytes
        self._load = load or load_model
        self._models: OrderedDict[ModelOrder, Model] = OrderedDict()
        self._loading = threading.Lock()
        self._units: dict[int, Work] = {}
        self._dropped: set[int] = set()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._turns: list[Turn] = []  # one for each copy of a network that the device computes with at a time
        self._is_closed = False
        self._exit = ExitStack()
        temporary = Path(tempfile.gettempdir())
        remove_stale_parts([temporary])
        self._folder = self._exit.enter_context(spool(temporary))

    def close(self) -> None:
        """Stop all units and remove all files of this worker, which takes no more calls then."""
        with self._lock:
            units = list(self._units.values())
            self._is_closed = True
        for work in units:
            work.drop()
        self._exit.close()

    def prepare(self, order: ModelOrder, fetch: Fetch | None = None) -> Prepared:
        """Load a model, or say which of its files this node lacks; with `fetch`, get those first.

        Raises:
            RealESRGANError: it cannot be loaded here.
        """
        loaded = self._loaded(order, fetch)
        return loaded if isinstance(loaded, Prepared) else loaded.prepared

    def _loaded(self, order: ModelOrder, fetch: Fetch | None = None) -> Model | Prepared:
        """The model; or what is missing for it."""
        with self._loading:
            if order not in self._models:
                if missing := missing_here(order):
                    if fetch is None:
                        return Prepared(missing)
                    keep(missing, fetch)
                while len(self._models) >= MODELS_KEPT:
                    self._models.popitem(last=False)
                self._models[order] = self._load(order, self._device)
            self._models.move_to_end(order)
            return self._models[order]

    def take(self, key: int, offset: int, content: bytes) -> None:
        """A part of what a unit needs, to be put together until `restore` is called for it."""
        folder = self._folder / str(key)
        folder.mkdir(exist_ok=True)
        with (folder / "content").open("ab" if offset else "wb") as file:
            assert file.tell() == offset or key in self._dropped
            file.write(content)
        if key in self._dropped:  # meanwhile; whoever dropped it may have found nothing to remove
            self._forget(key)

    def restore(self, key: int, model: ModelOrder, order: PictureOrder | SegmentOrder) -> Report:
        """Do a unit whose content is here. Errors come in the report."""
        rank = Rank.PICTURE if isinstance(order, PictureOrder) else Rank.SEGMENT
        work = Work(self._folder / str(key), Ticket(rank, next(self._numbers)))
        with self._lock:
            self._units[key] = work
            if key in self._dropped:
                work.drop()
        report = self._report_of(work, model, order)
        if report.content is not None or report.error is not None or work.is_dropped:
            self._forget(key)
        return report

    def give(self, key: int, number: int, offset: int, length: int) -> bytes:
        """A part of a file that a unit made."""
        with self._units[key].files[number].open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def drop(self, key: int) -> None:
        """Stop a unit at its next step, or forget what it made."""
        with self._lock:
            self._dropped.add(key)
            work = self._units.get(key)
        if work is not None:
            work.drop()
        if work is None or work.is_over:
            self._forget(key)

    def progress(self) -> dict[int, float]:
        """The share that is done of each unit that is being computed."""
        with self._lock:
            return {key: work.share for key, work in self._units.items() if work.share is not None}

    def _shared(self, restorers: Sequence[Restorer], ticket: Ticket) -> list[Restorer]:
        """The restorers of a model, each in turn with those of the other models."""
        while len(self._turns) < len(restorers):
            self._turns.append(Turn())
        return [shared(restorer, turn, ticket) for restorer, turn in zip(restorers, self._turns, strict=False)]

    def _report_of(self, work: Work, model: ModelOrder, order: PictureOrder | SegmentOrder) -> Report:
        try:
            with opencv_memory_errors():
                facts = self._restored(work, model, order)
            files = tuple(map(_made, work.files))
            total = sum(file.size_bytes for file in files)
            content = b"".join(path.read_bytes() for path in work.files) if total <= self._at_once_bytes else None
            work.is_over = True
            return Report(facts, files, content)
        except Dropped:
            return Report(error="nobody wants it any more")
        except (RealESRGANError, OSError, MemoryError) as error:
            return Report(error=reason_of(error), final=isinstance(error, AtFault))
        except Exception as error:  # a bug, or a library's; perhaps only here
            log.exception("unexpected error")
            return Report(error=f"an unexpected error: {error!r}")

    def _restored(self, work: Work, model: ModelOrder, order: PictureOrder | SegmentOrder) -> object:
        work.check()
        loaded = self._loaded(model)  # it may have had to make room for another
        if isinstance(loaded, Prepared):
            raise WeightsError("its weights are not there any more")
        restorers = self._shared(loaded.restorers, work.ticket)
        if isinstance(order, PictureOrder):
            return restore_picture(work, order, restorers[0], loaded.label)
        return restore_segment(work, order, restorers, loaded.prepared.way)

    def _forget(self, key: int) -> None:
        with self._lock:
            self._units.pop(key, None)
        # A unit that was still writing when the worker was closed may have left the whole folder.
        shutil.rmtree(self._folder if self._is_closed else self._folder / str(key), ignore_errors=True)


def load_model(order: ModelOrder, device: str) -> Model:
    """Load a model whose files this node has, and try it out.

    Raises:
        RealESRGANError: it cannot be loaded here, or its weights are not those that were sent.
    """
    path = put_in_place(order)
    settings = replace(order.settings, model_name=order.model_name, model_path=path, gpu_id=device)
    setup = check(settings, DEFAULT_IMAGE_MODEL)
    if setup.weights_identity != order.identity:
        raise WeightsError("its weights are others than this machine's")
    loaded = load(setup, Reporter(), for_video=order.for_video)
    prepared = Prepared(
        device=loaded.devices,
        way=loaded.way,
        digest=_digest(loaded.restorers[0]),
    )
    return Model(loaded.label, loaded.restorers, prepared)


def _digest(restorer: Restorer) -> int:
    """Of a small picture that takes the way of a frame: from YUV to RGB, through the network, and back."""
    colour, encoding = untagged_colour(TRIAL_SIDE), Encoding("libx264", None, None, "yuv420p")
    noise = np.random.default_rng(0).integers(0, 256, (TRIAL_SIDE, TRIAL_SIDE, 3), np.uint8)
    picture = to_bgr(to_frame(noise, encoding, colour), (TRIAL_SIDE, TRIAL_SIDE), colour, wide=False)
    result = restorer(picture, Listener(lambda share: None))
    return zlib.crc32(np.ascontiguousarray(result).data, checksum_of(to_frame(even(result), encoding, colour)))


def _made(path: Path) -> MadeFile:
    size_bytes, checksum = 0, 0
    with path.open("rb") as file:
        while content := file.read(_CHUNK_BYTES):
            size_bytes, checksum = size_bytes + len(content), zlib.crc32(content, checksum)
    return MadeFile(size_bytes, checksum)
