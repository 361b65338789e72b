"""Addresses of clusters: which of them are this machine's, and what answers there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psutil
import pytest

from realesrgan.cluster.addresses import check_reachable, is_node
from realesrgan.errors import UsageError

SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # a frame of HTTP/2


@pytest.fixture
def node_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have this machine run a node of a cluster."""

    def run(head: str) -> None:
        processes = [
            SimpleNamespace(info={"name": "python", "cmdline": ["python", "--gcs-address=10.9.9.9:1"]}),
            SimpleNamespace(info={"name": "raylet", "cmdline": None}),
            SimpleNamespace(info={"name": "raylet", "cmdline": ["raylet", f"--gcs-address={head}"]}),
        ]
        monkeypatch.setattr(psutil, "process_iter", lambda attributes: processes)

    return run


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[str]:
    """HOST:PORT of something that answers whatever it hears with the test's parameter."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(request.param)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def own_address() -> str:
    return next(card.address for cards in psutil.net_if_addrs().values() for card in cards if card.family == 2)


@pytest.mark.parametrize("head", ["127.0.0.1:6379", f"{own_address()}:6379", "localhost:6379"])
@pytest.mark.parametrize("address", ["127.0.0.1:6379", f"{own_address()}:6379", "localhost:6379"])
def test_all_names_of_this_machine_are_the_same(head: str, address: str, node_of: Callable[[str], None]) -> None:
    node_of(head)
    assert is_node(address)


@pytest.mark.parametrize("address", ["127.0.0.1:6380", "10.9.9.9:6379", "10.9.9.9:1"])
def test_a_node_of_another_cluster_does_not_count(address: str, node_of: Callable[[str], None]) -> None:
    node_of("127.0.0.1:6379")
    assert not is_node(address)


def test_a_node_whose_head_is_elsewhere_is_known(node_of: Callable[[str], None]) -> None:
    node_of("10.9.9.9:6379")
    assert is_node("10.9.9.9:6379")


@pytest.mark.parametrize("answering", [SETTINGS], indirect=True)
def test_what_speaks_as_a_head_may_be_one(answering: str) -> None:
    check_reachable(answering)


@pytest.mark.parametrize("answering", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], indirect=True)
def test_whatever_else_answers_is_told_from_a_head(answering: str) -> None:
    with pytest.raises(UsageError, match=f"{answering}: what listens there is not the head of a cluster"):
        check_reachable(answering)


@pytest.mark.parametrize("address", ["", "x", ":1", "127.0.0.1:", "ray://127.0.0.1:1", "127.0.0.1:-1"])
def test_what_is_no_address_is_refused_before_anything_is_tried(address: str) -> None:
    with pytest.raises(UsageError, match="give auto, local, or the head of a cluster as HOST:PORT"):
        check_reachable(address)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "no such host:1", "127.0.0.1:1"])
def test_where_nothing_can_be_reached_is_told(address: str) -> None:
    with pytest.raises(UsageError, match="no cluster answers there"):
        check_reachable(address)
