"""Downloads from a server in this process, which can be told to misbehave. Nothing leaves 127.0.0.1."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from realesrgan.errors import WeightsError
from realesrgan.model_zoo import MODELS, WeightFile
from realesrgan.weights import download
from realesrgan.weights.download import ATTEMPTS, fetch, mirrored
from realesrgan.weights.store import obtain

CONTENT = random.Random(0).randbytes(300_000)
PUBLISHED = "https://example.invalid/releases/v1/tiny.pth"
FILE = WeightFile("tiny.pth", PUBLISHED, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
UNCHECKED = WeightFile("tiny.pth", PUBLISHED)  # nobody published its size or hash
PAGE = b"<!DOCTYPE html><title>Please log in</title>"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    sent: int = 0  # bytes of the body

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


@dataclass
class Server:
    """What the server does with the next requests, and the requests it has seen."""

    address: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    lengths: bool = True  # whether it says how long its answers are
    status: int | None = None
    breaks_after: list[int] = field(default_factory=list)  # how much of the next bodies it sends
    gate: threading.Event | None = None  # to wait for in the middle of a body
    requests: list[Request] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.path, dict(handler.headers))
        self.requests.append(request)
        if self.status is not None:
            handler.send_error(self.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", request.range)[1]) if self.ranges and request.range else 0
        if start and start >= len(self.content):
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.lengths:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        limit = self.breaks_after.pop(0) if self.breaks_after else len(body)
        for piece in (body[: limit // 2], body[limit // 2 : limit]):
            handler.wfile.write(piece)
            request.sent += len(piece)
            if self.gate is not None:
                assert self.gate.wait(timeout=30)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Silent: in some of these tests the client hangs up."""


@pytest.fixture
def server(monkeypatch):
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with QuietServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setenv("REALESRGAN_MIRROR", state.address)
        monkeypatch.delenv("REALESRGAN_OFFLINE")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(download, "CHUNK_BYTES", 10_000)
        yield state
        running.shutdown()
        thread.join()


def kept_in(folder: Path) -> set[str]:
    """Names in `folder`, without the lock."""
    return {path.name for path in folder.iterdir()} - {"tiny.pth.lock"} if folder.exists() else set()


def stop_after(size: int):
    """A report that ends the download, as Ctrl-C does, once `size` bytes are here."""

    def report(_: WeightFile, here: int) -> None:
        if here >= size:
            raise KeyboardInterrupt

    return report


def interrupt(folder: Path, size: int = 100_000) -> int:
    """Start a download and interrupt it; return how many bytes it left."""
    with pytest.raises(KeyboardInterrupt):
        fetch(FILE, folder, stop_after(size))
    assert kept_in(folder) == {"tiny.pth.part"}
    return (folder / "tiny.pth.part").stat().st_size


# The file arrives.


def test_the_fetched_file_equals_the_original(server, tmp_path):
    path = fetch(FILE, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "tiny.pth"
    assert path.read_bytes() == CONTENT
    assert kept_in(path.parent) == {"tiny.pth"}
    assert len(server.requests) == 1


@pytest.mark.parametrize("lengths", [True, False])
def test_a_file_of_unpublished_size_and_hash_is_fetched_too(server, tmp_path, lengths):
    server.lengths = lengths
    assert fetch(UNCHECKED, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_good_copy_is_not_fetched_again(server, tmp_path):
    fetch(FILE, tmp_path)
    fetch(FILE, tmp_path)
    assert len(server.requests) == 1


def test_a_bad_copy_is_replaced(server, tmp_path):
    (tmp_path / "tiny.pth").write_bytes(CHANGES["last byte"])
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT


def test_the_report_counts_up_to_the_whole_file(server, tmp_path):
    told: list[int] = []
    fetch(FILE, tmp_path, lambda file, here: told.append(here) if file is FILE else None)
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert len(told) > 10


def test_no_half_file_ever_has_the_final_name(server, tmp_path):
    server.breaks_after = [50_000, 100_000]
    seen: list[bool] = []
    path = fetch(FILE, tmp_path, lambda *_: seen.append((tmp_path / "tiny.pth").exists()))
    assert not any(seen)
    assert path.read_bytes() == CONTENT


def test_what_is_missing_is_obtained_into_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REALESRGAN_CACHE", str(tmp_path / "cache"))
    (found,) = obtain([FILE])
    assert (found.path, found.origin) == (tmp_path / "cache" / "tiny.pth", "cache")
    assert found.path.read_bytes() == CONTENT
    assert obtain([FILE]) == [found]
    assert len(server.requests) == 1


# Mirrors.


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("{server}", "/tiny.pth"),
        ("{server}/models/", "/models/tiny.pth"),
        ("{server}/get?name={{file}}&again={{file}}", "/get?name=tiny.pth&again=tiny.pth"),
        ("{server}/proxy/{{url}}", f"/proxy/{PUBLISHED}"),
    ],
)
def test_a_mirror_is_asked_in_the_form_it_is_given(server, tmp_path, monkeypatch, form, path):
    monkeypatch.setenv("REALESRGAN_MIRROR", form.format(server=server.address))
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT
    assert [request.path for request in server.requests] == [path]


