"""Points followed over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import Floats, as_array, as_timestamps


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """N points of the world at T times; column n is the same physical point throughout.

    Raises:
        ValueError: Shapes differ, time does not increase, or a valid point is not finite.
    """

    points: Floats
    """[T, N, 3] float64, metres, world. Where `valid` is False the numbers mean nothing and may be NaN."""
    valid: NDArray[np.bool_]
    """[T, N] bool."""
    timestamps: Floats
    """[T] float64, seconds, strictly increasing, read-only."""

    def __post_init__(self) -> None:
        timestamps = as_timestamps("timestamps", self.timestamps)
        points = as_array("points", self.points, (len(timestamps), "N", 3), np.float64)
        valid = as_array("valid", self.valid, points.shape[:2], np.bool_)
        lost = np.argwhere(valid & ~np.isfinite(points).all(axis=-1))
        if len(lost):
            raise ValueError(f"{len(lost)} points are valid but not finite, the first at {lost[0].tolist()}")
        object.__setattr__(self, "timestamps", timestamps)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "valid", valid)
