"""Be a node of a Ray cluster that lends nothing, for as long as this process wants it: only nodes can give work.

The node is a process with this module's `main`. It ends when its stdin does, so it never outlives whoever started it,
however that one ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..threads import POLL_S
from .addresses import is_node

JOIN_S = 60.0
LEAVE_S = 10.0


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Have this machine be a node of the cluster at HOST:PORT.

    Raises:
        ConnectionError: it cannot be; with all that Ray said.
    """
    program = f"import sys; sys.path = {sys.path!r}; from {__name__} import main; main({address!r})"
    with tempfile.TemporaryFile() as output:
        node = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            end_s = time.monotonic() + JOIN_S
            while not is_node(address):
                if node.poll() is not None or time.monotonic() > end_s:
                    output.seek(0)
                    raise ConnectionError(output.read().decode(errors="replace"))
                time.sleep(POLL_S)
            yield
        finally:
            assert node.stdin is not None
            node.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                node.wait(LEAVE_S)
            node.kill()
            node.wait()


def main(address: str) -> None:
    """Be such a node; start it as the leader of a process group."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    from ray.scripts.scripts import cli

    cli(["start", f"--address={address}", "--num-cpus=0", "--num-gpus=0", "--block", "--disable-usage-stats"])


def _end_with_stdin() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)  # all processes of the node