@pytest.mark.parametrize("mirror", [None, ""])
def test_without_a_mirror_the_published_address_is_asked(monkeypatch, mirror):
    if mirror is not None:
        monkeypatch.setenv("REALESRGAN_MIRROR", mirror)
    assert mirrored(FILE) == PUBLISHED


# Broken connections.


@pytest.mark.parametrize("lengths", [True, False])
def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path, lengths):
    server.lengths = lengths
    here = interrupt(tmp_path)
    assert 0 < here < len(CONTENT)
    told: list[int] = []
    assert fetch(FILE, tmp_path, lambda _, size: told.append(size)).read_bytes() == CONTENT
    assert server.requests[-1].range == f"bytes={here}-"
    assert server.requests[-1].sent == len(CONTENT) - here
    assert told[0] == here


def test_a_finished_download_that_was_not_yet_renamed_is_not_fetched_again(server, tmp_path):
    (tmp_path / "tiny.pth.part").write_bytes(CONTENT)
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_from_a_server_that_cannot_resume_the_whole_file_is_requested(server, tmp_path):
    here = interrupt(tmp_path)
    server.ranges = False
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1].range == f"bytes={here}-"
    assert server.requests[-1].sent == len(CONTENT)


def test_a_file_of_unknown_size_is_started_over_after_an_interruption(server, tmp_path):
    (tmp_path / "tiny.pth.part").write_bytes(b"of some other file")
    assert fetch(UNCHECKED, tmp_path).read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None]


# Without any length, of the file or of the answer, nothing tells a broken transfer from a finished one.
@pytest.mark.parametrize(("file", "lengths"), [(FILE, True), (FILE, False), (UNCHECKED, True)])
def test_a_broken_connection_is_resumed(server, tmp_path, file, lengths):
    server.lengths = lengths
    server.breaks_after = [100_000]
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_connection_that_keeps_breaking_sends_every_byte_once(server, tmp_path):
    server.breaks_after = [50_000] * (ATTEMPTS - 1)
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT
    assert sum(request.sent for request in server.requests) == len(CONTENT)


def test_a_server_that_breaks_and_cannot_resume_still_gives_the_right_file(server, tmp_path):
    server.ranges = False
    server.breaks_after = [100_000, 200_000]
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_too_many_breaks_end_in_an_error_that_loses_nothing(server, tmp_path, lengths):
    server.lengths = lengths
    server.breaks_after = [10_000] * ATTEMPTS
    with pytest.raises(WeightsError, match="(broke off|stopped after 50000 of 300000 bytes); run again to go on"):
        fetch(FILE, tmp_path)
    assert len(server.requests) == ATTEMPTS
    assert (tmp_path / "tiny.pth.part").read_bytes() == CONTENT[: 10_000 * ATTEMPTS]
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_is_not_tried_again(server, tmp_path):
    server.breaks_after = [0]
    with pytest.raises(WeightsError, match="the connection broke off"):
        fetch(FILE, tmp_path)
    assert len(server.requests) == 1


