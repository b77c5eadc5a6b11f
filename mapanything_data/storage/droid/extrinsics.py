"""Where the cameras of an episode stand, as `extrinsics.npz`: fixed poses, and the way of the one on the wrist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from mapanything_data.errors import DataError
from mapanything_data.geometry.contact_tracks import compose
from mapanything_data.scene.arrays import Floats, as_array, as_timestamps
from mapanything_data.scene.rotation import as_rigid
from mapanything_data.storage.npz import read_npz, write_npz

Kind = Literal["wrist", "external"]
FORMAT_VERSION = 1
KEYS = {
    "format_version": "int64, version of these keys",
    "frame_timestamps": "[T] float64, seconds: the moments of the wrist camera's poses, those of the tracks",
    "cameras": "[C] str, serials",
    "camera_kinds": "[C] str, wrist or external",
    "camera_sources": "[C] str, where the pose comes from",
    "T_world_camera_{serial}": "float64, the left eye in the robot's base: [4, 4] external, [T, 4, 4] wrist",
    "T_world_right_{serial}": "[4, 4] float64, the right eye, where it is known; external only",
    "T_flange_camera_{serial}": "[4, 4] float64, the left eye on the flange; wrist only",
    "T_flange_right_{serial}": "the same for the right eye, where it is known; wrist only",
}
_REMEDY = "make it again with steps=[tracks]"


@dataclass(frozen=True, slots=True, eq=False)
class CameraExtrinsics:
    """How one camera is fixed.

    Attributes:
        kind: `external` to the world, `wrist` to the flange.
        left: [4, 4] float64, the left eye: `T_world_camera` or `T_flange_camera`.
        right: The same for the right eye, or None.
        source: Where it comes from, such as `trajectory.h5 camera_extrinsics`.
    """

    kind: Kind
    left: Floats
    right: Floats | None
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Extrinsics:
    """What `extrinsics.npz` holds.

    Attributes:
        timestamps: [T] float64, seconds.
        cameras: Serial to how it is fixed.
        T_world_camera: Serial to the left eye's pose, [4, 4] external, [T, 4, 4] wrist.
    """

    timestamps: Floats
    cameras: Mapping[str, CameraExtrinsics]
    T_world_camera: Mapping[str, Floats]


def write_extrinsics(
    path: Path, *, timestamps: Floats, T_world_flange: Floats, cameras: Mapping[str, CameraExtrinsics]
) -> None:
    """Write `extrinsics.npz`.

    Args:
        path: The file.
        timestamps: [T] seconds, strictly increasing.
        T_world_flange: [T, 4, 4] at these moments.
        cameras: Serial to how it is fixed.

    Raises:
        ValueError: A shape does not fit, or a pose is not rigid.
    """
    times = as_timestamps("timestamps", timestamps)
    flange = as_rigid("T_world_flange", as_array("T_world_flange", T_world_flange, (len(times), 4, 4), np.float64))
    arrays: dict[str, NDArray[Any]] = {
        "format_version": np.array(FORMAT_VERSION, np.int64),
        "frame_timestamps": times,
        "cameras": np.array(list(cameras), np.str_),
        "camera_kinds": np.array([camera.kind for camera in cameras.values()], np.str_),
        "camera_sources": np.array([camera.source for camera in cameras.values()], np.str_),
    }
    for serial, camera in cameras.items():
        for eye, fixed in (("camera", camera.left), ("right", camera.right)):
            if fixed is None:
                continue
            T = as_rigid(f"{eye} of {serial}", as_array(f"{eye} of {serial}", fixed, (4, 4), np.float64))
            if camera.kind == "wrist":
                arrays[f"T_flange_{eye}_{serial}"] = T
            else:
                arrays[f"T_world_{eye}_{serial}"] = T
        if camera.kind == "wrist":  # the right eye's way follows from it, and would double the file
            arrays[f"T_world_camera_{serial}"] = compose(flange, camera.left)
    write_npz(path, arrays)


def read_extrinsics(path: Path) -> Extrinsics:
    """Read `extrinsics.npz`.

    Raises:
        DataError: It cannot be read, has another format version, lacks a key, or a value makes no sense.
    """
    arrays = read_npz(path)
    version = arrays.get("format_version")
    if version is None or version.shape or version != FORMAT_VERSION:
        found, expected = f"has format version {version}", f"version {FORMAT_VERSION}"
        raise DataError(path, found, expected=expected, remedy=f"{_REMEDY}, or read it with the release that wrote it")
    try:
        timestamps = as_timestamps("frame_timestamps", arrays["frame_timestamps"])
        rows = zip(*(arrays[name].tolist() for name in ("cameras", "camera_kinds", "camera_sources")), strict=True)
        cameras = {serial: _camera(arrays, serial, kind, source) for serial, kind, source in rows}
        poses = {
            serial: _poses(arrays, serial, () if camera.kind == "external" else (len(timestamps),))
            for serial, camera in cameras.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"holds no extrinsics ({error})", remedy=_REMEDY) from error
    return Extrinsics(timestamps, cameras, poses)


def _camera(arrays: Mapping[str, NDArray[Any]], serial: str, kind: str, source: str) -> CameraExtrinsics:
    if kind not in ("wrist", "external"):
        raise ValueError(f"{serial} is of kind {kind!r}, expected wrist or external")
    parent = "flange" if kind == "wrist" else "world"
    right = arrays.get(f"T_{parent}_right_{serial}")
    return CameraExtrinsics(
        kind=cast("Kind", kind),
        left=as_rigid(f"left eye of {serial}", arrays[f"T_{parent}_camera_{serial}"]),
        right=None if right is None else as_rigid(f"right eye of {serial}", right),
        source=source,
    )


def _poses(arrays: Mapping[str, NDArray[Any]], serial: str, steps: tuple[int, ...]) -> Floats:
    name = f"T_world_camera_{serial}"
    return as_rigid(name, as_array(name, arrays[name], (*steps, 4, 4), np.float64))
