"""Where there is no cluster, or none that can be used, one sentence says so, soon; and a machine that is no node."""

from __future__ import annotations

import http.server
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from command import Command, ran
from ray_nodes import RayNodes

SOON_S = 60.0
TOKEN = "0123456789abcdef" * 4
NO_HEAD = "what listens there is not the head of a cluster; is it the address that `ray start --head` printed?"
ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")  # sees no process but its own


@pytest.fixture(scope="session")
def alone() -> tuple[str, ...]:
    """What makes a command believe that no node of any cluster runs on this machine."""
    if shutil.which(ALONE[0]) is None or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("needs `unshare`, and the right to use it")
    return ALONE


@pytest.fixture
def listener() -> Iterator[str]:
    """HOST:PORT of something that listens, and is no cluster: it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refused(
    folder: Path,
    weights: Path,
    picture: Path,
    address: str,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Command:
    """A command that cannot use the cluster at `address`, and says so in one line."""
    began = time.monotonic()
    command = ran(
        folder,
        *("image", "-i", picture, "-o", folder / "results", "--model_path", weights, "--ray", address),
        code=2,
        environment=environment,
        **options,
    )
    assert time.monotonic() - began < SOON_S
    assert command.results == ""
    return command


def test_an_address_where_nothing_listens(weights: Path, pictures: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    said = refused(tmp_path, weights, pictures, address).said
    assert said == (
        f"error: --ray {address}: no cluster answers there (Connection refused); is it the address that "
        "`ray start --head` printed?\n"
    )


@pytest.mark.parametrize("address", ["nonsense", "ray://127.0.0.1:10001", "127.0.0.1", "127.0.0.1:x"])
def test_what_is_no_address(address: str, weights: Path, pictures: Path, tmp_path: Path) -> None:
    said = refused(tmp_path, weights, pictures, address).said
    assert said == (
        f"error: --ray {address}: give auto, local, or the head of a cluster as HOST:PORT, say 10.0.0.1:6379\n"
    )


def test_something_else_that_listens(listener: str, weights: Path, pictures: Path, tmp_path: Path) -> None:
    said = refused(tmp_path, weights, pictures, listener).said
    assert said == f"error: --ray {listener}: {NO_HEAD}\n"


def test_a_server_of_pages_is_no_cluster(weights: Path, pictures: Path, tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        said = refused(tmp_path, weights, pictures, address).said
        server.shutdown()
    assert said == f"error: --ray {address}: {NO_HEAD}\n"


@pytest.mark.parametrize("remembered", ["", "127.0.0.1:1"])
def test_auto_where_no_cluster_runs(
    remembered: str, alone: tuple[str, ...], weights: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(remembered)
    said = refused(tmp_path, weights, pictures, "auto", {"RAY_TMPDIR": str(tmp_path)}, before=alone).said
    assert said == (
        "error: --ray auto: no cluster runs on this machine; start one with `ray start --head`, or name another's "
        "head as HOST:PORT\n"
    )


def test_ray_that_is_not_installed(weights: Path, pictures: Path, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['ray'] = None; from realesrgan.cli.main import main; sys.exit(main())"
    said = refused(tmp_path, weights, pictures, "127.0.0.1:6379", program=("-c", hidden)).said
    assert said == 'error: --ray needs one more package: pip install "realesrgan[cluster]"\n'


def test_a_machine_that_is_no_node_joins_for_the_job_and_leaves_nothing_behind(
    alone: tuple[str, ...], three_nodes: RayNodes, film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    command = ran(
        tmp_path,
        *("video", "-i", film, "-o", out, "--model_path", weights, "--ray", three_nodes.address),
        before=alone,
        environment={"RAY_TMPDIR": str(tmp_path)},
    )
    assert command.said.startswith(f"joining the cluster at {three_nodes.address} for this job\n3 nodes, 3 devices: ")
    assert (out / film_here.name).read_bytes() == film_here.read_bytes()


def test_a_cluster_with_a_token_takes_who_has_it(weights: Path, pictures: Path, tmp_path: Path) -> None:
    with RayNodes({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}) as nodes:
        nodes.add()
        said = refused(tmp_path / "without", weights, pictures, nodes.address).said
        assert re.fullmatch(rf"error: --ray {nodes.address}: the cluster wants a token .* RAY_AUTH_TOKEN\n", said), said
        file = tmp_path / "with" / ".ray" / "auth_token"
        file.parent.mkdir(parents=True)
        file.write_text(TOKEN)
        arguments = ("image", "-i", pictures / "00.png", "-o", tmp_path, "--model_path", weights)
        command = ran(tmp_path / "with", *arguments, "--ray", nodes.address)
    assert "1 node, 1 device" in command.said
