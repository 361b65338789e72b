"""Packets to whole frames in order of time: from the start or a key frame near by, fields made into frames.

Knows nothing of colours, arrays or networks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import av
import av.error
import av.filter
from av.container import InputContainer
from av.video.stream import VideoStream

from .probe import VideoSource, error_text

# Kinds of file and codecs whose marks on key frames can be trusted, and so decoding begin there. Animated GIF and PNG
# mark every frame, though each is drawn over the one before; .avi does not say when a frame is shown.
_SEEKABLE = frozenset(("mp4", "matroska", "mpegts"))
_WITH_KEY_FRAMES = frozenset(("h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "prores", "dnxhd", "mjpeg", "ffv1"))
# An .avi only counts packets. What these hold comes out in another order, of which it says nothing: the n-th frame that
# is shown has the n-th packet's place. (For MPEG-4 Part 2, FFmpeg knows.)
_REORDERED_WITHOUT_PTS = ("h264", "hevc")
# How long before the wanted moment to look for a key frame: a .ts has no index, and a search lands anywhere in it.
_LEADS_S = (1, 10)


@dataclass
class Losses:
    """What could not be decoded: `concealed` frames were replaced by the one before, `missing_s` is cut off the end.

    `resized` frames came in another size than the first, and `deinterlaced` ones were made of two fields: nothing is
    lost, but a viewer will want to know. The packets of all streams last until `reached_s`.
    """

    concealed: int = 0
    missing_s: float = 0.0
    resized: int = 0
    deinterlaced: int = 0
    reached_s: float = 0.0
    reasons: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def decode(source: VideoSource, losses: Losses, expected: set[int], first_pts: int) -> Iterator[av.VideoFrame]:
    """Yield the frames that decode, at the latest from `first_pts` on.

    Into `expected` go the timestamps of all packets that should give a frame. Timestamps count from the source's start.
    """
    landing = _seek_target(source, source.start_pts + first_pts)
    with av.open(str(source.path)) as container:
        stream = _picture_stream(container, source)
        if landing is not None:
            container.seek(landing, stream=stream)
        frames = _decoded_packets(container, stream, source, losses, expected, from_key=landing is not None)
        yield from deinterlaced(frames, losses)


def _picture_stream(container: InputContainer, source: VideoSource) -> VideoStream:
    stream = container.streams[source.stream_index]
    assert isinstance(stream, VideoStream)
    # Threads that decode several frames at once would report a broken packet late, and so blame another.
    stream.thread_type = "SLICE"
    return stream


def _decoded_packets(
    container: InputContainer,
    stream: VideoStream,
    source: VideoSource,
    losses: Losses,
    expected: set[int],
    *,
    from_key: bool,
) -> Iterator[av.VideoFrame]:
    """All frames from here on, or from the first key frame after a search."""
    counts_only = container.format.name == "avi" and _codec(stream) in _REORDERED_WITHOUT_PTS
    places: deque[int] = deque()
    for packet in container.demux(*([stream] if source.duration_is_own else [])):
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            losses.reached_s = max(losses.reached_s, float(end - source.start_pts * source.time_base))
        if packet.stream.index != stream.index or (from_key and not packet.is_keyframe):
            continue
        from_key = False
        when = packet.dts if counts_only else packet.pts
        if when is not None and not packet.is_discard:
            expected.add(when - source.start_pts)
            if counts_only:
                places.append(when)
        try:
            frames = [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
        except av.error.FFmpegError as error:
            losses.note(error_text(error))
            if counts_only and when is not None:
                places.remove(when)
            continue
        for frame in frames:
            if counts_only:
                frame.pts = places.popleft() if places else None
            yield frame


def _codec(stream: VideoStream) -> str:
    return stream.codec_context.codec.canonical_name


def _seek_target(source: VideoSource, wanted: int) -> int | None:
    """A timestamp to search for, from which decoding gives the same frames as from the beginning; None: there is none.

    It is tried out: what comes first from there must be whole, and earlier than `wanted`.
    """
    for lead_s in _LEADS_S:
        target = wanted - round(lead_s / source.time_base)
        if target <= source.start_pts:
            return None
        with av.open(str(source.path)) as container:
            stream = _picture_stream(container, source)
            if _codec(stream) not in _WITH_KEY_FRAMES or not _SEEKABLE & set(container.format.name.split(",")):
                return None
            try:
                container.seek(target, stream=stream)
                frames = _decoded_packets(container, stream, source, Losses(), set(), from_key=True)
                first = next(frames, None)
            except av.error.FFmpegError:
                continue
            if first is not None and first.pts is not None and first.pts < wanted and not first.is_corrupt:
                return target
    return None


def deinterlaced(frames: Iterable[av.VideoFrame], losses: Losses) -> Iterator[av.VideoFrame]:
    """Make the two fields of each frame that is flagged interlaced into one picture; others pass untouched.

    Each frame comes out once, at its time. Frames before the first interlaced one come out at once, so that a video
    without any never meets the filter.
    """
    filter: _Deinterlacer | None = None
    before: av.VideoFrame | None = None
    for frame in frames:
        losses.deinterlaced += bool(frame.interlaced_frame)
        if filter is not None and not filter.takes(frame):
            yield from filter.push(None)
            filter, before = None, None
        if filter is None and frame.interlaced_frame:
            filter = _Deinterlacer(frame, before)
        if filter is None:
            before = frame
            yield frame
        else:
            yield from filter.push(frame)
    if filter is not None:
        yield from filter.push(None)


class _Deinterlacer:
    """FFmpeg's bwdif for frames like `first`. It looks at the neighbours in time too, and so gives a frame late.

    `before` is the frame before the first: it helps, and does not come out.
    """

    def __init__(self, first: av.VideoFrame, before: av.VideoFrame | None) -> None:
        self._format = _format(first)
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base
        )
        # Only what is flagged: streams of film among video, as broadcast, have whole frames between the others.
        bwdif = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()
        self._unwanted = 0
        if before is not None and self.takes(before):
            # The first frame that it makes of fields it makes of that frame alone, so that one is made to no purpose.
            for frame in (first, before):
                self._graph.vpush(frame)
            self._unwanted = 2

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
            if self._unwanted:
                self._unwanted -= 1
            else:
                yield done


def _format(frame: av.VideoFrame) -> tuple[int, int, str, int, int]:
    """What a filter cannot change on its way."""
    return frame.width, frame.height, frame.format.name, int(frame.colorspace or 2), int(frame.color_range or 0)
