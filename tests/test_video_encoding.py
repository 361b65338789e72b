"""Encoders give the same bytes each time, whatever number of processors there is."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from realesrgan.arrays import Array
from realesrgan.threads import run_in_own_thread
from realesrgan.video.encoding import HARDWARE, Encoding, available, choose_encoding, configure, to_frame
from realesrgan.video.sources.source import untagged_colour

SOFTWARE = [codec for codec in available() if codec not in HARDWARE]
UNLISTED = "mpeg2video"  # FFmpeg has more encoders than are recommended
# Small, but the bytes of an encoder that is not held to a number of threads differ.
SIZE = (192, 256)
SIZES = {"libvpx-vp9": (640, 64)}
TALL = (192, 720)  # from these lines on x265 would look ahead in slices
QUICK = {"libvpx-vp9": {"cpu-used": "4"}}
FRAMES = 24
COLOUR = untagged_colour(SIZE[1])


def noisy(count: int, width: int, height: int) -> list[Array]:
    """Moving pictures with noise, and a cut in the middle."""
    y, x = np.mgrid[:height, :width]
    chance = np.random.default_rng(1)
    pictures = []
    for number in range(count):
        levels = np.stack([x * 2 + number * 9, y * 3 + number * 4, x + y + number * 7], axis=2) % 200
        pictures.append(
            (levels[:: 1 if number < count // 2 else -1] + chance.integers(0, 40, levels.shape)).astype(np.uint8)
        )
    return pictures


def encoded(encoding: Encoding, size: tuple[int, int] | None = None, **instead: str) -> bytes:
    """What a stream's header and packets hold, with some options `instead` of those of `encoding`."""
    size = size or SIZES.get(encoding.codec, SIZE)
    with av.open(BytesIO(), "w", format="matroska") as container:
        stream = container.add_stream(encoding.codec, rate=25)
        assert isinstance(stream, VideoStream)
        configure(stream, encoding, size, COLOUR, Fraction(1))
        stream.codec_context.options |= QUICK.get(encoding.codec, {}) | instead
        packets = []
        for count, pixels in enumerate(noisy(FRAMES, *size)):
            frame = to_frame(pixels, encoding, COLOUR)
            frame.pts, frame.time_base = count, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        return b"".join([stream.codec_context.extradata or b"", *map(bytes, packets)])


def encoded_on(cpus: set[int], encoding: Encoding) -> bytes:
    """The same in a thread that may only use these processors, and so may those it starts."""

    def encode() -> bytes:
        os.sched_setaffinity(0, cpus)
        return encoded(encoding)

    return run_in_own_thread(encode)


def processors() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


@pytest.mark.skipif(len(processors()) < 2, reason="needs two processors, and a system that lets threads choose")
@pytest.mark.parametrize("codec", [*SOFTWARE, UNLISTED])
def test_an_encoder_gives_the_same_bytes_on_one_processor_and_on_more(codec: str) -> None:
    encoding = choose_encoding(codec, None, None, None, 8)
    assert encoded_on({processors()[0]}, encoding) == encoded_on(set(processors()), encoding)


@pytest.mark.parametrize("codec", [*SOFTWARE, UNLISTED])
def test_an_encoder_whose_bytes_depend_on_its_threads_is_told_their_number(codec: str) -> None:
    """As x265 must be, which does not ask which processors it may use."""
    encoding = choose_encoding(codec, None, None, None, 8)
    depends = encoded(encoding, threads="1") != encoded(encoding, threads="4")
    assert ("threads" in encoding.options) == depends


@pytest.mark.skipif("libx265" not in SOFTWARE, reason="this FFmpeg has no libx265")
def test_x265_gives_the_same_bytes_however_many_threads_share_the_rows() -> None:
    encoding = choose_encoding("libx265", None, None, None, 8)
    params = encoding.options["x265-params"]
    one, several = (encoded(encoding, TALL, **{"x265-params": f"{params}:pools={count}"}) for count in (1, 4))
    assert one == several


@pytest.mark.skipif("libx265" not in SOFTWARE, reason="this FFmpeg has no libx265")
def test_x265_does_not_write_down_what_processor_it_ran_on() -> None:
    assert b"cpuid" not in encoded(choose_encoding("libx265", None, None, None, 8))


@pytest.mark.skipif(sys.platform != "linux", reason="no such variable")
@pytest.mark.parametrize("codec", SOFTWARE)
def test_no_byte_depends_on_what_memory_held_before(codec: str) -> None:
    """As in a job of many segments, which fills memory with all kinds of things."""
    code = (
        "import sys; from test_video_encoding import *; "
        "sys.stdout.buffer.write(encoded(choose_encoding(sys.argv[1], None, None, None, 8)))"
    )
    results = []
    for filled_with in ("1", "255"):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_PERTURB_": filled_with}
        command = [sys.executable, "-c", code, codec]
        results.append(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert results[0] == results[1]
    assert len(results[0]) > 1000
