"""The pixels that a sample is made of: decoded, or from the cache, and never from a picture that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..arrays import Array
from ..errors import ImageFileError, UsageError
from .cache import PictureCache
from .order import picture_of
from .pictures import Pictures, decode


class Source:
    """Finds the pixels for a sample number in data sets of equal length, whose pictures belong together by position.

    In place of a picture that cannot be decoded, or whose partner cannot, the next one in the epoch's order is taken,
    which is again a function of the number: other processes, and later runs, take the same. A `cache` holds the
    pictures of all data sets, one set after the other.
    """

    def __init__(self, sets: Sequence[Pictures], seed: int, cache: PictureCache | None = None) -> None:
        self.count = len(sets[0].files)
        self._sets = tuple(sets)
        self._seed = seed
        self._cache = cache

    def path(self, number: int) -> Path:
        """The picture that sample `number` is made of, if it can be decoded."""
        return self._sets[0].files[picture_of(self._seed, number, self.count)].path

    def pixels(self, number: int) -> tuple[list[Array], tuple[str, ...]]:
        """The pixels of one picture of each set, (H, W, 3) BGR, not to be written to; and lines of what went wrong.

        Raises:
            UsageError: not a single picture can be decoded.
        """
        notes: list[str] = []
        for index in self._candidates(number):
            try:
                found = [self._read(which, index) for which in range(len(self._sets))]
            except ImageFileError as error:
                notes.append(f"{error.message}; the next picture of the order takes its place")
                continue
            if self._cache is not None and self._cache.note is not None:
                notes.append(self._cache.note)
            return found, tuple(notes)
        raise UsageError(f"`dataroot_gt`: none of the pictures can be decoded; {notes[0]}")

    def _candidates(self, number: int) -> Iterator[int]:
        epoch, place = divmod(number, self.count)
        for later in range(self.count):
            yield picture_of(self._seed, epoch * self.count + (place + later) % self.count, self.count)

    def _read(self, which: int, index: int) -> Array:
        file = self._sets[which].files[index]
        if self._cache is None:
            return decode(file)
        slot = which * self.count + index
        pixels = self._cache.get(slot)
        if pixels is None:
            pixels = decode(file)
            self._cache.put(slot, pixels)
        return pixels
