"""A picture in tiles is the picture: each level is the one before at half the size, and tiles have no seams."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips
from test_image_extras import short_scan
from test_image_files import gradient, save, to_vips
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.errors import ImageFileError
from realesrgan.image import files, pyramid, vips
from realesrgan.image.files import Picture
from realesrgan.image.pyramid import TILE_SIZE, Pyramid, write_pyramid

HEIGHT, WIDTH = 601, 1300  # neither a multiple of the tile


def decoded(content: bytes) -> Array:
    pixels: Array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels


def put_together(tiles: Pyramid, level: int) -> Array:
    """A whole level, from its tiles."""
    size = tiles.levels[level]
    rows = [
        np.hstack([decoded(tiles.tile(level, column, row)) for column in range(size.columns)])
        for row in range(size.rows)
    ]
    return np.vstack(rows)


def made(folder: Path, pixels: Array, name: str = "a.png") -> Pyramid:
    files.write(folder / name, Picture(pixels))
    write_pyramid(folder / name, folder / "a.pyramid")
    return Pyramid(folder / "a.pyramid")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_the_tiles_of_level_0_are_the_picture(tmp_path: Path, channels: int, name: str) -> None:
    pixels = picture(HEIGHT, WIDTH, channels)
    tiles = made(tmp_path, pixels, name)
    assert (tiles.width, tiles.height) == (WIDTH, HEIGHT)
    assert np.array_equal(put_together(tiles, 0), pixels)


def test_each_level_is_half_the_one_before_down_to_one_tile(tmp_path: Path) -> None:
    tiles = made(tmp_path, picture(HEIGHT, WIDTH))
    sizes = [(level.width, level.height) for level in tiles.levels]
    assert sizes == [(1300, 601), (650, 300), (325, 150), (162, 75)]
    assert max(sizes[-1]) <= TILE_SIZE < max(sizes[-2])
    before = put_together(tiles, 0)
    for level in range(1, len(tiles.levels)):
        after = put_together(tiles, level)
        height, width = after.shape[:2]
        means = before[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean((1, 3))
        assert np.abs(after - means).max() < 1
        before = after


def test_tiles_at_the_edges_are_smaller(tmp_path: Path) -> None:
    tiles = made(tmp_path, picture(HEIGHT, WIDTH))
    assert (tiles.levels[0].columns, tiles.levels[0].rows) == (6, 3)
    assert decoded(tiles.tile(0, 0, 0)).shape == (TILE_SIZE, TILE_SIZE, 3)
    assert decoded(tiles.tile(0, 5, 2)).shape == (HEIGHT - 2 * TILE_SIZE, WIDTH - 5 * TILE_SIZE, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 2), (7, 5000)])
def test_thin_pictures_have_tiles_at_every_level(tmp_path: Path, height: int, width: int) -> None:
    pixels = picture(height, width)
    tiles = made(tmp_path, pixels)
    assert np.array_equal(put_together(tiles, 0), pixels)
    for level, size in enumerate(tiles.levels):
        assert put_together(tiles, level).shape == (size.height, size.width, 3)


@pytest.mark.parametrize(
    "where", [(-1, 0, 0), (4, 0, 0), (0, 6, 0), (0, 0, 3), (0, -1, 0), (0, 0, -1), (3, 1, 0), (3, 0, 1)]
)
def test_a_tile_outside_is_an_index_error(tmp_path: Path, where: tuple[int, int, int]) -> None:
    tiles = made(tmp_path, picture(HEIGHT, WIDTH))
    with pytest.raises(IndexError, match="level"):
        tiles.tile(*where)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_rounded_to_8(tmp_path: Path, channels: int) -> None:
    pixels = picture(50, 60, channels, np.uint16)
    shown = put_together(made(tmp_path, pixels), 0)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, np.rint(pixels / 257))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_lie_where_those_of_the_restored_picture_lie(tmp_path: Path, orientation: int) -> None:
    image = to_vips(gradient(40, 300)).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    path = save(image, tmp_path / "a.tiff")
    write_pyramid(path, tmp_path / "a.pyramid")
    assert np.array_equal(put_together(Pyramid(tmp_path / "a.pyramid"), 0), files.read(path).pixels)


def test_a_jpeg_whose_scan_is_damaged_is_shown_as_it_is_restored(tmp_path: Path) -> None:
    path = save(to_vips(np.tile(gradient(), (4, 4, 1))), tmp_path / "a.jpg")
    path.write_bytes(short_scan(path.read_bytes()))
    write_pyramid(path, tmp_path / "a.pyramid")
    assert np.array_equal(put_together(Pyramid(tmp_path / "a.pyramid"), 0), files.read(path).pixels)


def with_profile(image: pyvips.Image, name: str) -> pyvips.Image:
    """An image whose numbers are meant by one of libvips's profiles."""
    profile = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb").icc_transform(name).get("icc-profile-data")
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def shown(image: pyvips.Image, folder: Path, extension: str = "tiff") -> Array:
    """The pixels of level 0, BGR, of a picture file with this content."""
    write_pyramid(save(image, folder / f"a.{extension}"), folder / "a.pyramid")
    return put_together(Pyramid(folder / "a.pyramid"), 0)


