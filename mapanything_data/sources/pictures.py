"""From the packets of a video file to its pictures, each under its right number however the file is damaged.

Every packet is numbered in the order of the file, and its number is what the decoder is given as time stamp, so that
each picture that comes out says which packet it came from. A missing picture therefore never shifts the numbers of
the others.

How damage shows (PyAV 18, FFmpeg 8; bytes flipped in the middle of one packet, 20 to 30 files a codec):

- On one thread and with frame threads FFmpeg flags exactly the damaged picture of H.264 (30 of 30), MPEG-4 (30 of 30)
  and MPEG-2 streams as corrupt or gives none. With slice threads it conceals H.264 damage without a word (29 of 30
  unnoticed): `thread_type` must stay AUTO, which prefers frame threads, and never be SLICE.
- A decoder asked to stop at errors (`err_detect=explode`) finds most damage in MJPEG (15 of 20). With inter-coded
  streams it gives up good pictures and finds nothing more, so it is asked of intra-only codecs alone.
- HEVC, VP9 and FFV1 decoders take flipped bytes for other pictures, unnoticed (HEVC 1 of 30 raises an error). Lost
  and cut packets are noticed; so are zeroed stretches of H.264 and HEVC (see nal.py). A checksum of the file notices
  the rest.

The pictures that follow a damaged one in its group are predicted from it and inherit its damage without a flag. So
all that is decoded after it is doubtful up to the next keyframe, together with the pictures shown before that keyframe
but decoded after it, which may refer back. A picture is let out only when it is known of all that was decoded before it
in its group whether it is whole.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.sources.packets import PacketTable, demux, prepare

_MAX_REORDER = 16  # pictures that H.264 and HEVC may hold back at most


def pictures(path: Path, table: PacketTable, first: int, last: int) -> Iterator[Judged]:
    """Decode pictures `first` to `last`, both included.

    Raises:
        DataError: The file is not the one that the table was made from.
    """
    entry = table.entry(first)
    inspector = _Inspector(table, entry)
    for judged in _judged(path, table, entry, inspector):
        if judged.number >= first:
            yield judged
        if judged.number >= last:
            return
    for number in range(max(first, inspector.next_number), last + 1):
        yield Judged(number, None, inspector.missing_reason())


class Judged(NamedTuple):
    """A picture with what speaks against it."""

    number: int
    picture: Any
    """`av.VideoFrame`, or None where it is lost."""
    reason: str
    """Why it is lost or doubtful; empty for a picture that is whole."""


def _judged(path: Path, table: PacketTable, entry: int, inspector: _Inspector) -> Iterator[Judged]:
    import av

    for packet_number, packet in _packets(path, table, entry):
        try:
            decoded = packet.decode()
        except av.FFmpegError as error:
            inspector.last_error = str(error.strerror)
            decoded = []
        for frame in decoded:
            yield from inspector.take(frame)
        if packet_number is None:
            yield from inspector.finish()


class _Inspector:
    """Puts pictures in order as they come out of the decoder and lets them out once it is known what they are worth."""

    def __init__(self, table: PacketTable, entry: int) -> None:
        self.table = table
        self.last_error = ""
        self.next_number = 0
        """Number of the next picture to let out."""
        self._number_of = np.full(len(table.times), -1, dtype=np.int64)
        self._number_of[table.packet_of] = np.arange(len(table.packet_of))
        # A packet is settled once its picture came out, is known to be missing, or does not matter.
        self._settled = self._number_of < 0
        self._settled[:entry] = True
        if table.order_known:
            self.next_number = int(self._number_of[entry]) if entry else 0
            self._settled[table.packet_of[: self.next_number]] = True
        self._all_settled_before = 0
        self._waiting: deque[tuple[int, int, Any]] = deque()
        self._next_in = self.next_number
        self._bad: list[int] = []
        self._reasons = dict(table.damaged)
        self._lost_count = ""
        for packet in table.damaged:
            insort(self._bad, packet)

    def take(self, frame: Any) -> Iterator[Judged]:
        """Accept the next picture of the decoder; yields those that can be let out now."""
        packet = frame.pts
        if packet is None or not 0 <= packet < len(self._settled) or self._lost_count:
            return
        if self.table.order_known:
            number = int(self._number_of[packet])
            if number < self._next_in:
                return  # shown before the keyframe at which decoding started, and maybe predicted from before it
            self._miss_until(number)
        if frame.is_corrupt:
            self._mark_bad(packet, "the decoder found damage in it")
        self._settled[packet] = True
        self._waiting.append((self._next_in, packet, frame))
        self._next_in += 1
        yield from self._let_out(at_end=False)

    def finish(self) -> Iterator[Judged]:
        """Nothing more will come out."""
        if self.table.order_known:
            self._miss_until(len(self.table.packet_of))
        elif not self._settled.all() and not self._lost_count:
            self._lose_count()
        yield from self._let_out(at_end=True)

    def missing_reason(self) -> str:
        """Why a picture that never came out is lost."""
        return self._lost_count or f"the decoder gave no picture for it{self._because()}"

    def _let_out(self, *, at_end: bool) -> Iterator[Judged]:
        # Without times a missing picture may have belonged before one that came out, up to the decoder's delay.
        margin = 0 if self.table.order_known else _MAX_REORDER
        while self._waiting:
            number, packet, frame = self._waiting[0]
            if not at_end and self._first_unsettled() < min(packet + margin, len(self._settled)):
                if not self.table.order_known and len(self._waiting) > 3 * _MAX_REORDER:
                    self._lose_count()
                    continue
                return
            self._waiting.popleft()
            self.next_number = number + 1
            why_lost = self._why_lost(packet)
            yield Judged(number, None if why_lost else frame, why_lost or self._why_doubtful(packet))

    def _why_lost(self, packet: int) -> str:
        if packet >= self.table.counted_until:
            return "bytes are missing in a stream without time stamps, so numbers after them are not known"
        return self._reasons.get(packet, "")

    def _why_doubtful(self, packet: int) -> str:
        start = self.table.group_start(packet)
        for bad in self._bad[bisect_left(self._bad, start) : bisect_right(self._bad, packet)]:
            # What is shown before a keyframe that precedes it in the file is never referred to from after it.
            if self.table.times[bad] >= self.table.times[start]:
                return f"it may be predicted from picture {self._number_of[bad]}, which is damaged or missing"
        return ""

    def _miss_until(self, number: int) -> None:
        for missing in range(self._next_in, number):
            packet = int(self.table.packet_of[missing])
            self._mark_bad(packet, self.missing_reason())
            self._settled[packet] = True
            self._waiting.append((missing, packet, None))
            self._next_in = missing + 1

    def _mark_bad(self, packet: int, reason: str) -> None:
        if packet not in self._reasons:
            insort(self._bad, packet)
            self._reasons[packet] = reason

    def _lose_count(self) -> None:
        self._lost_count = (
            "a picture before it is missing, and without time stamps reordered pictures have no other number than their"
            " count; put the stream into a container that keeps times"
        )
        self._waiting.clear()

    def _first_unsettled(self) -> int:
        at = self._all_settled_before
        while at < len(self._settled) and self._settled[at]:
            at += 1
        self._all_settled_before = at
        return at

    def _because(self) -> str:
        return f" ({self.last_error})" if self.last_error else ""


def _packets(path: Path, table: PacketTable, entry: int) -> Iterator[tuple[int | None, Any]]:
    """Packets from number `entry` on, renumbered for the decoder; at the end an empty one with None.

    Raises:
        DataError: The packets are not those of the table.
    """
    import av

    # Seeking saves reading what stands before. Files that cannot seek, or land too late, are read from their start.
    for seek in (True, False) if entry and table.timed else (False,):
        with av.open(str(path)) as container:
            stream = container.streams[table.stream_index]
            prepare(stream)
            count = 0
            if seek:
                # Some demuxers seek by decoding time, which runs ahead of presentation by the reordering depth.
                target = int(table.times[max(0, entry - _MAX_REORDER) : entry + 1].min())
                try:
                    container.seek(target, stream=stream, backward=True)
                except av.FFmpegError:
                    continue
                count = -1
            for packet in demux(container, stream):
                if not packet.size:
                    if count == -1:
                        break
                    yield None, packet
                    return
                if count == -1:
                    if packet.pts != table.times[entry] or not packet.is_keyframe:
                        continue
                    count = entry
                if count >= len(table.times) or (table.timed and packet.pts != table.times[count]):
                    raise DataError(
                        path, f"packet {count} is not the one that was planned", remedy="the file changed: start again"
                    )
                packet.pts = packet.dts = count
                if count >= entry:
                    yield count, packet
                count += 1
            if count != -1:
                return
