"""The packets of a video file: which of them holds which picture, and where decoding can start."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.sources.nal import Units

_MAX_THREADS = 8  # each holds a few pictures


@dataclass(frozen=True, eq=False)
class PacketTable:
    """Which packet holds which picture. Packets count in the order of the file, pictures in order of presentation."""

    stream_index: int
    times: NDArray[np.int64]
    """[P] presentation time of each packet in ticks of the stream; the packet's number in a stream without times."""
    timed: bool
    """False for raw streams, whose packets have no times."""
    order_known: bool
    """False where pictures are reordered and no times say how: then they can only be counted as they come out."""
    packet_of: NDArray[np.int64]
    """[N] packet of each picture; packets that an edit list hides hold none."""
    keyframes: NDArray[np.int64]
    """Packets at which decoding can start, ascending; the first packet is always one."""
    damaged: dict[int, str]
    """Packets that are damaged for certain, with the reason."""
    counted_until: int
    """Packet from which on numbers cannot be trusted: raw streams lose count where bytes are missing."""
    restart: int | None
    """First packet whose decoding time is before that of its predecessor, as in joined recordings."""

    def entry(self, picture: int) -> int:
        """Packet at which decoding must start to show `picture` and all after it as if decoded from the beginning."""
        if not self.order_known:
            return 0
        return self.group_start(int(self.packet_of[picture]))

    def group_start(self, packet: int) -> int:
        """First packet of what the picture in `packet` may have been predicted from."""
        nth = bisect_right(self.keyframes, packet) - 1
        # A picture that is shown before the keyframe it follows in the file may refer to the group before.
        leads = not self.order_known or self.times[packet] < self.times[self.keyframes[nth]]
        return int(self.keyframes[max(nth - 1, 0) if leads and packet != self.keyframes[nth] else nth])


def scan(container: Any, stream: Any) -> tuple[PacketTable, Any]:
    """Read all packets of a stream, without decoding more than its first picture.

    Args:
        container: A freshly opened `av` container.
        stream: One of its video streams.

    Returns:
        The table, and the first picture that decodes (`av.VideoFrame`), which says how the camera was turned; None
        where no picture decodes.
    """
    prepare(stream)
    units = Units.of(stream.codec_context.name, stream.codec_context.extradata)
    packets: list[_Packet] = []
    first_picture = None
    for packet in demux(container, stream):
        if first_picture is None:
            first_picture = _first_picture(packet)
        if packet.size:
            packets.append(_inspect(packet, units))
    return _table(container, stream, packets), first_picture


def prepare(stream: Any) -> None:
    """Set a stream's decoder up; the kind of threads decides what damage is noticed (see pictures.py)."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    if stream.codec_context.codec.intra_only:
        stream.codec_context.options = {"err_detect": "explode"}


def demux(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream that hold something, then an empty one, which makes a decoder hand out what it holds."""
    import av

    with suppress(av.FFmpegError):  # where the file breaks off
        for packet in container.demux(stream):
            # AVI has empty packets for "as before", which a decoder would take for the end.
            if packet.size:
                yield packet
    end = av.Packet()
    end.stream = stream
    yield end


class _Packet(NamedTuple):
    time: int | None
    decoding_time: int | None
    is_keyframe: bool
    is_hidden: bool
    damage: str
    is_broken: bool


def _inspect(packet: Any, units: Units | None) -> _Packet:
    content = units.split(bytes(packet)) if units else []
    damage = ""
    if packet.is_corrupt:
        damage = "its bytes are incomplete in the file"
    elif content is None:
        damage = "bytes of it are missing or overwritten in the file"
    starts = packet.is_keyframe and (units is None or (content is not None and units.starts_clean(content)))
    return _Packet(packet.pts, packet.dts, starts, packet.is_discard, damage, content is None)


def _table(container: Any, stream: Any, packets: Sequence[_Packet]) -> PacketTable:
    times = [packet.time for packet in packets]
    timed = None not in times and len(set(times)) == len(times)
    reorders = bool(stream.codec_context.has_b_frames)
    if timed and reorders and container.format.name == "avi" and times == sorted(times, key=lambda time: time or 0):
        # AVI stores no presentation times. FFmpeg restores them for MPEG-4 and makes up wrong ones for H.264.
        timed = False
    ticks = np.array(times if timed else range(len(times)), dtype=np.int64)
    in_order = np.argsort(ticks, kind="stable")
    hidden = np.array([packet.is_hidden for packet in packets], dtype=bool)
    broken = [number for number, packet in enumerate(packets) if packet.is_broken]
    return PacketTable(
        stream_index=stream.index,
        times=ticks,
        timed=timed,
        order_known=timed or not reorders,
        packet_of=in_order[~hidden[in_order]],
        keyframes=np.array([0, *(n for n, packet in enumerate(packets) if n and packet.is_keyframe)], dtype=np.int64),
        damaged={number: packet.damage for number, packet in enumerate(packets) if packet.damage},
        counted_until=broken[0] if broken and not timed else len(packets),
        restart=_restart([packet.decoding_time for packet in packets]),
    )


def _restart(times: Sequence[int | None]) -> int | None:
    """Where decoding times begin again: two packets before the two ahead of them. A single wrong time is no restart."""
    known = np.array([time for time in times if time is not None], dtype=np.int64)
    if len(known) < len(times) or len(known) < 4:
        return None
    earlier, later = np.minimum(known[:-3], known[1:-2]), np.maximum(known[2:-1], known[3:])
    found = np.flatnonzero(later < earlier)
    return int(found[0]) + 2 if len(found) else None


def _first_picture(packet: Any) -> Any:
    import av

    try:
        decoded = packet.decode()
    except av.FFmpegError:
        return None
    return decoded[0] if decoded else None
