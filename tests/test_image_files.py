"""Picture files are read by content, written whole or not at all, and keep their depth and what they say."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.errors import ImageFileError
from realesrgan.image import files, formats, vips
from realesrgan.image.files import Metadata, Picture

MAKER = b"Acme\0"
DPI = 300
PIXELS_PER_MM = (DPI / 25.4, DPI / 25.4)
HEIGHT, WIDTH = 20, 32  # of the pictures as they are stored, before any turning
EXPOSURE, PIXEL_WIDTH, PIXEL_HEIGHT, MAKE, ORIENTATION, EXIF_IFD = 0x829A, 0xA002, 0xA003, 0x10F, 0x112, 0x8769


def needs(extension: str) -> None:
    if extension not in formats.writable_formats():
        pytest.skip(f"this libvips was built without a codec for {extension}")


def difference(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def gradient(height: int = HEIGHT, width: int = WIDTH) -> Array:
    """BGR that changes slowly, which lossy formats keep well, and differently along each axis."""
    rows, columns = np.indices((height, width))
    return np.dstack((rows * 200 // height, columns * 200 // width, 220 - rows * 80 // height)).astype(np.uint8)


def to_vips(pixels: Array, **header: Any) -> pyvips.Image:
    """A BGR picture as libvips reads it, without this project's code."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels[..., ::-1])).copy(interpretation="srgb", **header)


def save(image: pyvips.Image, path: Path, **options: Any) -> Path:
    saver = {"jpg": "jpegsave", "png": "pngsave", "webp": "webpsave", "tiff": "tiffsave", "gif": "gifsave"}
    quality = {"jpg": {"Q": 98, "subsample_mode": "off"}, "webp": {"lossless": True}}
    name = path.suffix[1:]
    getattr(image, saver[name])(str(path), **quality.get(name, {}), **options)
    return path


def exif_block(orientation: int) -> bytes:
    """EXIF as a camera writes it: maker, orientation, and in its own directory exposure time and pixel size."""
    make_at, camera_at, exposure_at = 50, 56, 98
    block = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 3)
    block += struct.pack("<HHII", MAKE, 2, len(MAKER), make_at) + struct.pack("<HHII", ORIENTATION, 3, 1, orientation)
    block += struct.pack("<HHII", EXIF_IFD, 4, 1, camera_at) + struct.pack("<I", 0)
    block = block.ljust(camera_at, b"\0")[:make_at] + MAKER.ljust(camera_at - make_at, b"\0") + struct.pack("<H", 3)
    block += struct.pack("<HHII", EXPOSURE, 5, 1, exposure_at)
    block += struct.pack("<HHIIHHII", PIXEL_WIDTH, 4, 1, WIDTH, PIXEL_HEIGHT, 4, 1, HEIGHT) + struct.pack("<I", 0)
    return b"Exif\0\0" + block + struct.pack("<II", 1, 250)


def read_exif(block: bytes) -> dict[int, int | bytes | tuple[int, ...]]:
    """The entries of all directories of an EXIF block, read without any library."""
    block = block.removeprefix(b"Exif\0\0")
    order = "<" if block[:2] == b"II" else ">"
    found: dict[int, int | bytes | tuple[int, ...]] = {}

    def read_directory(at: int) -> None:
        for entry in range(struct.unpack_from(f"{order}H", block, at)[0]):
            tag, kind, count = struct.unpack_from(f"{order}HHI", block, at + 2 + 12 * entry)
            value_at = at + 10 + 12 * entry
            size = {3: 2, 4: 4, 5: 8}.get(kind, 1) * count
            if size > 4:
                value_at = struct.unpack_from(f"{order}I", block, value_at)[0]
            if tag == EXIF_IFD:
                read_directory(struct.unpack_from(f"{order}I", block, value_at)[0])
            elif kind in (3, 4) and count == 1:
                found[tag] = struct.unpack_from(order + {3: "H", 4: "I"}[kind], block, value_at)[0]
            elif kind == 5:
                found[tag] = struct.unpack_from(f"{order}{2 * count}I", block, value_at)
            else:
                found[tag] = block[value_at : value_at + size]

    read_directory(struct.unpack_from(f"{order}I", block, 4)[0])
    return found


