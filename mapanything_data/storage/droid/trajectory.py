"""What `trajectory.h5` says of an episode: the robot's states, the cameras' poses and clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry.euler import transforms_from_euler
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.droid.cameras import RecordedCamera, read_cameras
from mapanything_data.storage.droid.trajectory_arrays import TrajectoryArrays, open_arrays

__all__ = ["RecordedCamera", "Trajectory", "read_trajectory"]

_STATE = "observation/robot_state"
_POSITION = f"{_STATE}/cartesian_position"
_CLOCK = "observation/timestamp/robot_state"
_ENABLED = "observation/controller_info/movement_enabled"

_CLOCK_OFFSET = 0.3
"""Seconds: so far from the PC's clock the robot's own may be, to be taken for the same time."""
_GRIPPER_NOISE = 0.01
"""A gripper position may lie outside of 0 to 1 by as much, 0.85 mm of the opening."""
_REACH = 10.0
"""Metres: no arm that stands on a table reaches so far, so larger numbers are millimetres."""
_LARGEST_ANGLE = 2 * np.pi + 0.1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trajectory:
    """T steps of an episode, at least two, checked.

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


def read_trajectory(path: Path) -> Trajectory:
    """Read and check the `trajectory.h5` of an episode.

    Raises:
        DataError: It cannot be read, is damaged, lacks what an episode must have, has fewer than two steps, or its
            robot's states make no sense. What is wrong with one camera stands in that camera's `problem` instead.
        MissingDependencyError: h5py is not installed.
    """
    remarks: list[str] = []
    with open_arrays(path) as arrays:
        positions = _cartesian_position(arrays)
        T_world_flange = transforms_from_euler(positions)
        cameras, stale = read_cameras(arrays, T_world_flange, remarks)
        return Trajectory(
            path=path,
            state_times=_state_times(arrays, len(positions), remarks),
            T_world_flange=T_world_flange,
            cartesian_position=positions,
            gripper_position=_gripper_position(arrays, len(positions), remarks),
            joint_positions=_joint_positions(arrays, len(positions), remarks),
            movement_enabled=_movement_enabled(arrays, len(positions), remarks),
            cameras=cameras,
            stale_serials=stale,
            remarks=remarks,
        )


def _cartesian_position(arrays: TrajectoryArrays) -> Floats:
    values = arrays.required(_POSITION)
    expected = "[T, 6]: x, y, z in metres and three Euler angles in radians"
    if values.shape[1:] != (6,):
        looks_like = {
            (7,): ", which looks like positions and quaternions",
            (4,): ", which looks like quaternions",
            (4, 4): ", which looks like matrices",
            (3,): ", which looks like positions without angles",
        }.get(values.shape[1:], "")
        raise arrays.error(_POSITION, f"has the shape {list(values.shape)}{looks_like}", expected=expected)
    if len(values) < 2:
        found = "has no steps" if not len(values) else "has one step"
        raise arrays.error(_POSITION, found, expected="two steps or more, or there is no motion")
    positions: Floats = values.astype(np.float64)
    _require_finite(arrays, _POSITION, positions)
    if (farthest := np.abs(positions[:, :3]).max()) > _REACH:
        raise arrays.error(
            _POSITION, f"is up to {farthest:.4g} m from the base; is it in millimetres?", expected=expected
        )
    if (largest := np.abs(positions[:, 3:]).max()) > _LARGEST_ANGLE:
        raise arrays.error(_POSITION, f"has angles up to {largest:.4g}; are they in degrees?", expected=expected)
    return positions


def _state_times(arrays: TrajectoryArrays, steps: int, remarks: list[str]) -> Floats:
    """The robot's own time stamps where they are on the PC's clock, else the middle of reading its state."""
    robot, computer = _robot_clock(arrays, steps), _computer_clock(arrays, steps)
    if computer is None:
        if robot is None:
            expected = "robot_timestamp_seconds and _nanos, or read_start and read_end"
            raise arrays.error(_CLOCK, "has no time stamps", expected=expected)
        remarks.append("there is no read_start and read_end to hold the robot's clock against")
        return _increasing(arrays, robot)
    if robot is None:
        reason = "there is no robot_timestamp"
    elif not (offset := np.abs(robot - computer).max()) <= _CLOCK_OFFSET:
        reason = f"the robot's clock is up to {offset:.3g} s away from the computer's"
    elif (np.diff(robot) <= 0).any():
        reason = "robot_timestamp does not increase at each step"
    else:
        return robot
    remarks.append(f"state times are the middle of read_start and read_end: {reason}")
    return _increasing(arrays, computer)


