"""Fixtures that many tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import save_weights, tiny_rrdbnet, tiny_srvgg


@pytest.fixture(scope="session")
def rrdbnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny ×4 RRDBNet."""
    return save_weights(tiny_rrdbnet(), tmp_path_factory.mktemp("weights") / "tiny_rrdbnet.pth")


@pytest.fixture(scope="session")
def srvgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny ×4 SRVGGNetCompact."""
    return save_weights(tiny_srvgg(), tmp_path_factory.mktemp("weights") / "tiny_srvgg.pth")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_everything() -> Iterator[None]:
    """Ctrl-C reaches tests, and the processes they start, even where a shell started the suite in the background."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the user's cache or mirror, uses the network by accident, or computes in several threads.

    On tiny networks threads wait for each other longer than they compute, on a busy machine many times as long.
    """
    torch.set_num_threads(1)
    monkeypatch.setenv("REALESRGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("REALESRGAN_OFFLINE", "1")
    monkeypatch.delenv("REALESRGAN_MIRROR", raising=False)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def denormal_numbers() -> None:
    """Commands set the process up to flush denormal numbers to zero; no test is to depend on which ran before it."""
    torch.set_flush_denormal(False)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files, in which nothing may be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
