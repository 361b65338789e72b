"""EXIF goes into TIFF files and comes out of them again."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import pytest
import pyvips
from tiny import picture

from realesrgan.image import files, tiff_exif
from realesrgan.image.files import Metadata, Picture

MAKER, EXPOSURE_S = b"Somebody & Sons\0", (1, 250)


def exif_block(order: str) -> bytes:
    """EXIF of a maker, an exposure time, the pixel size 7×5 and a latitude, as a camera of this byte order writes."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(f"{order}HHHII", 3, 271, 2, len(MAKER), 50)
    first += struct.pack(f"{order}HHIIHHIII", 34665, 4, 1, 66, 34853, 4, 1, 116, 0)
    camera = struct.pack(f"{order}HHHII", 3, 33434, 5, 1, 108)
    camera += struct.pack(f"{order}HHIIHHIII", 40962, 4, 1, 7, 40963, 4, 1, 5, 0)
    body = mark + struct.pack(f"{order}I", 8) + first
    body = body.ljust(50, b"\0") + MAKER + camera
    body = body.ljust(108, b"\0") + struct.pack(f"{order}II", *EXPOSURE_S)
    return tiff_exif.EXIF_HEADER + body + struct.pack(f"{order}HHHI4sI", 1, 1, 2, 2, b"N\0\0\0", 0)


def write_tiff(path: Path, order: str, height: int = 5, width: int = 7) -> Picture:
    original = Picture(picture(height, width), Metadata({"exif-data": (pyvips.GValue.blob_type, exif_block(order))}))
    files.write(path, original)
    return original


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_written_into_a_tiff_is_read_back_and_the_pixels_stay(tmp_path: Path, order: str) -> None:
    original = write_tiff(tmp_path / "a.tiff", order)
    files.write(tmp_path / "b.jpg", files.read(tmp_path / "a.tiff"))
    assert (files.read(tmp_path / "a.tiff").pixels == original.pixels).all()
    told = pyvips.Image.new_from_file(str(tmp_path / "b.jpg"))
    assert told.get("exif-ifd0-Make").startswith("Somebody & Sons")
    assert told.get("exif-ifd2-ExposureTime").startswith("1/250")
    assert told.get("exif-ifd3-GPSLatitudeRef").startswith("N")


def test_the_pixel_size_in_exif_becomes_that_of_the_picture(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tiff", "<", height=20, width=28)
    files.write(tmp_path / "b.png", files.read(tmp_path / "a.tiff"))
    told = pyvips.Image.new_from_file(str(tmp_path / "b.png"))
    assert told.get("exif-ifd2-PixelXDimension").startswith("28")
    assert told.get("exif-ifd2-PixelYDimension").startswith("20")


def test_a_damaged_exif_block_leaves_the_tiff_as_it_is(tmp_path: Path) -> None:
    files.write(tmp_path / "a.tiff", Picture(picture(5, 7)))
    before = (tmp_path / "a.tiff").read_bytes()
    block = exif_block("<")
    for damaged in (b"", b"Exif\0\0", block[:30], block[:60], block.replace(struct.pack("<I", 66), b"\xff" * 4)):
        tiff_exif.complete(tmp_path / "a.tiff", damaged, 7, 5, has_density=True)
        assert (tmp_path / "a.tiff").read_bytes() == before


def test_a_tiff_without_exif_has_none(tmp_path: Path) -> None:
    files.write(tmp_path / "a.tiff", Picture(picture(5, 7)))
    assert tiff_exif.extract(tmp_path / "a.tiff") is None


def crowded_tiff(entries: int, value_bytes: int, tag: int = 270) -> bytes:
    """A small file whose first directory has very many entries, which all point to the same bytes."""
    at = 8 + 2 + 12 * entries + 4
    directory = b"".join(struct.pack("<HHII", tag, 7, value_bytes, at) for _ in range(entries))
    return b"II*\0" + struct.pack("<IH", 8, entries) + directory + bytes(4) + bytes(value_bytes)


def nested_tiff(entries: int) -> bytes:
    """A directory all whose entries are sub-directories that point back to itself."""
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in tiff_exif.SUB_DIRECTORIES * (entries // 3))
    return b"II*\0" + struct.pack("<IH", 8, len(directory) // 12) + directory + bytes(4)


@pytest.mark.parametrize("content", [crowded_tiff(900, 1 << 20), crowded_tiff(60000, 40000), nested_tiff(900)])
def test_a_directory_that_stands_for_gigabytes_takes_neither_memory_nor_time(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tiff").write_bytes(content)
    tracemalloc.start()
    began = time.process_time()
    exif = tiff_exif.extract(tmp_path / "a.tiff")
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert exif is None or len(exif) < 65536
    assert peak < 10e6
    assert seconds < 5


def test_what_is_too_large_for_exif_is_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    large = struct.pack("<HHII", 270, 2, 100_000, 50)
    maker = struct.pack("<HHI4s", 271, 2, 4, b"Me.\0")
    (tmp_path / "a.tiff").write_bytes(
        b"II*\0" + struct.pack("<IH", 8, 2) + large + maker + bytes(4) + bytes(16) + b"x" * 100_000
    )
    exif = tiff_exif.extract(tmp_path / "a.tiff")
    assert exif is not None
    assert b"Me." in exif
    assert b"xxx" not in exif
