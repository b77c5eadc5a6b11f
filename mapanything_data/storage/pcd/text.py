"""The points of an ASCII file: numbers between spaces, a point a line."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.pcd.header import REMEDY, Field, Header

_COMMAS = bytes.maketrans(b" \t\r\n", b",,,,")
_kept = threading.local()


def parse_points(data: bytes, header: Header, where: str) -> list[NDArray[Any]]:
    """The values of each field, [N * count], correctly rounded.

    Args:
        data: The whole file.
        header: Its header.
        where: Its name, for errors.

    Raises:
        DataError: A word is no number of its field's type, or there are more or fewer than the header says.
    """
    table = _plain_table(data, header)
    columns = None if table is None else _typed_columns(table, header.fields)
    # Seldom none: for nan, integers of 64 bits, damage. Words one by one take ten times as long and tell what is wrong.
    return _word_columns(data[header.length :], header, where) if columns is None else columns


def _plain_table(data: bytes, header: Header) -> NDArray[np.float64] | None:
    """All numbers as [N, columns], or None where the text is not as plain as JSON.

    With commas between its numbers a text is a JSON array. simdjson reads that several times as fast as `numpy.loadtxt`
    reads the text, and as exactly.
    """
    parser, start = _parser(), header.length
    has_json_marks = any(data.find(mark, start) >= 0 for mark in (b"[", b"{", b","))
    if parser is None or has_json_marks or data.count(b"\n", start) != header.points:
        return None
    # As few copies as can be: touching fresh memory takes as long as parsing.
    numbers = _json_numbers(parser, memoryview(data.translate(_COMMAS))[start:])
    if numbers is None:  # perhaps two spaces, or the two characters of a Windows line end, between two numbers
        numbers = _json_numbers(parser, b",".join(data[start:].split()) + b",")
    columns = sum(field.count for field in header.fields)
    if numbers is None or len(numbers) != header.points * columns:
        return None
    return numbers.reshape(-1, columns)


def _json_numbers(parser: Any, text: bytes | memoryview) -> NDArray[np.float64] | None:
    """The numbers of a text, each with a comma behind it, or None where it is anything else."""
    try:
        numbers = parser.parse(b"".join((b"[", text, b"0]"))).as_buffer(of_type="d")
    except (ValueError, TypeError, RuntimeError):  # what simdjson raises for text that is no array of numbers
        return None
    return np.frombuffer(numbers, np.float64)[:-1]


def _parser() -> Any:
    """This thread's parser, None where simdjson is not installed.

    It is kept, since touching the fresh memory of a new one takes longer than parsing a sweep.
    """
    try:
        import simdjson
    except ModuleNotFoundError:
        return None
    if not hasattr(_kept, "parser"):
        _kept.parser = simdjson.Parser()
    return _kept.parser


def _typed_columns(table: NDArray[np.float64], fields: tuple[Field, ...]) -> list[NDArray[Any]] | None:
    """The columns of each field in its type, or None where a value does not fit."""
    columns = []
    start = 0
    for field in fields:
        values = table[:, start : start + field.count].reshape(-1)
        start += field.count
        if field.dtype.kind == "f":
            with np.errstate(over="ignore"):
                typed = values.astype(field.dtype)
            if not np.isfinite(typed).all():
                return None
        else:
            limits = np.iinfo(field.dtype)
            fits = (values >= limits.min) & (values <= limits.max) & (values == np.rint(values))
            if field.dtype.itemsize == 8 or not fits.all():  # float64 cannot tell all integers of 64 bits apart
                return None
            typed = values.astype(field.dtype)
        columns.append(typed)
    return columns


def _word_columns(text: bytes, header: Header, where: str) -> list[NDArray[Any]]:
    lines = [words for line in text.split(b"\n") if (words := line.split())]
    stops = np.cumsum([0, *(field.count for field in header.fields)]).tolist()
    for point, words in enumerate(lines):
        if len(words) != stops[-1]:
            found = f"point {point} has {len(words)} values"
            raise DataError(where, found, expected=f"{stops[-1]}, as the header says", remedy=REMEDY)
    if len(lines) != header.points:
        problem = "is truncated" if len(lines) < header.points else "holds too much"
        found = f"the file {problem}: {len(lines)} points"
        raise DataError(where, found, expected=f"{header.points}, as it says", remedy=REMEDY)
    return [
        np.array(
            [_number(word, field, point, where) for point, words in enumerate(lines) for word in words[start:stop]],
            field.dtype,
        )
        for field, (start, stop) in zip(header.fields, pairwise(stops), strict=True)
    ]


def _number(word: bytes, field: Field, point: int, where: str) -> Any:
    try:
        return (_float if field.dtype.kind == "f" else _integer)(word, field.dtype)
    except ValueError as error:
        shown = word[:40].decode("ascii", "replace")
        found = f"the word {shown} of field {field.name}, point {point}, {error}"
        raise DataError(where, found, expected=f"a {field.dtype}", remedy=REMEDY) from None


def _float(word: bytes, dtype: np.dtype[Any]) -> float:
    try:
        value = float(word.replace(b"_", b"?"))  # Python takes 1_000, other readers do not
    except ValueError:
        raise ValueError("is no number") from None
    with np.errstate(over="ignore"):
        overflows = np.isinf(np.float64(value).astype(dtype))
    if overflows and b"n" not in word.lower():  # `inf` itself is a number
        raise ValueError(f"is too large for {dtype}")
    return value


def _integer(word: bytes, dtype: np.dtype[Any]) -> int:
    digits = word[1:] if word[:1] in (b"-", b"+") else word
    if digits.isdigit():
        value = int(word[:100])  # Python refuses to convert thousands of digits; a hundred are beyond every range
    else:
        number = _float(word, np.dtype(np.float64))
        if not number.is_integer():
            raise ValueError("is no whole number")
        value = int(number)
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise ValueError(f"lies outside the range of {dtype}")
    return value
