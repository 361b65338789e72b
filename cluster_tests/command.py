"""The real command in a process of its own, as users start it; what it says can be read while it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from ray_nodes import PATIENCE_S, end, surroundings, until


class Command:
    """`realesrgan ARGUMENTS` under way in `folder`."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[object],
        environment: Mapping[str, str] | None = None,
        *,
        program: Sequence[str] = ("-m", "realesrgan"),
        before: Sequence[str] = (),
        **options: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*before, sys.executable, *program, *map(str, arguments)],
                cwd=folder,
                env=surroundings(folder) | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                **options,
            )

    @property
    def said(self) -> str:
        """What it has said on stderr so far."""
        return self._stderr.read_text(encoding="utf-8", errors="replace")

    @property
    def results(self) -> str:
        """What it has printed on stdout so far."""
        return self._stdout.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until `condition` holds, as long as it runs."""
        until(lambda: condition() or self.process.poll() is not None, f"{what}; it said:\n{self.said}")
        assert condition(), f"it ended with {self.process.poll()} before {what}; it said:\n{self.said}"

    def wait_to_say(self, text: str) -> None:
        self.wait_for(lambda: text in self.said, f"to say {text!r}")

    def ended(self, patience_s: float = 2 * PATIENCE_S) -> int:
        """Wait for its end; returns the exit code."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; it said:\n{self.said}") from None

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)


@contextmanager
def running(folder: Path, *arguments: object, **options: Any) -> Iterator[Command]:
    """A command; whatever of it still runs in the end is killed."""
    command = Command(folder, arguments, **options)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            children = psutil.Process(command.process.pid).children(recursive=True)
            command.process.kill()
            command.process.wait()
            for child in children:
                end(child.pid)


def ran(folder: Path, *arguments: object, code: int = 0, **options: Any) -> Command:
    """A command that has ended, with `code`."""
    with running(folder, *arguments, **options) as command:
        ended = command.ended()
        assert ended == code, f"it ended with {ended}; it said:\n{command.said}"
        return command
