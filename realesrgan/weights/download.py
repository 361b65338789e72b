"""Fetch one published file: resumed where it stopped, checked against its hash, renamed into place when whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WeightsError
from ..model_zoo import WeightFile
from .check import defect_of

if TYPE_CHECKING:
    import requests

Report = Callable[[WeightFile, int], None]  # a file, and how many of its bytes are here

MIRROR_VARIABLE = "REALESRGAN_MIRROR"
OFFLINE_VARIABLE = "REALESRGAN_OFFLINE"
TIMEOUTS_S = (10, 60)  # to connect, and between two pieces of data
CHUNK_BYTES = 1 << 18
ATTEMPTS = 5  # how often a connection that breaks after bringing something is tried again


def mirrored(file: WeightFile) -> str:
    """The address to fetch `file` from: the published one unless REALESRGAN_MIRROR names another.

    In the variable, `{url}` stands for the published address and `{file}` for the file name; with neither, the file
    name is appended, as for a plain folder on a web server.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return file.url
    if "{url}" in mirror or "{file}" in mirror:
        return mirror.replace("{url}", file.url).replace("{file}", file.name)
    return f"{mirror.rstrip('/')}/{file.name}"


def permitted_address(file: WeightFile) -> str:
    """The address to fetch `file` from, if that is allowed.

    Raises:
        WeightsError: downloads are forbidden, or the published address is not an https one.
    """
    if os.environ.get(OFFLINE_VARIABLE):
        raise WeightsError(f"{OFFLINE_VARIABLE} is set")
    url = mirrored(file)
    if not url.startswith("https://") and not os.environ.get(MIRROR_VARIABLE):
        raise WeightsError(f"{url} is not an HTTPS address")
    return url


def fetch(file: WeightFile, folder: Path, report: Report | None = None) -> Path:
    """Download `file` into `folder` and return its path; a good copy already there is kept.

    Several processes may ask for the same file at once: one downloads, the others wait and take the result.
    `report` is told the file and the number of bytes here, at the start and after every piece.

    Raises:
        WeightsError: the machine is offline, the server has no such file, the content is not the published one, or
            the folder cannot be written.
    """
    from filelock import FileLock

    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{file.name}.lock"):
            if target.is_file() and defect_of(target, file) is None:
                return target
            _download(file, part, report or (lambda *_: None))
            if defect := defect_of(part, file):
                part.unlink()
                raise WeightsError(f"what {mirrored(file)} sent {defect}; nothing was kept")
            part.replace(target)
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written ({error.strerror or error})") from error
    return target


def _download(file: WeightFile, part: Path, report: Report) -> None:
    import requests

    url = permitted_address(file)
    for attempt in range(1, ATTEMPTS + 1):
        here_before = _size(part)
        try:
            for here in _receive(url, part, file.size_bytes):
                report(file, here)
        except requests.RequestException as error:
            # A connection that brought nothing will fail again at once: say so instead of waiting.
            if attempt == ATTEMPTS or _size(part) <= here_before:
                raise WeightsError(failure_of(error, file)) from error
            continue
        if _size(part) >= (file.size_bytes or 1):
            return
        if _size(part) <= here_before:  # and yet the transfer ended normally: there is no more to come
            part.unlink(missing_ok=True)
            raise WeightsError(f"{url} ends too early to be the published {file.name}; nothing was kept")
    raise WeightsError(f"{url} stopped after {_size(part)} of {file.size_bytes} bytes; run again to go on from there")


def _receive(url: str, part: Path, size: int | None) -> Iterator[int]:
    """Append to `part` what is missing of `size` bytes (None: unknown, start over), and yield its growing size."""
    import requests

    here = _size(part)
    if here == size:
        yield here
        return
    if size is None or here > size:
        part.unlink(missing_ok=True)
        here = 0
    # "identity": a compressed transfer would make byte ranges meaningless.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={here}-"} if here else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
        if here and response.status_code == requests.codes.range_not_satisfiable:
            return  # what is there ends before `here`
        response.raise_for_status()
        if not _continues(response, here):
            here = 0
        with part.open("ab" if here else "wb") as file:
            yield here
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                here += len(chunk)
                yield here
                if size is not None and here > size:
                    return  # not the published file; the check after this says so


def _continues(response: requests.Response, here: int) -> bool:
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {here}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def failure_of(error: requests.RequestException, file: WeightFile) -> str:
    """Why `file` could not be fetched, in words; a mirror is named."""
    url = mirrored(file)
    return _reason(error) if url == file.url else f"{url}: {_reason(error)}"


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    kinds = (
        ("Schema", "the address begins with neither https:// nor http://"),
        ("InvalidURL", "this is not a valid address"),
        ("NameResolution", "the name cannot be resolved: this machine seems to be offline"),
        ("ProxyError", "the proxy refuses the connection"),
        ("SSL", "the secure connection failed"),
        ("Timeout", "the server does not answer in time"),
        ("Connection broken", "the connection broke off; run again to go on from there"),
    )
    text = repr(error)
    return next((reason for sign, reason in kinds if sign in text), "no connection to the server")
