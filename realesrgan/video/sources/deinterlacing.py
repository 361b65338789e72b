"""Two fields to one frame, at the time they had. Frames that are not interlaced pass untouched."""

from __future__ import annotations

from collections.abc import Iterator

import av
import av.filter


class Deinterlacer:
    """Takes the frames of a video in order of time. Each comes out once, at its time.

    Frames before the first interlaced one come out at once, so that a video without any never meets the filter.
    """

    def __init__(self) -> None:
        self.fields_seen = 0  # interlaced frames so far
        self._filter: _Bwdif | None = None
        self._before: av.VideoFrame | None = None

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Give it the next frame; yield what is ready, often an earlier one."""
        self.fields_seen += bool(frame.interlaced_frame)
        if self._filter is not None and not self._filter.takes(frame):
            yield from self.flush()
        if self._filter is None and frame.interlaced_frame:
            self._filter = _Bwdif(frame, self._before)
        if self._filter is None:
            self._before = frame
            yield frame
        else:
            yield from self._filter.push(frame)

    def flush(self) -> Iterator[av.VideoFrame]:
        """Yield what it still holds, at the end."""
        if self._filter is not None:
            yield from self._filter.push(None)
        self._filter = self._before = None


class _Bwdif:
    """FFmpeg's filter for frames like `first`. It looks at the neighbours in time too, and so gives a frame late.

    `before` is the frame before the first: it helps, and does not come out.
    """

    def __init__(self, first: av.VideoFrame, before: av.VideoFrame | None) -> None:
        self._format = _format(first)
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base
        )
        # Only what is flagged: broadcasts mix film with video, and so whole frames with interlaced ones.
        bwdif = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()
        self._to_drop = 0
        if before is not None and self.takes(before):
            # The filter has no neighbour for the first frame it gets: push two frames ahead and drop what they give.
            for frame in (first, before):
                self._graph.vpush(frame)
            self._to_drop = 2

    def takes(self, frame: av.VideoFrame) -> bool:
        return _format(frame) == self._format

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Give it the next frame, None after the last; yield what is ready."""
        self._graph.vpush(frame)
        while True:
            try:
                done = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            if self._to_drop:
                self._to_drop -= 1
            else:
                yield done


def _format(frame: av.VideoFrame) -> tuple[int, int, str, int, int]:
    """What may not change within one filter."""
    return frame.width, frame.height, frame.format.name, int(frame.colorspace or 2), int(frame.color_range or 0)
