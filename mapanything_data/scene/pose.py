"""Where something stands and how it is turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene.arrays import Floats, as_array
from mapanything_data.scene.rotation import as_rigid, matrix_from_quaternion, quaternion_from_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A rigid transform. A variable that holds one is called `T_to_from`: `T_world_camera @ point_in_camera`.

    Compose with `@` (`T_world_camera @ T_camera_box`), apply to points with `@` (`T_world_camera @ points`,
    [..., 3]). Two poses are equal when all their numbers are.

    Raises:
        ValueError: The matrix is not rigid: a scale or shear, mirrored axes, a last row other than 0 0 0 1,
            NaN.
    """

    matrix: Floats
    """[4, 4] float64, metres, read-only. A rotation given in float32 or in four decimals is made exact."""

    def __post_init__(self) -> None:
        as_array("matrix", self.matrix, (4, 4), np.float64)
        object.__setattr__(self, "matrix", as_rigid("matrix", self.matrix))

    @classmethod
    def identity(cls) -> Pose:
        """The transform that leaves every point where it is."""
        return cls(np.eye(4))

    @classmethod
    def from_quaternion(cls, xyzw: ArrayLike, translation: ArrayLike = (0.0, 0.0, 0.0)) -> Pose:
        """The pose of a quaternion (x, y, z, w, of any length but zero) and a translation [3] in metres."""
        matrix = np.eye(4)
        matrix[:3, :3] = matrix_from_quaternion(as_array("xyzw", xyzw, (4,), np.float64))
        matrix[:3, 3] = as_array("translation", translation, (3,), np.float64)
        return cls(matrix)

    @property
    def rotation(self) -> Floats:
        """[3, 3] float64, read-only."""
        return self.matrix[:3, :3]

    @property
    def translation(self) -> Floats:
        """[3] float64, metres, read-only."""
        return self.matrix[:3, 3]

    @property
    def quaternion(self) -> Floats:
        """[4] float64, unit, in the order x, y, z, w, with w >= 0."""
        return quaternion_from_matrix(self.rotation)

    def inverse(self) -> Pose:
        """The transform back: `T_camera_world` of a `T_world_camera`."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation.T
        matrix[:3, 3] = -self.rotation.T @ self.translation
        return Pose(matrix)

    @overload
    def __matmul__(self, other: Pose) -> Pose: ...

    @overload
    def __matmul__(self, other: NDArray[Any]) -> Floats: ...

    def __matmul__(self, other: Pose | NDArray[Any]) -> Pose | Floats:
        if isinstance(other, Pose):
            return Pose(self.matrix @ other.matrix)
        points = np.asarray(other, dtype=np.float64)
        if points.shape[-1:] != (3,):
            raise ValueError(f"points have shape {list(points.shape)}, expected [..., 3]")
        moved: Floats = points @ self.rotation.T + self.translation
        return moved

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pose):
            return NotImplemented
        return np.array_equal(self.matrix, other.matrix)

    __hash__ = None  # type: ignore[assignment]  # numbers that were computed make poor keys
