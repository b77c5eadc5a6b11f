"""What `trajectory.h5` says of an episode: the robot's states, the cameras' poses and clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RecordedCamera:
    """One stereo camera of an episode of T steps. Poses are those of the left eye unless the name says otherwise.

    Attributes:
        serial: Its serial number.
        kind: `wrist` moves with the flange, `external` stands still.
        T_world_camera: [T, 4, 4] float64 as recorded, at the times of the robot's states; None without extrinsics.
        T_world_right: The same for the right eye.
        T_flange_camera: [4, 4] float64, of a wrist camera.
        T_flange_right: The same for the right eye.
        capture_times: [T] float64, seconds: when each step's picture was taken; None where the file does not say.
        matrices: Intrinsic matrices [3, 3] float64, pixels, by eye (`left`, `right`), where the file has them.
        problem: Why the camera cannot be used, such as that it has no extrinsics; empty where it can.
    """

    serial: str
    kind: Literal["wrist", "external"]
    T_world_camera: Floats | None
    T_world_right: Floats | None
    T_flange_camera: Floats | None
    T_flange_right: Floats | None
    capture_times: Floats | None
    matrices: Mapping[str, Floats]
    problem: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trajectory:
    """T steps of an episode, checked.

    Attributes:
        path: The file.
        state_times: [T] float64, seconds, strictly increasing: when the robot's states were measured.
        T_world_flange: [T, 4, 4] float64, the flange (panda_link8) in the robot's base frame.
        cartesian_position: [T, 6] float64 as recorded: x, y, z in metres, extrinsic xyz Euler angles in radians.
        gripper_position: [T] float64, 0 open, 1 closed.
        joint_positions: [T, 7] float64, radians, or None where the file has none.
        movement_enabled: [T] bool: False while the operator held the robot still.
        cameras: Serial to camera, in the order of the serials; all that `camera_type` names.
        stale_serials: Serials with extrinsics left over from other set-ups, which are not of this episode.
        remarks: What was mended or passed over, in words for people.
    """

    path: Path
    state_times: Floats
    T_world_flange: Floats
    cartesian_position: Floats
    gripper_position: Floats
    joint_positions: Floats | None
    movement_enabled: NDArray[np.bool_]
    cameras: Mapping[str, RecordedCamera]
    stale_serials: Sequence[str]
    remarks: Sequence[str]

    def __len__(self) -> int:
        return len(self.state_times)
