"""Which points lie in oriented boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.geometry.transforms import invert
from mapanything_data.scene.arrays import Floats

_PAIRS_AT_ONCE = 1 << 20
"""Of points and boxes; each takes some 60 bytes where all points are near."""


def points_in_boxes(points: NDArray[np.float32], T_points_box: ArrayLike, extent: ArrayLike) -> NDArray[np.bool_]:
    """Whether each point lies in any of the boxes, [N] bool; a point that is not finite lies in none.

    Args:
        points: [N, 3] float32, metres.
        T_points_box: [B, 4, 4], box to the frame of the points.
        extent: [B, 3], half sizes along the box's axes, metres.
    """
    half = np.reshape(np.asarray(extent, np.float64), (-1, 3))
    inside = np.zeros(len(points), np.bool_)
    inside[pairs_inside(points, T_points_box, -half, half)[0]] = True
    return inside


def pairs_inside(
    points: NDArray[np.float32], T_points_box: ArrayLike, lower: Floats, upper: Floats
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every pair of a point and a box that holds it.

    Args:
        points: [N, 3] float32, metres; one that is not finite lies in no box.
        T_points_box: [B, 4, 4], box to the frame of the points.
        lower: [B, 3], where each box begins along its axes, metres from its origin.
        upper: [B, 3], where it ends.

    Returns:
        Indices of the points and of the boxes, [P] each, by increasing box.
    """
    T = np.reshape(np.asarray(T_points_box, np.float64), (-1, 4, 4))
    low, high = np.asarray(lower, np.float32), np.asarray(upper, np.float32)
    at_once = max(1, _PAIRS_AT_ONCE // max(1, len(points)))
    pairs = [np.empty((2, 0), np.intp)]
    for first in range(0, len(T), at_once):
        block = slice(first, first + at_once)
        pairs.append(_pairs_of_block(points, T[block], low[block], high[block]))
        pairs[-1][1] += first
    point, box = np.concatenate(pairs, axis=1)
    return point, box


def _pairs_of_block(
    points: NDArray[np.float32], T: Floats, low: NDArray[np.float32], high: NDArray[np.float32]
) -> NDArray[np.intp]:
    """The pairs of all points with a few boxes, [2, P]."""
    # Few points are near a box at all; comparing them with the cube around its sphere leaves the others out.
    radius = np.linalg.norm(np.maximum(np.abs(low), np.abs(high)), axis=1)
    centre = T[:, :3, 3].astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.ones((len(T), len(points)), np.bool_)
        for axis in range(3):
            near &= np.abs(points[:, axis] - centre[:, axis, None]) <= radius[:, None]
        box, point = np.nonzero(near)
        T_box_points = invert(T).astype(np.float32)
        local = (T_box_points[box, :3, :3] @ points[point, :, None])[..., 0] + T_box_points[box, :3, 3]
        hit = ((local >= low[box]) & (local <= high[box])).all(axis=1)
    return np.stack([point[hit], box[hit]])
