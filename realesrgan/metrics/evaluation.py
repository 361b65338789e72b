"""The job: measure pairs of pictures and videos, several at a time, in order. Prints nothing."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..engine.cgroups import free_memory_bytes, processor_count
from ..restorer import Reporter
from ..threads import Crew
from ..values import check_whole_number
from . import temporal
from .measuring import Measuring, Row
from .metric import Metric, mean
from .pairs import Pair, Pairs

HELD_SHARE = 0.5  # of the free memory, for what all workers hold


@dataclass
class Evaluation:
    """All that was measured, in the order of the pairs, and a line for each failure, those of matching included."""

    metrics: tuple[Metric, ...]
    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What the values are called, in order; those of videos last."""
        steady = temporal.NAMES if any(row.pair.videos for row in self.rows) else ()
        return [*(metric.name for metric in self.metrics), *steady]

    def means(self) -> dict[str, float]:
        """The mean over all rows; see `metric.mean` for infinite ones."""
        return {name: mean([row.values.get(name, math.nan) for row in self.rows]) for name in self.names}

    def infinite(self, name: str) -> int:
        """How many values of this name are infinite: results that are their originals."""
        return sum(math.isinf(row.values.get(name, math.nan)) for row in self.rows)


def evaluate(
    matched: Pairs, metrics: Sequence[Metric], reporter: Reporter, *, border: int = 0, workers: int | None = None
) -> Evaluation:
    """Measure every pair that was matched; one that fails is reported, and the others go on.

    `border` pixels on each side do not count, for any metric. `workers` pairs are measured at once, by default as many
    as there are processors and memory for; the results do not depend on it. `reporter` knows a pair by its result.

    Raises:
        UsageError: an option is invalid.
        Cancelled: raised by `reporter.check`.
    """
    check_options(border, workers)
    pairs = matched.pairs
    if any(pair.videos is None and any(header.has_alpha for header in pair.headers) for pair in pairs):
        reporter.remark("pictures with transparency are compared as they look on black")
    outcomes: list[tuple[Row | None, list[str]]] = [(None, [])] * len(pairs)
    numbers, taking = itertools.count(), threading.Lock()

    def take() -> int | None:
        with taking:
            number = next(numbers)
        return number if number < len(pairs) else None

    def check() -> None:
        crew.check()
        reporter.check()

    def work() -> None:
        while (number := take()) is not None:
            check()
            measuring = Measuring(pairs[number], metrics, border, reporter, check)
            outcomes[number] = measuring.run(), measuring.failures

    with Crew() as crew:
        for number in range(min(workers or _default_workers(pairs), max(1, len(pairs)))):
            crew.start(f"measure-{number}", work)
    found = Evaluation(tuple(metrics), failures=list(matched.failures))
    for row, failures in outcomes:
        found.rows += [] if row is None else [row]
        found.failures += failures
    return found


def check_options(border: int, workers: int | None) -> None:
    """Raise UsageError unless these are numbers that make sense; a front end asks before it looks at files."""
    check_whole_number("border", border, 0)
    if workers is not None:
        check_whole_number("workers", workers, 1)


def _default_workers(pairs: Sequence[Pair]) -> int:
    largest = max((pair.held_bytes for pair in pairs), default=1)
    return max(1, min(processor_count(), int(HELD_SHARE * free_memory_bytes() / largest)))