def _robot_clock(arrays: TrajectoryArrays, steps: int) -> Floats | None:
    seconds = arrays.optional(f"{_CLOCK}/robot_timestamp_seconds")
    nanos = arrays.optional(f"{_CLOCK}/robot_timestamp_nanos")
    if seconds is None or nanos is None:
        return None
    for name, values in (("robot_timestamp_seconds", seconds), ("robot_timestamp_nanos", nanos)):
        _require_steps(arrays, f"{_CLOCK}/{name}", values, (steps,))
    return seconds.astype(np.float64) + nanos.astype(np.float64) / 1e9


def _computer_clock(arrays: TrajectoryArrays, steps: int) -> Floats | None:
    start, end = (arrays.optional(f"{_CLOCK}/{name}") for name in ("read_start", "read_end"))
    if start is None or end is None:
        return None
    for name, values in (("read_start", start), ("read_end", end)):
        _require_steps(arrays, f"{_CLOCK}/{name}", values, (steps,))
    return (start.astype(np.float64) + end.astype(np.float64)) / 2e3


def _increasing(arrays: TrajectoryArrays, times: Floats) -> Floats:
    _require_finite(arrays, _CLOCK, times)
    stalled = np.flatnonzero(np.diff(times) <= 0)
    if len(stalled):
        step, gap = int(stalled[0]) + 1, times[stalled[0] + 1] - times[stalled[0]]
        found = f"goes on by {gap:.6g} s at step {step} ({len(stalled)} such steps)"
        raise arrays.error(_CLOCK, found, expected="time stamps that increase")
    return times


def _gripper_position(arrays: TrajectoryArrays, steps: int, remarks: list[str]) -> Floats:
    key = f"{_STATE}/gripper_position"
    values: Floats = arrays.required(key).astype(np.float64)
    _require_steps(arrays, key, values, (steps,))
    _require_finite(arrays, key, values)
    lowest, highest = values.min(), values.max()
    if lowest < -_GRIPPER_NOISE or highest > 1 + _GRIPPER_NOISE:
        found = f"goes from {lowest:.4g} to {highest:.4g}"
        raise arrays.error(key, found, expected="0 (open) to 1 (closed)")
    if lowest < 0 or highest > 1:
        remarks.append(f"gripper_position goes from {lowest:.4g} to {highest:.4g} and was clipped to 0 to 1")
    return values.clip(0, 1)


def _joint_positions(arrays: TrajectoryArrays, steps: int, remarks: list[str]) -> Floats | None:
    key = f"{_STATE}/joint_positions"
    values = arrays.optional(key)
    if values is None:
        return None
    _require_steps(arrays, key, values, (steps, 7))
    if not np.isfinite(values).all():
        remarks.append("joint_positions are not finite everywhere; they are not used")
        return None
    return values.astype(np.float64)


def _movement_enabled(arrays: TrajectoryArrays, steps: int, remarks: list[str]) -> NDArray[np.bool_]:
    values = arrays.optional(_ENABLED)
    if values is None:
        remarks.append("movement_enabled is missing: all steps count as enabled")
        return np.ones(steps, np.bool_)
    _require_steps(arrays, _ENABLED, values, (steps,))
    is_flag = np.isin(values, (0, 1))
    if not is_flag.all():
        remarks.append(f"movement_enabled is neither 0 nor 1 at {(~is_flag).sum()} steps, which count as enabled")
    enabled: NDArray[np.bool_] = ~is_flag | (values == 1)
    return enabled


def _require_steps(arrays: TrajectoryArrays, key: str, values: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        found = f"has the shape {list(values.shape)}"
        raise arrays.error(key, found, expected=f"{list(shape)}, since cartesian_position has {shape[0]} steps")


def _require_finite(arrays: TrajectoryArrays, key: str, values: Floats) -> None:
    bad: NDArray[np.bool_] = np.atleast_1d(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if bad.any():
        found = f"is not finite (NaN or infinity) at {bad.sum()} of {len(bad)} steps, the first is {int(bad.argmax())}"
        raise arrays.error(key, found)
