"""Forward kinematics of the Franka Panda, from the table that its maker publishes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats

# https://frankaemika.github.io/docs/control_parameters.html: a, d (metres) and alpha (radians) in Craig's convention.
_A = (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088)
_D = (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0)
_ALPHA = (0.0, -np.pi / 2, np.pi / 2, np.pi / 2, -np.pi / 2, np.pi / 2, np.pi / 2)
_FLANGE = 0.107

READY = np.array([0.0, -0.45, 0.0, -2.35, 0.0, 1.9, np.pi / 4])
"""Joint angles with the flange above the table, its z axis straight down."""


def flange_pose(joints: ArrayLike) -> Floats:
    """Where the flange (panda_link8) is.

    Args:
        joints: [..., 7], radians.

    Returns:
        [..., 4, 4] float64, `T_world_flange` in the robot's base frame.
    """
    joints = np.asarray(joints, dtype=np.float64)
    T = np.broadcast_to(np.eye(4), (*joints.shape[:-1], 4, 4))
    for a, d, alpha, theta in zip(_A, _D, _ALPHA, np.moveaxis(joints, -1, 0), strict=True):
        T = T @ _link(a, d, alpha, theta)
    return T @ _link(0.0, _FLANGE, 0.0, np.zeros(joints.shape[:-1]))


def _link(a: float, d: float, alpha: float, theta: Floats) -> Floats:
    ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    T = np.zeros((*np.shape(theta), 4, 4))
    T[..., 0, 0], T[..., 0, 1], T[..., 0, 3] = ct, -st, a
    T[..., 1, 0], T[..., 1, 1], T[..., 1, 2], T[..., 1, 3] = st * ca, ct * ca, -sa, -sa * d
    T[..., 2, 0], T[..., 2, 1], T[..., 2, 2], T[..., 2, 3] = st * sa, ct * sa, ca, ca * d
    T[..., 3, 3] = 1.0
    return T
