"""The arrays of a `trajectory.h5`: those that are asked for, and every damage told as an expected failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError, require
from mapanything_data.storage.reading import told_as_data_error

_REMEDY = "restore the file from the original recordings"
_MOST_STEPS = 1_000_000
"""19 hours at 14 Hz; a damaged header may claim any number."""
_READ_WHOLE = 64 << 20
"""Bytes of a file that is read at once: one row a chunk means a thousand small reads, which a network drive feels."""


class TrajectoryArrays:
    """An open `trajectory.h5`. Make one with `open_arrays`."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self._file = file

    def names(self, group: str) -> list[str]:
        """The names in a group, in order; none where there is no such group.

        Raises:
            DataError: It is damaged, or no group.
        """
        with _told(self.path, group):
            found = self._file.get(group)
            if found is None:
                return []
            if not hasattr(found, "keys"):
                raise ValueError("expected a group, found a data set")
            return sorted(found.keys())

    def optional(self, key: str) -> NDArray[Any] | None:
        """A data set of numbers or booleans; None where there is no such one.

        Raises:
            DataError: It is damaged, of another kind, or absurdly long.
        """
        with _told(self.path, key):
            found = self._file.get(key)
            if found is None:
                return None
            if not hasattr(found, "shape"):
                raise ValueError("expected a data set, found a group")
            if found.dtype.kind not in "biuf":
                raise ValueError(f"expected numbers, found {found.dtype}")
            if len(found.shape) > 3 or found.size > 16 * _MOST_STEPS:
                raise ValueError(f"expected at most {_MOST_STEPS} steps, found the shape {list(found.shape)}")
            array: NDArray[Any] = found[()]
            return np.asarray(array)

    def required(self, key: str) -> NDArray[Any]:
        """A data set of numbers or booleans.

        Raises:
            DataError: There is none, or as of `optional`.
        """
        array = self.optional(key)
        if array is None:
            raise self.error(key, "is missing", expected="a trajectory.h5 of DROID")
        return array

    def error(self, key: str, found: str, *, expected: str = "") -> DataError:
        """An error that names the file and a key in it."""
        return DataError(f"{self.path}:{key}", found, expected=expected, remedy=_REMEDY)


@contextmanager
def open_arrays(path: Path) -> Iterator[TrajectoryArrays]:
    """Open a file for the time of a `with` block.

    Raises:
        DataError: It cannot be read or is no HDF5.
        MissingDependencyError: h5py is not installed.
    """
    require("h5py")
    import h5py

    with told_as_data_error(path, remedy=_REMEDY):
        size = path.stat().st_size
        with path.open("rb"):
            pass  # the library's own messages do not tell a file without rights from one without sense
    options = {"driver": "core", "backing_store": False} if size <= _READ_WHOLE else {}
    with _told(path, ""):
        # Recordings are finished, and some network drives know no locks.
        file = h5py.File(path, "r", locking=False, **options)
    with file:
        yield TrajectoryArrays(path, file)


@contextmanager
def _told(path: Path, key: str) -> Iterator[None]:
    # What HDF5 finds damaged comes as any of these; what Python finds of it as the last ones.
    damage = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError, EOFError)
    try:
        yield
    except damage as error:
        where = f"{path}:{key}" if key else path
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        expected = "a trajectory.h5 of DROID (HDF5)"
        raise DataError(where, f"is damaged or no HDF5 ({reason})", expected=expected, remedy=_REMEDY) from error
