"""metrics.jsonl: what a training came to, line by line, and the same for TensorBoard. Knows nothing of networks."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from ..errors import RealESRGANError
from ..outputs import appearing
from ..restorer import Reporter
from . import board
from .lines import Line, Logged, Validated, parse

FILE_NAME = "metrics.jsonl"


class Journal:
    """Adds lines to `folder`/metrics.jsonl, each as soon as it is known. Use in `with`, in one process only.

    What lies after `iteration`, where training begins or goes on, is forgotten, and so is a line that was cut short
    when a run was killed. So a run that was killed and resumed has the lines of one that was not, but for times.

    Args:
        tensorboard: a folder for the same numbers in TensorBoard's format.

    Attributes:
        logged, validated: all lines, those of earlier runs included.

    Raises:
        RealESRGANError: the file cannot be read or written.
    """

    def __init__(
        self, folder: Path, *, iteration: int = 0, tensorboard: Path | None = None, reporter: Reporter | None = None
    ) -> None:
        self.logged: list[Logged] = []
        self.validated: list[Validated] = []
        self._path = folder / FILE_NAME
        self._reporter = reporter or Reporter()
        self._cut = self._refused = False
        try:
            self._keep_until(iteration)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise RealESRGANError(f"{self._path}: cannot be written ({error.strerror})") from error
        self._board = (
            board.open_board(tensorboard, iteration=iteration, reporter=self._reporter) if tensorboard else None
        )

    @property
    def seconds(self) -> float:
        """How long was trained until the last line."""
        return self.logged[-1].seconds if self.logged else 0.0

    def add(self, line: Line) -> None:
        """Write a line, unless one of its kind and iteration is there.

        A disk that refuses is warned of once and does not stop the training.
        """
        if not self._remember(line):
            return
        text = b"\n" * self._cut + line.model_dump_json().encode() + b"\n"
        try:
            self._cut = self._file.write(text) < len(text)
        except OSError as error:
            self._refuse(error)
        if self._board is not None:
            board.add(self._board, line)
            self._board.flush()

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _remember(self, line: Line) -> bool:
        lines: list[Line] = self.logged if isinstance(line, Logged) else self.validated  # type: ignore[assignment]
        if lines and lines[-1].iteration >= line.iteration:
            return False
        lines.append(line)
        return True

    def _keep_until(self, iteration: int) -> None:
        """Write the file anew with the lines up to `iteration`; by rename, so that no kill loses any."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            return
        with appearing(self._path, durable=True) as part, self._path.open("rb") as file, part.open("wb") as kept:
            for text in file:
                line = parse(text)
                if line is not None and line.iteration <= iteration and self._remember(line):
                    kept.write(text.rstrip(b"\n") + b"\n")

    def _refuse(self, error: OSError) -> None:
        self._cut = True  # some of the line may be there
        if not self._refused:
            self._refused = True
            self._reporter.warn(f"{self._path}: cannot be written ({error.strerror}); training goes on without it")
