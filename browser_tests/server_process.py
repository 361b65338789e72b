"""The real server in a process of its own, as users start it. Knows nothing of browsers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ENDING_S = 30.0


class ServerProcess:
    """`realesrgan serve` on a free port, which stays the same when it is started again.

    Attributes:
        address: where it serves, with a slash at the end, and without the token.
    """

    def __init__(self, folder: Path, token: str | None = None) -> None:
        self.folder = folder
        self.address = ""
        self._token = token
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def origin(self) -> str:
        return self.address.rstrip("/")

    def start(self) -> None:
        """Start it and wait until it listens."""
        port = self.address.rpartition(":")[2].rstrip("/") or "0"
        command = [sys.executable, "-m", "realesrgan", "serve", "--port", port, "--folder", str(self.folder)]
        if self._token is not None:
            command += ["--token", self._token]
        # Only what is installed: a test that would download something is to fail.
        settings = {"REALESRGAN_OFFLINE": "1", "REALESRGAN_CACHE": str(self.folder / "cache"), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command, cwd=PROJECT, env=os.environ | settings, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.search(r"(http://[^/]+/)", said)
        if not found:
            self.stop()
        assert found, f"the server did not start; it said {said!r}"
        self.address = found[1]

    def stop(self) -> None:
        """Press Ctrl-C and wait for its end."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()
