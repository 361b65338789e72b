"""What all commands share: messages, progress bars, exit codes.

Printing never stops the work: a message that can no longer be written is dropped.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from tqdm import tqdm

from ..errors import DeviceError, RealESRGANError, UsageError, spell
from . import interrupts

DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, interrupts.INTERRUPTED
BROKEN_PIPE = 141  # what shells report for a process ended by a closed pipe
_SHORT_FLAGS = {"gpu_id": "-g", "input": "-i", "output": "-o", "model_name": "-n"}
_spellings: dict[str, str] = {}  # of the command that runs, where they differ from the usual ones
_refused: dict[str, TextIO] = {}  # the stdout, the stderr that has refused a message


def flag(option: str) -> str:
    """The command line's spelling of one of the library's options."""
    return _spellings.get(option) or _SHORT_FLAGS.get(option, f"--{option}")


def say(message: str) -> None:
    """Print a line about the work to stderr, above any progress bar; options in backticks become flags."""
    _print(spell(message, flag), "stderr")


def print_result(message: str) -> None:
    """Print a line of results to stdout."""
    _print(message, "stdout")


def _print(message: str, name: str) -> None:
    stream: TextIO | None = getattr(sys, name)
    if stream is None or _refused.get(name) is stream:
        return
    try:
        tqdm.write(_printable(message, getattr(stream, "encoding", None) or "utf-8"), file=stream)
        stream.flush()  # errors show here instead of when the process ends
    except (OSError, ValueError):  # a closed pipe, a full disk; ValueError: a closed file
        _refused[name] = stream
        _redirect_to_nowhere(stream)


def _printable(message: str, encoding: str) -> str:
    """`message` with what `encoding` cannot express, as in file names that are not UTF-8, as \\x and digits."""
    with suppress(UnicodeEncodeError):  # half a surrogate pair, in a Windows file name
        message = message.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return message.encode(encoding, "backslashreplace").decode(encoding)


def _redirect_to_nowhere(stream: TextIO) -> None:
    """Let Python's flush at exit succeed; it would print a traceback otherwise."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _LogLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        word = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        say(f"{word}{record.getMessage()}")


def run(command: Callable[[], int], *, prints_results: bool = False, spellings: Mapping[str, str] | None = None) -> int:
    """Run a command and return its exit code: errors a user can fix become one message, bugs keep their traceback.

    `spellings` has what messages call options that are no flags of this command, such as keys of a file.

    `prints_results`: printing is all the command does, so a closed pipe sets the exit code. Other commands write files,
    and if these are written, that is success.

    Garbage collection is off until the command calls `started_up` or ends: importing torch creates a million objects
    that stay, and scanning them over and over takes a tenth of the start-up time.
    """
    _refused.clear()
    _spellings.clear()
    _spellings.update(spellings or {})
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
    return BROKEN_PIPE if code == DONE and prints_results and "stdout" in _refused else code


def _run(command: Callable[[], int]) -> int:
    try:
        os.getcwd()
    except OSError:  # torch would abort
        say("error: the working folder no longer exists: change to another one and run the command again")
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
    """Open those of stdin, stdout and stderr that are closed on the null device.

    Otherwise the next files opened would get their numbers, and what C libraries print to stderr would be written into
    a picture.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def started_up(last_words: Callable[[], str] | None = None) -> None:
    """Call once a command has loaded what it needs and its work begins. `last_words`: see `interrupts.working`."""
    gc.enable()
    interrupts.working(None if last_words is None else lambda: spell(last_words(), flag))


def progress_bar(total: float, unit: str, description: str = "") -> tqdm[Any]:
    """A bar on stderr with rate and time left; invisible where stderr is not a terminal."""
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
