"""The finger pads of a Robotiq 2F-85: where they are at any aperture, and points on the faces that touch things.

Gripper axes are those of the 2F-85's public URDF: z leaves the palm, the fingers close along x, left is +x. A four-bar
linkage carries each pad, so a pad never turns: it is its own frame, of the same axes, moved within the gripper's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats

# Metres, from the URDF: the outer knuckle's joint, and the pad's frame seen from it at the joint's angle 0.
_KNUCKLE_X, _KNUCKLE_Z = 0.0127, 0.0693
_LINK_X, _LINK_Z = 0.03459, 0.04550
_MOST_WIDTH = 0.085
# The inner face of the pad in its own frame: a rectangle at x = -7.8 mm of the left pad and +7.8 mm of the right one.
# It is a float32 like all local points: so the points of both pads fall together, not nearly together, when it closes.
_FACE_X = float(np.float32(0.0078))
_FACE_Y = (-0.011, 0.011)
_FACE_Z = (0.007, 0.044)

# The R2 sequence (Martin Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"): steps of 1/p and
# 1/p^2 around a circle, p = 1.3247... the real root of p^3 = p + 1, here in units of 2^-64 of the circle.
_R2_STEPS = np.array([0xC13FA9A902A6328F, 0x91E10DA5C79E7B1C], np.uint64)


def pad_translations(gripper_positions: ArrayLike) -> Floats:
    """Where both pads stand in the gripper's frame.

    The outer knuckle turns by t, so x = kx + A cos t - B sin t and z = kz + A sin t + B cos t. The width between the
    faces tells x; z follows from (x - kx)^2 + (z - kz)^2 = A^2 + B^2 without an angle, and square roots are rounded the
    same way on every machine. The width is 85 mm * (1 - g), so the faces meet at g = 1, where z is 14 mm further out.

    Args:
        gripper_positions: [...], 0 open, 1 closed.

    Returns:
        [..., 2, 3] float64, metres: the left pad, then the right one.
    """
    closed = np.asarray(gripper_positions, dtype=np.float64)
    x = _MOST_WIDTH / 2 * (1 - closed) + _FACE_X
    across = x - _KNUCKLE_X
    z = _KNUCKLE_Z + np.sqrt(_LINK_X * _LINK_X + _LINK_Z * _LINK_Z - across * across)
    translations = np.zeros((*closed.shape, 2, 3))
    translations[..., 0, 0] = x
    translations[..., 1, 0] = -x
    translations[..., 2] = z[..., None]
    return translations


def sample_pad_points(points_per_finger: int, seed: int) -> Floats:
    """Points spread evenly over the inner faces, 22 mm wide and 37 mm long.

    A low-discrepancy sequence (R2) that starts at a random place, in whole numbers: the same on every machine and for
    every release of NumPy. Of two numbers of points, the smaller set is the beginning of the larger one.

    Args:
        points_per_finger: N.
        seed: Where the sequence starts.

    Returns:
        [2, N, 3] float64 that float32 holds exactly, metres, each pad's points in the pad's own frame. The right ones
        mirror the left ones, so that point i of both pads is one point when the gripper is closed.

    Raises:
        ValueError: There is no point to sample, or the seed is negative.
    """
    if points_per_finger < 1:
        raise ValueError(f"points_per_finger is {points_per_finger}, expected at least 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    # The raw output of a bit generator is part of NumPy's promise of compatibility; that of distributions is not.
    start = np.random.Philox(seed).random_raw(2)
    circle = start + np.arange(points_per_finger, dtype=np.uint64)[:, None] * _R2_STEPS  # a turn ends at 2^64
    share = (circle >> np.uint64(11)) * 2.0**-53
    left = np.empty((points_per_finger, 3))
    left[:, 0] = -_FACE_X
    left[:, 1] = _FACE_Y[0] + share[:, 0] * (_FACE_Y[1] - _FACE_Y[0])
    left[:, 2] = _FACE_Z[0] + share[:, 1] * (_FACE_Z[1] - _FACE_Z[0])
    points = np.stack([left, left * [-1, 1, 1]])
    return points.astype(np.float32).astype(np.float64)


def mount(offset_z: float = 0.0, yaw: float = math.pi / 2) -> Floats:
    """How the gripper sits on the flange: `T_flange_gripper` [4, 4] float64.

    Args:
        offset_z: Metres along the flange's z, such as the thickness of a camera's mounting plate.
        yaw: Radians about the flange's z; a quarter turn is common, since the 2F-85's plate is bolted on that way.
    """
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.array([[cos, -sin, 0.0, 0.0], [sin, cos, 0.0, 0.0], [0.0, 0.0, 1.0, offset_z], [0.0, 0.0, 0.0, 1.0]])
