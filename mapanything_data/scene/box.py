"""Boxes around things in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapanything_data.scene.arrays import Floats, as_array, require_finite
from mapanything_data.scene.pose import Pose

# Corner i, axis j: +1 where bit j of i is set.
_CORNER_SIGNS = np.where(np.arange(8)[:, None] >> np.arange(3) & 1, 1.0, -1.0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Box3D:
    """An oriented box around one object at one time.

    Raises:
        ValueError: A half size is not a positive number of metres.
    """

    T_world_box: Pose
    """Maps box points to world points; the box's origin is its centre."""
    extent: Floats
    """[3] float64, half of the size along the box's own x, y and z axes, metres, read-only."""
    label: str
    """Class of the object, such as "car"."""
    id: int
    """The same number for the same object throughout a recording."""

    def __post_init__(self) -> None:
        extent = as_array("extent", self.extent, (3,), np.float64).copy()
        require_finite("extent", extent)
        if (extent <= 0).any():
            raise ValueError(f"extent is {extent.tolist()}, expected three positive half sizes in metres")
        extent.flags.writeable = False
        object.__setattr__(self, "extent", extent)

    def corners(self) -> Floats:
        """The corners in the world, [8, 3] float64, metres.

        Corner i is on the far side of x, y, z where bit 0, 1, 2 of i is set: (-,-,-), (+,-,-), (-,+,-),
        (+,+,-), and the same four with z positive. Two corners share an edge when their indices differ in
        one bit.
        """
        return self.T_world_box @ (_CORNER_SIGNS * self.extent)
