"""CARLA's poses and axes, converted to ours and back.

CARLA inherits Unreal Engine's left-handed axes: x forward, y right, z up. Here every frame, the world included, has
OpenCV's axes: x right, y down, z forward. Both sides of a transform change, `T_opencv = P @ T_ue @ inv(P)`: the change
of axes P mirrors (its determinant is -1), so converting one side only would leave a mirrored rotation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapanything_data.scene.arrays import Floats

OPENCV_FROM_UE = np.array(
    [
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, -1.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""P, [4, 4] float64: (x, y, z) of Unreal is (y, -z, x) of OpenCV."""
OPENCV_FROM_UE.flags.writeable = False


def ue_matrix_from_carla_pose(pose: ArrayLike) -> Floats:
    """The transform from an object to the world, both in Unreal's axes.

    Translation, then Rz(yaw) Ry(-pitch) Rx(-roll) of ordinary right-handed elementary rotations: CARLA counts pitch and
    roll the other way round on its left-handed axes.

    Args:
        pose: [..., 6] x, y, z, roll, yaw, pitch; metres and degrees, in the order of OPV2V's files.

    Returns:
        [..., 4, 4] float64, metres.

    Raises:
        ValueError: The last axis has not six numbers.
    """
    p = _carla_poses(pose)
    (sin_roll, sin_yaw, sin_pitch), (cos_roll, cos_yaw, cos_pitch) = _sines_and_cosines(p[..., 3:])
    T = np.zeros((*p.shape[:-1], 4, 4))
    T[..., 0, 0] = cos_yaw * cos_pitch
    T[..., 0, 1] = cos_yaw * sin_pitch * sin_roll - sin_yaw * cos_roll
    T[..., 0, 2] = -cos_yaw * sin_pitch * cos_roll - sin_yaw * sin_roll
    T[..., 1, 0] = sin_yaw * cos_pitch
    T[..., 1, 1] = sin_yaw * sin_pitch * sin_roll + cos_yaw * cos_roll
    T[..., 1, 2] = -sin_yaw * sin_pitch * cos_roll + cos_yaw * sin_roll
    T[..., 2, 0] = sin_pitch
    T[..., 2, 1] = -cos_pitch * sin_roll
    T[..., 2, 2] = cos_pitch * cos_roll
    T[..., :3, 3] = p[..., :3]
    T[..., 3, 3] = 1.0
    return T


def carla_pose_from_ue_matrix(T: ArrayLike) -> Floats:
    """The inverse of `ue_matrix_from_carla_pose`.

    Looking straight up or down, yaw and roll turn about the same axis; all of the turn is then given to yaw.

    Args:
        T: [..., 4, 4], object to world, both in Unreal's axes.

    Returns:
        [..., 6] float64: x, y, z, roll, yaw, pitch; metres and degrees, pitch in [-90, 90], the others in (-180, 180].

    Raises:
        ValueError: The last axes are not 4 x 4.
    """
    T = np.asarray(T, dtype=np.float64)
    if T.shape[-2:] != (4, 4):
        raise ValueError(f"transform has shape {list(T.shape)}, expected [..., 4, 4]")
    R = T[..., :3, :3]
    level = np.hypot(R[..., 0, 0], R[..., 1, 0])  # the cosine of the pitch
    pitch = np.arctan2(R[..., 2, 0], level)
    vertical = level < 1e-9
    yaw = np.where(vertical, np.arctan2(-R[..., 0, 1], R[..., 1, 1]), np.arctan2(R[..., 1, 0], R[..., 0, 0]))
    roll = np.where(vertical, 0.0, np.arctan2(-R[..., 2, 1], R[..., 2, 2]))
    pose = np.concatenate([T[..., :3, 3], np.rad2deg(np.stack([roll, yaw, pitch], axis=-1))], axis=-1)
    return pose + 0.0  # without negative zeros


def opencv_from_ue(T_ue: ArrayLike) -> Floats:
    """A transform between two frames in OpenCV's axes, [..., 4, 4], from the one in Unreal's axes."""
    converted: Floats = OPENCV_FROM_UE @ np.asarray(T_ue, dtype=np.float64) @ OPENCV_FROM_UE.T
    return converted


def ue_from_opencv(T_opencv: ArrayLike) -> Floats:
    """A transform between two frames in Unreal's axes, [..., 4, 4], from the one in OpenCV's axes."""
    converted: Floats = OPENCV_FROM_UE.T @ np.asarray(T_opencv, dtype=np.float64) @ OPENCV_FROM_UE
    return converted


def matrix_from_carla_pose(pose: ArrayLike) -> Floats:
    """`T_world_object` in OpenCV's axes, [..., 4, 4] float64, of CARLA poses [..., 6] (metres, degrees)."""
    return opencv_from_ue(ue_matrix_from_carla_pose(pose))


def carla_pose_from_matrix(T_world_object: ArrayLike) -> Floats:
    """CARLA poses [..., 6] (metres, degrees) of `T_world_object` in OpenCV's axes, [..., 4, 4]."""
    return carla_pose_from_ue_matrix(ue_from_opencv(T_world_object))


def _carla_poses(value: ArrayLike) -> Floats:
    p = np.asarray(value, dtype=np.float64)
    if p.shape[-1:] != (6,):
        raise ValueError(f"CARLA pose has shape {list(p.shape)}, expected [..., 6]: x, y, z, roll, yaw, pitch")
    return p


def _sines_and_cosines(degrees: Floats) -> tuple[Floats, Floats]:
    """Of the angles on the last axis, which comes first in the results; exact at multiples of 90 degrees."""
    quarter = np.rint(degrees / 90)
    rest = np.deg2rad(degrees - 90 * quarter)
    turns = quarter.astype(np.int64) % 4
    sine = np.choose(turns, [np.sin(rest), np.cos(rest), -np.sin(rest), -np.cos(rest)])
    cosine = np.choose(turns, [np.cos(rest), -np.sin(rest), -np.cos(rest), np.sin(rest)])
    return np.moveaxis(sine, -1, 0), np.moveaxis(cosine, -1, 0)
