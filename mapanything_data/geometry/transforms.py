"""Rigid transforms as plain arrays [..., 4, 4]; compose them with `@`.

For one transform that is checked when it is made, see `scene.Pose`; these functions are for many at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.geometry.quaternions import matrix_from_quaternion, quaternion_from_matrix, slerp
from mapanything_data.scene.arrays import Floats, as_array, as_timestamps


def invert(T: ArrayLike) -> Floats:
    """The transforms back, [..., 4, 4] float64: `T_b_a` of `T_a_b`. The rotations must be orthonormal."""
    T = _transforms(T)
    R_back = np.swapaxes(T[..., :3, :3], -1, -2)
    return _assemble(R_back, -(R_back @ T[..., :3, 3:])[..., 0])


def transform_points(T: ArrayLike, points: ArrayLike) -> Floats:
    """Points in the frame that `T` leads to.

    The leading axes broadcast, so T poses move N points each as `transform_points(T[:, None], points)`.

    Args:
        T: [..., 4, 4].
        points: [..., 3], metres, in the frame that T comes from.

    Returns:
        [..., 3] float64, metres.
    """
    T, p = _transforms(T), np.asarray(points, dtype=np.float64)
    if p.shape[-1:] != (3,):
        raise ValueError(f"points have shape {list(p.shape)}, expected [..., 3]")
    moved: Floats = (T[..., :3, :3] @ p[..., None])[..., 0] + T[..., :3, 3]
    return moved


def interpolate(T_a: ArrayLike, T_b: ArrayLike, alpha: ArrayLike) -> Floats:
    """Transforms between `T_a` (alpha 0) and `T_b` (alpha 1).

    The translation moves on a straight line and the rotation turns on the shortest way, apart from each
    other, so the result does not depend on where the world's origin is.

    Args:
        T_a: [..., 4, 4].
        T_b: [..., 4, 4].
        alpha: [...], broadcast against the leading axes.

    Returns:
        [..., 4, 4] float64.
    """
    T_a, T_b, t = _transforms(T_a), _transforms(T_b), np.asarray(alpha, dtype=np.float64)
    q = slerp(quaternion_from_matrix(T_a[..., :3, :3]), quaternion_from_matrix(T_b[..., :3, :3]), t)
    translation = (1 - t[..., None]) * T_a[..., :3, 3] + t[..., None] * T_b[..., :3, 3]
    return _assemble(matrix_from_quaternion(q), translation)


def interpolate_at(timestamps: ArrayLike, T: ArrayLike, times: ArrayLike) -> Floats:
    """A trajectory at other times than it was logged at.

    Args:
        timestamps: [T] seconds, strictly increasing.
        T: [T, 4, 4], the transforms at `timestamps`.
        times: [M] seconds, within the first and the last of `timestamps`: to hold the ends, clip them first.

    Returns:
        [M, 4, 4] float64.

    Raises:
        ValueError: A time lies outside of the trajectory, where any answer would be a guess.
    """
    known = as_timestamps("timestamps", timestamps)
    T = as_array("T", T, (len(known), 4, 4), np.float64)
    at = as_array("times", times, ("M",), np.float64)
    if not len(at):
        return np.zeros((0, 4, 4))
    if not len(known) or not (known[0] <= at.min() and at.max() <= known[-1]):
        span = f"{known[0]} to {known[-1]} s" if len(known) else "an empty trajectory"
        raise ValueError(f"times go from {at.min()} to {at.max()} s, expected to lie within {span}")
    index = np.interp(at, known, np.arange(len(known)))  # 2.25 is a quarter of the way from the third pose on
    before = np.floor(index).astype(np.intp)
    after = np.ceil(index).astype(np.intp)
    return interpolate(T[before], T[after], index - before)


def _assemble(rotation: Floats, translation: Floats) -> Floats:
    T = np.zeros((*rotation.shape[:-2], 4, 4))
    T[..., :3, :3] = rotation
    T[..., :3, 3] = translation
    T[..., 3, 3] = 1.0
    return T


def _transforms(value: ArrayLike) -> Floats:
    T = np.asarray(value, dtype=np.float64)
    if T.shape[-2:] != (4, 4):
        raise ValueError(f"transform has shape {list(T.shape)}, expected [..., 4, 4]")
    return T
