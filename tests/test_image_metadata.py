"""Metadata is kept if it is intact, left out with a warning if not, and never made up."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips
from test_image_files import DPI, HEIGHT, PIXELS_PER_MM, WIDTH, exif_block, gradient, needs, save, to_vips

from realesrgan.image import files, metadata, png_chunks
from realesrgan.image.files import Metadata, Picture
from realesrgan.image.png_chunks import Chunk


def with_fields(path: Path, profile: bytes | None = None, exif: bytes | None = None) -> Path:
    """A picture file with exactly this metadata, built by hand: libvips would refuse some of it."""
    assert path.suffix in (".jpg", ".webp")
    save(to_vips(gradient()), path, keep="none")
    content = path.read_bytes()
    if path.suffix == ".jpg":
        segments = b""
        for marker, data in (
            (0xE1, b"Exif\0\0" + exif if exif is not None else None),
            (0xE2, b"ICC_PROFILE\0\1\1" + profile if profile is not None else None),
        ):
            if data is not None:
                segments += struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
        path.write_bytes(content[:2] + segments + content[2:])
        return path
    chunks = [content[12:]]  # the pictures; before them comes a header with flags, and the profile
    if profile is not None:
        chunks.insert(0, b"ICCP" + struct.pack("<I", len(profile)) + profile + b"\0" * (len(profile) % 2))
    size = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    chunks.insert(0, b"VP8X" + struct.pack("<IB3x", 10, 0x20 if profile is not None else 0) + size)
    body = b"WEBP" + b"".join(chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def a_profile() -> bytes:
    image = to_vips(gradient()).icc_transform("p3", input_profile="srgb")
    profile: bytes = image.get("icc-profile-data")
    return profile


DAMAGED_PROFILES = {
    "cut": lambda profile: profile[:-40],
    "longer than it is": lambda profile: struct.pack(">I", len(profile) + 400) + profile[4:],
    "no length": lambda profile: bytes(4) + profile[4:],
    "no signature": lambda profile: profile[:36] + b"none" + profile[40:],
    "nearly empty": lambda profile: profile[:10],
}


@pytest.mark.parametrize("damage", DAMAGED_PROFILES)
@pytest.mark.parametrize("target", ["png", "jpg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("source", ["jpg", "webp"])
def test_a_damaged_profile_is_left_out_with_a_warning_and_the_picture_is_written(
    tmp_path: Path, source: str, target: str, damage: str
) -> None:
    needs(target)
    path = with_fields(tmp_path / f"a.{source}", profile=DAMAGED_PROFILES[damage](a_profile()))
    read = files.read(path)
    assert [line for line in read.warnings if "profile" in line] == list(read.warnings)
    assert len(read.warnings) == (1 if pyvips.Image.new_from_file(str(path)).get_typeof("icc-profile-data") else 0)
    assert files.write(tmp_path / f"b.{target}", read) == ()
    assert "icc-profile-data" not in files.read(tmp_path / f"b.{target}").metadata.fields


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("source", ["jpg", "webp"])
def test_a_profile_with_something_behind_it_is_kept_without_that(tmp_path: Path, source: str, target: str) -> None:
    needs(target)
    read = files.read(with_fields(tmp_path / f"a.{source}", profile=a_profile() + b"\0" * 16))
    assert read.warnings == ()
    assert files.write(tmp_path / f"b.{target}", read) == ()
    assert files.read(tmp_path / f"b.{target}").metadata.fields["icc-profile-data"][1] == a_profile()


@pytest.mark.parametrize("exif", [b"", b"II", b"II*\0", b"nonsense, and a good deal of it", bytes(100)])
@pytest.mark.parametrize("target", ["png", "jpg", "webp", "tiff", "avif"])
def test_damaged_exif_is_left_out_and_the_picture_is_written(tmp_path: Path, target: str, exif: bytes) -> None:
    needs(target)
    read = files.read(with_fields(tmp_path / "a.jpg", exif=exif))
    assert all("EXIF" in line for line in read.warnings)
    assert files.write(tmp_path / f"b.{target}", read) == ()
    assert "exif-data" not in files.read(tmp_path / f"b.{target}").metadata.fields


def test_metadata_that_cannot_be_written_costs_the_metadata_and_not_the_picture(tmp_path: Path) -> None:
    bad = {"icc-profile-data": (pyvips.GValue.blob_type, DAMAGED_PROFILES["cut"](a_profile()))}
    lost = files.write(tmp_path / "a.png", Picture(gradient(), Metadata(bad)))
    assert len(lost) == 1
    assert "metadata" in lost[0]
    assert np.array_equal(files.read(tmp_path / "a.png").pixels, gradient())


def test_exif_of_a_picture_without_density_gets_the_density_that_means_unknown(tmp_path: Path) -> None:
    files.write(tmp_path / "a.jpg", files.read(with_fields(tmp_path / "in.jpg", exif=exif_block(1)[6:])))
    assert pyvips.Image.new_from_file(str(tmp_path / "a.jpg")).get("exif-ifd0-XResolution").startswith("72")


@pytest.mark.parametrize("target", ["png", "jpg", "tiff"])
@pytest.mark.parametrize("source", ["png", "jpg", "tiff"])
def test_density_is_kept_without_exif_too(tmp_path: Path, source: str, target: str) -> None:
    said = Metadata(pixels_per_mm=PIXELS_PER_MM)
    files.write(tmp_path / f"a.{source}", Picture(gradient(), said))
    files.write(tmp_path / f"b.{target}", files.read(tmp_path / f"a.{source}"))
    read = files.read(tmp_path / f"b.{target}").metadata
    assert "exif-data" not in read.fields
    assert read.pixels_per_mm == pytest.approx(PIXELS_PER_MM, rel=1e-3)


def test_a_jpeg_without_exif_has_the_density_where_other_programs_look_for_it(tmp_path: Path) -> None:
    files.write(tmp_path / "a.jpg", Picture(gradient(), Metadata(pixels_per_mm=PIXELS_PER_MM)))
    jfif = (tmp_path / "a.jpg").read_bytes()[:20]
    assert jfif[:11] == b"\xff\xd8\xff\xe0\0\x10JFIF\0"
    assert struct.unpack(">BHH", jfif[13:18]) == (1, DPI, DPI)
    assert cv2.imread(str(tmp_path / "a.jpg")) is not None


def test_density_turns_with_the_picture(tmp_path: Path) -> None:
    image = to_vips(gradient(), xres=10.0, yres=5.0)
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    read = files.read(save(image, tmp_path / "a.jpg"))
    assert read.metadata.pixels_per_mm == pytest.approx((5.0, 10.0), rel=0.02)


def test_xmp_no_longer_claims_a_gain_map() -> None:
    xmp = b'<rdf:Description hdrgm:Version="1.0" dc:title="Harbour"/>'
    written = metadata.with_metadata(
        pyvips.Image.black(4, 4), Metadata({"xmp-data": (pyvips.GValue.blob_type, xmp)})
    ).get("xmp-data")
    assert written == b'<rdf:Description dc:title="Harbour"/>'


# PNG's own chunks.

CICP = Chunk(b"cICP", bytes([9, 16, 0, 1]))  # BT.2100 PQ
GAMMA = Chunk(b"gAMA", struct.pack(">I", 100000))  # linear
PRIMARIES = Chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SRGB = Chunk(b"sRGB", b"\0")
TITLE = Chunk(b"tEXt", b"Title\0Harbour")
CITY = Chunk(b"tEXt", "Ort\0Zürich".encode("latin-1"))
LONG = Chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"very " * 1000 + b"long"))
GREEK = Chunk(b"iTXt", b"Title\0\0\0el\0\0" + "λιμάνι".encode())
LATIN_KEYWORD = Chunk(b"tEXt", "Résumé\0x".encode("latin-1"))
ALL = (CICP, GAMMA, PRIMARIES, TITLE, CITY, LONG, GREEK, LATIN_KEYWORD)


def chunks_of(path: Path) -> list[Chunk]:
    """All chunks of a PNG file, read without the code under test, after checking their CRCs."""
    content, at, found = path.read_bytes(), 8, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length)[0] == zlib.crc32(kind + data)
        found.append(Chunk(kind, data))
        at += 12 + length
    return found


def kinds_of(path: Path) -> list[bytes]:
    return [chunk.kind for chunk in chunks_of(path)]


def png(path: Path, *chunks: Chunk, at_end: bool = False, **header: Any) -> Path:
    """A PNG file with these chunks behind its header, or behind its pixels."""
    save(to_vips(gradient(), **header), path, keep="none")
    own = [chunk for chunk in chunks_of(path) if chunk.kind != b"pHYs" or header]
    place = len(own) - 1 if at_end else 1
    path.write_bytes(png_chunks.SIGNATURE + b"".join(c.serialise() for c in (*own[:place], *chunks, *own[place:])))
    return path


@pytest.mark.parametrize(
    ("chunk", "at_end"),
    [(chunk, False) for chunk in (*ALL, SRGB)] + [(chunk, True) for chunk in ALL if chunk.kind in png_chunks.TEXT],
)
def test_colour_and_text_go_from_png_to_png_byte_by_byte(tmp_path: Path, chunk: Chunk, at_end: bool) -> None:
    files.write(tmp_path / "b.png", files.read(png(tmp_path / "a.png", chunk, at_end=at_end)))
    assert [other for other in chunks_of(tmp_path / "b.png") if other.kind == chunk.kind] == [chunk]


def test_all_chunks_together_stand_where_png_wants_them(tmp_path: Path) -> None:
    files.write(tmp_path / "b.png", files.read(png(tmp_path / "a.png", *ALL)))
    written = chunks_of(tmp_path / "b.png")
    kinds = [chunk.kind for chunk in written]
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert [chunk for chunk in written if chunk in ALL] == list(ALL)
    assert all(kinds.index(kind) < kinds.index(b"IDAT") for kind in kinds if kind in png_chunks.COLOUR)
    assert np.array_equal(files.read(tmp_path / "b.png").pixels, gradient())
    assert cv2.imread(str(tmp_path / "b.png")).shape == gradient().shape


def test_density_that_nobody_stated_is_not_in_the_result(tmp_path: Path) -> None:
    files.write(tmp_path / "b.png", files.read(png(tmp_path / "a.png")))
    assert kinds_of(tmp_path / "b.png") == [b"IHDR", b"IDAT", b"IEND"]
    files.write(tmp_path / "d.png", files.read(png(tmp_path / "c.png", xres=10.0, yres=10.0)))
    assert kinds_of(tmp_path / "d.png") == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]


def test_old_exif_and_xmp_in_text_are_not_carried_since_they_tell_the_old_size(tmp_path: Path) -> None:
    old = (Chunk(b"zTXt", b"Raw profile type exif\0\0x"), Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"))
    assert png_chunks.read(png(tmp_path / "a.png", *old, TITLE)).kept == (TITLE,)


@pytest.mark.parametrize("chunk", [CICP, GAMMA])
@pytest.mark.parametrize("target", ["jpg", "webp", "tiff", "bmp"])
def test_colours_that_another_format_cannot_express_are_a_warning(tmp_path: Path, target: str, chunk: Chunk) -> None:
    (line,) = files.write(tmp_path / f"b.{target}", files.read(png(tmp_path / "a.png", chunk)))
    assert chunk.kind.decode() in line
    assert files.write(tmp_path / f"c.{target}", files.read(png(tmp_path / "d.png", SRGB, GAMMA))) == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-20],  # cut
        lambda content: content.replace(b"Harbour", b"harbour"),  # the CRC no longer holds
        lambda content: content[:33] + b"\xff\xff\xff\xf0tEXt",  # longer than the file
        lambda content: content[:10],
        lambda content: b"no PNG at all",
    ],
)
def test_a_damaged_chunk_is_not_carried(tmp_path: Path, spoil: Any) -> None:
    path = png(tmp_path / "a.png", TITLE, at_end=True)
    path.write_bytes(spoil(path.read_bytes()))
    assert png_chunks.read(path).kept == ()


def test_what_is_kept_of_a_png_is_bounded(tmp_path: Path) -> None:
    huge = Chunk(b"tEXt", b"a\0" + b"x" * png_chunks.MOST_BYTES)
    many = [Chunk(b"tEXt", b"n%d\0" % n) for n in range(png_chunks.MOST_CHUNKS + 5)]
    assert png_chunks.read(png(tmp_path / "a.png", huge, TITLE)).kept == (TITLE,)
    assert len(png_chunks.read(png(tmp_path / "b.png", *many)).kept) == png_chunks.MOST_CHUNKS


def test_the_second_of_two_colour_chunks_of_one_kind_is_not_carried(tmp_path: Path) -> None:
    other = Chunk(b"gAMA", struct.pack(">I", 45455))
    assert png_chunks.read(png(tmp_path / "a.png", GAMMA, other)).kept == (GAMMA,)


@pytest.mark.parametrize("piece", [1, 7, 40, 10**6])
def test_the_beginning_is_rewritten_however_the_file_comes_in_pieces(tmp_path: Path, piece: int) -> None:
    from realesrgan.image.beginning import Beginning

    content = png(tmp_path / "a.png", xres=9.0, yres=9.0).read_bytes()
    written: list[bytes] = []
    rewriting = Beginning(
        written.append, lambda seen: png_chunks.rewrite_beginning(seen, (TITLE, GAMMA), keep_density=False)
    )
    for at in range(0, len(content), piece):
        rewriting.write(content[at : at + piece])
    rewriting.close()
    (tmp_path / "b.png").write_bytes(b"".join(written))
    assert kinds_of(tmp_path / "b.png") == [b"IHDR", b"tEXt", b"gAMA", b"IDAT", b"IEND"]
    assert np.array_equal(files.read(tmp_path / "b.png").pixels, gradient())


def test_a_part_of_a_picture_keeps_only_what_says_how_its_colours_are_meant(tmp_path: Path) -> None:
    said = files.read(png(tmp_path / "a.png", *ALL, xres=PIXELS_PER_MM[0], yres=PIXELS_PER_MM[1])).metadata
    blob = pyvips.GValue.blob_type
    said = replace(said, fields={"icc-profile-data": (blob, a_profile()), "xmp-data": (blob, b"<x/>")}, gray_alpha=True)
    assert said.pixels_per_mm is not None
    kept = said.colours_only()
    assert list(kept.fields) == ["icc-profile-data"]
    assert kept.png_chunks == (CICP, GAMMA, PRIMARIES)
    assert kept.pixels_per_mm is None
    assert kept.gray_alpha
