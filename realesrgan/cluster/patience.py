"""When to wait no longer: for a worker that gives no sign, for a unit, for anybody at all. Knows no sessions."""

from __future__ import annotations

from dataclasses import dataclass

from ..words import duration
from .flights import Rates, Worker
from .pool import Lost
from .units import Unit


@dataclass(frozen=True)
class Limits:
    """When a scheduler loses patience.

    Attributes:
        in_flight: units a worker has at most; the second one is there when the first is finished.
        attempts: on how many workers a unit may fail.
        silence_s: a worker that gives no sign for so long is given up, or for `silence_medians` times as long as the
            unit should take, if that is longer.
        first_s: the same before any unit is finished, so that nothing is known.
        none_s: how long to wait where no worker can take part.
        alone_s: how long to wait where all that took part are gone.
    """

    in_flight: int = 2
    attempts: int = 3
    silence_s: float = 60.0
    silence_medians: float = 5.0
    first_s: float = 600.0
    none_s: float = 10.0
    alone_s: float = 300.0
    tick_s: float = 0.1

    def given_up(self, worker: Worker, rates: Rates, now_s: float) -> Lost | None:
        """Why a worker that has units is to be given up; None: it is not."""
        unit = worker.first.flight.unit
        limit_s = self._patience_s(worker, unit, rates)
        if now_s - worker.heard_s > limit_s:
            return Lost(worker.info.worker, f"has not answered for {duration(limit_s)}")
        if now_s - worker.idle_or_since_s(worker.first) > limit_s:
            reason = f"has made no progress with {unit.name} for {duration(limit_s)}"
            return Lost(worker.info.worker, reason, crashed=True)
        return None

    def _patience_s(self, worker: Worker, unit: Unit, rates: Rates) -> float:
        """How long a worker may give no sign while it has `unit`."""
        if rates.median is None:
            return max(self.first_s, self.silence_s)
        rate = max(rates.median, worker.rate or 0.0)
        return max(self.silence_s, self.silence_medians * rate * unit.work)
