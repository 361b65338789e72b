"""Videos whose frames say their number, so that what a player shows can be told from its picture alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from clips import Clip

WIDTH, HEIGHT = 64, 48
RATE = 25
BITS, COLUMNS = 10, 5
ROWS = BITS // COLUMNS
DARK, BRIGHT = 55, 200  # far from each other, so that neither codec nor network mixes them up


def write_coded(path: Path, count: int) -> Path:
    """Write `count` frames of 64×48 pixels: the fields of each are the binary digits of its number, lowest first."""
    return Clip([_frame(number) for number in range(count)]).write(path)


def _frame(number: int) -> av.VideoFrame:
    bits = np.array([number >> bit & 1 for bit in range(BITS)]).reshape(ROWS, COLUMNS)
    rows = np.arange(HEIGHT) * ROWS // HEIGHT
    columns = np.arange(WIDTH) * COLUMNS // WIDTH
    levels = np.where(bits[np.ix_(rows, columns)], BRIGHT, DARK).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.repeat(levels[..., None], 3, axis=2), "rgb24").reformat(format="yuv420p")


# Both videos at one moment: their positions, and the numbers that their pictures say. A number is -1 where a field is
# neither dark nor bright.
READ = f"""() => {{
  const read = (video) => {{
    if (!video.videoWidth) return -1;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [{WIDTH}, {HEIGHT}];
    const pen = canvas.getContext("2d", {{ willReadFrequently: true }});
    pen.drawImage(video, 0, 0, {WIDTH}, {HEIGHT});
    let number = 0;
    for (let bit = 0; bit < {BITS}; bit += 1) {{
      const x = Math.floor(((bit % {COLUMNS}) + 0.5) * {WIDTH / COLUMNS});
      const y = Math.floor((Math.floor(bit / {COLUMNS}) + 0.5) * {HEIGHT / ROWS});
      const [, level] = pen.getImageData(x, y, 1, 1).data;
      if (Math.abs(level - {(DARK + BRIGHT) / 2}) < 25) return -1;
      if (level > {(DARK + BRIGHT) / 2}) number += 2 ** bit;
    }}
    return number;
  }};
  const videos = ["before", "after"].map((side) => document.querySelector(`#${{side}}-video`));
  return {{
    times: document.querySelector("before-after").times,
    numbers: videos.map(read),
    paused: videos.map((video) => video.paused),
    seeking: videos.some((video) => video.seeking),
  }};
}}"""


def read(page: Any) -> dict[str, Any]:
    """{times: {before, after} in seconds, numbers: [before, after], paused: [before, after], seeking}."""
    return dict(page.evaluate(READ))
