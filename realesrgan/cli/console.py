"""What all commands share of talking to a person: messages, progress, exit codes."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from ..errors import DeviceError, RealESRGANError, UsageError
from ..model_zoo import WeightFile

DONE, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def say(message: str) -> None:
    """Print a line about the work to stderr, above a progress bar if there is one."""
    tqdm.write(message, file=sys.stderr)


def announce(message: str) -> None:
    """Print a line of results to stdout."""
    tqdm.write(message, file=sys.stdout)


class _LogLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        word = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        say(f"{word}{record.getMessage()}")


def run(command: Callable[[], int]) -> int:
    """Run a command and return its exit code: errors a user can mend become one message, bugs keep their traceback.

    Until it calls `started_up`, or ends, no garbage is looked for: importing torch makes a million objects that stay,
    and going through them again and again takes a tenth of the start.
    """
    gc.disable()
    logger = logging.getLogger("realesrgan")
    if not any(isinstance(handler, _LogLines) for handler in logger.handlers):
        logger.addHandler(_LogLines(logging.INFO))
        logger.setLevel(logging.INFO)
    try:
        return command()
    except (UsageError, DeviceError) as error:
        say(f"error: {error}")
        return WRONG_USAGE
    except RealESRGANError as error:
        say(f"error: {error}")
        return SOME_FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    finally:
        started_up()


def started_up() -> None:
    """To be called by a command when what it needs is loaded and its work begins."""
    gc.enable()


def progress_bar(total: float, unit: str, description: str = "") -> tqdm[Any]:
    """A bar on stderr with rate and time left; nothing where stderr is no terminal."""
    return tqdm(
        total=total, unit=unit, unit_scale=True, desc=description, disable=None, dynamic_ncols=True, leave=False
    )


class DownloadBars:
    """Shows one bar for each file that is being downloaded; give its `report` to whatever may download."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._file: WeightFile | None = None
        self._lock = threading.Lock()

    def report(self, file: WeightFile, here: int) -> None:
        with self._lock:
            if self._bar is None or file != self._file:
                self.close()
                say(f"downloading {file.name} from {file.url}")
                self._bar, self._file = progress_bar(file.size_bytes or 0, "B", file.name), file
            self._bar.update(here - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.8 s, 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, thing: str) -> str:
    """1 picture, 2 pictures."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
