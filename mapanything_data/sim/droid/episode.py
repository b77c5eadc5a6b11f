"""Writes a generated episode: metadata and trajectory.h5 with every group and type that the real files have."""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import require
from mapanything_data.geometry.euler import euler_from_transforms, transforms_from_euler
from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.droid.motion import Clocks, Motion, make_clocks, make_motion
from mapanything_data.sim.droid.panda import flange_pose
from mapanything_data.sim.droid.rig import STALE, RigCamera, make_rig, shift_x
from mapanything_data.storage.droid.layout import EpisodeFiles

USER = "Roberta Imaginaria"
"""The name of a person who does not exist, where the real files have one: it must stand in no output."""
_ENCODER_NOISE = 3e-6  # radians: below 0.02 mm at the flange, as measured on an arm that rests


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedEpisode:
    """What a generated episode truly is, to hold results against.

    Attributes:
        files: Where it lies.
        motion: The arm at any time.
        clocks: When states and pictures were taken.
        cameras: The wrist camera first.
        seed: That chose it all.
    """

    files: EpisodeFiles
    motion: Motion
    clocks: Clocks
    cameras: tuple[RigCamera, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.clocks.states)

    def camera(self, serial: str) -> RigCamera:
        """The camera of a serial number."""
        return next(camera for camera in self.cameras if camera.serial == serial)


def write_episode(
    root: Path,
    *,
    seed: int = 0,
    steps: int = 120,
    lab: str = "MADELab",
    outcome: str = "success",
    timestamp: str = "2023-08-12-16h-26m-07s",
    date: str = "",
    width: int = 320,
    height: int = 180,
    has_intrinsics: bool = False,
    baseline_error: float = 0.0015,
) -> GeneratedEpisode:
    """Write `metadata_{uuid}.json` and `trajectory.h5`; recordings of it are another matter, see `write_recordings`.

    Args:
        root: Of the recordings; the episode goes to {lab}/{outcome}/{date}/{folder} below it.
        seed: Chooses motion, cameras, clocks, the collector and the second of the time stamp, unless one is given.
        steps: T, at least 2.
        lab: Name of the lab.
        outcome: success or failure.
        timestamp: When the episode began, as the uuid has it.
        date: The date's folder; by default that of the time stamp. Near midnight it is that of the day before.
        width: Of the pictures, pixels.
        height: Of the pictures, pixels.
        has_intrinsics: Whether the file has `camera_intrinsics`, as newer ones do.
        baseline_error: Metres by which the recorded right eye is off along x, as a calibration by hand is.

    Raises:
        MissingDependencyError: h5py is not installed.
    """
    require("h5py")
    rng = np.random.default_rng([seed, 0xD501D])
    began = time.strptime(timestamp, "%Y-%m-%d-%Hh-%Mm-%Ss")
    start = calendar.timegm(began) + rng.uniform(0.2, 0.9)
    cameras = make_rig(rng, width, height)
    motion = make_motion(rng, start, steps)
    clocks = make_clocks(rng, start, steps, [camera.serial for camera in cameras])
    uuid = f"{lab}+{seed:08x}+{timestamp}"
    folder = root / lab / outcome / (date or timestamp[:10]) / time.asctime(began).replace(" ", "_")
    files = EpisodeFiles(uuid, lab, outcome, folder.parent.name, folder, folder / f"metadata_{uuid}.json")
    folder.mkdir(parents=True)

    joints = motion.joints(clocks.states) + rng.normal(0, _ENCODER_NOISE, (steps, 7))
    T_world_flange = flange_pose(joints)
    extrinsics = _extrinsics(cameras, T_world_flange, baseline_error, rng)
    arrays = _robot(rng, motion, clocks, joints, T_world_flange)
    arrays |= {f"observation/camera_extrinsics/{name}": values for name, values in extrinsics.items()}
    arrays |= _timestamps(clocks, rng)
    for camera in cameras:
        kind = 0 if camera.kind == "wrist" else 1
        arrays[f"observation/camera_type/{camera.serial}"] = np.full(steps, kind, np.int64)
        for eye in ("left", "right") if has_intrinsics else ():
            matrices = np.broadcast_to(camera.camera.matrix, (steps, 3, 3))
            arrays[f"observation/camera_intrinsics/{camera.serial}_{eye}"] = matrices
    _write_trajectory(files.trajectory, arrays, folder.name, outcome)
    files.metadata.write_text(json.dumps(_metadata(files, steps, extrinsics, cameras), indent=1), encoding="utf-8")
    return GeneratedEpisode(files, motion, clocks, cameras, seed)


def _extrinsics(
    cameras: tuple[RigCamera, ...], T_world_flange: Floats, baseline_error: float, rng: np.random.Generator
) -> dict[str, Floats]:
    """What hand-eye calibration tells of each eye, [T, 6], and what other set-ups left behind."""
    steps, values = len(T_world_flange), {}
    for camera in cameras:
        offsets = {
            "left": camera.T_parent_camera,
            "right": camera.T_parent_camera @ shift_x(camera.baseline + baseline_error),
        }
        for eye, offset in offsets.items():
            poses = T_world_flange @ offset if camera.kind == "wrist" else np.broadcast_to(offset, (steps, 4, 4))
            values[f"{camera.serial}_{eye}"] = euler_from_transforms(poses)
            if camera.kind == "wrist":
                constant = np.broadcast_to(euler_from_transforms(offset), (steps, 6))
                values[f"{camera.serial}_{eye}_gripper_offset"] = constant
    for serial in STALE:
        left = rng.uniform(-0.5, 0.5, 6)
        right = euler_from_transforms(transforms_from_euler(left) @ shift_x(0.12))
        for eye, pose in (("left", left), ("right", right)):
            values[f"{serial}_{eye}"] = np.broadcast_to(pose, (steps, 6))
    return values


