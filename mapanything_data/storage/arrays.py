"""Single arrays on disk as `.npy`, never pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import open_atomic


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
        DataError: The file is missing, truncated, or no array without pickled objects.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(path, "the file is missing", remedy="run the stage that writes it") from None
    except (ValueError, EOFError) as error:
        raise DataError(
            path, f"is no readable .npy array ({error})", remedy="restore or write the file again"
        ) from error
    return array