def xmp_packet(orientation: int, width: int, height: int) -> bytes:
    """XMP with the same facts in attributes and in elements, as different programs write them, and a title."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="{orientation}" tiff:ImageWidth="{width}" '
        f"exif:PixelXDimension='{width}'><tiff:ImageLength>{height}</tiff:ImageLength>"
        f"<exif:PixelYDimension>{height}</exif:PixelYDimension><dc:title>Harbour, 1912</dc:title>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def camera_file(path: Path, orientation: int = 1, profile: str = "p3") -> Path:
    """A gradient with EXIF, XMP, a profile and 300 dpi, as if turned by `orientation` when it was taken."""
    image = to_vips(gradient(), xres=PIXELS_PER_MM[0], yres=PIXELS_PER_MM[1])
    image.set_type(pyvips.GValue.blob_type, "exif-data", exif_block(orientation))
    image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp_packet(orientation, WIDTH, HEIGHT))
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return save(image, path, profile=profile)


def set_upright(pixels: Array, orientation: int) -> Array:
    """Where the stored first row and first column belong by the EXIF standard."""
    turned: dict[int, Callable[[Array], Array]] = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p.swapaxes(0, 1)[:, ::-1],
        7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
        8: lambda p: p.swapaxes(0, 1)[::-1],
    }
    return turned[orientation](pixels)


def test_the_exif_of_these_tests_can_be_read_back() -> None:
    entries = read_exif(exif_block(6))
    assert entries == {MAKE: MAKER, ORIENTATION: 6, EXPOSURE: (1, 250), PIXEL_WIDTH: WIDTH, PIXEL_HEIGHT: HEIGHT}


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("extension", ["png", "tiff", "PNG", "tif"])
def test_every_depth_and_number_of_channels_comes_back_unchanged(
    tmp_path: Path, extension: str, channels: int, depth: Any
) -> None:
    path, pixels = tmp_path / f"a.{extension}", picture(13, 17, channels, depth)
    files.write(path, Picture(pixels))
    header, back = files.read_header(path), files.read(path).pixels
    assert back.dtype == depth
    assert np.array_equal(back, pixels)
    assert header == files.Header(17, 13, channels, 8 * np.dtype(depth).itemsize, channels == 4)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_gray_with_alpha_is_read_as_four_channels_and_written_as_two_again(
    tmp_path: Path, extension: str, depth: Any
) -> None:
    two = picture(13, 17, 4, depth)[..., (0, 3)].copy()
    kind = "grey16" if depth == np.uint16 else "b-w"
    save(pyvips.Image.new_from_array(two).copy(interpretation=kind), tmp_path / f"a.{extension}")
    read = files.read(tmp_path / f"a.{extension}")
    assert np.array_equal(read.pixels, two[..., (0, 0, 0, 1)])
    files.write(tmp_path / f"b.{extension}", read)
    again = pyvips.Image.new_from_file(str(tmp_path / f"b.{extension}"))
    assert np.array_equal(again.numpy(), two)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bmp_comes_back_unchanged(tmp_path: Path, channels: int) -> None:
    pixels = picture(13, 17, channels)
    files.write(tmp_path / "a.bmp", Picture(pixels))
    assert np.array_equal(files.read(tmp_path / "a.bmp").pixels, pixels)


@pytest.mark.parametrize("extension", ["jpg", "webp", "avif"])
def test_a_lossy_format_keeps_colours_close_and_a_lower_quality_is_smaller(tmp_path: Path, extension: str) -> None:
    needs(extension)
    pixels = cv2.GaussianBlur(picture(64, 64), (0, 0), 4)
    best, worst = tmp_path / f"best.{extension}", tmp_path / f"worst.{extension}"
    files.write(best, Picture(pixels), quality=95)
    files.write(worst, Picture(pixels), quality=10)
    assert difference(files.read(best).pixels, pixels) < 3
    assert worst.stat().st_size < best.stat().st_size / 2


@pytest.mark.parametrize("extension", ["webp", "avif"])
def test_lossy_formats_that_hold_transparency_keep_it(tmp_path: Path, extension: str) -> None:
    needs(extension)
    pixels = np.dstack((gradient(), np.full((HEIGHT, WIDTH), 255, np.uint8)))
    pixels[:, : WIDTH // 2, 3] = 40
    files.write(tmp_path / f"a.{extension}", Picture(pixels))
    back = files.read(tmp_path / f"a.{extension}").pixels
    assert back.shape == pixels.shape
    assert difference(back[..., 3], pixels[..., 3]) < 2


def test_avif_keeps_more_than_eight_bits_of_a_sixteen_bit_picture(tmp_path: Path) -> None:
    needs("avif")
    ramp = np.linspace(20000, 24000, 64).astype(np.uint16)  # 16 levels of 8 bits
    files.write(tmp_path / "a.avif", Picture(np.tile(ramp[None, :, None], (64, 1, 3))), quality=100)
    back = files.read(tmp_path / "a.avif").pixels
    assert back.dtype == np.uint16
    assert np.abs(back[32, :, 1].astype(int) - ramp).max() < 128
    assert len(np.unique(back[32, :, 1])) > 32


@pytest.mark.parametrize("extension", ["bmp", "jpg", "webp"])
def test_sixteen_bits_are_rounded_to_eight_where_the_format_has_no_more(tmp_path: Path, extension: str) -> None:
    needs(extension)
    nearly = np.full((16, 16, 3), 100 * 257 + 200, np.uint16)  # 100.78 of 255: cut off it would be 100
    files.write(tmp_path / f"a.{extension}", Picture(nearly), quality=100)
    back = files.read(tmp_path / f"a.{extension}").pixels
    assert back.dtype == np.uint8
    assert np.rint(back.mean()) == 101


def test_rounding_to_eight_bits_is_to_the_nearest_level_everywhere(tmp_path: Path) -> None:
    every = np.arange(65536).astype(np.uint16).reshape(256, 256)
    files.write(tmp_path / "a.bmp", Picture(every))
    assert np.array_equal(files.read(tmp_path / "a.bmp").pixels, np.rint(every / 257))


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_a_palette_becomes_its_colours(tmp_path: Path, extension: str) -> None:
    four = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [200, 200, 20]], np.uint8)
    pixels = four[np.indices((24, 32)).sum(0) // 8 % 4]
    options = {"palette": True} if extension == "png" else {}
    path = save(to_vips(pixels), tmp_path / f"a.{extension}", **options)
    assert difference(files.read(path).pixels[..., :3], pixels) < 1.5


def test_transparency_of_a_palette_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((24, 32, 4), np.uint8)
    pixels[:, :16] = (20, 40, 250, 255)
    image = pyvips.Image.new_from_array(pixels[..., (2, 1, 0, 3)].copy()).copy(interpretation="srgb")
    header = files.read_header(save(image, tmp_path / "a.gif"))
    assert header is not None
    assert header.has_alpha
    assert set(np.unique(files.read(tmp_path / "a.gif").pixels[..., 3])) == {0, 255}


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    pixels = np.where(np.indices((9, 21)).sum(0) % 3 == 0, 255, 0).astype(np.uint8)
    save(pyvips.Image.new_from_array(pixels), tmp_path / "a.png", bitdepth=1)
    assert np.array_equal(files.read(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("embedded", [True, False])
def test_a_cmyk_jpeg_becomes_srgb_of_the_same_colours(tmp_path: Path, embedded: bool) -> None:
    pixels = np.full((16, 16, 3), (60, 90, 180), np.uint8)  # a brick red, well inside what ink can show
    inks = to_vips(pixels).icc_transform("cmyk", input_profile="srgb")
    assert inks.bands == 4
    save(inks, tmp_path / "a.jpg", **({} if embedded else {"keep": "none"}))
    read = files.read(tmp_path / "a.jpg")
    assert read.pixels.shape == (16, 16, 3)
    assert np.abs(read.pixels.reshape(-1, 3).mean(0) - pixels[0, 0]).max() < 12
    profile = read.metadata.fields["icc-profile-data"][1]
    assert profile[16:20] == b"RGB "  # the colour space an ICC profile is for
    files.write(tmp_path / "b.png", read)
    assert files.read(tmp_path / "b.png").pixels.shape == (16, 16, 3)


@pytest.mark.parametrize("real", ["jpg", "png", "bmp", "tiff"])
@pytest.mark.parametrize("name", ["photo.png", "photo.webp", "photo", "photo.dat", "photo.png[page=1]"])
def test_a_picture_is_known_by_its_content_whatever_it_is_called(tmp_path: Path, real: str, name: str) -> None:
    files.write(tmp_path / f"real.{real}", Picture(gradient()))
    (tmp_path / f"real.{real}").rename(tmp_path / name)
    assert files.read_header(tmp_path / name) is not None
    assert difference(files.read(tmp_path / name).pixels, gradient()) < 4


AWKWARD_NAMES = ("Ünïcode ☃ 画像", "a[page=1]", "b[1]", "x,y=3", "100%s {0}", "it's $HOME; a&b", "-n")


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_no_name_is_taken_for_anything_but_a_name(tmp_path: Path, name: str, extension: str) -> None:
    path = tmp_path / f"{name}.{extension}"
    files.write(path, Picture(gradient()))
    assert list(tmp_path.iterdir()) == [path]
    assert difference(files.read(path).pixels, gradient()) < 4


def test_text_numbers_and_drawings_are_not_pictures(tmp_path: Path) -> None:
    contents = {
        "notes.txt": b"BMW, a car maker",
        "matrix.txt": b"2 2\n1 2\n3 4\n",
        "page.html": b"<html><body>no picture</body></html>",
        "logo.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="3" height="3"/></svg>',
        "broken.png": b"once a picture",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert files.read_header(tmp_path / name) is None, name
        with pytest.raises(ImageFileError, match=name):
            files.read(tmp_path / name)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp", "avif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_file_cut_short_is_refused_by_name(tmp_path: Path, extension: str, share: float) -> None:
    needs(extension)
    path = tmp_path / f"half.{extension}"
    files.write(path, Picture(picture(64, 64)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageFileError, match=f"half.{extension}: .*(damaged|cut short)") as caught:
        files.read(path)
    assert "\n" not in str(caught.value)


def test_a_jpeg_with_a_damaged_scan_is_read_only_by_the_tolerant(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    files.write(path, Picture(picture(64, 64)))
    content = path.read_bytes()
    scan = content.index(b"\xff\xda") + 20
    path.write_bytes(content[:scan] + b"\xff\xd0" * 20 + content[scan + 40 :])
    assert "its data is damaged" in files.read(path).warnings[0]
    with pytest.raises(ImageFileError, match=r"a.jpg: damaged"):
        files.read(path, tolerant=False)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_compression_makes_a_png_smaller_and_changes_no_pixel(tmp_path: Path, depth: Any) -> None:
    pixels = picture(96, 96, 3, depth)
    sizes = []
    for compression in (0, 1, 9):
        files.write(tmp_path / "a.png", Picture(pixels), compression=compression)
        sizes.append((tmp_path / "a.png").stat().st_size)
        assert np.array_equal(files.read(tmp_path / "a.png").pixels, pixels)
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_single_pixel_and_a_single_line_keep_their_shape(
    tmp_path: Path, size: tuple[int, int], channels: int
) -> None:
    pixels = picture(*size, channels)
    files.write(tmp_path / "a.png", Picture(pixels))
    assert np.array_equal(files.read(tmp_path / "a.png").pixels, pixels)


def test_a_damaged_picture_makes_no_noise_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for extension in ("png", "jpg", "tiff", "bmp"):
        path = tmp_path / f"half.{extension}"
        files.write(path, Picture(picture(64, 64)))
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ImageFileError):
            files.read(path)
    told = capfd.readouterr()
    assert told.out + told.err == ""


@pytest.mark.parametrize("ask", [files.read_header, files.read])
@pytest.mark.parametrize("kind", ["empty", "missing", "directory"])
def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path, kind: str, ask: Callable[[Path], object]) -> None:
    path = tmp_path / f"{kind}.png"
    if kind == "empty":
        path.touch()
    elif kind == "directory":
        path.mkdir()
    with pytest.raises(ImageFileError, match=f"{kind}.png: ") as caught:
        ask(path)
    assert str(caught.value).count(str(path)) == 1
    assert kind != "empty" or "an empty file" in str(caught.value)


@pytest.mark.parametrize("samples", ["float", "double", "uint", "short"])
def test_a_tiff_of_other_samples_than_8_and_16_bits_is_refused_by_name(tmp_path: Path, samples: str) -> None:
    save(pyvips.Image.new_from_array(picture(8, 8, 1)).cast(samples), tmp_path / "lab.tiff")
    with pytest.raises(ImageFileError, match=r"lab\.tiff: .*sample"):
        files.read(tmp_path / "lab.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tiff"])
def test_a_picture_is_set_upright_by_its_orientation(tmp_path: Path, extension: str, orientation: int) -> None:
    path = camera_file(tmp_path / f"a.{extension}", orientation)
    upright = set_upright(gradient(), orientation)
    header, read = files.read_header(path), files.read(path)
    assert header is not None
    assert (header.height, header.width) == upright.shape[:2] == read.pixels.shape[:2]
    assert difference(read.pixels, upright) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "avif", "tiff"])
def test_orientation_and_sizes_are_set_right_in_what_is_written(
    tmp_path: Path, extension: str, orientation: int
) -> None:
    needs(extension)
    read = files.read(camera_file(tmp_path / "a.jpg", orientation))
    twice = np.kron(read.pixels, np.ones((2, 2, 1), np.uint8))
    height, width = twice.shape[:2]
    files.write(tmp_path / f"b.{extension}", Picture(twice, read.metadata))
    again = files.read(tmp_path / f"b.{extension}")
    assert difference(again.pixels, twice) < 3  # turned once, not again
    assert again.metadata.fields["xmp-data"][1] == xmp_packet(1, width, height)
    entries = read_exif(again.metadata.fields["exif-data"][1])
    assert entries.get(ORIENTATION, 1) == 1
    assert (entries[PIXEL_WIDTH], entries[PIXEL_HEIGHT]) == (width, height)


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "avif", "tiff"])
@pytest.mark.parametrize("source", ["png", "jpg", "webp", "tiff"])
def test_metadata_is_carried_over_between_all_formats(tmp_path: Path, source: str, target: str) -> None:
    needs(target)
    read = files.read(camera_file(tmp_path / f"a.{source}"))
    files.write(tmp_path / f"b.{target}", read)
    written = pyvips.Image.new_from_file(str(tmp_path / f"b.{target}"))
    assert written.get("icc-profile-data") == read.metadata.fields["icc-profile-data"][1]
    assert written.get("icc-profile-data")[36:40] == b"acsp"
    assert b"Harbour, 1912" in written.get("xmp-data")
    if source != "tiff":  # libvips, which made the source, writes no EXIF into TIFF
        entries = read_exif(files.read(tmp_path / f"b.{target}").metadata.fields["exif-data"][1])
        assert entries[MAKE] == MAKER
        assert entries[EXPOSURE] == (1, 250)


@pytest.mark.parametrize("target", ["png", "jpg", "tiff"])
@pytest.mark.parametrize("source", ["png", "jpg", "tiff"])
def test_the_resolution_is_kept(tmp_path: Path, source: str, target: str) -> None:
    files.write(tmp_path / f"b.{target}", files.read(camera_file(tmp_path / f"a.{source}")))
    written = pyvips.Image.new_from_file(str(tmp_path / f"b.{target}"))
    assert (written.xres, written.yres) == pytest.approx(PIXELS_PER_MM, rel=1e-3)


def test_metadata_does_not_stop_a_bmp(tmp_path: Path) -> None:
    files.write(tmp_path / "b.bmp", files.read(camera_file(tmp_path / "a.png", 6)))
    assert np.array_equal(files.read(tmp_path / "b.bmp").pixels, set_upright(gradient(), 6))


def fill_up_after(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let the disk accept only so many bytes of each file."""

    class Filling(FileIO):
        def write(self, chunk: Any) -> int:
            room = most - self.tell()
            if room <= 0:
                raise OSError(28, os.strerror(28))
            return super().write(bytes(chunk)[:room])

    def open_filling(self: Path, mode: str = "r", **options: Any) -> Any:
        return Filling(self, mode.replace("b", "")) if "w" in mode else open(self, mode, **options)

    monkeypatch.setattr(Path, "open", open_filling)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tiff"])
