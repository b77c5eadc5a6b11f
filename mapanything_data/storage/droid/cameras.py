"""The cameras of an episode: which there are, where they stand, when they took their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry import invert
from mapanything_data.geometry.euler import transforms_from_euler
from mapanything_data.scene.arrays import Floats
from mapanything_data.storage.droid.trajectory_arrays import TrajectoryArrays

_EXTRINSICS = "observation/camera_extrinsics"
_INTRINSICS = "observation/camera_intrinsics"
_CLOCKS = "observation/timestamp/cameras"
_TYPES = "observation/camera_type"
_KINDS: Mapping[int, Literal["wrist", "external"]] = {0: "wrist", 1: "external"}
_LARGEST = 10.0
"""Metres or radians: no camera stands farther away, and no angle is larger."""
_STILL_METRES, _STILL_RADIANS = 1e-4, 1e-4
"""A camera that stands still is written with the same numbers each step; this is far below what a picture shows."""
_MOST_PIXELS = 1e6
_AGREES_METRES, _AGREES_RADIANS = 1e-3, 2e-3
"""How well two ways to tell a wrist camera's pose agree: they differ by rounding, or by what is wrong."""


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
        pose_source: Where its poses come from.
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
    pose_source: str = "trajectory.h5 camera_extrinsics"

    @property
    def T_parent_camera(self) -> Floats | None:
        """[4, 4] float64: the left eye in the frame that it is fixed to, the flange's on the wrist, else the world's.

        None where it is not known, as in a camera with a `problem` it may be.
        """
        return self.T_flange_camera if self.kind == "wrist" else _first(self.T_world_camera)

    @property
    def T_parent_right(self) -> Floats | None:
        """The same for the right eye."""
        return self.T_flange_right if self.kind == "wrist" else _first(self.T_world_right)


def read_cameras(
    arrays: TrajectoryArrays, T_world_flange: Floats, remarks: list[str]
) -> tuple[dict[str, RecordedCamera], list[str]]:
    """The cameras that `camera_type` names, and the serials of extrinsics that are left over.

    What is wrong with one camera stands in its `problem`; the episode and its other cameras are of use without it.

    Raises:
        DataError: The file is damaged, or has no `camera_type`.
    """
    serials = arrays.names(_TYPES)
    if not serials:
        raise arrays.error(_TYPES, "names no camera", expected="one data set for each camera's serial number")
    names = arrays.names(_EXTRINSICS)
    cameras = {
        serial: _read_camera(arrays, serial, f"{serial}_left_gripper_offset" in names, T_world_flange, remarks)
        for serial in serials
    }
    return cameras, sorted({name.partition("_")[0] for name in names}.difference(serials))


class _Eye(NamedTuple):
    T_world_camera: Floats | None
    T_flange_camera: Floats | None
    problems: list[str]


def _read_camera(
    arrays: TrajectoryArrays, serial: str, has_offset: bool, T_world_flange: Floats, remarks: list[str]
) -> RecordedCamera:
    kind, problem = _kind(arrays, serial, "wrist" if has_offset else "external")
    left, right = (_read_eye(arrays, f"{serial}_{eye}", kind, T_world_flange) for eye in ("left", "right"))
    if left.T_world_camera is None and not left.problems:
        left.problems.append("it has no extrinsics")
    # Without its right eye a camera is of use: pictures and poses are those of the left one.
    remarks += [f"camera {serial}, right eye: {text}; it is not used" for text in right.problems]
    return RecordedCamera(
        serial=serial,
        kind=kind,
        T_world_camera=left.T_world_camera,
        T_world_right=None if right.problems else right.T_world_camera,
        T_flange_camera=left.T_flange_camera,
        T_flange_right=right.T_flange_camera,
        capture_times=_capture_times(arrays, serial, len(T_world_flange), remarks),
        matrices=_matrices(arrays, serial, remarks),
        problem="; ".join([problem] * bool(problem) + left.problems),
    )


def _first(T: Floats | None) -> Floats | None:
    return None if T is None else T[0]


def _kind(
    arrays: TrajectoryArrays, serial: str, guess: Literal["wrist", "external"]
) -> tuple[Literal["wrist", "external"], str]:
    """What `camera_type` says; where it makes no sense, the guess and why."""
    types = np.unique(arrays.required(f"{_TYPES}/{serial}"))
    if len(types) != 1:
        return guess, f"its type is not one and the same at all steps ({types.tolist()})"
    if types[0] not in _KINDS:
        return guess, f"its type is {types[0]}, expected 0 (wrist) or 1 (external)"
    return _KINDS[int(types[0])], ""


