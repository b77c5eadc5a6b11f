"""The pads of a parallel gripper in motion: the little data that all contact tracks follow from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import Floats, as_array, as_timestamps, require_finite
from mapanything_data.scene.camera import Camera
from mapanything_data.scene.rotation import as_rigid


@dataclass(frozen=True, slots=True, eq=False)
class StaticCamera:
    """A camera that stands still: intrinsics, and `T_world_camera` [4, 4] float64."""

    camera: Camera
    T_world_camera: Floats

    def __post_init__(self) -> None:
        as_array("T_world_camera", self.T_world_camera, (4, 4), np.float64)
        object.__setattr__(self, "T_world_camera", as_rigid("T_world_camera", self.T_world_camera))

    def poses(self, T_world_flange: Floats) -> Floats:
        """`T_world_camera` at every step, [T, 4, 4], of which all are the same."""
        return np.broadcast_to(self.T_world_camera, T_world_flange.shape)


@dataclass(frozen=True, slots=True, eq=False)
class WristCamera:
    """A camera that moves with the flange: intrinsics, and `T_flange_camera` [4, 4] float64."""

    camera: Camera
    T_flange_camera: Floats

    def __post_init__(self) -> None:
        as_array("T_flange_camera", self.T_flange_camera, (4, 4), np.float64)
        object.__setattr__(self, "T_flange_camera", as_rigid("T_flange_camera", self.T_flange_camera))

    def poses(self, T_world_flange: Floats) -> Floats:
        """`T_world_camera` at every step, [T, 4, 4]."""
        poses: Floats = T_world_flange @ self.T_flange_camera
        return poses


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ContactMotion:
    """T steps of a gripper with N points on each of its two pads.

    Raises:
        ValueError: A shape does not fit, time does not increase, a number is not finite, a pose is not rigid, or a
            gripper position is outside of 0 to 1.
    """

    timestamps: Floats
    """[T] float64, seconds, strictly increasing: the moments that the poses stand for."""
    T_world_flange: Floats
    """[T, 4, 4] float64."""
    gripper_positions: Floats
    """[T] float64: 0 is open, 1 is closed."""
    cartesian_positions: Floats
    """[T, 6] float64 as recorded, not aligned: x, y, z in metres, extrinsic xyz Euler angles in radians."""
    is_counted: NDArray[np.bool_]
    """[T] bool: whether the step that leads to a frame counts as a part of the way; the first is False."""
    pad_points: Floats
    """[2, N, 3] float64, metres: points on the left and the right pad in the frame of their own pad."""
    T_flange_gripper: Floats
    """[4, 4] float64: how the gripper is mounted."""
    fps: float
    """Steps per second of the robot's clock; 0 for a single step."""
    step_mm: float
    """Distance of the samples of the normalised flow."""
    cameras: Mapping[str, StaticCamera | WristCamera]
    """Serial to camera; only cameras whose intrinsics are known."""

    def __post_init__(self) -> None:
        timestamps = as_timestamps("timestamps", self.timestamps)
        steps = len(timestamps)
        shapes = {
            "T_world_flange": (steps, 4, 4),
            "gripper_positions": (steps,),
            "cartesian_positions": (steps, 6),
            "pad_points": (2, "N", 3),
            "T_flange_gripper": (4, 4),
        }
        object.__setattr__(self, "timestamps", timestamps)
        for name, shape in shapes.items():
            array = as_array(name, getattr(self, name), shape, np.float64)
            require_finite(name, array)
            object.__setattr__(self, name, as_rigid(name, array) if shape[-2:] == (4, 4) else array)
        if ((self.gripper_positions < 0) | (self.gripper_positions > 1)).any():
            raise ValueError("gripper_positions are outside of 0 (open) to 1 (closed)")
        if not 0 <= self.fps < math.inf:
            raise ValueError(f"fps is {self.fps}, expected steps per second")
        if not self.step_mm > 0:
            raise ValueError(f"step_mm is {self.step_mm}, expected millimetres above 0")
        object.__setattr__(self, "is_counted", as_array("is_counted", self.is_counted, (steps,), np.bool_))
        object.__setattr__(self, "cameras", dict(self.cameras))

    def __len__(self) -> int:
        return len(self.timestamps)
