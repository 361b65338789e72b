"""Compare the whole video command with a textbook loop, from file to file, in one run and on the same clip.

    python -m benchmarks.videos                     16 frames of 640×480, drawn here, no two of them equal
    python -m benchmarks.videos --video clip.mp4    the beginning of a clip of yours

The textbook loop decodes each frame, runs the network in eager fp32, and encodes, one after the other; sound is lost.
The third row is this project on the same frames, each shown twice: repeats should cost next to nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.stream import VideoStream

from benchmarks import textbook
from benchmarks.pictures import processor
from benchmarks.scaling import Size, photograph
from realesrgan.arrays import Array
from realesrgan.cli import video
from realesrgan.model_zoo import find_model
from realesrgan.weights.load import load_network
from realesrgan.weights.store import obtain

MODEL = "realesr-animevideov3"
SIZE = Size(640, 480)
FRAMES = 16
STEP = 3  # pixels that the picture moves from frame to frame


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.videos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", metavar="FILE", help="take its first frames instead of the clip drawn here")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--write", metavar="FILE", help="also write the table here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = _first_frames(Path(options.video), options.frames) if options.video else _pan(options.frames)
        _encode(folder / "once.mkv", frames)
        _encode(folder / "twice.mkv", [frame for frame in frames for _ in range(2)])
        rows = {
            "textbook loop": _seconds(lambda: _textbook_loop(folder / "once.mkv", folder / "textbook.mp4")),
            "this project": _seconds(lambda: _command(folder / "once.mkv", folder)),
            "this project, every frame twice": _seconds(lambda: _command(folder / "twice.mkv", folder)),
        }
    height, width = frames[0].shape[:2]
    first = rows["textbook loop"]
    text = "\n".join(
        [
            "# A video, from file to file",
            "",
            f"Made by `{_command_line(options)}`: {len(frames)} frames of {width}×{height}, {MODEL},",
            "from reading the weights to the finished file, one row after the other.",
            "",
            f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}.",
            "",
            "| | seconds | times as fast as the textbook loop |",
            "|---|---|---|",
            *(f"| {name} | {seconds:.1f} | {first / seconds:.2f} |" for name, seconds in rows.items()),
            "",
        ]
    )
    print(text)
    if options.write:
        Path(options.write).write_text(text, encoding="utf-8")


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _command_line(options: argparse.Namespace) -> str:
    video = f" --video {Path(options.video).name}" if options.video else ""
    frames = f" --frames {options.frames}" if options.frames != FRAMES else ""
    return f"python -m benchmarks.videos{video}{frames}"


def _pan(count: int) -> list[Array]:
    """Frames of SIZE, cut out of one larger picture, each a few pixels further on than the one before."""
    width, height = SIZE
    picture = photograph(Size(width + STEP * count, height + STEP * count))
    return [picture[STEP * i : STEP * i + height, STEP * i : STEP * i + width] for i in range(count)]


def _first_frames(path: Path, count: int) -> list[Array]:
    with av.open(str(path)) as container:
        decoded = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
        return [frame for frame, _ in zip(decoded, range(count), strict=False)]


def _encode(path: Path, frames: list[Array]) -> None:
    """Encode losslessly, so that a frame shown twice decodes to the same pixels twice."""
    with av.open(str(path), "w") as output:
        stream = _add_video(output, "ffv1", frames[0], "yuv444p")
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        output.mux(stream.encode())


def _add_video(output: av.container.OutputContainer, codec: str, frame: Array, pixel_format: str) -> VideoStream:
    stream = output.add_stream(codec, rate=Fraction(24))
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = frame.shape[:2]
    stream.pix_fmt = pixel_format
    return stream


def _textbook_loop(source: Path, target: Path) -> None:
    model = find_model(MODEL)
    network, _ = load_network([obtain([model.weights])[0].path])
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = None
        for decoded in container.decode(video=0):
            result, _ = textbook.enhance(network, model.scale, decoded.to_ndarray(format="bgr24"))
            stream = stream or _add_video(output, "libx264", result, "yuv420p")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(result), format="bgr24")
            output.mux(stream.encode(frame))
        if stream is not None:
            output.mux(stream.encode())


def _command(source: Path, folder: Path) -> None:
    if video.main(["-i", str(source), "-o", str(folder / "results"), "-n", MODEL]) != 0:
        sys.exit("the command failed")


if __name__ == "__main__":
    main()
