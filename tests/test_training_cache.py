"""What the cache gives is what was decoded, whole, whoever wrote it and however it ended; without it, work goes on."""

from __future__ import annotations

import os
import pickle
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.restorer import Reporter
from realesrgan.training import cache as module
from realesrgan.training.cache import PictureCache
from realesrgan.training.pictures import PictureFile

ROOM = 100_000  # bytes, more than all pictures of a test take


class Log(Reporter):
    """A reporter that records warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Killed(BaseException):
    """Ends a process in the middle of its work."""


def pixels_of(index: int, side: int = 10, depth: Any = np.uint8) -> Array:
    return picture(side, side + 1, 3, depth, seed=index)


def describe(*all_pixels: Array) -> list[PictureFile]:
    return [
        PictureFile(Path(f"{index}.png"), pixels.shape[1], pixels.shape[0], pixels.itemsize * 8, 100, 7)
        for index, pixels in enumerate(all_pixels)
    ]


THREE = [pixels_of(0), pixels_of(1, depth=np.uint16), pixels_of(2)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "KEPT_FREE_BYTES", 0)
    return tmp_path / "cache"


def cache_of(folder: Path, all_pixels: list[Array] = THREE, room: int = ROOM, **how: Any) -> PictureCache:
    return PictureCache(describe(*all_pixels), folder, room, how.pop("reporter", Reporter()), **how)


def fill(cache: PictureCache, all_pixels: list[Array] = THREE) -> None:
    for index, pixels in enumerate(all_pixels):
        cache.put(index, pixels)


def found(cache: PictureCache, all_pixels: list[Array] = THREE) -> list[bool]:
    """Which pictures are there; those that are must be right."""
    results = [cache.get(index) for index in range(len(all_pixels))]
    for pixels, result in zip(all_pixels, results, strict=True):
        assert result is None or (result.dtype == pixels.dtype and np.array_equal(result, pixels))
    return [result is not None for result in results]


def test_what_was_put_in_comes_out_in_its_depth(folder: Path) -> None:
    with cache_of(folder) as cache:
        assert found(cache) == [False, False, False]
        cache.put(1, THREE[1])
        assert found(cache) == [False, True, False]
        fill(cache)
        assert found(cache) == [True, True, True]


def test_what_one_process_puts_in_every_other_finds(folder: Path) -> None:
    with cache_of(folder) as first:
        before = pickle.loads(pickle.dumps(first))
        assert found(before) == [False, False, False]
        first.put(0, THREE[0])
        before.put(2, THREE[2])
        after = pickle.loads(pickle.dumps(first))
        assert found(first) == found(before) == found(after) == found(cache_of(folder)) == [True, False, True]


def test_pixels_that_are_a_view_of_others_are_kept_as_they_look(folder: Path) -> None:
    with cache_of(folder) as cache:
        cache.put(0, THREE[0][:, ::-1])
        assert np.array_equal(cache.get(0), THREE[0][:, ::-1])  # type: ignore[arg-type]


def test_no_more_is_kept_than_was_allowed_and_smaller_pictures_still_fit(folder: Path) -> None:
    pictures = [pixels_of(0, 20), pixels_of(1, 40), pixels_of(2, 20)]
    room = 64 + 2 * pictures[0].nbytes + 2 * 64
    with cache_of(folder, pictures, room) as cache:
        fill(cache, pictures)
        assert found(cache, pictures) == [True, False, True]
        assert cache.path.stat().st_size <= room
        assert cache.note is None


def test_without_room_for_anything_no_file_is_made(folder: Path) -> None:
    with cache_of(folder, room=0) as cache:
        fill(cache)
        assert found(cache) == [False, False, False]
    assert not folder.exists()


def test_the_file_is_removed_in_the_end_unless_it_is_to_be_kept(folder: Path) -> None:
    with cache_of(folder) as cache:
        fill(cache)
    assert list(folder.iterdir()) == []
    assert found(cache) == [False, False, False]
    with cache_of(folder, keep=True) as cache:
        fill(cache)
    assert list(folder.iterdir()) == [cache.path]
    assert found(cache_of(folder)) == [True, True, True]


@pytest.mark.parametrize("written", [0, 1, 200, 329, 330, 331, 334, 338])
def test_a_picture_half_written_when_a_process_was_killed_is_not_taken_for_whole(
    folder: Path, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """330 bytes of pixels, then 8 of the entry that vouches for them."""
    assert THREE[0].nbytes == 330
    killed, left = cache_of(folder), written

    def write(file: FileIO, place: int, data: Array) -> None:
        nonlocal left
        whole(file, place, data[:left])
        left -= len(data)
        if left <= 0:
            raise Killed

    whole = module._write
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", write)
        with pytest.raises(Killed):
            killed.put(0, THREE[0])
    later = cache_of(folder)
    assert found(later)[0] == (written == 338)
    later.put(0, THREE[0])
    assert found(later)[0]


def test_pixels_that_are_not_what_was_written_are_not_believed(folder: Path) -> None:
    cache = cache_of(folder)
    fill(cache)
    content = bytearray(cache.path.read_bytes())
    content[64 + 100] ^= 1
    cache.path.write_bytes(content)
    later = cache_of(folder)
    assert later.get(0) is None
    assert later.get(1) is not None


def test_a_changed_picture_is_decoded_again(folder: Path) -> None:
    fill(cache_of(folder))
    files = describe(*THREE)
    for change in ({"modified_ns": 8}, {"size_bytes": 101}, {"path": Path("other.png")}):
        changed = [files[0], PictureFile(**{name: getattr(files[1], name) for name in files[1].__slots__} | change)]
        assert PictureCache([*changed, files[2]], folder, ROOM, Reporter()).get(1) is None
    assert cache_of(folder).get(1) is not None


def test_a_full_disk_ends_the_filling_and_leaves_what_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cache_of(folder) as cache:
        cache.put(0, THREE[0])
        monkeypatch.setattr(module, "KEPT_FREE_BYTES", 1 << 62)
        cache.put(1, THREE[1])
        assert cache.note is not None
        assert "no more decoded pictures" in cache.note
        monkeypatch.setattr(module, "KEPT_FREE_BYTES", 0)
        cache.put(2, THREE[2])
        assert found(cache) == [True, False, False]


def test_a_write_that_fails_ends_the_filling_and_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: FileIO, place: int, data: Array) -> None:
        raise OSError(28, "No space left on device")

    with cache_of(folder) as cache:
        cache.put(0, THREE[0])
        monkeypatch.setattr(module, "_write", refuse)
        cache.put(1, THREE[1])
        assert "No space left on device" in (cache.note or "")
        assert found(cache) == [True, False, False]


def test_a_folder_that_cannot_be_written_is_said_once_and_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = Log()
    with cache_of(tmp_path / "file" / "cache", reporter=log) as cache:
        fill(cache)
        assert found(cache) == [False, False, False]
    assert ["cannot be kept there" in line for line in log.warnings] == [True]


def test_only_what_is_written_takes_room_on_the_disk(folder: Path) -> None:
    pictures = [pixels_of(index, 200) for index in range(20)]
    with cache_of(folder, pictures, 1 << 30) as cache:
        fill(cache, pictures[:1])
        facts = os.stat(cache.path)
        assert facts.st_size > 20 * pictures[0].nbytes
        if getattr(facts, "st_blocks", 0):
            assert facts.st_blocks * 512 < 5 * pictures[0].nbytes
