"""The checksums that every slice of an FFV1 picture carries.

Own code where FFmpeg has a decoder: on a wrong checksum FFmpeg writes a line to its log and gives out a picture all the
same, with no flag set, whatever `err_detect` says (FFmpeg 8.0).

Layout of a slice with `slicecrc=1` (RFC 9043, 4.6 to 4.8): content, size of the content in 3 bytes big-endian, one
status byte, CRC-32 of all of it in 4 bytes. The slices of a picture follow each other; sizes are read from the end.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_TRAILER = 8
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ZERO_REGISTER = 0xFFFFFFFF  # zlib inverts its register on the way in and on the way out


def damaged_slices(picture: bytes) -> list[int]:
    """Numbers of the slices, counted from the picture's end, whose checksum is wrong.

    Where a slice's size is damaged too, the slices before it cannot be told apart and count as one.
    """
    return [number for number, content in enumerate(_slices_from_end(picture)) if not _is_whole(content)]


def _slices_from_end(picture: bytes) -> Iterator[bytes]:
    end = len(picture)
    if not end:
        yield b""
    while end:
        size = int.from_bytes(picture[max(0, end - _TRAILER) : max(0, end - _TRAILER + 3)], "big") + _TRAILER
        start = end - size if size <= end else 0
        yield picture[start:end]
        end = start


def _is_whole(content: bytes) -> bool:
    # FFV1 feeds bits from the highest, zlib from the lowest; both divide by the same polynomial, and a message
    # followed by its own checksum leaves nothing in the register.
    return len(content) > _TRAILER and zlib.crc32(content.translate(_MIRRORED), _ZERO_REGISTER) == _ZERO_REGISTER