def _robot(
    rng: np.random.Generator, motion: Motion, clocks: Clocks, joints: Floats, T_world_flange: Floats
) -> dict[str, NDArray[Any]]:
    steps, times = len(joints), clocks.states
    ahead = times + 0.06  # what is commanded at a step is reached by the next one
    target = motion.joints(ahead)
    velocities = (motion.joints(times + 1e-3) - motion.joints(times - 1e-3)) / 2e-3
    state: dict[str, NDArray[Any]] = {
        "cartesian_position": euler_from_transforms(T_world_flange),
        "gripper_position": motion.gripper(times),
        "joint_positions": joints,
        "joint_velocities": velocities,
        "prev_command_successful": np.ones(steps, np.bool_),
        "prev_controller_latency_ms": rng.uniform(0.2, 0.4, steps),
    }
    for name in (
        "joint_torques_computed",
        "motor_torques_measured",
        "prev_joint_torques_computed",
        "prev_joint_torques_computed_safened",
    ):
        state[name] = rng.normal(0, 1, (steps, 7))
    arrays = {f"{group}/robot_state/{name}": state[name] for group in ("observation", "action") for name in state}
    position, gripper = euler_from_transforms(flange_pose(target)), motion.gripper(ahead)
    arrays |= {
        "action/cartesian_position": position,
        "action/cartesian_velocity": np.zeros((steps, 6)),
        "action/gripper_position": gripper,
        "action/gripper_velocity": gripper - state["gripper_position"],
        "action/joint_position": target,
        "action/joint_velocity": target - joints,
        "action/target_cartesian_position": position,
        "action/target_gripper_position": gripper,
    }
    enabled = motion.is_enabled(times)
    flags = {"controller_on": True, "failure": False, "success": False}
    arrays |= {f"observation/controller_info/{name}": np.full(steps, value) for name, value in flags.items()}
    arrays["observation/controller_info/movement_enabled"] = enabled
    arrays["observation/timestamp/skip_action"] = ~enabled
    return arrays


def _timestamps(clocks: Clocks, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Milliseconds and nanoseconds, as the platform writes them."""
    steps, start = len(clocks.states), clocks.read_starts
    seconds = np.floor(clocks.states)
    robot = "observation/timestamp/robot_state"
    arrays: dict[str, NDArray[Any]] = {
        f"{robot}/read_start": _milliseconds(start),
        f"{robot}/read_end": _milliseconds(clocks.read_ends),
        f"{robot}/robot_timestamp_seconds": seconds.astype(np.int64),
        f"{robot}/robot_timestamp_nanos": ((clocks.states - seconds) * 1e9).round().astype(np.int64),
    }
    control = {"step_start": 0.0, "policy_start": 0.015, "sleep_start": 0.016, "control_start": 0.066, "step_end": 0.07}
    for name, later in control.items():
        arrays[f"observation/timestamp/control/{name}"] = _milliseconds(start + later)
    for serial, captures in clocks.captures.items():
        asked = clocks.read_ends + rng.uniform(0, 0.008, steps)
        for name, times in {
            "estimated_capture": captures,
            "frame_received": captures + 0.041,
            "read_start": asked,
            "read_end": asked + 0.001,
        }.items():
            arrays[f"observation/timestamp/cameras/{serial}_{name}"] = _milliseconds(times)
    return arrays


def _milliseconds(seconds: Floats) -> NDArray[np.int64]:
    milliseconds: NDArray[np.int64] = (seconds * 1e3).round().astype(np.int64)
    return milliseconds


def _write_trajectory(path: Path, arrays: Mapping[str, NDArray[Any]], folder: str, outcome: str) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for key, values in sorted(arrays.items()):
            one_row, growing = (1, *values.shape[1:]), (None, *values.shape[1:])
            file.create_dataset(key, data=values, chunks=one_row, maxshape=growing)
        file.attrs.update(
            {
                "building": "Imagined",
                "controller_on": True,
                "current_task": "move the plate",
                "failure": outcome == "failure",
                "movement_enabled": False,
                "robot_serial_number": "FR3-000000-0000000",
                "scene_id": 1,
                "success": outcome == "success",
                "time": folder,
                "user": USER,
                "version_number": "1.3",
            }
        )


def _metadata(
    files: EpisodeFiles, steps: int, extrinsics: Mapping[str, Floats], cameras: tuple[RigCamera, ...]
) -> dict[str, Any]:
    folder = f"{files.outcome}/{files.date}/{files.folder.name}"
    values: dict[str, Any] = {
        "uuid": files.uuid,
        "lab": files.lab,
        "user": USER,
        "user_id": files.uuid.split("+")[1],
        "date": files.timestamp[:10],
        "timestamp": files.timestamp,
        "hdf5_path": f"{folder}/trajectory.h5",
        "building": "Imagined",
        "scene_id": 1,
        "success": files.outcome == "success",
        "robot_serial": "FR3-000000-0000000",
        "r2d2_version": "1.3",
        "current_task": "move the plate",
        "trajectory_length": steps,
    }
    for name, camera in zip(("wrist", "ext1", "ext2"), cameras, strict=True):
        values[f"{name}_cam_serial"] = camera.serial
        values[f"{name}_cam_extrinsics"] = extrinsics[f"{camera.serial}_left"][0].tolist()
        values[f"{name}_svo_path"] = f"{folder}/recordings/SVO/{camera.serial}.svo"
        values[f"{name}_mp4_path"] = f"{folder}/recordings/MP4/{camera.serial}.mp4"
    values["left_mp4_path"], values["right_mp4_path"] = values["ext1_mp4_path"], values["ext2_mp4_path"]
    return values