# Wrong content.


CHANGES = {
    "first byte": bytes([CONTENT[0] ^ 1]) + CONTENT[1:],
    "last byte": CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_content_other_than_the_published_is_refused_and_not_kept(server, tmp_path, change):
    server.content = CHANGES[change]
    with pytest.raises(WeightsError, match="has the right size, but not the published content; nothing was kept"):
        fetch(FILE, tmp_path)
    assert kept_in(tmp_path) == set()


@pytest.mark.parametrize("content", [PAGE, b"", CONTENT[:-1], CONTENT + b"!", CONTENT * 2], ids=len)
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("lengths", [True, False])
def test_content_of_another_size_is_refused_and_not_kept(server, tmp_path, content, ranges, lengths):
    server.content, server.ranges, server.lengths = content, ranges, lengths
    with pytest.raises(WeightsError, match="ends too early to be|the published file 300000; nothing was kept"):
        fetch(FILE, tmp_path)
    assert kept_in(tmp_path) == set()
    assert len(server.requests) <= 2


def test_an_empty_response_is_not_a_file_even_if_no_size_is_published(server, tmp_path):
    server.content = b""
    with pytest.raises(WeightsError, match=r"ends too early to be the published tiny\.pth; nothing was kept"):
        fetch(UNCHECKED, tmp_path)
    assert kept_in(tmp_path) == set()


def test_a_bad_copy_stays_until_there_is_a_better_one(server, tmp_path):
    (tmp_path / "tiny.pth").write_bytes(b"what the user has")
    server.content = PAGE
    with pytest.raises(WeightsError, match="ends too early"):
        fetch(FILE, tmp_path)
    assert (tmp_path / "tiny.pth").read_bytes() == b"what the user has"


def test_a_beginning_that_was_of_another_file_is_refused_and_the_next_try_succeeds(server, tmp_path):
    (tmp_path / "tiny.pth.part").write_bytes(PAGE)
    with pytest.raises(WeightsError, match="not the published content; nothing was kept"):
        fetch(FILE, tmp_path)
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT


def test_a_beginning_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "tiny.pth.part").write_bytes(CONTENT * 2)
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT


# Errors in words.


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (403, "403 Forbidden"), (503, "503 Service")])
def test_the_servers_refusal_is_named_with_the_address(server, tmp_path, status, words):
    server.status = status
    with pytest.raises(WeightsError, match=f"{server.address}/tiny.pth: the server answered {words}"):
        fetch(FILE, tmp_path)
    assert len(server.requests) == 1
    assert kept_in(tmp_path) == set()


def test_a_server_in_trouble_costs_nothing_that_is_here(server, tmp_path):
    here = interrupt(tmp_path)
    server.status = 503
    with pytest.raises(WeightsError, match="503"):
        fetch(FILE, tmp_path)
    assert (tmp_path / "tiny.pth.part").stat().st_size == here


def test_no_server_is_no_connection(server, tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        address = f"http://127.0.0.1:{gone.server_port}"
    monkeypatch.setenv("REALESRGAN_MIRROR", address)
    with pytest.raises(WeightsError, match=f"{address}/tiny.pth: no connection to the server"):
        fetch(FILE, tmp_path)


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        ("mirror.example", "begins with neither https:// nor http://"),
        ("ftp://mirror.example", "begins with neither https:// nor http://"),
        ("http://", "not a valid address"),
    ],
)
def test_a_mirror_that_is_not_a_web_address_is_refused_as_such(server, tmp_path, monkeypatch, mirror, words):
    monkeypatch.setenv("REALESRGAN_MIRROR", mirror)
    with pytest.raises(WeightsError, match=words):
        fetch(FILE, tmp_path)


def test_offline_nothing_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("REALESRGAN_OFFLINE", "1")
    with pytest.raises(WeightsError, match="REALESRGAN_OFFLINE is set"):
        fetch(FILE, tmp_path)
    assert server.requests == []


