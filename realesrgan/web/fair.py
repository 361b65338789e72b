"""A queue that serves clients in turn, so that one with a thousand pictures does not make the others wait."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator


class FairQueue:
    """Jobs that wait, by client: each client's in the order they came, the clients in turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[str]] = OrderedDict()  # the client to be served next is the first

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, client: str, job: str) -> None:
        self._waiting.setdefault(client, deque()).append(job)

    def put_back(self, client: str, job: str) -> None:
        """Add a job that was taken and could not be done: it is the next to be taken."""
        self._waiting.setdefault(client, deque()).appendleft(job)
        self._waiting.move_to_end(client, last=False)

    def remove(self, job: str) -> None:
        """Take a job out of the queue, if it is in it."""
        for client, jobs in list(self._waiting.items()):
            if job in jobs:
                jobs.remove(job)
                if not jobs:
                    del self._waiting[client]

    def first(self) -> str | None:
        """The job that `take` would give."""
        return next(iter(self._waiting.values()))[0] if self._waiting else None

    def take(self) -> str:
        """Take the next job; its client is served again after all others.

        Raises:
            IndexError: none is waiting.
        """
        if not self._waiting:
            raise IndexError("nothing is waiting")
        client, jobs = next(iter(self._waiting.items()))
        job = jobs.popleft()
        if jobs:
            self._waiting.move_to_end(client)
        else:
            del self._waiting[client]
        return job

    def __iter__(self) -> Iterator[str]:
        """Yield all jobs in the order in which they would be taken, without taking them."""
        rounds = [list(jobs) for jobs in self._waiting.values()]
        for number in range(max(map(len, rounds), default=0)):
            yield from (jobs[number] for jobs in rounds if number < len(jobs))
