"""The change between MuJoCo's axes (x east or forward, y north or left, z up) and OpenCV's (right, down, forward).

Both are right-handed, so it is a rotation. It permutes axes and flips signs only: no digit is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats

OPENCV_FROM_MUJOCO = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""[3, 3] float64: (x, y, z) of MuJoCo is (-y, -z, x) of OpenCV."""
OPENCV_FROM_MUJOCO.flags.writeable = False


def opencv_transform(rotation: ArrayLike, translation: ArrayLike) -> Floats:
    """The transform between two frames in OpenCV's axes of one in MuJoCo's.

    Args:
        rotation: [..., 3, 3].
        translation: [..., 3], metres.

    Returns:
        [..., 4, 4] float64.
    """
    R = np.asarray(rotation, dtype=np.float64)
    T = np.zeros((*R.shape[:-2], 4, 4))
    T[..., :3, :3] = OPENCV_FROM_MUJOCO @ R @ OPENCV_FROM_MUJOCO.T
    T[..., :3, 3] = np.asarray(translation) @ OPENCV_FROM_MUJOCO.T
    T[..., 3, 3] = 1.0
    return T


def mujoco_vectors(vectors: ArrayLike) -> Floats:
    """Vectors or points [..., 3] in OpenCV's axes, seen in MuJoCo's."""
    seen: Floats = np.asarray(vectors, dtype=np.float64) @ OPENCV_FROM_MUJOCO
    return seen
