"""Several arrays in one `.npz`, never pickled, compressed ten times as fast as `np.savez_compressed` does it.

A `.npz` is a zip of `.npy` files. Intel's ISA-L deflates and sums up here; any zip reader, and so `np.load`, reads it.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import open_atomic
from mapanything_data.storage.reading import told_as_data_error

_CHUNK = 1 << 20
_STORED, _DEFLATED = 0, 8
_UTF8 = 1 << 11  # of the flags: the name is UTF-8
_FIRST_OF_1980 = 0, (1 << 5) | 1  # time and date of MS-DOS: the same arrays make the same file on any day
_ZIP64 = 0xFFFFFFFF  # stands in a field of 32 bits whose number is in the zip64 extra field
_REMEDY = "write the file again"


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], level: int = 1) -> None:
    """Write arrays of any shape and plain dtype, texts included.

    The same arrays make the same bytes on one kind of CPU and release of ISA-L. Beside the arrays, a megabyte is held.

    Args:
        path: The file.
        arrays: Name to array.
        level: Of ISA-L's deflate, 0 to 3. Level 1 takes 13 % off tracks in float32 at 500 MB a second and core; 2 and 3
            gain nothing on them, and 0 enlarges them. An array that it does not shrink is stored as it is.

    Raises:
        ValueError: There is no array, or one holds Python objects, which only a pickle could carry.
    """
    if not arrays:
        raise ValueError("there are no arrays, expected at least one: NumPy reads no empty archive")
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, expected numbers, booleans or text")
    with open_atomic(path) as file:
        members = [_write_member(file, f"{name}.npy", np.asarray(array), level) for name, array in arrays.items()]
        _write_directory(file, members)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an `.npz`, whoever wrote it.

    Raises:
        DataError: The file cannot be read, is truncated or damaged, is no zip of arrays, or an array is pickled.
    """
    damage = (
        zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError,
        MemoryError, OverflowError,
    )  # fmt: skip
    try:
        with told_as_data_error(path, remedy=_REMEDY), path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _require_whole_directory(file, archive)
            return {_array_name(name): _read_member(archive, name) for name in archive.namelist()}
    except damage as error:
        found = f"is no readable .npz ({error or type(error).__name__})"
        raise DataError(path, found, expected="a zip of .npy arrays without pickles", remedy=_REMEDY) from error


class _Member(NamedTuple):
    name: bytes
    method: int
    crc: int
    compressed: int
    size: int
    offset: int


def _write_member(file: IO[bytes], name: str, array: NDArray[Any], level: int) -> _Member:
    """One array behind its local header, which is written again once its sizes and its checksum are known."""
    from isal import isal_zlib

    array = np.asarray(array, order="C")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    content = array.reshape(-1).view(np.uint8)
    first = content[:_CHUNK]
    is_deflated = len(isal_zlib.compress(first, level, wbits=-15)) < len(first)
    size = head.tell() + len(content)
    member = _Member(name.encode(), _DEFLATED if is_deflated else _STORED, 0, size, size, file.tell())
    file.write(_local_header(member))
    start, crc = file.tell(), 0
    deflate = isal_zlib.compressobj(level, wbits=-15)
    for piece in _pieces(head.getvalue(), content):
        crc = isal_zlib.crc32(piece, crc)
        file.write(deflate.compress(piece) if is_deflated else piece)
    if is_deflated:
        file.write(deflate.flush())
    end = file.tell()
    member = member._replace(crc=crc, compressed=end - start)
    file.seek(member.offset)
    file.write(_local_header(member))
    file.seek(end)
    return member


def _pieces(head: bytes, content: NDArray[np.uint8]) -> Iterator[memoryview]:
    yield memoryview(head)
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK].data


def _local_header(member: _Member) -> bytes:
    """As APPNOTE.TXT of zip 6.3 has it; sizes always stand in the zip64 field, so that its length is known before."""
    extra = struct.pack("<HHQQ", 1, 16, member.size, member.compressed)
    fields = struct.pack(
        "<4sHHHHHIIIHH", b"PK\3\4", 45, _UTF8, member.method, *_FIRST_OF_1980, member.crc, _ZIP64, _ZIP64,
        len(member.name), len(extra),
    )  # fmt: skip
    return fields + member.name + extra


def _write_directory(file: IO[bytes], members: list[_Member]) -> None:
    start = file.tell()
    for member in members:
        extra = struct.pack("<HHQQQ", 1, 24, member.size, member.compressed, member.offset)
        fields = struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, _UTF8, member.method, *_FIRST_OF_1980, member.crc,
            _ZIP64, _ZIP64, len(member.name), len(extra), 0, 0, 0, 0, _ZIP64,
        )  # fmt: skip
        file.write(fields + member.name + extra)
    end, count = file.tell(), len(members)
    file.write(struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, end - start, start))
    file.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
    file.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, *2 * (min(count, 0xFFFF),), _ZIP64, _ZIP64, 0))


def _require_whole_directory(file: IO[bytes], archive: zipfile.ZipFile) -> None:
    """A damaged length in the directory swallows the entries after it, which zipfile does not mind."""
    file.seek(-12, io.SEEK_END)
    (count,) = struct.unpack("<H", file.read(2))
    if not archive.comment and count not in (len(archive.namelist()), 0xFFFF):  # the latter says: see zip64
        raise ValueError(f"the directory lists {len(archive.namelist())} of {count} arrays")


def _read_member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):  # a read at the end is also what makes zipfile compare the checksum
            raise ValueError(f"{name} has more bytes than its array")
    return array


def _array_name(member: str) -> str:
    if not member.endswith(".npy"):
        raise ValueError(f"{member} is no .npy array")
    return member[: -len(".npy")]
