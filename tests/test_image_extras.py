"""Frames, pages and gain maps that are not restored are named; a damaged scan is, too."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from test_image_files import gradient, needs, save, to_vips
from test_image_metadata import png

from realesrgan.errors import ImageFileError
from realesrgan.image import extras, files
from realesrgan.image.files import Picture
from realesrgan.image.png_chunks import Chunk


def animation(path: Path, frames: int) -> Path:
    """Pictures stacked vertically, which libvips takes for pages."""
    strip = to_vips(np.vstack([np.roll(gradient(), number, axis=1) for number in range(frames)]))
    strip = strip.copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", gradient().shape[0])
    return save(strip, path)


@pytest.mark.parametrize(("extension", "word"), [("gif", "frames"), ("webp", "frames"), ("tiff", "pages")])
def test_more_frames_or_pages_are_one_line_with_their_number(tmp_path: Path, extension: str, word: str) -> None:
    read = files.read(animation(tmp_path / f"a.{extension}", 3))
    (line,) = read.remarks
    assert f"3 {word}" in line
    assert ("video" in line) == (word == "frames")
    assert read.pixels.shape[:2] == gradient().shape[:2]
    assert files.read(animation(tmp_path / f"b.{extension}", 1)).remarks == ()


def test_an_animated_png_says_how_many_frames_it_has(tmp_path: Path) -> None:
    read = files.read(png(tmp_path / "a.png", Chunk(b"acTL", struct.pack(">II", 12, 0))))
    assert "12 frames" in read.remarks[0]
    assert files.read(png(tmp_path / "b.png", Chunk(b"acTL", struct.pack(">II", 1, 0)))).remarks == ()


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def sequence(frames: int) -> bytes:
    sizes = box(b"stsz", struct.pack(">4xII", 0, frames))
    return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", sizes)))))


def test_an_avif_sequence_says_how_many_frames_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(box(b"ftyp", b"avis", bytes(4)) + sequence(7))
    (line,) = extras.remarks(tmp_path / "a.avif", "heif", 1)
    assert "7 frames" in line


def jpeg_with_gain_map(path: Path, mark: bytes) -> Path:
    """A picture with a second one behind it, as CIPA DC-007 has it, and the mark that says what that is."""
    save(to_vips(gradient()), path, keep="none")
    content = path.read_bytes()
    index = b"MPF\0" + b"II*\0" + bytes(30)
    content = content[:2] + struct.pack(">BBH", 0xFF, 0xE2, len(index) + 2) + index + content[2:]
    path.write_bytes(content + b"\xff\xd8\xff\xe1\0\x40" + mark + content[2:])
    return path


@pytest.mark.parametrize(
    "mark",
    [
        b'hdrgm:Version="1.0"',
        b"urn:com:apple:photo:2020:aux:hdrgainmap",
        b"urn:iso:std:iso:ts:21496:-1\0",
    ],
)
def test_a_gain_map_of_a_jpeg_is_named(tmp_path: Path, mark: bytes) -> None:
    (line,) = files.read(jpeg_with_gain_map(tmp_path / "a.jpg", mark)).remarks
    assert "gain map" in line


def test_a_second_picture_that_is_a_preview_is_not_a_gain_map(tmp_path: Path) -> None:
    assert files.read(jpeg_with_gain_map(tmp_path / "a.jpg", b"a preview")).remarks == ()


def test_an_ultra_hdr_picture_is_read_as_the_picture_of_ordinary_screens(tmp_path: Path) -> None:
    if not pyvips.type_find("VipsOperation", "uhdrsave"):
        pytest.skip("this libvips was built without Ultra HDR")
    bright = (to_vips(np.tile(gradient(), (4, 4, 1))).colourspace("scrgb") * 3).copy(interpretation="scrgb")
    bright.uhdrsave(str(tmp_path / "a.jpg"))
    read = files.read(tmp_path / "a.jpg")
    assert read.pixels.shape == (80, 128, 3)
    assert "gain map" in read.remarks[0]
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 4])
    with pytest.raises(ImageFileError, match="cut short"):
        files.read(tmp_path / "cut.jpg")


@pytest.mark.parametrize("mark", [b"urn:com:apple:photo:2020:aux:hdrgainmap\0", b"tmap"])
def test_a_gain_map_of_a_heif_file_is_named(tmp_path: Path, mark: bytes) -> None:
    kind = b"auxC" if mark.startswith(b"urn") else b"iinf"
    properties = box(b"iprp", box(b"ipco", box(b"auxC", bytes(4), mark))) if kind == b"auxC" else b""
    items = box(b"iinf", bytes(6), box(b"infe", bytes(8), mark)) if kind == b"iinf" else b""
    content = box(b"ftyp", b"heic", bytes(4)) + box(b"meta", bytes(4), items, properties)
    (tmp_path / "a.heic").write_bytes(content)
    assert extras.look_into(tmp_path / "a.heic").gain_map
    (tmp_path / "b.heic").write_bytes(content.replace(mark, b"x" * len(mark)) + box(b"mdat", mark))
    assert not extras.look_into(tmp_path / "b.heic").gain_map


def test_an_avif_that_claims_to_be_longer_than_any_picture_is_refused_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    needs("avif")
    files.write(tmp_path / "a.avif", Picture(gradient()))
    content = (tmp_path / "a.avif").read_bytes()
    at = content.index(b"ispe") + 8
    (tmp_path / "a.avif").write_bytes(content[:at] + struct.pack(">II", 1 << 31, 1 << 31) + content[at + 8 :])
    with pytest.raises(ImageFileError, match="2147483648"):
        files.read_header(tmp_path / "a.avif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_to_the_boxes_ends_and_raises_nothing(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    content = bytearray(box(b"ftyp", b"avis", bytes(4)) + box(b"meta", bytes(4), box(b"iprp")) + sequence(3))
    for at in random.integers(12, len(content), 4):
        content[at] = random.integers(256)
    (tmp_path / "a.avif").write_bytes(content[: random.integers(13, len(content) + 1)])
    extras.look_into(tmp_path / "a.avif")


def short_scan(content: bytes) -> bytes:
    """The first half of a JPEG and its end marker, so that the file looks whole."""
    return content[: len(content) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_whose_scan_is_damaged_is_restored_with_a_warning(tmp_path: Path, orientation: int) -> None:
    image = to_vips(np.tile(gradient(), (4, 4, 1)))
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    path = save(image, tmp_path / "a.jpg")
    whole = files.read(path)
    path.write_bytes(short_scan(path.read_bytes()))
    damaged = files.read(path)
    assert whole.warnings == ()
    assert damaged.pixels.shape == whole.pixels.shape
    assert len(damaged.warnings) == 1
    assert "damaged" in damaged.warnings[0]


@pytest.mark.parametrize("behind", [b"", b"\0\0\0\0", b"anything at all"])
def test_bytes_after_the_end_of_a_jpeg_are_not_damage(tmp_path: Path, behind: bytes) -> None:
    path = save(to_vips(gradient()), tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + behind)
    assert files.read(path).warnings == ()


def test_a_warning_of_another_format_is_not_taken_for_damage(tmp_path: Path) -> None:
    content = png(tmp_path / "a.png", Chunk(b"tEXt", b"Title\0Harbour")).read_bytes()
    (tmp_path / "a.png").write_bytes(content.replace(b"Harbour", b"harbour"))  # its CRC is wrong now
    assert np.array_equal(files.read(tmp_path / "a.png").pixels, gradient())
