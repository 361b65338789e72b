"""Take on a job: receive its upload, look at it, queue it. Whatever goes wrong, nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from .desk import Desk, new_record
from .intake import display_name, examine, file_name, options_of
from .limits import DISK_RESERVE_BYTES
from .messages import Kind
from .models import ENDED, Options
from .problems import Refused, disk_full, is_disk_full
from .store import Entry
from .uploads import Form, receive

DISCONNECT_POLL_S = 0.5


async def upload(request: Request, desk: Desk, client: str, *, kind: Kind | None = None, listed: bool = True) -> Entry:
    """Receive a form with a file and options, and queue what it asks for.

    Raises:
        Refused: see `uploads.receive` and `intake.examine`.
    """
    async with _new_folder(desk) as folder:
        path = folder / "upload"
        form = await receive(request, path, desk.limits, desk.store.free_bytes())
        options = options_of(form.fields)
        return await _accept(desk, folder, path, form, options, client, kind, listed)


async def content(desk: Desk, client: str, name: str, data: bytes, options: Options) -> Entry:
    """Queue a picture that is in memory.

    Raises:
        Refused: see `intake.examine`.
    """
    async with _new_folder(desk) as folder:
        path = folder / "upload"
        if len(data) > desk.store.free_bytes() - DISK_RESERVE_BYTES:
            raise disk_full()
        await run_in_threadpool(path.write_bytes, data)
        return await _accept(desk, folder, path, Form(name, len(data)), options, client, "picture", False)


@asynccontextmanager
async def _new_folder(desk: Desk) -> AsyncIterator[Path]:
    """A folder for a new job, removed again if it does not come to that.

    Raises:
        Refused: too many jobs wait, or the disk is full or gone.
    """
    desk.refuse_if_full()
    desk.uploading += 1
    folder: Path | None = None
    try:
        folder = desk.store.new_folder()
        yield folder
    except BaseException as error:
        if folder is not None:
            desk.store.remove(folder)  # not in a thread: when the server ends, nobody would wait for it
        if is_disk_full(error):
            raise disk_full() from error
        if isinstance(error, OSError) and not desk.store.is_there():
            raise Refused(507, "the server's folder is gone; start the server again") from error
        raise
    finally:
        desk.uploading -= 1


async def _accept(
    desk: Desk, folder: Path, path: Path, form: Form, options: Options, client: str, kind: Kind | None, listed: bool
) -> Entry:
    name = display_name(form.name)
    source = path.rename(folder / file_name(name))
    accepted = await run_in_threadpool(examine, source, folder / "result", options, desk.machine, desk.limits, kind)
    return desk.submit(folder, new_record(folder, client, accepted, name, source.name, options, listed=listed))


async def result_of(request: Request, desk: Desk, entry: Entry) -> Entry:
    """Wait until a job has ended; if the client goes away meanwhile, the job is cancelled."""
    watch = asyncio.create_task(_disconnected(request))
    ended = asyncio.create_task(desk.ended(entry))
    try:
        await asyncio.wait((watch, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        watch.cancel()
        ended.cancel()
        if entry.job.state not in ENDED:
            with suppress(Refused):
                desk.remove(entry)
    return entry


async def _disconnected(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(DISCONNECT_POLL_S)