def test_a_profile_is_applied_and_alpha_left_alone(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8) + np.array([80, 100, 170], np.uint8)
    alpha = np.full((4, 4), 77, np.uint8)
    image = with_profile(to_vips(pixels), "p3")
    plain = shown(image, tmp_path)
    # As CSS Color 4 converts color(display-p3 0.667 0.392 0.314).
    assert np.abs(plain.astype(int) - (75, 96, 181)).max() <= 2
    with_alpha = image.bandjoin(pyvips.Image.new_from_array(alpha))
    assert np.array_equal(shown(with_alpha, tmp_path), np.dstack([plain, alpha]))
    deep = (image.cast("ushort") * 257).cast("ushort").copy(interpretation="rgb16")
    assert np.abs(shown(deep, tmp_path).astype(int) - plain).max() <= 1


def test_a_profile_that_says_srgb_changes_nothing(tmp_path: Path) -> None:
    pixels = picture(50, 60)
    assert np.array_equal(shown(with_profile(to_vips(pixels), "srgb"), tmp_path), pixels)


def test_a_profile_that_does_not_fit_counts_as_none(tmp_path: Path) -> None:
    pixels = picture(50, 60)
    assert np.array_equal(shown(with_profile(to_vips(pixels), "cmyk"), tmp_path), pixels)
    broken = to_vips(pixels).copy()
    broken.set_type(pyvips.GValue.blob_type, "icc-profile-data", b"nonsense" * 30)
    assert np.array_equal(shown(broken, tmp_path), pixels)


def test_a_jpeg_in_cmyk_is_shown_as_it_is_restored(tmp_path: Path) -> None:
    image = to_vips(gradient()).icc_transform("cmyk")
    image.jpegsave(str(tmp_path / "a.jpg"), Q=98)
    write_pyramid(tmp_path / "a.jpg", tmp_path / "a.pyramid")
    wanted = files.read(tmp_path / "a.jpg").pixels
    assert np.abs(put_together(Pyramid(tmp_path / "a.pyramid"), 0).astype(int) - wanted).max() <= 1


def test_what_is_hidden_does_not_show_in_smaller_levels(tmp_path: Path) -> None:
    pixels = np.zeros((600, 600, 4), np.uint8)  # hidden black
    pixels[:, ::2] = 200, 200, 200, 255
    half = put_together(made(tmp_path, pixels), 1)
    assert (half[..., :3] == 200).all()
    assert np.abs(half[..., 3].astype(int) - 128).max() <= 1


def test_threads_share_a_pyramid(tmp_path: Path) -> None:
    tiles = made(tmp_path, picture(HEIGHT, WIDTH))
    places = [
        (level, column, row)
        for level, size in enumerate(tiles.levels)
        for column in range(size.columns)
        for row in range(size.rows)
    ] * 3
    wanted = [tiles.tile(*place) for place in places]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda place: tiles.tile(*place), places)) == wanted


def test_a_pyramid_that_is_made_again_shows_the_new_picture(tmp_path: Path) -> None:
    for seed in range(2):
        pixels = picture(30, 40, seed=seed)
        assert np.array_equal(put_together(made(tmp_path, pixels), 0), pixels)


def test_a_picture_that_is_cut_short_leaves_no_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    files.write(path, Picture(picture(HEIGHT, WIDTH)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageFileError, match=r"a\.png: damaged or cut short"):
        write_pyramid(path, tmp_path / "a.pyramid")
    path.write_text("no picture")
    with pytest.raises(ImageFileError, match=r"a\.png: not a picture"):
        write_pyramid(path, tmp_path / "a.pyramid")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_disk_that_refuses_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(tmp_path / "a.png", Picture(picture(30, 40)))
    with pytest.raises(ImageFileError, match=r"b\.pyramid: cannot be written \(No such file"):
        write_pyramid(tmp_path / "a.png", tmp_path / "nowhere" / "b.pyramid")

    def refuse(file: Any, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vips, "write_all", refuse)
    with pytest.raises(ImageFileError, match=r"b\.pyramid: cannot be written \(No space left"):
        write_pyramid(tmp_path / "a.png", tmp_path / "b.pyramid")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_what_is_no_pyramid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="not a pyramid of tiles, or damaged"):
        Pyramid(tmp_path / "none")
    (tmp_path / "text").write_text("no pyramid")
    with pytest.raises(ImageFileError, match="not a pyramid of tiles, or damaged"):
        Pyramid(tmp_path / "text")
    tiles = made(tmp_path, picture(30, 40))
    (tmp_path / "a.pyramid").unlink()
    with pytest.raises(ImageFileError, match=r"a\.pyramid: cannot be read"):
        tiles.tile(0, 0, 0)


def test_making_and_reading_tiles_loads_no_torch(tmp_path: Path) -> None:
    files.write(tmp_path / "a.png", Picture(gradient()))
    program = (
        "import sys; from pathlib import Path; from realesrgan.image.pyramid import Pyramid, write_pyramid;"
        "write_pyramid(Path(sys.argv[1]), Path(sys.argv[2])); Pyramid(Path(sys.argv[2])).tile(0, 0, 0);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png"), str(tmp_path / "b")], check=True)


def test_the_tile_size_is_the_one_in_the_file(tmp_path: Path) -> None:
    made(tmp_path, picture(HEIGHT, WIDTH))
    image = pyvips.Image.tiffload(str(tmp_path / "a.pyramid"))
    assert (image.get("tile-width"), image.get("tile-height")) == (pyramid.TILE_SIZE, Pyramid.tile_size)
