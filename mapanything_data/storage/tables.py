"""Rows on disk: JSON lines, CSV and single JSON documents, always UTF-8, always whole."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.reading import read_bytes

_REMEDY = "run the stage that writes it, or correct the rights of the file"


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text.

    Raises:
        DataError: The file cannot be read or is no UTF-8.
    """
    try:
        return read_bytes(path, remedy=_REMEDY).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(path, f"is no UTF-8 text ({error})", remedy="restore the file") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, indented for people; NaN and infinity are refused, since JSON has none."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        DataError: The file cannot be read or is no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(path, f"is no JSON ({error})", remedy="restore the file, or run its stage again") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """Add a JSON object as a line and flush it to the disk; a kill may leave a part of it (see `cut_torn_line`)."""
    with path.open("ab") as file:
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def cut_torn_line(path: Path) -> None:
    """Cut what follows the last line break of a file that rows are appended to.

    Raises:
        DataError: The file cannot be read.
    """
    text = read_bytes(path, remedy=_REMEDY)
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        write_atomic(path, whole)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line.

    Raises:
        DataError: The file cannot be read, or a line (named by its number) is no JSON object.
    """
    lines = read_text(path).split("\n")
    if lines[-1] == "":  # what follows the last line break is no line
        lines.pop()
    return [_parse_row(path, number, line) for number, line in enumerate(lines, start=1)]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table with a header line (RFC 4180: commas, double quotes where needed); tabs for commas in a .tsv.

    Raises:
        ValueError: A row has a key that is no column.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(columns), delimiter=_delimiter(path))
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table with a header line; all values are text.

    Raises:
        DataError: The file cannot be read, is no CSV, or a row is longer or shorter than the header.
    """
    try:
        text = io.StringIO(read_text(path), newline="")
        rows = list(csv.DictReader(text, restkey="", restval=None, delimiter=_delimiter(path)))
    except csv.Error as error:
        raise DataError(path, f"is no CSV ({error})", remedy="restore the file") from error
    for number, row in enumerate(rows, start=2):
        if "" in row or None in row.values():
            raise DataError(
                f"{path}:{number}",
                "has not as many values as the header has columns",
                remedy="restore the file",
            )
    return rows


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix == ".tsv" else ","


def _parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(
            f"{path}:{number}", f"is no JSON ({error})", remedy="restore the file, or run its stage again"
        ) from error
    if not isinstance(row, dict):
        raise DataError(
            f"{path}:{number}",
            "is no JSON object",
            expected='such as {"frame": 0}',
            remedy="restore the file",
        )
    return row
