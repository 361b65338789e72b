"""Restore planned videos: frames into segments that survive any interruption, and segments into the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import RealESRGANError, VideoFileError
from ..image.faces import save_faces
from ..loading import Setup
from ..outputs import remove_stale_parts
from ..restorer import FacePair, Reporter
from ..words import count, duration
from . import finished
from .copies import Copied
from .pipeline import Excerpt, Tally
from .request import Request, VideoJob
from .restoring import FrameRestorer, FrameWork, Hearing
from .segments import Workspace, folder_for
from .sources.source import VideoSource
from .writer import assemble, check_target

_VERSION = 5  # of the identity


def identity(job: VideoJob, setup: Setup) -> dict[str, Any]:
    """All that the frames depend on. If any of it changes, finished segments cannot be used."""
    settings, model, faces = setup.settings, setup.model, setup.face_model
    return {
        "version": _VERSION,
        "input": job.source.identity(),
        "excerpt": [job.excerpt.start_s, job.excerpt.end_s],
        "model": [model.name if model else None, settings.denoise_strength, settings.fp32, settings.engine],
        "weights": setup.weights_identity,
        "faces": [faces.name if faces else None, settings.face_weight, settings.only_center_face],
        "picture": [settings.outscale, settings.tile, settings.tile_pad, settings.pre_pad],
        "encoding": [job.encoding.codec, job.encoding.pixel_format, job.encoding.options],
    }


def excerpt_of(identity: Any, source: VideoSource) -> Excerpt | None:
    """Which part of `source` a job restores, by its `identity` read back from JSON; None: it restores another."""
    is_one = isinstance(identity, dict) and identity.get("version") == _VERSION
    return Excerpt(*identity["excerpt"]) if is_one and identity["input"] == source.identity() else None


def is_done(job: VideoJob, request: Request, setup: Setup) -> str | None:
    """Why there is nothing to do for `job`, whose result exists from an earlier run; None if there is."""
    if request.skip_existing and job.target.exists():
        return f"{job.target} exists"
    if finished.is_recorded(job.target, partial(identity, job, setup)):
        return f"{job.target} was finished by an earlier run of the same job; delete it to restore it again"
    return None


def restore(job: VideoJob, request: Request, setup: Setup, machines: FrameRestorer, reporter: Reporter) -> None:
    """Have `machines` restore one video, going on after the segments that an earlier run finished.

    Raises:
        VideoFileError: the input, the disk or the encoder fails; finished segments stay.
        RealESRGANError: the device or the network fails.
        Cancelled: raised by `reporter.check`; finished segments stay.
    """
    check_target(job.target)
    remove_stale_parts([job.target.parent])
    for line in job.facts():
        reporter.remark(line)
    for line in job.plan.warnings:
        reporter.warn(f"{job.source.path}: {line}")
    job_identity = identity(job, setup)
    workspace = Workspace(folder_for(job.target), job_identity)
    with workspace.claim():
        if discarded := workspace.open():
            reporter.remark(f"{workspace.folder} is started over: {discarded}")
        if workspace.frames_done:
            reporter.remark(f"going on after {count(workspace.frames_done, 'frame')} of an earlier run")
        began = time.monotonic()
        tally, faces = _restore_frames(job, request, setup, machines, workspace, reporter)
        copied = _assemble(job, request, tally, workspace, reporter)
        finished.record(job.target, job_identity)
        if not request.keep_segments:
            workspace.remove()
    reporter.finished(
        job.source.path, job.target, _summary(job, tally, copied, faces, machines, time.monotonic() - began)
    )


def _restore_frames(
    job: VideoJob, request: Request, setup: Setup, machines: FrameRestorer, workspace: Workspace, reporter: Reporter
) -> tuple[Tally, int | None]:
    """Also returns how many faces were restored; None if none were looked for."""
    source = job.source
    faces: list[int] = []

    def restored_faces(frame: int, pairs: Sequence[FacePair]) -> None:
        faces.append(len(pairs))
        if request.save_faces is not None:
            save_faces(request.save_faces, f"{job.target.stem}_frame{frame:06d}", pairs)
        reporter.restored_faces(source.path, frame, pairs)

    hearing = Hearing(
        on_frame=lambda done: reporter.progressed(source.path, done),
        on_faces=restored_faces,
        check=reporter.check,
        remark=partial(reporter.about_machines, warning=False),
        warn=partial(reporter.about_machines, warning=True),
        wants_faces=request.save_faces is not None,
    )
    reporter.started(source.path, job.frame_count, workspace.frames_done)
    try:
        work = FrameWork(source, job.excerpt, job.encoding, setup.settings.outscale)
        tally = machines.restore_frames(work, workspace, hearing)
    except BaseException:
        if workspace.frames_done:
            reporter.remark(
                f"{workspace.frames_done} frames are safe in {workspace.folder}; the same command goes on from there"
            )
        raise
    if not tally.frames:
        workspace.remove()
        raise VideoFileError(f"{source.path}: `start` is after its end: there is nothing to restore")
    return tally, sum(faces) if faces else None


def _assemble(job: VideoJob, request: Request, tally: Tally, workspace: Workspace, reporter: Reporter) -> Copied:
    source = job.source
    losses = _lost(job, tally)
    if losses and request.strict:
        raise VideoFileError(f"{source.path}: {losses} (`strict`); the work so far stays in {workspace.folder}")
    copied = assemble(
        job.target,
        workspace,
        source,
        source.time_base,
        job.plan,
        start_s=job.excerpt.start_s,
        end_s=job.excerpt.end_s,
    )
    for line in copied.remarks:
        reporter.remark(f"{source.path}: {line}")
    for line in copied.warnings:
        reporter.warn(f"{source.path}: {line}")
    if losses:
        reporter.warn(f"{source.path}: {losses}")
    if tally.losses.deinterlaced and not source.interlaced:  # otherwise `facts` said so at the beginning
        reporter.remark(f"{source.path}: {tally.losses.deinterlaced} frames were interlaced; each became one frame")
    if tally.losses.resized:
        reporter.remark(f"{source.path}: {tally.losses.resized} frames of another size were resized to the first one's")
    return copied


def _lost(job: VideoJob, tally: Tally) -> str:
    losses = tally.losses
    parts = []
    if losses.concealed:
        verb = "was" if losses.concealed == 1 else "were"
        parts.append(f"{count(losses.concealed, 'damaged frame')} {verb} replaced by the one before")
    if losses.missing_s and job.excerpt.end_s is None:
        parts.append(f"the last {losses.missing_s:.1f} s cannot be decoded and are missing")
    reasons = f" ({'; '.join(losses.reasons)})" if losses.reasons else ""
    return " and ".join(parts) + (reasons if parts else "")


def _summary(
    job: VideoJob, tally: Tally, copied: Copied, faces: int | None, machines: FrameRestorer, seconds: float
) -> str:
    new = tally.frames - tally.done_before
    parts = [count(tally.frames, "frame")]
    parts += [f"{tally.done_before} from an earlier run"] if tally.done_before else []
    parts += [f"{count(tally.repeats, 'repeat')} computed once"] if tally.repeats else []
    parts += [count(faces, "face")] if faces is not None else []
    parts += [f"{count(copied.count, 'other stream')} kept"] if job.source.others else []
    speed = f"{new / seconds:.2f} frames/s" if seconds and new else "nothing left to compute"
    return f"{', '.join(parts)}; {speed} on {machines.devices}, {duration(seconds)}"


def restore_all(
    planned: Sequence[VideoJob],
    request: Request,
    setup: Setup,
    machines: FrameRestorer,
    reporter: Reporter,
) -> list[Path]:
    """Restore one video after the other and return the results; one that fails is reported, and the others go on.

    Raises:
        Cancelled: raised by `reporter.check`.
    """
    results = []
    for job in planned:
        try:
            restore(job, request, setup, machines, reporter)
        except (RealESRGANError, OSError, MemoryError) as error:
            reporter.failed(job.source.path, reason_of(error))
        else:
            results.append(job.target)
    return results


def reason_of(error: BaseException) -> str:
    """Why something failed, in one line, with options still in backticks."""
    if isinstance(error, RealESRGANError):
        return error.message
    return "not enough memory" if isinstance(error, MemoryError) else str(error)
