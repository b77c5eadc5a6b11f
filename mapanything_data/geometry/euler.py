"""Poses as robots log them: a position and three Euler angles about fixed axes.

SciPy's `Rotation.from_euler("xyz")` would do for the angles, but the core installs NumPy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats


def transforms_from_euler(values: ArrayLike) -> Floats:
    """Transforms of positions and extrinsic xyz Euler angles.

    The frame is turned about the fixed x axis, then y, then z: R = Rz(c) Ry(b) Rx(a), SciPy's lower-case "xyz".

    Args:
        values: [..., 6], x, y, z in metres and the angles a, b, c in radians.

    Returns:
        [..., 4, 4] float64.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1:] != (6,):
        raise ValueError(f"values have shape {list(values.shape)}, expected [..., 6] (x, y, z and three angles)")
    T = np.zeros((*values.shape[:-1], 4, 4))
    T[..., :3, 3] = values[..., :3]
    T[..., 3, 3] = 1.0
    (sa, sb, sc), (ca, cb, cc) = (np.moveaxis(f(values[..., 3:]), -1, 0) for f in (np.sin, np.cos))
    T[..., 0, 0], T[..., 0, 1], T[..., 0, 2] = cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa
    T[..., 1, 0], T[..., 1, 1], T[..., 1, 2] = sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa
    T[..., 2, 0], T[..., 2, 1], T[..., 2, 2] = -sb, cb * sa, cb * ca
    return T


def euler_from_transforms(T: ArrayLike) -> Floats:
    """Positions and extrinsic xyz Euler angles of transforms, [..., 6] float64, metres and radians.

    The angle about y lies within a quarter turn. Where it is a quarter turn, only the sum or the difference of the
    other two is determined, and that about z is 0.

    Args:
        T: [..., 4, 4].
    """
    T = np.asarray(T, dtype=np.float64)
    if T.shape[-2:] != (4, 4):
        raise ValueError(f"transform has shape {list(T.shape)}, expected [..., 4, 4]")
    cos_b = np.hypot(T[..., 0, 0], T[..., 1, 0])
    locked = cos_b < 1e-9
    a = np.where(locked, np.arctan2(-T[..., 1, 2], T[..., 1, 1]), np.arctan2(T[..., 2, 1], T[..., 2, 2]))
    b = np.arctan2(-T[..., 2, 0], cos_b)
    c = np.where(locked, 0.0, np.arctan2(T[..., 1, 0], T[..., 0, 0]))
    return np.concatenate([T[..., :3, 3], np.stack([a, b, c], axis=-1)], axis=-1)