@pytest.mark.parametrize("moment", ["encoding", "writing", "renaming"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str, moment: str
) -> None:
    path = tmp_path / f"a.{extension}"
    files.write(path, Picture(gradient()))
    before = path.read_bytes()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, os.strerror(28))

    if moment == "encoding":
        monkeypatch.setattr(cv2, "imencode", refuse)
        monkeypatch.setattr(vips, "from_array", refuse)
    elif moment == "writing":
        fill_up_after(monkeypatch, 40)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ImageFileError, match=rf"a\.{extension}: .*No space left on device"):
        files.write(path, Picture(picture(30, 30)))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_sees_a_file_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], bool]] = []
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        pixels = files.read(self).pixels
        seen.append(([p.name for p in tmp_path.iterdir() if not p.name.startswith(".")], pixels.shape == (20, 32, 3)))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    files.write(tmp_path / "a.png", Picture(gradient()))
    assert seen == [([], True)]


def test_a_folder_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageFileError, match=r"a\.png: cannot be written"):
        files.write(tmp_path / "a.png", Picture(gradient()))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("extension", "longest"), [("webp", 16383), ("jpg", 65500), ("avif", 16384)])
def test_what_a_format_cannot_hold_is_refused_and_one_pixel_less_is_not(
    tmp_path: Path, extension: str, longest: int
) -> None:
    needs(extension)
    thin = np.zeros((8, longest + 1, 3), np.uint8)
    assert formats.too_large_for(tmp_path / f"a.{extension}", 8, longest + 1) is not None
    with pytest.raises(ImageFileError, match=rf"a\.{extension}: .*{longest + 1}×8.*ext png"):
        files.write(tmp_path / f"a.{extension}", Picture(thin))
    files.write(tmp_path / f"a.{extension}", Picture(thin[:, :-1]))
    header = files.read_header(tmp_path / f"a.{extension}")
    assert header is not None
    assert (header.width, header.height) == (longest, 8)


