"""Rotations in their two notations, and what counts as a rigid transform.

Only what `Pose` and `Episode` themselves need stands here; the algebra (products, slerp) is
`mapanything_data.geometry.quaternions`, which hands these conversions on under the same names.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene.arrays import Floats, require_finite

ORTHONORMAL_TOLERANCE = 2e-4
"""Largest entry of |R^T R - I| that is still taken for a rotation.

Four decimals in a text file are accepted: they leave up to 5e-5 in each entry of R, and so up to
2 * sqrt(3) * 5e-5 = 1.8e-4 here. Float32 leaves a thousandth of that.
"""

_ROUNDING = 1e-12


def matrix_from_quaternion(quaternion: ArrayLike) -> Floats:
    """Rotation matrices of quaternions, which need not have unit length.

    Args:
        quaternion: [..., 4] in the order x, y, z, w.

    Returns:
        [..., 3, 3] float64.

    Raises:
        ValueError: A quaternion is zero or not finite, so it names no rotation.
    """
    q = np.asarray(quaternion, dtype=np.float64)
    if q.shape[-1:] != (4,):
        raise ValueError(f"quaternion has shape {list(q.shape)}, expected [..., 4] (x, y, z, w)")
    # Scaling by the largest entry first keeps the squares of very large and very small entries in range.
    largest = np.abs(q).max(axis=-1, keepdims=True)
    if not (np.isfinite(largest).all() and (largest > 0).all()):
        raise ValueError("quaternion is zero or not finite: it names no rotation")
    q = q / largest
    x, y, z, w = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(rotation: ArrayLike) -> Floats:
    """Unit quaternions of rotation matrices, with w >= 0.

    The sums and differences of the matrix entries are the entries of 4 q q^T; its row with the largest
    diagonal entry is a multiple of q whose norm is at least 2, so no angle divides by a small number
    (Shepperd 1978, without his branches).

    Args:
        rotation: [..., 3, 3], orthonormal with determinant +1 (not checked here).

    Returns:
        [..., 4] float64 in the order x, y, z, w.
    """
    R = np.asarray(rotation, dtype=np.float64)
    if R.shape[-2:] != (3, 3):
        raise ValueError(f"rotation has shape {list(R.shape)}, expected [..., 3, 3]")
    m00, m11, m22 = R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]
    xy, xz, yz = R[..., 0, 1] + R[..., 1, 0], R[..., 0, 2] + R[..., 2, 0], R[..., 1, 2] + R[..., 2, 1]
    xw, yw, zw = R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]
    rows = [
        [1 + m00 - m11 - m22, xy, xz, xw],
        [xy, 1 - m00 + m11 - m22, yz, yw],
        [xz, yz, 1 - m00 - m11 + m22, zw],
        [xw, yw, zw, 1 + m00 + m11 + m22],
    ]
    outer = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    unit: Floats = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(unit[..., 3:] < 0, -unit, unit)


def as_rigid(name: str, value: ArrayLike) -> Floats:
    """Rigid transforms [..., 4, 4] float64, checked, as a read-only copy.

    A rotation that is orthonormal only to `ORTHONORMAL_TOLERANCE` is replaced by the nearest exact one, so
    that what was accepted once stays rigid however often it is inverted and composed.

    Args:
        name: What the matrices are called in an error.
        value: [..., 4, 4], metres.

    Raises:
        ValueError: Another shape, not finite, a last row other than 0 0 0 1, a scale or shear, or mirrored
            axes.
    """
    T = np.array(value, dtype=np.float64)
    if T.shape[-2:] != (4, 4):
        raise ValueError(f"{name} has shape {list(T.shape)}, expected [..., 4, 4]")
    require_finite(name, T)
    _refuse(
        name,
        (T[..., 3, :] != [0.0, 0.0, 0.0, 1.0]).any(axis=-1),
        "has a last row other than [0, 0, 0, 1]; is the matrix transposed?",
    )
    R = T[..., :3, :3]
    error = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max(axis=(-2, -1))
    _refuse(
        name,
        error > ORTHONORMAL_TOLERANCE,
        f"has a rotation that is not orthonormal: R^T R differs from the identity by "
        f"{error.max(initial=0):.2g}, allowed is {ORTHONORMAL_TOLERANCE:g}; does it hold a scale?",
    )
    _refuse(
        name,
        np.linalg.det(R) < 0,
        "has mirrored axes: the determinant of its rotation is -1. A change between left-handed and "
        "right-handed axes must be applied to both sides, P @ T @ inv(P)",
    )
    rough = error > _ROUNDING
    if rough.any():
        U, _, Vt = np.linalg.svd(R[rough])
        R[rough] = U @ Vt
    T.flags.writeable = False
    return T


def _refuse(name: str, wrong: NDArray[np.bool_], problem: str) -> None:
    if wrong.any():
        index = "".join(f"[{i}]" for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name}{index} {problem}")
