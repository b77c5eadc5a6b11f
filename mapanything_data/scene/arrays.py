"""What a value object asks of its arrays, and the sentence it says when they are something else."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)
Shape: TypeAlias = "tuple[int | str, ...]"
"""Sizes of the axes; a letter such as "N" stands for any size."""


def as_array(name: str, value: ArrayLike, shape: Shape, dtype: type[Scalar]) -> NDArray[Scalar]:
    """Array of `dtype`, converted where the kind allows it: integers become floats, floats never integers.

    Raises:
        ValueError: The kind or the shape is another one.
    """
    array = np.asarray(value)
    if array.size and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(f"{name} has dtype {array.dtype}, expected {np.dtype(dtype)}")
    _require_shape(name, array, shape)
    return array.astype(dtype, copy=False)


def require_array(name: str, value: object, shape: Shape, dtype: type[Scalar]) -> None:
    """Refuses all but an array of exactly this dtype, for data whose dtype tells its unit.

    A picture of floats is scaled to 1 and a depth map of integers is in millimetres: converting either
    would make a plausible array with wrong numbers.

    Raises:
        ValueError: Not an array, or its dtype or shape is another one.
    """
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} is a {type(value).__name__}, expected a NumPy array")
    if value.dtype != dtype:
        raise ValueError(f"{name} has dtype {value.dtype}, expected {np.dtype(dtype)}")
    _require_shape(name, value, shape)


def require_finite(name: str, array: Floats | NDArray[np.float32]) -> None:
    """Refuses NaN and infinity.

    Raises:
        ValueError: Says how many values are not finite, and where the first one stands.
    """
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        raise ValueError(f"{name} has {len(bad)} values that are not finite, the first at {bad[0].tolist()}")


def as_timestamps(name: str, value: ArrayLike) -> Floats:
    """Strictly increasing seconds, [T] float64, as a read-only copy.

    Raises:
        ValueError: Not finite, or a time stamp is not later than the one before it.
    """
    times: Floats = as_array(name, value, ("T",), np.float64).copy()
    require_finite(name, times)
    stalled = np.flatnonzero(np.diff(times) <= 0)
    if len(stalled):
        i = int(stalled[0])
        raise ValueError(f"{name} must increase strictly, but {name}[{i + 1}] = {times[i + 1]} follows {times[i]}")
    times.flags.writeable = False
    return times


def _require_shape(name: str, array: NDArray[Scalar], shape: Shape) -> None:
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join(str(size) for size in shape)
        raise ValueError(f"{name} has shape {list(array.shape)}, expected [{expected}]")
