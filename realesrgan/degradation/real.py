"""What real pictures go through besides JPEG: files and videos, written and read again by real encoders."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from torch import Tensor

from ..arrays import Array
from ..image import files
from ..image.files import Picture
from ..video.encoding import repeatable
from .pixels import from_pixels, to_pixels
from .steps import FileFormat, VideoCodec

_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
# Frames of the pan: the last one is predicted from those before, as most frames of a video are.
_PAN_FRAMES = 3
# One thread: with more, x264 and x265 cut the picture up otherwise, and the bytes would depend on the machine.
_ONE_THREAD = {"libx264": {"threads": "1"}, "libx265": {"x265-params": "pools=none:frame-threads=1:log-level=none"}}


def through_file(picture: Tensor, extension: FileFormat, quality: int) -> Tensor:
    """Write (1, 3, H, W) RGB in [0, 1] as a picture file of `quality` 1 to 100, and read it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"picture.{extension}")
        files.write(path, Picture(to_pixels(picture)), quality)
        return from_pixels(files.read(path).pixels, picture.device).to(picture.dtype)


def through_video(picture: Tensor, codec: VideoCodec, crf: int) -> Tensor:
    """Encode a short pan over (1, 3, H, W) RGB in [0, 1] at `crf`, 0 to 51, and return its last frame, decoded."""
    pixels = to_pixels(picture)
    height, width = pixels.shape[:2]
    # 4:2:0 has even sides, and x265 starts at 32.
    bottom, right = (max(side + side % 2, 32) - side for side in (height, width))
    padded = cv2.copyMakeBorder(pixels, 0, bottom, 0, right + _PAN_FRAMES, cv2.BORDER_REPLICATE)
    shown = padded.shape[1] - _PAN_FRAMES
    frames = [padded[:, shift : shift + shown] for shift in reversed(range(_PAN_FRAMES))]
    last = _decode_last(_encode(frames, _ENCODERS[codec], crf))
    return from_pixels(last[:height, :width], picture.device).to(picture.dtype)


def _encode(frames: list[Array], encoder: str, crf: int) -> bytes:
    buffer = BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        options = repeatable(encoder, {"crf": str(crf), "bf": "0", **_ONE_THREAD[encoder]})
        stream: Any = container.add_stream(encoder, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _decode_last(video: bytes) -> Array:
    with av.open(BytesIO(video), "r") as container:
        *_, last = container.decode(video=0)
        return last.to_ndarray(format="bgr24")