@pytest.mark.parametrize("extension", ["png", "bmp"])
def test_a_file_in_a_folders_place_is_a_clear_error(tmp_path: Path, extension: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageFileError, match=rf"a\.{extension}: cannot be written"):
        files.write(tmp_path / "file" / f"a.{extension}", Picture(gradient()))


def test_an_unknown_extension_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"a\.xcf: .*png, jpg"):
        files.write(tmp_path / "a.xcf", Picture(gradient()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "avif", "tiff"])
def test_no_metadata_is_made_up_for_a_picture_without_any(tmp_path: Path, extension: str) -> None:
    needs(extension)
    files.write(tmp_path / f"a.{extension}", Picture(gradient()))
    assert files.read(tmp_path / f"a.{extension}").metadata == Metadata()
    told = pyvips.Image.new_from_file(str(tmp_path / f"a.{extension}"))
    assert not [name for name in told.get_fields() if name.startswith(("exif", "xmp", "icc", "iptc"))]
    assert not told.get_typeof("orientation") or told.get("orientation") == 1


RESUME = (  # a PNG of 4×4 pixels with a text whose keyword, "Résumé", is Latin-1, as the standard has it
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x04\0\0\0\x04\x08\x02\0\0\0&\x93\t)\0\0\0\x08tEXtR\xe9sum\xe9\0x\xf0\x14\xa7|"
    b"\0\0\0\x0cIDATx\xdac` \x1d\0\0\x004\0\x01H\xa3}o\0\0\0\0IEND\xaeB`\x82"
)


