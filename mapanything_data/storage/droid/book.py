"""JSON files that know something of many episodes or cameras; read once in a process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.storage.reading import told_as_data_error
from mapanything_data.storage.tables import read_json


def read_book(path: Path) -> Mapping[str, Any]:
    """The file's content, from memory for as long as the file does not change.

    Raises:
        DataError: It cannot be read or is no JSON object.
    """
    with told_as_data_error(path):
        stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _mtime: int, _size: int) -> Mapping[str, Any]:
    values = read_json(path)
    if not isinstance(values, Mapping):
        expected = "entries by uuid or by serial number"
        raise DataError(path, "is no JSON object", expected=expected, remedy="give another file, or correct it")
    return values
