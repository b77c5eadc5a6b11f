"""Single arrays on disk as `.npy`, never pickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import open_atomic
from mapanything_data.storage.reading import told_as_data_error


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write an array of any shape and plain dtype.

    Raises:
        ValueError: The array holds Python objects, which only a pickle could carry.
    """
    with open_atomic(path) as file:
        np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def read_npy(path: Path) -> NDArray[Any]:
    """Read an array.

    Raises:
        DataError: The file cannot be read, is truncated, or no array without pickled objects.
    """
    with _told(path), path.open("rb") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def read_npy_dtype(path: Path) -> np.dtype[Any]:
    """The type of an array's values, from the start of its file.

    Raises:
        DataError: As of `read_npy`.
    """
    with _told(path):
        dtype: np.dtype[Any] = np.lib.format.open_memmap(path, mode="r").dtype
    return dtype


@contextmanager
def _told(path: Path) -> Iterator[None]:
    # A damaged header may ask for any number of values, and NumPy parses it as Python.
    damage = (ValueError, EOFError, MemoryError, OverflowError, RecursionError)
    try:
        with told_as_data_error(path, remedy="run the stage that writes it, or correct the rights of the file"):
            yield
    except damage as error:
        found = f"is no readable .npy array ({error})"
        raise DataError(path, found, remedy="restore or write the file again") from error
