"""Lossless pictures as PNG, written fast enough that a capture is not limited by them.

A PNG is filtered rows in a deflate stream. NumPy filters here and Intel's ISA-L compresses: three to four
times as fast as `cv2.imwrite`, at its file size or less on road video (`benchmarks/png_encoders.py` compares
the alternatives).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.png_decoder import decode_plain_rgb
from mapanything_data.storage.reading import read_bytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"  # the empty last chunk of every PNG: length, type, CRC
_GREY, _RGB = 0, 2  # colour types of the PNG specification
_REMEDY = "restore the picture or leave it out, or correct its rights"
_FILTER_UP = 2  # filter type: each byte minus the byte above it


def encode_png(image: NDArray[Any]) -> bytes:
    """The PNG file of `image`, without loss.

    The same pixels give the same bytes on any thread and in any run; another release of ISA-L or another kind
    of CPU may compress differently. A pool of threads encodes frames in parallel: the GIL is released.

    Args:
        image: [H, W, 3] uint8 RGB, [H, W] uint8 or [H, W] uint16.

    Raises:
        ValueError: `image` has another shape or dtype, or no pixels.
    """
    is_rgb = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    is_grey = image.dtype in (np.uint8, np.uint16) and image.ndim == 2
    if not (is_rgb or is_grey) or image.size == 0:
        raise ValueError(
            f"a PNG holds [H, W, 3] uint8 RGB or [H, W] uint8 or uint16, not {list(image.shape)} {image.dtype}"
        )
    from isal import isal_zlib

    height, width = image.shape[:2]
    # A window of 512 bytes (2^9) instead of 32 KiB. In a long one ISA-L takes chance matches in sensor
    # noise, which cost more bits than the literals they replace: noisy frames grow by 6 to 10 % and pass
    # the size that cv2.imwrite gives. The price is that clean frames miss a saving of 1 to 8 %.
    pixels = isal_zlib.compress(filter_up(image), level=1, wbits=9)
    header = struct.pack(">IIBBBBB", width, height, 8 * image.itemsize, _RGB if is_rgb else _GREY, 0, 0, 0)
    return b"".join((_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", pixels), _END))


def filter_up(image: NDArray[Any]) -> NDArray[np.uint8]:
    """The rows of `image` after PNG's Up filter, each behind its filter type: [H, 1 + bytes of a row] uint8.

    Up is the fastest of PNG's filters to apply and to undo. Paeth makes the files of road video 5 % smaller,
    but takes ten times as long to apply and makes every later reading take 1.5 times as long.
    """
    big_endian = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder(">"))
    rows = big_endian.reshape(len(image), -1).view(np.uint8)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def decode_png(source: bytes | Path) -> NDArray[Any]:
    """The pixels of a PNG, as any encoder wrote it: [H, W, 3] uint8 RGB, [H, W] uint8 or [H, W] uint16.

    Args:
        source: The file's content or its path.

    Raises:
        DataError: It cannot be read, is not a PNG, is truncated or damaged, or holds an alpha channel or 16-bit colour.
    """
    import cv2

    data = source if isinstance(source, bytes) else read_bytes(source, remedy=_REMEDY)
    _check_signature(data, source)
    # Not every decoder release reports a truncated file, but every truncated file has lost its end.
    if not data.endswith(_END):
        raise DataError(
            _name(source),
            f"the PNG is truncated after {len(data)} bytes",
            expected="an IEND chunk at the end",
            remedy="write or copy the file again",
        )
    plain = decode_plain_rgb(data)
    if plain is not None:
        return plain
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a header that asks for more pixels than OpenCV allocates
        image = None
    if image is None:
        raise DataError(
            _name(source),
            "the PNG is damaged: its checksums or its compressed pixels are wrong",
            remedy="write or copy the file again",
        )
    if image.ndim == 3 and (image.shape[2] != 3 or image.dtype != np.uint8):
        raise DataError(
            _name(source),
            f"the PNG has {image.shape[2]} channels of {image.dtype}",
            expected="3 channels of uint8, or 1 of uint8 or uint16",
            remedy="convert it to RGB or grey",
        )
    pixels: NDArray[Any] = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return pixels


def read_png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its first bytes; whether the rest is sound is not looked at.

    Raises:
        DataError: The file cannot be read or does not begin as a PNG.
    """
    head = read_bytes(path, most=24, remedy=_REMEDY)
    _check_signature(head, path)
    width, height = struct.unpack(">II", head[16:24])
    if not width or not height:
        raise DataError(path, f"is a picture of {width}x{height} pixels", remedy="write or copy the file again")
    return width, height


def _chunk(kind: bytes, content: bytes) -> tuple[bytes, ...]:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)


def _check_signature(data: bytes, source: bytes | Path) -> None:
    if len(data) < 24 or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        found = "the file is empty" if not data else f"not a PNG: it starts with {data[:16]!r}"
        raise DataError(
            _name(source),
            found,
            expected=f"{_SIGNATURE!r} and an IHDR chunk",
            remedy="write or copy the file again",
        )


def _name(source: bytes | Path) -> str:
    return "PNG data" if isinstance(source, bytes) else str(source)