def test_a_png_keyword_that_is_not_ascii_is_read_and_written_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RESUME)
    assert files.read_header(tmp_path / "a.png") == files.Header(4, 4, 3, 8, False)
    files.write(tmp_path / "b.png", files.read(tmp_path / "a.png"))
    assert b"tEXtR\xe9sum\xe9\0x" in (tmp_path / "b.png").read_bytes()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp", "avif"])
def test_a_name_that_is_not_utf_8_can_be_read_and_written(tmp_path: Path, extension: str) -> None:
    needs(extension)
    path = tmp_path / os.fsdecode(b"caf\xe9.%s" % extension.encode())
    files.write(path, Picture(gradient()))
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(path.name)]
    assert difference(files.read(path).pixels, gradient()) < 4
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageFileError, match="damaged|cut short"):
        files.read(path)
    (tmp_path / "whole.png").write_bytes(RESUME)  # nothing of the failure sticks to the next
    assert files.read(tmp_path / "whole.png").pixels.shape == (4, 4, 3)


def test_importing_and_reading_leave_the_process_as_it_is(tmp_path: Path) -> None:
    """Other parts of the program may need OpenCV's messages, or libvips' cache."""
    program = (
        "import cv2, pyvips, sys; from pathlib import Path; level = cv2.utils.logging.getLogLevel();"
        "cache = pyvips.vips_lib.vips_cache_get_max();"
        "from realesrgan.image import files, pipeline; files.read(Path(sys.argv[1]));"
        "assert (cv2.utils.logging.getLogLevel(), pyvips.vips_lib.vips_cache_get_max()) == (level, cache);"
        "assert 'torch' not in sys.modules"
    )
    files.write(tmp_path / "a.bmp", Picture(gradient()))
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.bmp")], check=True)


def test_a_message_of_libvips_that_is_not_utf_8_makes_no_noise(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RESUME.replace(b"\xf0\x14\xa7|", b"\xf0\x14\xa7}"))  # a wrong CRC: a warning
    program = (
        "import sys; from pathlib import Path; from realesrgan.image import files, vips; vips.prepare_process();"
        "files.read(Path(sys.argv[1]))"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("length", [250, 255])
@pytest.mark.parametrize("letter", ["x", "画"])
def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path: Path, letter: str, length: int) -> None:
    stem = letter * ((length - len(".png")) // len(letter.encode()))
    files.write(tmp_path / f"{stem}.png", Picture(gradient()))
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}.png"]
