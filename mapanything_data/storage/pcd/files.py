"""Point Cloud Data files of PCL, version 0.7, in all three encodings; frames and units are those of the file.

The format: https://pcl.readthedocs.io/projects/tutorials/en/latest/pcd_file_format.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.pcd import lzf
from mapanything_data.storage.pcd.header import ENCODINGS, PADDING, REMEDY, Field, Header, header_text, parse_header
from mapanything_data.storage.pcd.text import parse_points
from mapanything_data.storage.reading import read_bytes

Encoding = Literal["ascii", "binary", "binary_compressed"]

_SIZES = struct.Struct("<II")  # of the compressed and the unpacked points


@dataclass(frozen=True, slots=True)
class PcdFile:
    """The points of a file, N = width * height of them."""

    fields: Mapping[str, NDArray[Any]]
    """[N], or [N, count] where a point has several values, by name; in the file's order, without its padding."""
    width: int
    """Points in a row; all of them in an unorganised cloud."""
    height: int
    """Rows of an organised cloud, or 1."""
    viewpoint: NDArray[np.float64]
    """[7]: where the points were seen from: tx, ty, tz and the quaternion qw, qx, qy, qz."""


def read_pcd(source: Path | bytes) -> PcdFile:
    """Read a file of any encoding. A coordinate may be NaN: so PCL marks a point that is missing.

    Memory stays within a small multiple of the file, or of what its compressed points can unpack to.

    Args:
        source: The file's path or its content.

    Raises:
        DataError: The file cannot be read, is damaged or truncated, holds more than its header says, or another
            version.
    """
    where = "PCD data" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_bytes(source)
    header = parse_header(data, where)
    read = {"ascii": _read_ascii, "binary": _read_binary, "binary_compressed": _read_compressed}[header.encoding]
    return PcdFile(read(header, data, where), header.width, header.height, header.viewpoint)


def write_pcd(path: Path, fields: Mapping[str, NDArray[Any]], encoding: Encoding = "binary") -> None:
    """Write an unorganised cloud, whole or not at all. The same fields give the same bytes.

    The numbers survive exactly in every encoding, except that nan and zero have no sign in text.

    Args:
        path: The file, which is replaced if it exists.
        fields: [N] or [N, count] float32, float64, or integers of 1 to 8 bytes with or without sign, by name.
        encoding: Readable text, points one after the other, or fields one after the other in LZF compression.

    Raises:
        ValueError: The fields differ in N, or have a name, dtype or shape that a PCD file cannot hold.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"a PCD file has the encoding {', '.join(ENCODINGS)}, not {encoding}")
    columns = {name: _column(name, array) for name, array in fields.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"the fields of a cloud have one length, not {sorted(lengths) or 'no field'}")
    described = tuple(Field(name, column.dtype, column.shape[1]) for name, column in columns.items())
    arrays = list(columns.values())
    write = {"ascii": _ascii_body, "binary": _binary_body, "binary_compressed": _compressed_body}[encoding]
    write_atomic(path, header_text(described, lengths.pop(), encoding) + write(arrays))


def _read_ascii(header: Header, data: bytes, where: str) -> dict[str, NDArray[Any]]:
    columns = parse_points(data, header, where)
    return {
        field.name: _shaped(values, field)
        for field, values in zip(header.fields, columns, strict=True)
        if field.name != PADDING
    }


def _read_binary(header: Header, data: bytes, where: str) -> dict[str, NDArray[Any]]:
    _check_size(len(data) - header.length, header.points * header.point_size, "bytes of points", where)
    rows = np.frombuffer(data, np.uint8, offset=header.length).reshape(header.points, header.point_size)
    arrays = {}
    start = 0
    for field in header.fields:
        if field.name != PADDING:
            values = np.ascontiguousarray(rows[:, start : start + field.size])
            arrays[field.name] = _shaped(values.reshape(-1).view(field.dtype), field)
        start += field.size
    return arrays


def _read_compressed(header: Header, data: bytes, where: str) -> dict[str, NDArray[Any]]:
    body = data[header.length :]
    if len(body) < _SIZES.size:
        found = f"the file ends {len(body)} bytes behind the header"
        raise DataError(where, found, expected="the compressed and the unpacked size", remedy=REMEDY)
    packed, unpacked = _SIZES.unpack_from(body)
    _check_size(len(body) - _SIZES.size, packed, "compressed bytes", where)
    _check_size(unpacked, header.points * header.point_size, "unpacked bytes", where)
    if unpacked > lzf.MAX_RATIO * packed:
        found = f"{packed} compressed bytes that claim to hold {unpacked}"
        raise DataError(where, found, expected=f"at most {lzf.MAX_RATIO * packed}", remedy=REMEDY)
    try:
        columns = lzf.decompress(body[_SIZES.size :], unpacked)
    except ValueError as error:
        raise DataError(where, str(error), remedy=REMEDY) from None
    arrays = {}
    start = 0
    for field in header.fields:
        if field.name != PADDING:
            values = np.frombuffer(columns, field.dtype, header.points * field.count, start)
            arrays[field.name] = _shaped(values.copy(), field)
        start += header.points * field.size
    return arrays


def _shaped(values: NDArray[Any], field: Field) -> NDArray[Any]:
    values = values.astype(field.dtype.newbyteorder("="), copy=False)
    return values if field.count == 1 else values.reshape(-1, field.count)


def _check_size(found: int, expected: int, unit: str, where: str) -> None:
    if found != expected:
        problem = "is truncated" if found < expected else "holds too much"
        raise DataError(where, f"the file {problem}: {found} {unit}", expected=f"{expected}, as it says", remedy=REMEDY)


def _column(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """A field as [N, count] little-endian."""
    if not name.isascii() or not name.isprintable() or name.split() != [name] or name == PADDING:
        raise ValueError(f"a field of a PCD file is named by an ASCII word other than _, not {name!r}")
    is_storable = array.dtype.kind in "iu" or (array.dtype.kind == "f" and array.dtype.itemsize in (4, 8))
    if not is_storable or array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise ValueError(f"field {name}: a PCD file holds no {list(array.shape)} {array.dtype}")
    column = array[:, None] if array.ndim == 1 else array
    return np.ascontiguousarray(column, column.dtype.newbyteorder("<"))


def _ascii_body(columns: list[NDArray[Any]]) -> bytes:
    # Nine digits tell any two float32 apart, 17 any two float64 (Steele and White 1990).
    formats = {"f4": "%.9g", "f8": "%.17g"}
    row = " ".join(formats.get(column.dtype.str[1:], "%d") for column in columns for _ in range(column.shape[1]))
    values = [value for column in columns for value in column.T.tolist()]
    return "".join([row % point + "\n" for point in zip(*values, strict=True)]).encode("ascii")


def _binary_body(columns: list[NDArray[Any]]) -> bytes:
    return np.hstack([column.view(np.uint8) for column in columns]).tobytes()


def _compressed_body(columns: list[NDArray[Any]]) -> bytes:
    unpacked = b"".join(column.tobytes() for column in columns)
    if len(unpacked) >= 2**32:
        raise ValueError(f"{len(unpacked)} bytes of points are too many for binary_compressed: use binary")
    packed = lzf.compress(unpacked)
    return _SIZES.pack(len(packed), len(unpacked)) + packed
