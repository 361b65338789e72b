"""`realesrgan serve`: a page and an HTTP interface on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..loading import Settings, max_memory_bytes, prepare_process
from ..values import check_range, check_whole_number
from . import console
from .options import made_from, parse
from .serve_options import ServeOptions

DESCRIPTION = "Serve a page for pictures and videos, and an HTTP interface for programs, on this machine."
EPILOG = """\
examples:
  %(prog)s --open                              the page, in your browser
  %(prog)s --host 0.0.0.0 --port 80            for a network: set REALESRGAN_TOKEN to what clients must know
  %(prog)s --ray 10.0.0.1:6379                 restore on the nodes of a Ray cluster
"""
NEEDED = ("fastapi", "uvicorn", "python_multipart")


def main(argv: Sequence[str] | None = None, prog: str = "realesrgan serve") -> int:
    """Run the command with `argv` (by default the process's) and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(ServeOptions, argv, prog, DESCRIPTION, EPILOG % {"prog": prog})
    return console.run(lambda: _serve(options))


def _serve(options: ServeOptions) -> int:
    check_range("max_hours", options.max_hours, 0)
    check_range("max_megapixels", options.max_megapixels, 0)
    check_range("keep_hours", options.keep_hours, 0)
    check_whole_number("max_jobs", options.max_jobs, 1)
    upload_bytes = max_memory_bytes(options.max_upload, "max_upload")
    assert upload_bytes is not None
    max_memory_bytes(options.max_memory)
    if not all(map(importlib.util.find_spec, NEEDED)):
        raise UsageError('the server needs a few more packages: pip install "realesrgan[web]"')
    prepare_process()
    from ..image import vips
    from ..machines import Where, check_where
    from ..web.limits import Limits
    from ..web.server import Address, default_folder, serve

    vips.prepare_process()
    where = made_from(Where, options)
    check_where(where, options.gpu_id)
    limits = Limits(
        upload_bytes=upload_bytes,
        pixels=round(options.max_megapixels * 1e6),
        seconds=options.max_hours * 3600,
        jobs=options.max_jobs,
        keep_s=options.keep_hours * 3600,
    )
    machine = Settings(gpu_id=options.gpu_id, max_memory=options.max_memory, engine=options.engine)
    token = options.token or os.environ.get("REALESRGAN_TOKEN") or None
    folder = default_folder() if options.folder is None else Path(options.folder)
    console.started_up()
    try:
        serve(
            Address(options.host, options.port, token),
            folder,
            limits,
            machine,
            where,
            open_browser=options.open,
            say=console.print_result,
        )
    except KeyboardInterrupt:  # how a server is meant to end
        console.say("stopped; unfinished videos go on when the server is started again")
    return console.DONE