def _read_eye(arrays: TrajectoryArrays, name: str, kind: Literal["wrist", "external"], T_world_flange: Floats) -> _Eye:
    problems: list[str] = []
    steps = len(T_world_flange)
    recorded = _poses(arrays, f"{_EXTRINSICS}/{name}", steps, problems)
    if kind == "external":
        if recorded is not None and (moved := _spread(recorded, _STILL_METRES, _STILL_RADIANS)):
            problems.append(f"it is external, but moves by {moved}")
        return _Eye(recorded, None, problems)
    offset = _poses(arrays, f"{_EXTRINSICS}/{name}_gripper_offset", steps, problems)
    mounted = None if problems else _mounting(recorded, offset, T_world_flange, problems)
    if recorded is None and mounted is not None:
        recorded = T_world_flange @ mounted
    return _Eye(recorded, mounted, problems)


def _poses(arrays: TrajectoryArrays, key: str, steps: int, problems: list[str]) -> Floats | None:
    values = arrays.optional(key)
    if values is None:
        return None
    name = key.rpartition("/")[2]
    if values.shape != (steps, 6):
        problems.append(f"{name} has the shape {list(values.shape)}, expected {[steps, 6]}")
    elif not np.isfinite(values).all():
        problems.append(f"{name} is not finite at {(~np.isfinite(values)).any(axis=1).sum()} of {steps} steps")
    elif (largest := np.abs(values).max()) > _LARGEST:
        problems.append(f"{name} has values up to {largest:.3g}, expected metres and radians")
    else:
        return transforms_from_euler(values)
    return None


def _mounting(
    recorded: Floats | None, offset: Floats | None, T_world_flange: Floats, problems: list[str]
) -> Floats | None:
    """`T_flange_camera` of an eye: what the file says, held against the recorded poses, or what follows from these."""
    if offset is not None and (moved := _spread(offset, _STILL_METRES, _STILL_RADIANS)):
        problems.append(f"its offset from the gripper changes by {moved}")
        return None
    if recorded is None:
        return None if offset is None else offset[0]
    implied = invert(T_world_flange) @ recorded
    reference: Floats = implied[len(implied) // 2] if offset is None else offset[0]
    if differs := _spread(implied, _AGREES_METRES, _AGREES_RADIANS, reference):
        than = "standing still on the flange" if offset is None else "its offset from the gripper"
        problems.append(f"its recorded poses differ from {than} by {differs}")
        return None
    return reference


def _spread(T: Floats, metres: float, radians: float, reference: Floats | None = None) -> str:
    """How far transforms [T, 4, 4] are from one, by default the first, in words; empty within the tolerances."""
    reference = T[0] if reference is None else reference
    shift = np.linalg.norm(T[:, :3, 3] - reference[:3, 3], axis=-1).max()
    # The chord of a rotation: |R - S| = 2 sqrt(2) sin(angle / 2), which keeps all digits of small angles.
    chord = np.linalg.norm(T[:, :3, :3] - reference[:3, :3], axis=(-2, -1)).max()
    angle = 2 * np.arcsin(min(chord / np.sqrt(8), 1.0))
    if shift <= metres and angle <= radians:
        return ""
    return f"up to {1e3 * shift:.3g} mm and {np.degrees(angle):.2f} degrees"


def _capture_times(arrays: TrajectoryArrays, serial: str, steps: int, remarks: list[str]) -> Floats | None:
    milliseconds = arrays.optional(f"{_CLOCKS}/{serial}_estimated_capture")
    if milliseconds is None or milliseconds.shape != (steps,):
        found = "no times of capture" if milliseconds is None else f"{milliseconds.size} times of capture"
        remarks.append(f"camera {serial} has {found} for {steps} steps; its clock is not used")
        return None
    return milliseconds.astype(np.float64) / 1e3


def _matrices(arrays: TrajectoryArrays, serial: str, remarks: list[str]) -> dict[str, Floats]:
    matrices: dict[str, Floats] = {}
    for eye in ("left", "right"):
        key = f"{_INTRINSICS}/{serial}_{eye}"
        values = arrays.optional(key)
        if values is None:
            continue
        if problem := _problem_of_matrices(values):
            remarks.append(f"{key} {problem}; it is not used")
        else:
            matrices[eye] = np.asarray(values, dtype=np.float64).reshape(-1, 3, 3)[0]
    return matrices


def _problem_of_matrices(values: NDArray[np.generic]) -> str:
    if values.shape[-2:] != (3, 3) or not values.size:
        return f"has the shape {list(values.shape)}, expected [T, 3, 3]"
    K: Floats = values.astype(np.float64).reshape(-1, 3, 3)
    if not (np.abs(K) < _MOST_PIXELS).all() or (K[:, (0, 1), (0, 1)] <= 0).any():
        return "is not finite, or has focal lengths that are not positive"
    if (change := np.abs(K - K[0]).max()) > 1e-3:
        return f"changes by {change:.3g} pixels"
    return ""
