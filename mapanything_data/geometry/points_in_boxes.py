"""Which points lie in oriented boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.geometry.transforms import invert
from mapanything_data.scene.arrays import Floats


def points_in_boxes(
    points: NDArray[np.float32], T_points_box: ArrayLike | Sequence[Floats], extent: ArrayLike | Sequence[Floats]
) -> NDArray[np.bool_]:
    """Whether each point lies in any of the boxes, [N] bool; a point that is not finite lies in none.

    Args:
        points: [N, 3] float32, metres.
        T_points_box: [B, 4, 4], box to the frame of the points.
        extent: [B, 3], half sizes along the box's axes, metres.
    """
    T = invert(np.reshape(np.asarray(T_points_box, np.float64), (-1, 4, 4))).astype(np.float32)
    half = np.reshape(np.asarray(extent, np.float32), (-1, 3))
    inside = np.zeros(len(points), np.bool_)
    if not len(T) or not len(points):
        return inside
    # Few points are near a box at all; one comparison with the sphere around each box leaves the others out.
    centres = np.asarray(T_points_box, np.float64).reshape(-1, 4, 4)[:, :3, 3].astype(np.float32)
    radius = np.linalg.norm(half, axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(points[:, None, :] - centres).max(axis=2) <= radius  # [N, B]
        point, box = np.nonzero(near)
        local = (T[box, :3, :3] @ points[point, :, None])[..., 0] + T[box, :3, 3]
        hit = (np.abs(local) <= half[box]).all(axis=1)
    inside[point[hit]] = True
    return inside
