"""The text at the start of a PCD file: which fields its points have, how many points there are, how they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError

ENCODINGS = ("ascii", "binary", "binary_compressed")
PADDING = "_"
"""The name of fields that only fill space."""

REMEDY = "copy or export the file again"

_KEYWORDS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_KINDS = {"I": "i", "U": "u", "F": "f"}
_SIZES = {"I": (1, 2, 4, 8), "U": (1, 2, 4, 8), "F": (4, 8)}
_LARGEST_POINT = 2**31 - 1  # bytes that a NumPy dtype can describe


@dataclass(frozen=True, slots=True)
class Field:
    """One property of every point."""

    name: str
    dtype: np.dtype[Any]
    count: int

    @property
    def size(self) -> int:
        """Bytes for each point."""
        return self.dtype.itemsize * self.count


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says, after it was found to agree with itself."""

    fields: tuple[Field, ...]
    width: int
    height: int
    viewpoint: NDArray[np.float64]
    encoding: str
    length: int
    """Bytes of the header: the points start there."""

    @property
    def points(self) -> int:
        """The number of points."""
        return self.width * self.height

    @property
    def point_size(self) -> int:
        """Bytes of a point in the binary encodings."""
        return sum(field.size for field in self.fields)


def parse_header(data: bytes, where: str) -> Header:
    """The header at the start of `data`.

    Raises:
        DataError: It is damaged or contradicts itself; the message names `where`.
    """
    entries, length = _entries(data, where)
    fields = _fields(entries, where)
    width, height = _shape(entries, where)
    viewpoint = _viewpoint(entries.get("VIEWPOINT", ["0", "0", "0", "1", "0", "0", "0"]), where)
    version = entries.get("VERSION", ["0.7"])
    if version not in (["0.7"], [".7"], ["0.6"], [".6"]):
        raise DataError(where, f"VERSION {' '.join(version)}", expected="0.7 or 0.6", remedy="convert it with PCL")
    encoding = " ".join(entries["DATA"])
    if encoding not in ENCODINGS:
        raise DataError(where, f"DATA {encoding[:40]}", expected=", ".join(ENCODINGS), remedy=REMEDY)
    return Header(fields, width, height, viewpoint, encoding, length)


def header_text(fields: tuple[Field, ...], points: int, encoding: str) -> bytes:
    """The header of an unorganised cloud, seen from the origin."""
    kinds = {kind: letter for letter, kind in _KINDS.items()}
    lines = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        "FIELDS " + " ".join(field.name for field in fields),
        "SIZE " + " ".join(str(field.dtype.itemsize) for field in fields),
        "TYPE " + " ".join(kinds[field.dtype.kind] for field in fields),
        "COUNT " + " ".join(str(field.count) for field in fields),
        f"WIDTH {points}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {points}",
        f"DATA {encoding}\n",
    ]
    return "\n".join(lines).encode("ascii")


def _entries(data: bytes, where: str) -> tuple[dict[str, list[str]], int]:
    """The words behind each keyword, and the length of the header."""
    if not data:
        raise DataError(where, "the file is empty", expected="a PCD header", remedy=REMEDY)
    entries: dict[str, list[str]] = {}
    place = 0
    while "DATA" not in entries:
        if place >= len(data):
            raise DataError(where, "the header has no DATA line", expected=f"DATA {'|'.join(ENCODINGS)}", remedy=REMEDY)
        end = data.find(b"\n", place)
        end = len(data) if end < 0 else end
        line, place = data[place:end], end + 1
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        if not line.isascii():
            raise DataError(where, f"the header is not ASCII: {line[:40]!r}", expected="an ASCII header", remedy=REMEDY)
        keyword = words[0].decode("ascii")
        keyword = "FIELDS" if keyword == "COLUMNS" else keyword  # its name before version 0.6
        if keyword not in _KEYWORDS:
            raise DataError(
                where, f"{line[:40]!r} stands in the header", expected=f"one of {', '.join(_KEYWORDS)}", remedy=REMEDY
            )
        if keyword in entries:
            raise DataError(where, f"{keyword} stands in the header twice", remedy=REMEDY)
        entries[keyword] = [word.decode("ascii") for word in words[1:]]
    return entries, min(place, len(data))


def _fields(entries: dict[str, list[str]], where: str) -> tuple[Field, ...]:
    for keyword in ("FIELDS", "SIZE", "TYPE"):
        if not entries.get(keyword):
            raise DataError(where, f"the header has no {keyword}", expected="FIELDS, SIZE and TYPE", remedy=REMEDY)
    names, types = entries["FIELDS"], entries["TYPE"]
    sizes = _whole_numbers(entries, "SIZE", where)
    counts = _whole_numbers(entries, "COUNT", where) or [1] * len(names)
    if not len(names) == len(sizes) == len(types) == len(counts):
        found = f"{len(names)} FIELDS, {len(sizes)} SIZE, {len(types)} TYPE, {len(counts)} COUNT"
        raise DataError(where, found, expected="one of each for every field", remedy=REMEDY)
    fields = []
    for name, kind, size, count in zip(names, types, sizes, counts, strict=True):
        if size not in _SIZES.get(kind, ()):
            found = f"field {name} has TYPE {kind} and SIZE {size}"
            raise DataError(where, found, expected="F 4 or 8, I or U 1, 2, 4 or 8", remedy=REMEDY)
        if not 0 < count <= _LARGEST_POINT // size:
            raise DataError(
                where, f"field {name} has COUNT {count}", expected=f"1 to {_LARGEST_POINT // size}", remedy=REMEDY
            )
        fields.append(Field(name, np.dtype(f"<{_KINDS[kind]}{size}"), count))
    if sum(field.size for field in fields) > _LARGEST_POINT:
        raise DataError(where, f"a point has more than {_LARGEST_POINT} bytes", remedy=REMEDY)
    named = [name for name in names if name != PADDING]
    if len(set(named)) < len(named):
        raise DataError(where, f"FIELDS {' '.join(names)[:80]}: a name stands twice", remedy=REMEDY)
    return tuple(fields)


def _shape(entries: dict[str, list[str]], where: str) -> tuple[int, int]:
    """Width and height; as in PCL a cloud without HEIGHT is unorganised: one row of all points."""
    numbers = {keyword: _whole_numbers(entries, keyword, where) for keyword in ("WIDTH", "HEIGHT", "POINTS")}
    for keyword, values in numbers.items():
        if len(values) > 1:
            raise DataError(where, f"{keyword} has {len(values)} values", expected="one", remedy=REMEDY)
    width, height, points = (values[0] if values else None for values in numbers.values())
    if height is None:
        height = 1
        width = points if width is None else width
    if width is None:
        raise DataError(where, "the header has no WIDTH", expected="WIDTH, or POINTS alone", remedy=REMEDY)
    if points is not None and points != width * height:
        found = f"POINTS {points}, but WIDTH {width} and HEIGHT {height}"
        raise DataError(where, found, expected=f"{width * height} points", remedy=REMEDY)
    return width, height


def _whole_numbers(entries: dict[str, list[str]], keyword: str, where: str) -> list[int]:
    words = entries.get(keyword, [])
    for word in words:
        if not word.isdecimal() or len(word) > 18:
            raise DataError(where, f"{keyword} {word[:40]}", expected="whole numbers below 10^18", remedy=REMEDY)
    return [int(word) for word in words]


def _viewpoint(words: list[str], where: str) -> NDArray[np.float64]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != 7:
        raise DataError(where, f"VIEWPOINT {' '.join(words)[:80]}", expected="tx ty tz qw qx qy qz", remedy=REMEDY)
    return np.array(values)
