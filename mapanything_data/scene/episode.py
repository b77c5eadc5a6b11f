"""A recording of a robot as arrays on one clock; its pictures stay in their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import Floats, as_array, as_timestamps, require_finite
from mapanything_data.scene.camera import Camera
from mapanything_data.scene.rotation import as_rigid


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Episode:
    """What a robot's sensors logged at T control steps.

    Pictures and robot states are not taken at the same moment (in DROID they are 56 ms apart), so each
    camera may have times of its own, at which poses are to be interpolated.

    Raises:
        ValueError: A shape is not [T, ...], time does not increase, a pose is not rigid, a gripper position
            is outside 0 to 1, or a pose or time belongs to no camera.
    """

    name: str
    """Names the recording within its data set."""
    timestamps: Floats
    """[T] float64, seconds, strictly increasing, read-only: the control steps."""
    cameras: Mapping[str, Camera]
    """Camera name to intrinsics."""
    T_world_camera: Mapping[str, Floats]
    """Camera name to pose: [4, 4] float64 of a fixed camera, [T, 4, 4] of one that moves with the robot."""
    capture_times: Mapping[str, Floats] = field(default_factory=dict)
    """Camera name to the time of each of its pictures, [F] float64, seconds, never decreasing. F may differ
    from T (a video may lack its last frame), and a time that stands twice is a picture that was read
    twice."""
    T_world_flange: Floats | None = None
    """[T, 4, 4] float64: the flange that carries the gripper."""
    gripper_position: Floats | None = None
    """[T] float64: 0 is open, 1 is closed."""
    movement_enabled: NDArray[np.bool_] | None = None
    """[T] bool: False while the operator held the robot still."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamps", as_timestamps("timestamps", self.timestamps))
        object.__setattr__(self, "cameras", dict(self.cameras))
        for mapping in ("T_world_camera", "capture_times"):
            strangers = sorted(getattr(self, mapping).keys() - self.cameras.keys())
            if strangers:
                raise ValueError(f"{mapping} names {strangers}, but the cameras are {sorted(self.cameras)}")
        poses = {name: self._camera_pose(name, T) for name, T in self.T_world_camera.items()}
        times = {name: _capture_times(name, value) for name, value in self.capture_times.items()}
        object.__setattr__(self, "T_world_camera", poses)
        object.__setattr__(self, "capture_times", times)
        self._check_robot()

    def __len__(self) -> int:
        return len(self.timestamps)

    def _camera_pose(self, camera: str, T: Floats) -> Floats:
        name = f"T_world_camera[{camera!r}]"
        if np.ndim(T) != 2:
            as_array(name, T, (len(self), 4, 4), np.float64)
        return as_rigid(name, T)

    def _check_robot(self) -> None:
        steps = len(self)
        if self.T_world_flange is not None:
            as_array("T_world_flange", self.T_world_flange, (steps, 4, 4), np.float64)
            object.__setattr__(self, "T_world_flange", as_rigid("T_world_flange", self.T_world_flange))
        if self.gripper_position is not None:
            position = as_array("gripper_position", self.gripper_position, (steps,), np.float64)
            require_finite("gripper_position", position)
            if ((position < 0) | (position > 1)).any():
                raise ValueError(
                    f"gripper_position goes from {position.min()} to {position.max()}, expected 0 (open) to 1"
                )
            object.__setattr__(self, "gripper_position", position)
        if self.movement_enabled is not None:
            enabled = as_array("movement_enabled", self.movement_enabled, (steps,), np.bool_)
            object.__setattr__(self, "movement_enabled", enabled)


def _capture_times(camera: str, value: Floats) -> Floats:
    name = f"capture_times[{camera!r}]"
    times = as_array(name, value, ("F",), np.float64)
    require_finite(name, times)
    if (np.diff(times) < 0).any():
        raise ValueError(f"{name} goes backwards in time")
    return times
