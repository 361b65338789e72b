"""The picture command: every flag reaches the code, every mistake gets one clear line and the right exit code."""

from __future__ import annotations

import gc
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import picture, save_weights, tiny_rrdbnet

import realesrgan.upsampler
from realesrgan import RealESRGANer
from realesrgan.arrays import Array
from realesrgan.cli import main as command
from realesrgan.cli.image import main
from realesrgan.image import compare, files, formats, restoring
from realesrgan.image.files import Picture
from realesrgan.image.pipeline import Outcome
from realesrgan.restorer import Restorer
from realesrgan.weights import store

SCRIPT = Path(__file__).parents[1] / "inference_realesrgan.py"
PATIENCE_S = 60  # longer than anything here takes; only a test that fails waits for it


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, and no weights from the project's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "search_folders", lambda: [(Path.cwd() / "weights", "weights folder")])


@pytest.fixture
def small(srvgg_file: Path) -> list[str]:
    """The flags for a network that takes no time."""
    return ["--model_path", str(srvgg_file), "--fp32"]


def make(*names: str, height: int = 12, width: int = 14, channels: int = 3, depth: Any = np.uint8) -> None:
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(name), Picture(picture(height, width, channels, depth, seed=number)))


def results(folder: str = "results") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def result(name: str = "results/a_out.png") -> Array:
    return files.read(Path(name)).pixels


def enhance(
    weights: Path, source: str, *, outscale: float | None = None, alpha: Any = "realesrgan", **init: Any
) -> Array:
    """The library's result, to compare the command's with."""
    upsampler = RealESRGANer(None, weights, **({"pre_pad": 0} | init))
    return upsampler.enhance(files.read(Path(source)).pixels, outscale, alpha)[0]


@pytest.mark.parametrize(
    ("argv", "keyword", "value"),
    [
        ([], None, "RealESRGAN_x4plus"),
        (["-n", "realesr-animevideov3"], None, "realesr-animevideov3"),
        (["-n", "RealESRGAN_x2plus.pth"], None, "RealESRGAN_x2plus"),
        ([], "denoise_strength", 0.5),
        (["-dn", "0.3"], "denoise_strength", 0.3),
        ([], "tile", 0),
        (["--tile", "16"], "tile", 16),
        ([], "tile_pad", None),
        (["--tile_pad", "3"], "tile_pad", 3),
        ([], "pre_pad", 0),
        (["--pre_pad", "5"], "pre_pad", 5),
        ([], "fp32", False),
        (["--fp32"], "fp32", True),
        (["-g", "cpu"], "device", torch.device("cpu")),
        (["--model_path", "own.pth"], "model_path", "own.pth"),
        (["--model_path", "own.pth"], None, None),
        (["--model_path", "own.pth", "-n", "RealESRNet_x4plus"], None, "RealESRNet_x4plus"),
    ],
)
def test_flags_about_the_network_reach_the_loader(
    monkeypatch: pytest.MonkeyPatch, srvgg_file: Path, argv: list[str], keyword: str | None, value: Any
) -> None:
    make("a.png")
    Path("own.pth").touch()
    asked: list[dict[str | None, Any]] = []

    def load(name: str | None, **rest: Any) -> RealESRGANer:
        asked.append({None: name, **rest})
        return RealESRGANer(None, srvgg_file)

    monkeypatch.setattr(store, "obtain", lambda files, report: [])
    monkeypatch.setattr(realesrgan.upsampler, "load_upsampler", load)
    assert main(["-i", "a.png", *argv]) == 0
    assert [call[keyword] for call in asked] == [value]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (None, None),
        ("2000000", 2_000_000),
        ("1.5GB", 1_500_000_000),
        ("800M", 800_000_000),
        ("2 gib", 2 << 30),
        ("500k", 500_000),
    ],
)
def test_max_memory_reaches_the_loader_in_bytes(
    monkeypatch: pytest.MonkeyPatch, small: list[str], words: str | None, wanted: int | None
) -> None:
    given = []
    load = realesrgan.upsampler.load_upsampler
    monkeypatch.setattr(
        "realesrgan.upsampler.load_upsampler", lambda *a, **k: (given.append(k["max_memory"]), load(*a, **k))[1]
    )
    make("a.png")
    assert main(["-i", "a.png", *small, *(["--max_memory", words] if words else [])]) == 0
    assert given == [wanted]


