"""What all commands share of talking to a person: messages, progress, exit codes.

Saying something never stops the work: a message that nobody can read any more is dropped.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm

from ..errors import DeviceError, RealESRGANError, UsageError, spell
from . import interrupts

DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, interrupts.INTERRUPTED
NOBODY_READS = 141  # as shells give it for a process that a closed pipe has ended
_SHORT_FLAGS = {"gpu_id": "-g", "input": "-i", "output": "-o", "model_name": "-n"}
_unreadable: dict[str, TextIO] = {}  # which stdout, which stderr has refused a message


def flag(option: str) -> str:
    """An option of the library as the command line spells it."""
    return _SHORT_FLAGS.get(option, f"--{option}")


def say(message: str) -> None:
    """Print a line about the work to stderr, above a progress bar if there is one; options become flags."""
    _print(spell(message, flag), "stderr")


def announce(message: str) -> None:
    """Print a line of results to stdout."""
    _print(message, "stdout")


def _print(message: str, name: str) -> None:
    stream: TextIO | None = getattr(sys, name)
    if stream is None or _unreadable.get(name) is stream:
        return
    try:
        tqdm.write(_printable(message, getattr(stream, "encoding", None) or "utf-8"), file=stream)
        stream.flush()  # an error shows here, and not when the process ends
    except (OSError, ValueError):  # a closed pipe, a full disk; ValueError: a closed file
        _unreadable[name] = stream
        _redirect_to_nowhere(stream)


def _printable(message: str, encoding: str) -> str:
    """What `encoding` has letters for; the rest, as of file names that are not UTF-8, as \\x and numbers."""
    with suppress(UnicodeEncodeError):  # half of a pair of surrogates, in a name on Windows
        message = message.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return message.encode(encoding, "backslashreplace").decode(encoding)


def _redirect_to_nowhere(stream: TextIO) -> None:
    """Let Python's last flush at exit succeed, which would print a traceback of its own."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _LogLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        word = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        say(f"{word}{record.getMessage()}")


def run(command: Callable[[], int], *, prints_results: bool = False) -> int:
    """Run a command and return its exit code: errors a user can fix become one message, bugs keep their traceback.

    `prints_results`: what it prints is all it does, so that a closed pipe is told by the exit code. Otherwise the
    files are made, and that is success.

    Until it calls `started_up`, or ends, no garbage is looked for: importing torch makes a million objects that stay,
    and going through them again and again takes a tenth of the start.
    """
    _unreadable.clear()
    _fill_standard_descriptors()
    gc.disable()
    logger = logging.getLogger("realesrgan")
    if not any(isinstance(handler, _LogLines) for handler in logger.handlers):
        logger.addHandler(_LogLines(logging.INFO))
        logger.setLevel(logging.INFO)
    try:
        with interrupts.starting():
            code = interrupts.exit_code(_run(command))
    finally:
        gc.enable()
    return NOBODY_READS if code == DONE and prints_results and "stdout" in _unreadable else code


def _run(command: Callable[[], int]) -> int:
    try:
        os.getcwd()
    except OSError:  # torch would end the process over it
        say("error: the working folder is gone: change to another one and run the command again")
        return WRONG_USAGE
    try:
        return command()
    except (UsageError, DeviceError) as error:
        say(f"error: {error.message}")
        return WRONG_USAGE
    except RealESRGANError as error:
        say(f"error: {error.message}")
        return SOME_FAILED
    except MemoryError:
        say("error: not enough memory")
        return SOME_FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def _fill_standard_descriptors() -> None:
    """Open what is closed of stdin, stdout and stderr on nothing.

    Otherwise the first files to be opened get their numbers, and messages that C libraries print to stderr would go
    into a picture.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def started_up() -> None:
    """Call when what a command needs is loaded and its work begins."""
    gc.enable()
    interrupts.working()


def progress_bar(total: float, unit: str, description: str = "") -> tqdm[Any]:
    """A bar on stderr with rate and time left; nothing where stderr is no terminal."""
    disable = True if sys.stderr is None else None
    return tqdm(
        total=total, unit=unit, unit_scale=True, desc=description, disable=disable, dynamic_ncols=True, leave=False
    )


class DownloadBars:
    """Shows one bar for each file that is being downloaded."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._name = ""
        self._lock = threading.RLock()

    def report(self, name: str, address: str, here_bytes: int, total_bytes: int | None) -> None:
        with self._lock:
            if self._bar is None or name != self._name:
                self.close()
                say(f"downloading {name} from {address}")
                self._bar, self._name = progress_bar(total_bytes or 0, "B", name), name
            self._bar.update(here_bytes - self._bar.n)

    def close(self) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
