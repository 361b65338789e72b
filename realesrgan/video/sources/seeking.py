"""Where in a file to begin decoding, so that the frames from a given time on are the same as from the beginning."""

from __future__ import annotations

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from .clock import RESTART_S
from .decoding import feed_of, picture_stream, steps
from .tape import WITH_KEY_FRAMES

# Kinds of file that can be entered at a time; .avi does not say when a frame is shown.
_SEEKABLE = frozenset(("mp4", "matroska", "mpegts"))
# How long before the wanted moment to look for a key frame: a .ts has no index, and a search lands anywhere in it.
_LEADS_S = (1, 10)


def landing_before(name: str, stream_index: int, earliest: int, wanted: int) -> int | None:
    """A timestamp to seek to, or None: decode from the beginning.

    `earliest` and `wanted` are timestamps too, of the beginning and of the first frame wanted. Each candidate is tried
    out: the first frame from there must be whole, and earlier than `wanted`.
    """
    last_byte: int | None = None
    for lead_s in _LEADS_S:
        with av.open(name) as container:
            stream = picture_stream(container, stream_index)
            assert stream.time_base is not None
            target = wanted - round(lead_s / stream.time_base)
            formats = _SEEKABLE & set(container.format.name.split(","))
            codec = stream.codec_context.codec.canonical_name
            if target <= earliest or not formats or codec not in WITH_KEY_FRAMES:
                return None
            if "mpegts" in formats and last_byte is None:
                last_byte = _place_in_stream(name, stream_index, wanted)
                if last_byte is None:
                    return None
            if _is_good(container, stream, target, wanted, last_byte):
                return target
    return None


def _place_in_stream(name: str, stream_index: int, wanted: int) -> int | None:
    """The byte where a .ts reaches `wanted`, or ends; None if its clock starts anew before that: seeks may go astray.

    A .ts has no index, and may be several recordings in one file. Reading without decoding takes seconds an hour.
    """
    latest: int | None = None
    place: int | None = None
    with av.open(name) as container:
        for packet in container.demux(container.streams[stream_index]):
            if packet.dts is None or not packet.time_base:
                continue
            if latest is not None and packet.dts < latest - RESTART_S / packet.time_base:
                return None
            latest, place = packet.dts, packet.pos
            if latest >= wanted:
                break
    return place


def _is_good(container: InputContainer, stream: VideoStream, target: int, wanted: int, last_byte: int | None) -> bool:
    try:
        if last_byte is not None:
            container.seek(target, stream=stream)
            position = next((packet.pos for packet in container.demux(stream)), None)
            if position is None or position > last_byte:
                return False
        container.seek(target, stream=stream)
        feed = feed_of(container, stream, every_stream=False)
        first = next((frame for step in steps(feed, from_key_frame=True) for frame in step.frames), None)
    except av.error.FFmpegError:
        return False
    return first is not None and first.pts is not None and first.pts < wanted and not first.is_corrupt