def test_a_large_picture_is_reported_to_be_computed_in_strips_by_torch(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("realesrgan.engine.planning.WHOLE_ON_CPU_BYTES", 100)
    make("a.png", "b.png")
    assert main(["-i", "a.png", "b.png", *small, "--engine", "torch"]) == 0
    assert capsys.readouterr().err.count("is computed in strips of") == 1


def test_suffix_and_output_name_the_results(small: list[str]) -> None:
    make("a.png")
    assert main(["-i", "a.png", "-o", "deep/there", "--suffix", "x4", *small]) == 0
    assert main(["-i", "a.png", "-o", "there", "--suffix", "", *small]) == 0
    assert (results("deep"), results("there")) == (["there/a_x4.png"], ["a.png"])


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp", "avif"])
def test_ext_chooses_the_format(small: list[str], extension: str) -> None:
    if extension not in formats.writable_formats():
        pytest.skip(f"this libvips was built without a codec for {extension}")
    make("a.png")
    assert main(["-i", "a.png", "--ext", extension, *small]) == 0
    assert results() == [f"a_out.{extension}"]
    beginnings = {"png": b"\x89PNG", "jpg": b"\xff\xd8\xff", "webp": b"RIFF", "tiff": b"II*\0", "bmp": b"BM"}
    content = Path(f"results/a_out.{extension}").read_bytes()
    assert content.startswith(beginnings.get(extension, content[:4]))
    assert extension != "avif" or content[4:12] == b"ftypavif"


@pytest.mark.parametrize(("outscale", "size"), [("2", (24, 28)), ("3.5", (42, 49)), ("0.1", (1, 1)), ("4", (48, 56))])
def test_outscale_sets_the_size(small: list[str], srvgg_file: Path, outscale: str, size: tuple[int, int]) -> None:
    make("a.png")
    assert main(["-i", "a.png", "-s", outscale, *small]) == 0
    assert result().shape[:2] == size
    assert np.array_equal(result(), enhance(srvgg_file, "a.png", outscale=float(outscale)))


@pytest.mark.parametrize("argv", [["-t", "16", "--tile_pad", "0"], ["-t", "16", "--tile_pad", "1"], ["--pre_pad", "3"]])
def test_tiles_and_pads_change_the_result_as_in_the_library(
    small: list[str], srvgg_file: Path, argv: list[str]
) -> None:
    make("a.png", height=20, width=32)
    assert main(["-i", "a.png", "-o", "plain", *small]) == main(["-i", "a.png", *small, *argv]) == 0
    names = {"-t": "tile", "--tile_pad": "tile_pad", "--pre_pad": "pre_pad"}
    settings = {names[flag]: int(value) for flag, value in zip(argv[::2], argv[1::2], strict=True)}
    assert np.array_equal(result(), enhance(srvgg_file, "a.png", **settings))
    assert not np.array_equal(result(), result("plain/a_out.png"))


@pytest.mark.parametrize("way", ["realesrgan", "bicubic"])
def test_alpha_upsampler_chooses_how_transparency_is_enlarged(small: list[str], srvgg_file: Path, way: str) -> None:
    make("a.png", channels=4)
    assert main(["-i", "a.png", "--alpha_upsampler", way, *small]) == 0
    other = {"realesrgan": "bicubic", "bicubic": "realesrgan"}[way]
    assert np.array_equal(result(), enhance(srvgg_file, "a.png", alpha=way))
    assert not np.array_equal(result()[..., 3], enhance(srvgg_file, "a.png", alpha=other)[..., 3])


def test_quality_changes_the_size_of_the_file(small: list[str]) -> None:
    make("a.jpg", height=32, width=32)
    sizes = []
    for quality in ("10", "95", "100"):
        assert main(["-i", "a.jpg", "--quality", quality, *small]) == 0
        sizes.append(Path("results/a_out.jpg").stat().st_size)
    assert sizes[0] < sizes[1] < sizes[2]
    assert main(["-i", "a.jpg", *small]) == 0
    assert Path("results/a_out.jpg").stat().st_size == sizes[1]


def test_recursive_keeps_the_tree(small: list[str]) -> None:
    make("pics/a.png", "pics/x/a.png", "pics/x/y/b.png")
    assert main(["-i", "pics", *small]) == 0
    assert results() == ["a_out.png"]
    assert main(["-i", "pics", "--recursive", *small]) == 0
    assert results() == ["a_out.png", "x/a_out.png", "x/y/b_out.png"]


def test_skip_existing_does_the_rest_only(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    make("pics/a.png", "pics/b.png")
    Path("results").mkdir()
    Path("results/a_out.png").write_text("done before")
    assert main(["-i", "pics", "--skip_existing", *small]) == 0
    assert results() == ["a_out.png", "b_out.png"]
    assert Path("results/a_out.png").read_text() == "done before"
    assert "1 restored, 1 done before" in capsys.readouterr().out
    assert main(["-i", "pics", *small]) == 0
    assert result().shape == (48, 56, 3)


def test_compare_writes_a_picture_beside_the_result(small: list[str]) -> None:
    make("a.png")
    assert main(["-i", "a.png", "--compare", *small]) == 0
    assert results() == ["a_out.png", "a_out_compare.jpg"]
    both = result("results/a_out_compare.jpg")
    assert both.shape == (48 + compare.LABEL_HEIGHT, 56 + compare.GAP + 56, 3)


def test_dry_run_writes_nothing_and_says_what_would_be_done(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make("pics/a.png", "pics/b.jpg")
    assert main(["-i", "pics", "--dry_run", "-s", "3", *small]) == 0
    assert sorted(path.name for path in Path().rglob("*")) == ["a.png", "b.jpg", "pics"]
    told = capsys.readouterr().out
    assert f"{Path('pics/a.png')}  14×12 → {Path('results/a_out.png')}  42×36" in told
    assert f"{Path('pics/b.jpg')}  14×12 → {Path('results/b_out.jpg')}  42×36" in told
    assert "the network would take about" in told


def test_dry_run_downloads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    make("a.png")
    assert main(["-i", "a.png", "--dry_run", "-n", "RealESRNet_x4plus"]) == 0
    assert "RealESRNet_x4plus.pth would first be downloaded" in capsys.readouterr().out


def test_two_devices_give_the_same_files_as_one(small: list[str]) -> None:
    names = [f"pics/{letter}.png" for letter in "abcdef"]
    make(*names)
    assert main(["-i", "pics", "-o", "one", "-g", "cpu", *small]) == 0
    assert main(["-i", "pics", "-o", "two", "-g", "cpu,cpu", *small]) == 0
    assert results("one") == results("two") == [f"{letter}_out.png" for letter in "abcdef"]
    for name in results("one"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_each_device_named_gets_a_worker(monkeypatch: pytest.MonkeyPatch, small: list[str]) -> None:
    make("a.png")
    counts: list[int] = []

    def restore_all(jobs: Any, restorers: list[Restorer], *_: Any, **__: Any) -> Outcome:
        counts.append(len(restorers))
        return Outcome()

    monkeypatch.setattr(restoring, "restore_all", restore_all)
    assert main(["-i", "a.png", "-g", "cpu,cpu,cpu", *small]) == 0
    assert counts == [3]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("extension", ["png", "tiff"])
def test_depth_and_channels_are_kept(small: list[str], extension: str, channels: int, depth: Any) -> None:
    make(f"a.{extension}", channels=channels, depth=depth)
    assert main(["-i", f"a.{extension}", "--ext", extension, *small]) == 0
    written = result(f"results/a_out.{extension}")
    assert written.dtype == depth
    assert written.shape == (48, 56, channels)[: 2 if channels == 1 else 3]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 1), (2, 3)])
def test_the_smallest_pictures_work(rrdbnet_file: Path, size: tuple[int, int]) -> None:
    make("a.png", height=size[0], width=size[1])
    assert main(["-i", "a.png", "--model_path", str(rrdbnet_file)]) == 0
    assert result().shape[:2] == (4 * size[0], 4 * size[1])


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size but holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_a_bad_batch_names_each_failure_once_and_does_the_rest(
    small: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    make("pics/a.png", "pics/z.jpg", "pics/folder.png/inside.png")
    bad = {
        "cut.png": Path("pics/a.png").read_bytes()[:-40],
        "cut.jpg": Path("pics/z.jpg").read_bytes()[:-300],
        "cut.bmp": b"BM" + bytes(40),
        "empty.png": b"",
        "huge.png": png_header(200_000, 200_000),
        "text.jpg": b"this is a text",
    }
    for name, content in bad.items():
        Path("pics", name).write_bytes(content)
    Path("pics/README.md").write_text("about these pictures")
    assert main(["-i", "pics", *small]) == 1
    assert results() == ["a_out.png", "z_out.jpg"]
    out, err = capfd.readouterr()
    assert f"2 restored, {len(bad)} failed" in out
    for name in bad:
        lines = [line for line in err.splitlines() if name in line]
        assert len(lines) == 1, name
        assert lines[0].startswith("failed: "), lines
        assert ("too large: 200000×200000" in lines[0]) == (name == "huge.png")
    assert len([line for line in err.splitlines() if line.startswith("passed over: ")]) == 2
    assert len(err.splitlines()) == len(bad) + 2 + 1  # and the line that says what computes


def test_too_much_for_the_memory_allowed_is_told_in_sizes_that_can_be_read(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make("a.png")
    assert main(["-i", "a.png", *small, "--max_memory", "40"]) == 1
    assert "and 40 bytes are allowed (--max_memory)" in capsys.readouterr().err


def test_padding_counts_among_what_a_picture_takes(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    make("a.png")
    assert main(["-i", "a.png", *small, "--pre_pad", "5000000"]) == 1
    assert "too large" in capsys.readouterr().err


def test_a_file_given_by_name_that_is_not_a_picture_fails(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("README.md").write_text("no picture")
    assert main(["-i", "README.md", *small]) == 1
    assert "README.md: not a picture" in capsys.readouterr().err


def test_a_picture_too_large_for_the_format_fails_before_it_is_computed(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make("pics/a.png")
    make("pics/long.png", height=1, width=4100)
    assert main(["-i", "pics", "--ext", "webp", *small]) == 1
    assert results() == ["a_out.webp"]
    assert "long.png: 16400×4 is more than webp can hold" in capsys.readouterr().err


def test_an_empty_folder_is_no_failure(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("pics").mkdir()
    assert main(["-i", "pics", *small]) == 0
    assert "no pictures found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-n", "RealESRGAN_x4"], "RealESRGAN_x4plus"),
        (["--tile", "-1"], "--tile -1"),
        (["--tile_pad", "-1"], "--tile_pad -1"),
        (["--pre_pad", "-1"], "--pre_pad -1"),
        (["--outscale", "0"], "--outscale 0"),
        (["--outscale", "-2"], "--outscale -2"),
        (["--outscale", "inf"], "--outscale inf"),
        (["--outscale", "nan"], "--outscale nan"),
        (["--quality", "0"], "--quality 0"),
        (["--quality", "101"], "--quality 101"),
        (["-dn", "2"], "--denoise_strength 2"),
        (["-dn", "-0.1"], "--denoise_strength -0.1"),
        (["--suffix", "a/b"], "--suffix a/b"),
        (["--model_path", "nowhere.pth"], "nowhere.pth"),
        (["-i", "nowhere.png"], "-i nowhere.png"),
        (["-i", "*.webp"], "-i *.webp"),
        (["-g", "99"], "-g 99"),
        (["-g", "banana"], "-g banana"),
        (["-g", "cpu,banana"], "-g banana"),
        (["-o", "a.png"], "-o a.png"),
        (["-o", "a.png/results"], "-o a.png"),
        (["-o", ".", "--suffix", ""], "a.png is an input"),
        (["-i", "a.png", "other/a.png"], "other"),
        (["--face_enhance", "--face_weight", "1.5"], "--face_weight"),
        (["--save_faces", "faces"], "--face_enhance"),
        (["--max_memory", "much"], "--max_memory much"),
        (["--max_memory", "0GB"], "--max_memory 0GB"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_written(
    small: list[str], capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    make("a.png", "other/a.png")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    base = small if "-n" not in argv else ["--fp32"]
    assert main(["-i", "a.png", *base, *argv]) == 2
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(err.splitlines()) == 1
    assert says in errors[0]
    assert out == ""
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "argv", [["--tile", "x"], ["--ext", "gif"], ["--alpha_upsampler", "best"], ["--nonsense"], ["-s"]]
)
def test_what_the_parser_refuses_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["-i", "a.png", *argv])
    assert left.value.code == 2
    assert argv[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_format_without_its_codec_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make("a.png")
    monkeypatch.setattr(formats, "writable_formats", lambda: ("png", "jpg"))
    assert main(["-i", "a.png", "--ext", "avif", *small]) == 2
    assert "--ext avif: not in this installation; it has png, jpg" in capsys.readouterr().err


@pytest.mark.parametrize("extra", [["--ext", "png"], ["--compare"]])
def test_a_collision_is_refused_naming_both(
    small: list[str], capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    make("pics/a.png", "pics/a.jpg")
    assert main(["-i", "pics", *extra, *small]) == 2
    err = capsys.readouterr().err
    assert str(Path("pics/a.png")) in err
    assert str(Path("pics/a.jpg")) in err
    assert not Path("results").exists()


def test_missing_weights_offline_say_where_to_get_them_and_where_to_put_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("a.png")
    assert main(["-i", "a.png", "-n", "realesr-general-x4v3"]) == 1
    err = capsys.readouterr().err
    release = "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.5.0"
    assert f"{release}/realesr-general-x4v3.pth" in err
    assert f"{release}/realesr-general-wdn-x4v3.pth" in err
    assert str(Path.cwd() / "weights") in err
    assert err.count("error: ") == 1
    assert results() == []


def test_weights_of_another_network_say_what_they_are(srvgg_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("a.png")
    assert main(["-i", "a.png", "--model_path", str(srvgg_file), "-n", "RealESRGAN_x4plus"]) == 1
    err = capsys.readouterr().err
    assert "SRVGGNetCompact" in err
    assert "RRDBNet" in err


def test_a_tile_that_does_not_suit_the_network_says_which_does(capsys: pytest.CaptureFixture[str]) -> None:
    make("a.png")
    folding = save_weights(tiny_rrdbnet(scale=2), Path("x2.pth"))
    assert main(["-i", "a.png", "--model_path", str(folding), "--tile", "33"]) == 2
    assert "try --tile 34" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, small: list[str]) -> None:
    make("a.png")
    monkeypatch.setattr(RealESRGANer, "enhance", lambda *_, **__: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["-i", "a.png", *small])


def test_ctrl_c_while_the_weights_are_loaded_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    make("a.png")
    monkeypatch.setattr(realesrgan.upsampler, "load_upsampler", interrupt)
    assert main(["-i", "a.png", *small]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_each_result_is_a_line_and_the_last_line_sums_up(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    make("pics/a.png", "pics/b.png")
    assert main(["-i", "pics", *small]) == 0
    out, err = capsys.readouterr()
    *lines, summary = out.splitlines()
    assert sorted(line.split(", ")[0] for line in lines) == [
        f"{Path('results/a_out.png')}  56×48",
        f"{Path('results/b_out.png')}  56×48",
    ]
    assert summary.startswith("2 restored in ")
    assert len(err.splitlines()) == 1
    assert "fp32" in err
    assert "\r" not in out + err


def test_the_command_with_a_subcommand_is_the_same(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    make("a.png")
    assert command.main(["image", "-i", "a.png", *small]) == 0
    assert results() == ["a_out.png"]
    assert command.main([]) == command.main(["pictures"]) == 2
    assert command.main(["--help"]) == command.main(["--version"]) == 0
    assert realesrgan.__version__ in capsys.readouterr().out


def run_script(*argv: str | Path) -> subprocess.Popen[str]:
    """inference_realesrgan.py in its own process, which gets Ctrl-C even if the tests were started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process of a group")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_ctrl_c_leaves_whole_results_and_the_same_command_does_the_rest(
    rrdbnet_file: Path, name: str, code: int
) -> None:
    make("pics/a.png")
    make("pics/b.png", "pics/c.png", "pics/d.png", "pics/e.png", height=96, width=128)
    argv = ["-i", "pics", "--model_path", str(rrdbnet_file), "--fp32", "--skip_existing"]
    with run_script(*argv) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not Path("results/a_out.png").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert "Traceback" not in out + err
    assert len([line for line in err.splitlines() if "interrupted" in line]) == 1
    assert "--skip_existing" in err
    done = results()
    assert 1 <= len(done) < 5
    assert not [name for name in os.listdir("results") if "part" in name]
    assert f"{len(done)} of 5" in err
    kept = {name: Path("results", name).stat().st_mtime_ns for name in done}
    assert main(argv) == 0
    assert {name: Path("results", name).stat().st_mtime_ns for name in done} == kept
    assert main([*argv, "-o", "uninterrupted"]) == 0
    assert len(results()) == 5
    for name in results():
        assert Path("results", name).read_bytes() == Path("uninterrupted", name).read_bytes(), name


SMALL_FITS, LARGE_FITS_NOT = 8, 64  # a side; after ×4 a PNG of about 3 and 100 kilobytes


def check_a_full_disk(run: Callable[[], int], said: Callable[[], str], folder: Path) -> None:
    """`large` does not fit, and its result of an earlier run is there; `small` fits."""
    make("pics/small.png", height=SMALL_FITS, width=SMALL_FITS)
    make("pics/large.png", height=LARGE_FITS_NOT, width=LARGE_FITS_NOT)
    folder.mkdir(exist_ok=True)
    (folder / "large_out.png").write_text("an earlier result")
    assert run() == 1
    assert results(str(folder)) == ["large_out.png", "small_out.png"]
    assert (folder / "large_out.png").read_text() == "an earlier result"
    assert result(str(folder / "small_out.png")).shape == (32, 32, 3)
    failures = [line for line in said().splitlines() if line.startswith("failed: ")]
    assert len(failures) == 1
    assert "large.png" in failures[0]
    assert any(reason in failures[0] for reason in ("No space left on device", "File too large"))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 48 kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    try:
        mounted = sys.platform == "linux" and subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system can only be mounted by root on Linux")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_fails_its_picture_and_loses_nothing(
    tiny_disk: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    check_a_full_disk(
        lambda: main(["-i", "pics", "-o", str(tiny_disk), *small]), lambda: capsys.readouterr().err, tiny_disk
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of a file")
@pytest.mark.parametrize("extension", ["png", "jpg", "tiff", "bmp"])
def test_a_disk_that_fails_half_way_leaves_no_half_file(
    small: list[str], capsys: pytest.CaptureFixture[str], extension: str
) -> None:
    import resource

    make("pics/small.png", height=4, width=4)
    make("pics/large.png", height=40, width=40)
    Path("results").mkdir()
    Path(f"results/large_out.{extension}").write_text("an earlier result")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails instead of ending the process
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        code = main(["-i", "pics", "--ext", extension, *small])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 1
    assert results() == [f"large_out.{extension}", f"small_out.{extension}"]
    assert Path(f"results/large_out.{extension}").read_text() == "an earlier result"
    (failure,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert "large.png" in failure
    assert "cannot be written (File too large)" in failure


@pytest.mark.parametrize("argv", [[], ["--tile", "-1"], ["--dry_run"], ["-i", "missing.png"]])
def test_garbage_is_collected_while_pictures_are_restored_and_however_a_command_ends(
    monkeypatch: pytest.MonkeyPatch, small: list[str], argv: list[str]
) -> None:
    make("a.png")
    states = []
    enhance = realesrgan.RealESRGANer.enhance

    def watched(upsampler: realesrgan.RealESRGANer, *facts: Any, **more: Any) -> Any:
        states.append(gc.isenabled())
        return enhance(upsampler, *facts, **more)

    monkeypatch.setattr(realesrgan.RealESRGANer, "enhance", watched)
    main(["-i", "a.png", *small, *argv])
    assert states == [True] * (argv == [])
    assert gc.isenabled()


LIGHT = """
import contextlib, os, sys
import realesrgan
heavy = {"torch", "cv2", "pyvips", "numpy", "requests", "av"} & set(sys.modules)
assert not heavy, f"import realesrgan loads {heavy}"
from realesrgan.cli.main import main
for line in ("--help", "image --help", "video --help", "weights --help", "image --ext nonsense", "weights list"):
    argv = line.split()
    with contextlib.suppress(SystemExit), open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        with contextlib.redirect_stderr(null):
            main(argv)
    heavy = {"torch", "cv2", "pyvips", "av"} & set(sys.modules)
    assert not heavy, f"{argv} loads {heavy}"
"""


def test_import_and_help_load_nothing_heavy() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=SCRIPT.parent, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ran.returncode == 0, ran.stderr


def test_the_script_is_the_command_in_a_process_of_its_own(srvgg_file: Path) -> None:
    make("ä b [1].png")
    with run_script("-i", "ä b [1].png", "--model_path", srvgg_file, "--fp32") as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert results() == ["ä b [1]_out.png"]
    assert "1 restored" in out
