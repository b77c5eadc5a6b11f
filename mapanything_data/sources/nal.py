"""H.264 and HEVC packets looked at from outside: is the byte stream whole, and can decoding start here?

Decoders accept nearly any bits as slice data (HEVC more than any other), but both standards forbid three zero bytes
inside a unit, and storage that fails hands back zeros. So lost sectors are seen here where a decoder would show
garbage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORBIDDEN_IN_STREAM = re.compile(rb"\x00\x00\x00[^\x00\x01]|\x00\x00\x02")  # ITU-T H.264 B.1, H.265 B.2
_FORBIDDEN_IN_UNIT = re.compile(rb"\x00\x00[\x00-\x02]")  # ITU-T H.264 7.4.1, H.265 7.4.2
_START_CODE = re.compile(rb"\x00*\x00\x00\x01")
_H264_IDR, _H264_SEI, _SEI_RECOVERY_POINT = 5, 6, 6


@dataclass(frozen=True)
class Units:
    """How the packets of one stream are divided into units."""

    codec: str
    """`h264` or `hevc`."""
    length_bytes: int
    """Size of the length in front of each unit, as in MP4 and Matroska; 0 where start codes divide them."""

    @classmethod
    def of(cls, codec: str, extradata: bytes | None) -> Units | None:
        """The division that a stream's extradata announces; None for other codecs."""
        header = extradata or b""
        if codec not in ("h264", "hevc"):
            return None
        position = 4 if codec == "h264" else 21  # ISO/IEC 14496-15, avcC and hvcC
        if header[:1] == b"\x01" and len(header) > position:
            return cls(codec, (header[position] & 3) + 1)
        return cls(codec, 0)

    def split(self, packet: bytes) -> list[bytes] | None:
        """The units of a packet, or None where their lengths do not add up or a byte pattern is forbidden."""
        if not self.length_bytes:
            if _FORBIDDEN_IN_STREAM.search(packet):
                return None
            return [unit for unit in _START_CODE.split(packet) if unit]
        units, at = [], 0
        while at < len(packet):
            length = int.from_bytes(packet[at : at + self.length_bytes], "big")
            at += self.length_bytes
            if length == 0 or at + length > len(packet):
                return None
            units.append(packet[at : at + length])
            at += length
        return None if any(_FORBIDDEN_IN_UNIT.search(unit.rstrip(b"\0")) for unit in units) else units

    def starts_clean(self, units: list[bytes]) -> bool:
        """Whether a packet marked as keyframe shows its picture whole without what came before.

        With periodic intra refresh, H.264 streams hold no whole picture but the first: the "keyframes" are recovery
        points, after which the picture mends over several frames.
        """
        if self.codec != "h264" or any(unit[0] & 31 == _H264_IDR for unit in units):
            return True
        return not any(_recovers_later(unit) for unit in units if unit[0] & 31 == _H264_SEI)


def _recovers_later(sei: bytes) -> bool:
    """Whether a unit of messages announces a recovery point that lies beyond its own picture (H.264 D.1.8)."""
    at = 1
    while at + 2 < len(sei):
        kind, size = sei[at], sei[at + 1]
        if kind == _SEI_RECOVERY_POINT:
            return not sei[at + 2] & 0x80  # recovery_frame_cnt is ue(v): a leading 1 is the number 0
        if 0xFF in (kind, size):
            return False
        at += 2 + size
    return False