def test_offline_a_good_copy_still_counts(server, tmp_path, monkeypatch):
    fetch(FILE, tmp_path)
    monkeypatch.setenv("REALESRGAN_OFFLINE", "1")
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT


def test_without_a_mirror_only_https_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.delenv("REALESRGAN_MIRROR")
    with pytest.raises(WeightsError, match=r"http://127.* is not an HTTPS address"):
        fetch(WeightFile("tiny.pth", f"{server.address}/tiny.pth"), tmp_path)
    assert server.requests == []


def test_transfers_are_not_compressed_since_that_would_move_the_bytes(server, tmp_path):
    fetch(FILE, tmp_path)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_in_the_folders_place_is_an_error_that_names_it(server, tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=rf"{re.escape(str(tmp_path / 'file' / below))} cannot be written \(.+\)"):
        fetch(FILE, tmp_path / "file" / below)
    assert server.requests == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_one_may_not_write_is_an_error_that_names_it(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(WeightsError, match=rf"{re.escape(str(tmp_path))} cannot be written"):
        fetch(FILE, tmp_path)
    tmp_path.chmod(0o700)


def test_a_full_disk_is_an_error_that_names_the_folder(server, tmp_path, monkeypatch):
    def write(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(WeightsError, match=rf"{re.escape(str(tmp_path))} cannot be written \(No space left"):
        fetch(FILE, tmp_path, write)


def test_every_missing_file_has_its_own_reason_in_one_message(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.status = 404
    files = MODELS["realesr-general-x4v3"].files
    with pytest.raises(WeightsError) as caught:
        obtain(files)
    for file in files:
        assert f"{file.name} is not on this machine and could not be downloaded: {server.address}" in str(caught.value)
        assert file.url in str(caught.value)
    assert str(caught.value).count("404 Not Found") == 2


# Several at once.


def test_threads_that_want_the_same_file_download_it_once(server, tmp_path):
    server.gate = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        fetches = [pool.submit(fetch, FILE, tmp_path) for _ in range(4)]
        server.gate.set()  # no sooner: no download is done before the last has been asked for
        assert all(result.result(timeout=30).read_bytes() == CONTENT for result in fetches)
    assert len(server.requests) == 1


FETCH_IN_A_PROCESS = """
import sys
from pathlib import Path
from realesrgan.model_zoo import WeightFile
from realesrgan.weights import download
download.CHUNK_BYTES = 10_000
name, url, size, sha256, folder = sys.argv[1:]
print("ready", flush=True)
report = lambda _, here: here == 140_000 and print("nearly half", flush=True)
path = download.fetch(WeightFile(name, url, int(size), sha256), Path(folder), report)
print(path.stat().st_size)
"""


def start_fetching(folder: Path) -> subprocess.Popen[str]:
    arguments = [FILE.name, FILE.url, str(FILE.size_bytes), str(FILE.sha256), str(folder)]
    command = [sys.executable, "-c", FETCH_IN_A_PROCESS, *arguments]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)


def test_processes_that_want_the_same_file_download_it_once(server, tmp_path):
    server.gate = threading.Event()
    processes = [start_fetching(tmp_path) for _ in range(3)]
    ready = [process.stdout.readline().strip() for process in processes]
    server.gate.set()  # no sooner: all three run while the first download is on its way
    last_lines = [process.communicate(timeout=30)[0].split()[-1] for process in processes]
    assert ready == ["ready"] * 3
    assert last_lines == [str(len(CONTENT))] * 3
    assert len(server.requests) == 1
    assert kept_in(tmp_path) == {"tiny.pth"}


def test_a_process_that_was_killed_leaves_a_beginning_that_the_next_one_uses(server, tmp_path):
    server.gate = threading.Event()
    process = start_fetching(tmp_path)
    assert [process.stdout.readline().strip() for _ in range(2)] == ["ready", "nearly half"]
    process.kill()
    process.communicate()
    server.gate.set()
    assert kept_in(tmp_path) == {"tiny.pth.part"}
    here = (tmp_path / "tiny.pth.part").stat().st_size
    assert here > 0
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1].range == f"bytes={here}-"
