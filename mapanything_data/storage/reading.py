"""Reading files whole; what the system refuses is told as an expected failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mapanything_data.errors import DataError

_REMEDY = "restore the file, or correct its rights"


def read_bytes(path: Path, *, most: int = -1, remedy: str = _REMEDY) -> bytes:
    """The content of a file.

    Args:
        path: The file.
        most: So many bytes of its start; -1 reads all.
        remedy: What to do where it cannot be read.

    Raises:
        DataError: It is missing, a folder, a link that leads nowhere or in circles, not allowed to be read, or its disk
            fails.
    """
    with told_as_data_error(path, remedy=remedy), path.open("rb") as file:
        return file.read(most)


@contextmanager
def told_as_data_error(path: Path, *, remedy: str = _REMEDY) -> Iterator[None]:
    """For libraries that open a file themselves: what the system refuses becomes a DataError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(path, "the file is missing", remedy=remedy) from None
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})", remedy=remedy) from error
