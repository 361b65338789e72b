"""Make inputs/video/clip.mkv: a camera moves over the sample pictures, with sound, subtitles and chapters.

Needs nothing but this project. Animated on twos: every picture is shown for two frames.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from realesrgan.arrays import Array

INPUTS = Path(__file__).resolve().parent.parent / "inputs"
SCENES = {"The cat": "cat.jpg", "The robot": "comic.jpg"}  # chapter title: picture
WIDTH, HEIGHT = 128, 96
RATE = Fraction(12)
FRAMES_PER_SCENE = 24
SCENE_S = FRAMES_PER_SCENE / RATE
AUDIO_RATE = 48000
MELODIES_HZ = {"eng": (440, 554, 659, 554), "deu": (330, 392, 494, 392)}
SUBTITLES = "1\n00:00:00,200 --> 00:00:01,800\nA cat looks at you.\n\n2\n00:00:02,200 --> 00:00:03,800\nLook closer!\n"


def camera_moves() -> Iterator[Array]:
    """The frames, (HEIGHT, WIDTH, 3) BGR: for each scene a slow zoom into the middle of its picture."""
    for name in SCENES.values():
        picture = cv2.imread(str(INPUTS / name))
        height, width = picture.shape[:2]
        for frame in range(FRAMES_PER_SCENE):
            share = 1 - 0.25 * (frame // 2 * 2) / FRAMES_PER_SCENE
            cut_height = round(min(height, width * HEIGHT / WIDTH) * share)
            cut_width = round(cut_height * WIDTH / HEIGHT)
            top, left = (height - cut_height) // 2, (width - cut_width) // 2
            cut = picture[top : top + cut_height, left : left + cut_width]
            yield cv2.resize(cut, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def melody(tones_hz: tuple[int, ...]) -> Array:
    """One channel of sound as long as the video, the tones one after the other, each fading; (1, samples) float32."""
    samples = round(AUDIO_RATE * SCENE_S * len(SCENES) / len(tones_hz))
    time_s = np.arange(samples) / AUDIO_RATE
    tones = [np.sin(2 * np.pi * tone * time_s) * np.exp(-3 * time_s) for tone in tones_hz]
    return (0.3 * np.concatenate(tones)).astype(np.float32)[None]


def write(path: Path) -> None:
    """Write video, two audio tracks, subtitles and chapters into one file."""
    with tempfile.TemporaryDirectory() as folder, av.open(str(path), "w") as output:
        subtitle_file = Path(folder, "subtitles.srt")
        subtitle_file.write_text(SUBTITLES, encoding="utf-8")
        video = output.add_stream("libx264", rate=RATE, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        video.options = {"crf": "26", "preset": "slow"}
        tracks = {language: output.add_stream("aac", rate=AUDIO_RATE, layout="mono") for language in MELODIES_HZ}
        for language, track in tracks.items():
            track.bit_rate = 32000
            track.metadata["language"] = language
        with av.open(str(subtitle_file)) as text:
            subtitles = output.add_stream_from_template(text.streams[0])
            subtitles.metadata["language"] = "eng"
            lines = [packet for packet in text.demux() if packet.size]
        output.metadata["title"] = "A cat and a robot"
        unit = Fraction(1, 1000)
        marks = [
            (i, title, round(i * SCENE_S / unit), round((i + 1) * SCENE_S / unit)) for i, title in enumerate(SCENES)
        ]
        output.set_chapters(
            [
                {"id": i, "start": start, "end": end, "time_base": unit, "metadata": {"title": title}}
                for i, title, start, end in marks
            ]
        )
        packets = [packet for frame in camera_moves() for packet in video.encode(as_frame(frame))] + video.encode()
        for language, track in tracks.items():
            sound = av.AudioFrame.from_ndarray(melody(MELODIES_HZ[language]), format="fltp", layout="mono")
            sound.sample_rate = AUDIO_RATE
            packets += track.encode(sound) + track.encode()
        for line in lines:
            line.stream = subtitles
        output.mux([*packets, *lines])  # few enough for FFmpeg to buffer and sort them all


def as_frame(pixels: Array) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="bgr24")


if __name__ == "__main__":
    (INPUTS / "video").mkdir(exist_ok=True)
    write(INPUTS / "video" / "clip.mkv")
