"""Receive a form with a file as it streams in: counted on the way, written to disk, never held in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from .limits import DISK_RESERVE_BYTES, MAX_FIELD_BYTES, Limits
from .problems import Refused, disk_full

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS = 20
_FORM_OVERHEAD_BYTES = 100_000  # boundaries, headers and options around the file


@dataclass
class Form:
    """What a form held: the file's name as the client gave it (display text, nothing more), its size, the options."""

    name: str = ""
    size_bytes: int = 0
    fields: dict[str, str] = field(default_factory=dict)


async def receive(request: Request, path: Path, limits: Limits, free_bytes: int) -> Form:
    """Write the `file` of a multipart form to `path`.

    Raises:
        Refused: it is no such form, too large, or does not fit on the disk. What was written stays.
        OSError: it cannot be written.
        ClientDisconnect: the client went away.
    """
    announced = int(request.headers.get("content-length", "0") or 0)
    if announced > limits.upload_bytes + _FORM_OVERHEAD_BYTES:
        raise _too_large(limits)
    if announced > free_bytes - DISK_RESERVE_BYTES:
        raise disk_full()
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused(415, "send a form: multipart/form-data with the picture or video in the field file")
    try:
        with path.open("wb") as file:
            sink = _Sink(file, limits)
            parser = MultipartParser(options[b"boundary"], sink.callbacks)
            async for chunk in request.stream():
                parser.write(chunk)
                await run_in_threadpool(sink.flush)
            parser.finalize()
    except (FormParserError, UnicodeDecodeError):
        raise Refused(400, "the form is damaged or cut short") from None
    if not sink.found_file or not sink.ended:
        raise Refused(422, "the form has no file: send the picture or video in the field file", "file")
    return sink.form


def _too_large(limits: Limits) -> Refused:
    return Refused(
        413, f"the file is larger than {limits.upload_bytes / 1e6:.0f} MB, the most this server takes", "file"
    )


class _Sink:
    """What the parser calls: parts go into the file or into fields."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self.form = Form()
        self.found_file = False
        self.ended = False
        self._file = file
        self._limits = limits
        self._headers: dict[bytes, bytes] = {}
        self._header = self._value = b""
        self._field: str | None = None
        self._text = bytearray()
        self._content = bytearray()  # of the file, until `flush`
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def flush(self) -> None:
        """Write what has come of the file. Not in the callbacks: writing may take long, and this may be a thread."""
        if self._content:
            self._file.write(self._content)
            self._content.clear()

    def _part_begin(self) -> None:
        self._headers.clear()
        self._text.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        field_name = options.get(b"name", b"").decode("utf-8", "replace")
        self._field = None if b"filename" in options else field_name
        if self._field is not None:
            if len(self.form.fields) >= MAX_FIELDS:
                raise Refused(422, f"the form has more than {MAX_FIELDS} fields")
            return
        if self.found_file or field_name != "file":
            raise Refused(422, "send one file in the field file; for several, several requests", "file")
        self.found_file = True
        self.form.name = options[b"filename"].decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._text += data[start:end]
            if len(self._text) > MAX_FIELD_BYTES:
                raise Refused(413, f"a field is longer than {MAX_FIELD_BYTES} bytes", self._field)
            return
        self.form.size_bytes += end - start
        if self.form.size_bytes > self._limits.upload_bytes:
            raise _too_large(self._limits)
        self._content += data[start:end]

    def _part_end(self) -> None:
        if self._field is not None:
            self.form.fields[self._field] = self._text.decode("utf-8")

    def _end(self) -> None:
        self.ended = True
