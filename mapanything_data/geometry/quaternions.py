"""Rotations as unit quaternions x, y, z, w: arrays [..., 4] whose leading axes broadcast against each other.

SciPy's Rotation and Slerp would do, but the core installs NumPy alone, and they take one leading axis only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats
from mapanything_data.scene.rotation import matrix_from_quaternion, quaternion_from_matrix

__all__ = ["matrix_from_quaternion", "multiply", "normalise", "quaternion_from_matrix", "rotate", "slerp"]


def normalise(quaternion: ArrayLike) -> Floats:
    """Quaternions scaled to length 1, [..., 4] float64; the sign is kept.

    Raises:
        ValueError: A quaternion is zero or not finite, so it has no direction.
    """
    q = _quaternions(quaternion)
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if not (np.isfinite(norm).all() and (norm > 0).all()):
        raise ValueError("quaternion is zero or not finite: it names no rotation")
    unit: Floats = q / norm
    return unit


def multiply(a: ArrayLike, b: ArrayLike) -> Floats:
    """Hamilton's product, [..., 4] float64: the rotation `b` followed by the rotation `a`, as `R_a @ R_b`."""
    a, b = _quaternions(a), _quaternions(b)
    a_xyz, a_w, b_xyz, b_w = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    xyz = a_w * b_xyz + b_w * a_xyz + np.cross(a_xyz, b_xyz)
    w = a_w * b_w - (a_xyz * b_xyz).sum(axis=-1, keepdims=True)
    return np.concatenate([xyz, w], axis=-1)


def rotate(quaternion: ArrayLike, points: ArrayLike) -> Floats:
    """Points [..., 3] turned by unit quaternions [..., 4], in float64.

    p + 2 w (v x p) + 2 v x (v x p), which is q p q* written out.
    """
    q, p = _quaternions(quaternion), np.asarray(points, dtype=np.float64)
    v, w = q[..., :3], q[..., 3:]
    twice = 2 * np.cross(v, p)
    return p + w * twice + np.cross(v, twice)


def slerp(a: ArrayLike, b: ArrayLike, alpha: ArrayLike) -> Floats:
    """Rotations on the shortest way from `a` (alpha 0) to `b` (alpha 1), turned at constant speed.

    q and -q are one rotation, so `b` is taken on the side of `a`. Two rotations exactly 180 degrees apart
    have two shortest ways; one of them is taken, the same each time.

    Args:
        a: [..., 4] unit quaternions.
        b: [..., 4] unit quaternions.
        alpha: [...], without the axis of the components; values outside 0 to 1 go on turning.

    Returns:
        [..., 4] float64 unit quaternions on the side of `a`.
    """
    a, b = _quaternions(a), _quaternions(b)
    t = np.asarray(alpha, dtype=np.float64)[..., None]
    b = np.where((a * b).sum(axis=-1, keepdims=True) < 0, -b, b)
    # An arc cosine of the dot product would lose half of the digits where a and b nearly agree.
    angle = 2 * np.arctan2(np.linalg.norm(a - b, axis=-1, keepdims=True), np.linalg.norm(a + b, axis=-1, keepdims=True))
    # sin(t angle) / sin(angle) = t sinc(t angle) / sinc(angle), which is t at angle 0 without a special
    # case. After the change of sign the angle is at most 90 degrees, far from the other zero of the sine.
    unit = angle / np.pi
    weight_a = (1 - t) * np.sinc((1 - t) * unit) / np.sinc(unit)
    weight_b = t * np.sinc(t * unit) / np.sinc(unit)
    return normalise(weight_a * a + weight_b * b)


def _quaternions(value: ArrayLike) -> Floats:
    q = np.asarray(value, dtype=np.float64)
    if q.shape[-1:] != (4,):
        raise ValueError(f"quaternion has shape {list(q.shape)}, expected [..., 4] (x, y, z, w)")
    return q
