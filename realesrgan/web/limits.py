"""What the server takes on: limits on uploads, pictures, videos and the queue."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE_S = 60.0  # for the next bytes of a request
IDLE_CONNECTION_S = 30.0  # for the next request, up to the end of its headers
DISK_RESERVE_BYTES = 500_000_000  # kept free, for results
MAX_FIELD_BYTES = 10_000  # of an option in a form
MAX_BODY_BYTES = 1_000_000  # of a request in JSON
MAX_STREAMS = 200  # listeners to events


@dataclass(frozen=True)
class Limits:
    """Attributes:
    upload_bytes: of one file.
    pixels: of a picture, or of a video's frame.
    seconds: length of a video.
    jobs: that wait or are being restored, all clients together.
    keep_s: how long files stay after a job has ended.
    idle_s: the process that restores ends after so long without work, and its memory is free.
    """

    upload_bytes: int = 4_000_000_000
    pixels: int = 200_000_000
    seconds: float = 4 * 3600.0
    jobs: int = 1000
    keep_s: float = 24 * 3600.0
    idle_s: float = 600.0

    def too_many_pixels(self, width: int, height: int) -> str | None:
        """Why a picture, or a video's frame, of this size is not taken on; None if it is."""
        if width * height <= self.pixels:
            return None
        return f"{width}×{height} pixels are more than {self.pixels / 1e6:g} megapixels, the most this server takes"
