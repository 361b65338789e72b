"""Where VGG19's convolutions come from: this machine, or a server in this process. Nothing leaves 127.0.0.1.

The files are of the published structure with a few channels, and of both layouts they are published in.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from realesrgan.archs.vgg_arch import VGGFeatureExtractor
from realesrgan.errors import WeightsError
from realesrgan.model_zoo import WeightFile
from realesrgan.weights import remote, store, vgg
from realesrgan.weights.read import read_weights

WIDTHS = (2, 8, 16, 32, 32)
CLASSIFIER_ITEMS = 500_000  # many times the convolutions, as in the published file


def _convolutions() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return VGGFeatureExtractor([], widths=WIDTHS).state_dict()


CONVOLUTIONS = _convolutions()
CLASSIFIER = {"classifier.0.weight": torch.rand(CLASSIFIER_ITEMS), "classifier.0.bias": torch.zeros(3)}
WANTED_BYTES = sum(tensor.numel() * 4 for tensor in CONVOLUTIONS.values())


def pytorchs(folder: Path, *, zipped: bool = False, state: dict[str, Tensor] | None = None) -> bytes:
    path = folder / "made.pth"
    torch.save(state or {**CLASSIFIER, **CONVOLUTIONS}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.unlink()
    return content


def safetensors(_: Path) -> bytes:
    return save({**CONVOLUTIONS, **CLASSIFIER})


@dataclass
class Server:
    """The files it has, how it answers, and what it was asked and sent."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    shift: int = 0  # how far from what it was asked for it begins
    excess: int = 0  # how much more it sends
    breaks_after: list[int] = field(default_factory=list)  # how much of the next bodies it sends
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name, wanted = handler.path.rpartition("/")[2], handler.headers.get("Range")
        self.asked.append((name, wanted))
        if name not in self.files:
            handler.send_error(404)
            return
        content, start, status = self.files[name], 0, 200
        body = content
        if wanted and self.ranges:
            start, stop = (
                int(digits or len(content) - 1) for digits in re.fullmatch(r"bytes=(\d+)-(\d*)", wanted).groups()
            )
            start += self.shift
            body, status = content[start : stop + 1 + self.excess], 206
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        body = body[: self.breaks_after.pop(0)] if self.breaks_after else body
        self.sent += len(body)
        handler.wfile.write(body)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Silent: in some of these tests the client hangs up."""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only folders of the test are searched."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("REALESRGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(store, "__file__", str(tmp_path / "project" / "realesrgan" / "weights" / "store.py"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The mirror that files are downloaded from."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = bool(state.breaks_after)
            state.answer(self)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with QuietServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("REALESRGAN_MIRROR", f"http://127.0.0.1:{running.server_port}")
        monkeypatch.delenv("REALESRGAN_OFFLINE")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1")
        yield state
        running.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, content: bytes) -> WeightFile:
    """Say that `content` is what was published as vgg19-dcbb9e9d.pth."""
    sha256 = hashlib.sha256(content).hexdigest()
    file = WeightFile("vgg19-dcbb9e9d.pth", "https://example.invalid/vgg19-dcbb9e9d.pth", len(content), sha256)
    mirror = WeightFile("vgg19.tv_in1k.safetensors", "https://mirror.invalid/model.safetensors")
    monkeypatch.setattr(vgg, "PUBLISHED", file)
    monkeypatch.setattr(vgg, "SOURCES", (file, mirror))
    return file


def obtain(**options) -> Path:
    return vgg.obtain_vgg19(widths=WIDTHS, **options)


def assert_convolutions(path: Path) -> None:
    state = read_weights(path)
    assert state.keys() == CONVOLUTIONS.keys()
    assert all(torch.equal(state[key], CONVOLUTIONS[key]) for key in state)


def kept() -> set[str]:
    """Names in the cache, without locks."""
    folder = store.cache_folder()
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"} if folder.exists() else set()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# From this machine.

PLACES = ["cwd/weights", "project/weights", "cwd/experiments/pretrained_models", "cache", "torch/hub/checkpoints"]


@pytest.mark.parametrize("place", PLACES)
def test_the_published_file_is_found_in_each_place_and_stripped_once(place, tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    put(tmp_path / place / publish(monkeypatch, content).name, content)
    path = obtain()
    assert path == tmp_path / "cache" / "vgg19_convolutions.safetensors"
    assert_convolutions(path)
    assert path.stat().st_size < 1.1 * WANTED_BYTES
    before = path.stat().st_mtime_ns
    assert obtain() == path
    assert path.stat().st_mtime_ns == before


def test_the_users_own_file_is_left_where_it_is(tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    own = put(tmp_path / "cache" / publish(monkeypatch, content).name, content)
    obtain()
    assert own.read_bytes() == content


def test_a_stripped_file_needs_nothing_else(tmp_path):
    (tmp_path / "cwd" / "weights").mkdir()
    save_file(CONVOLUTIONS, tmp_path / "cwd" / "weights" / "vgg19_convolutions.safetensors")
    assert obtain() == tmp_path / "cwd" / "weights" / "vgg19_convolutions.safetensors"
    assert kept() == set()


def test_a_stripped_file_can_be_taken_along(tmp_path):
    (tmp_path / "cache").mkdir()
    save_file(CONVOLUTIONS, tmp_path / "cache" / "vgg19_convolutions.safetensors")
    path = obtain(folder=tmp_path / "stick")
    assert path.parent == tmp_path / "stick"
    assert_convolutions(path)


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", "HOME"])
def test_torchs_cache_is_where_torch_has_it(variable, tmp_path, monkeypatch):
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "somewhere"))
    assert vgg._torch_cache() == Path(torch.hub.get_dir(), "checkpoints")
    content = pytorchs(tmp_path)
    put(vgg._torch_cache() / publish(monkeypatch, content).name, content)
    assert vgg.find_vgg19().origin == "torch's cache"


def test_a_copy_of_other_content_is_passed_over_and_named(tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    name = publish(monkeypatch, content).name
    bad = put(tmp_path / "cwd" / "weights" / name, content[:-1] + b"!")
    with pytest.raises(WeightsError, match=f"{re.escape(str(bad))}: has the right size, but not the published content"):
        obtain()
    put(tmp_path / "torch" / "hub" / "checkpoints" / name, content)
    assert_convolutions(obtain())


def test_the_network_is_filled_and_frozen_and_chance_is_left_alone(tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    put(tmp_path / "cwd" / "weights" / publish(monkeypatch, content).name, content)
    before = torch.get_rng_state()
    network = vgg.load_vgg19(["conv2_2", "conv5_4"], use_input_norm=False, widths=WIDTHS)
    assert torch.equal(torch.get_rng_state(), before)
    fresh = VGGFeatureExtractor(["conv2_2", "conv5_4"], use_input_norm=False, widths=WIDTHS)
    fresh.load_state_dict(CONVOLUTIONS)
    x = torch.rand(1, 3, 16, 16)
    found, wanted = network(x), fresh(x)
    assert all(torch.equal(found[layer], wanted[layer]) for layer in ("conv2_2", "conv5_4"))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_stripped_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "cache").mkdir()
    save_file({"features.0.weight": torch.zeros(2, 3, 3, 3)}, tmp_path / "cache" / "vgg19_convolutions.safetensors")
    with pytest.raises(WeightsError, match=r"does not hold VGG19's convolutions: the file lacks features.0.bias"):
        vgg.load_vgg19(["conv2_2"], widths=WIDTHS)


# From a server.


@pytest.mark.parametrize("make", [pytorchs, safetensors])
def test_only_the_convolutions_are_fetched(make, server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "BUFFER_BYTES", 1 << 12)
    monkeypatch.setattr("realesrgan.weights.partial.HEADER_BYTES", 1 << 14)
    content = make(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    assert_convolutions(obtain())
    assert kept() == {"vgg19_convolutions.safetensors"}
    assert server.sent < 1.5 * WANTED_BYTES < len(content) / 4
    assert all(wanted for _, wanted in server.asked)


@pytest.mark.parametrize("make", [pytorchs, safetensors])
def test_what_is_fetched_in_parts_equals_what_the_whole_file_gives(make, server, tmp_path, monkeypatch):
    content = make(tmp_path)
    name = publish(monkeypatch, content).name
    server.files[name] = content
    in_parts = obtain(folder=tmp_path / "parts").read_bytes()
    put(tmp_path / "cwd" / "weights" / name, content)
    assert obtain(folder=tmp_path / "whole").read_bytes()[-WANTED_BYTES:] == in_parts[-WANTED_BYTES:]


def test_from_a_server_without_ranges_the_whole_file_is_fetched_checked_and_not_kept(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    name = publish(monkeypatch, content).name
    server.files[name], server.ranges = content, False
    assert_convolutions(obtain())
    assert kept() == {"vgg19_convolutions.safetensors"}
    assert server.asked[-1] == (name, None)
    (store.cache_folder() / "vgg19_convolutions.safetensors").unlink()
    server.files[name] = content[:-1] + b"!"
    with pytest.raises(WeightsError, match="not the published content; nothing was kept"):
        obtain()


def test_what_was_made_in_a_folder_is_not_made_there_again(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    path = obtain(folder=tmp_path / "stick")
    server.files.clear()
    assert obtain(folder=tmp_path / "stick") == path


def test_a_whole_file_that_was_there_before_stays(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    name = publish(monkeypatch, content).name
    server.files[name], server.ranges = content, False
    own = put(tmp_path / "stick" / name, content)
    assert_convolutions(obtain(folder=tmp_path / "stick"))
    assert own.read_bytes() == content


@pytest.mark.parametrize(("shift", "excess"), [(4, 0), (0, 4)])
def test_from_a_server_that_serves_other_ranges_than_asked_for_the_whole_file_is_fetched(
    shift, excess, server, tmp_path, monkeypatch
):
    content = pytorchs(tmp_path)
    name = publish(monkeypatch, content).name
    server.files[name], server.shift, server.excess = content, shift, excess
    assert_convolutions(obtain())
    assert server.asked[-1] == (name, None)


def test_a_layout_that_cannot_be_read_in_parts_is_fetched_whole(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path, zipped=True)
    server.files[publish(monkeypatch, content).name] = content
    assert_convolutions(obtain())
    assert server.sent > len(content)


def test_tensors_that_are_stored_in_another_order_are_not_read_as_if_they_were_not(server, tmp_path, monkeypatch):
    turned = CONVOLUTIONS["features.2.weight"].transpose(2, 3).contiguous().transpose(2, 3)
    content = pytorchs(tmp_path, state=changed("features.2.weight", turned))
    server.files[publish(monkeypatch, content).name] = content
    assert_convolutions(obtain())


def test_half_precision_is_fetched_whole_and_widened(server, tmp_path, monkeypatch):
    content = save({key: tensor.half() for key, tensor in CONVOLUTIONS.items()})
    server.files[publish(monkeypatch, content).name] = content
    state = read_weights(obtain())
    assert all(torch.equal(state[key], CONVOLUTIONS[key].half().float()) for key in CONVOLUTIONS)


def test_the_mirror_is_asked_if_the_published_place_fails(server, tmp_path, monkeypatch):
    publish(monkeypatch, pytorchs(tmp_path))
    server.files["vgg19.tv_in1k.safetensors"] = safetensors(tmp_path)
    assert_convolutions(obtain())
    assert server.asked[0][0] == "vgg19-dcbb9e9d.pth"


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path, monkeypatch):
    monkeypatch.setattr("realesrgan.weights.download.CHUNK_BYTES", 1_000)
    content = safetensors(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    server.breaks_after = [5_000, 3_000, 1 << 30, 20_000]
    assert_convolutions(obtain())
    starts = [int(re.match(r"bytes=(\d+)", wanted)[1]) for _, wanted in server.asked]
    assert starts[:3] == [0, 5_000, 8_000]
    assert {name for name, _ in server.asked} == {"vgg19-dcbb9e9d.pth"}
    assert server.sent < len(content)


def test_a_server_that_stops_sending_is_an_error_and_nothing_is_kept(server, tmp_path, monkeypatch):
    content = safetensors(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    monkeypatch.setattr("realesrgan.weights.download.CHUNK_BYTES", 1_000)
    server.breaks_after = [5_000, 0]
    with pytest.raises(WeightsError, match="the connection broke off"):
        obtain()
    assert kept() == set()


def test_progress_counts_up_to_the_convolutions(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    told: list[tuple[str, int, int | None]] = []
    obtain(report=lambda file, here: told.append((file.name, here, file.size_bytes)))
    assert {(name, total) for name, _, total in told} == {("vgg19_convolutions.safetensors", WANTED_BYTES)}
    counts = [here for _, here, _ in told]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] == WANTED_BYTES


def test_a_report_that_raises_ends_the_download(server, tmp_path, monkeypatch):
    def stop(_: WeightFile, here: int) -> None:
        if here:
            raise KeyboardInterrupt

    content = pytorchs(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    with pytest.raises(KeyboardInterrupt):
        obtain(report=stop)
    assert kept() == set()
    assert server.sent < len(content) / 2


def test_of_several_at_once_one_downloads(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path)
    server.files[publish(monkeypatch, content).name] = content
    with ThreadPoolExecutor(3) as pool:
        paths = set(pool.map(lambda _: obtain(), range(3)))
    assert len(paths) == 1
    assert server.sent < len(content)


# What is refused.


def changed(key: str, tensor: Tensor) -> dict[str, Tensor]:
    return {**CLASSIFIER, **CONVOLUTIONS, key: tensor}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed("features.0.bias", torch.zeros(5)), r"the file has in another shape features.0.bias \(5,\)"),
        ({**CLASSIFIER}, r"the file lacks features.0.weight \(2, 3, 3, 3\)"),
        (changed("features.0.bias", torch.tensor([1, float("nan")])), "features.0.bias holds values that are not"),
    ],
)
def test_other_tensors_than_vgg19s_are_refused_by_name(state, message, server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path, state=state)
    server.files[publish(monkeypatch, content).name] = content
    with pytest.raises(WeightsError, match=message):
        obtain()
    assert kept() == set()


class RunsACommand:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (self.proof,)


def test_reading_in_parts_calls_nothing_that_the_file_names(server, tmp_path, monkeypatch):
    content = pytorchs(tmp_path, state={**CONVOLUTIONS, "proof": RunsACommand(tmp_path / "proof")})
    server.files[publish(monkeypatch, content).name] = content
    with pytest.raises(WeightsError, match="refused, because reading this file would execute code"):
        obtain()
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("cut", [0, 1, 100, 2000, -WANTED_BYTES, -1])
@pytest.mark.parametrize("make", [pytorchs, safetensors])
def test_a_damaged_file_is_an_error_whatever_is_damaged(make, cut, server, tmp_path, monkeypatch):
    # PyTorch's old layout sorts tensors by address, so the end of the file may be of any of them.
    content = make(tmp_path) if make is safetensors else make(tmp_path, state=CONVOLUTIONS)
    server.files[publish(monkeypatch, content).name] = (
        content[:cut] if make is pytorchs or cut >= 0 else content[: cut // 9]
    )
    with pytest.raises(WeightsError, match="VGG19, which is not on this machine and could not be downloaded"):
        obtain()
    assert kept() <= {"vgg19-dcbb9e9d.pth.part"}


def test_numbers_that_are_not_where_the_file_says_are_refused(server, tmp_path, monkeypatch):
    content = bytearray(pytorchs(tmp_path))
    content[content.index(CONVOLUTIONS["features.2.weight"].numpy().tobytes()) - 8] ^= 1  # its count
    server.files[publish(monkeypatch, content).name] = bytes(content)
    with pytest.raises(WeightsError, match="could not be downloaded"):
        obtain()


def test_offline_one_message_names_the_file_the_places_and_the_way_without(tmp_path):
    with pytest.raises(WeightsError) as caught:
        vgg.obtain_vgg19()
    message = caught.value.message
    assert "REALESRGAN_OFFLINE is set" in message
    assert "get vgg19-dcbb9e9d.pth (575 MB) from https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in message
    assert f"put it into {tmp_path / 'cwd' / 'weights'}, or train without this loss: `no_perceptual`" in message
    assert all(str(tmp_path / place) in message for place in PLACES)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(tmp_path, monkeypatch):
    put(tmp_path / "file", b"")
    monkeypatch.setenv("REALESRGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"file cannot be written"):
        obtain()
