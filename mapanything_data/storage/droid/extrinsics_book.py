"""A JSON file with better poses of external cameras, as later calibrations of DROID are published.

    {"AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s": {"22008760": [x, y, z, a, b, c]}}

By episode and serial number: the left eye in the robot's base, metres and extrinsic xyz Euler angles in radians, as
trajectory.h5 has it, or the 4x4 matrix. Other keys of an episode are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mapanything_data.errors import DataError
from mapanything_data.geometry import invert
from mapanything_data.geometry.euler import transforms_from_euler
from mapanything_data.scene.arrays import Floats
from mapanything_data.scene.rotation import as_rigid
from mapanything_data.storage.droid.book import read_book
from mapanything_data.storage.droid.cameras import RecordedCamera

_REMEDY = "correct the entry, docs/droid_files.md shows one, or leave extrinsics= out"


def with_better_pose(path: Path, uuid: str, camera: RecordedCamera) -> RecordedCamera:
    """The camera where the file puts it; as it was recorded where the file does not name it, or it is on the wrist.

    The right eye keeps its place beside the left one.

    Raises:
        DataError: The file cannot be read, or its entry is no pose.
    """
    episode = read_book(path).get(uuid, {})
    if not isinstance(episode, Mapping):
        raise DataError(path, f"{uuid} is no JSON object", expected="serial numbers with poses", remedy=_REMEDY)
    if camera.kind != "external" or camera.serial not in episode:
        return camera
    T = _pose(path, f"{uuid}/{camera.serial}", episode[camera.serial])
    right = None
    if camera.T_world_camera is not None and camera.T_world_right is not None:
        right = T @ invert(camera.T_world_camera) @ camera.T_world_right
    steps = 1 if camera.T_world_camera is None else len(camera.T_world_camera)
    return replace(
        camera,
        T_world_camera=np.broadcast_to(T, (steps, 4, 4)),
        T_world_right=right,
        problem="" if camera.T_world_camera is None else camera.problem,  # that it had no pose is mended
        pose_source=path.name,
    )


def _pose(path: Path, key: str, value: Any) -> Floats:
    expected = "six numbers x, y, z and Euler angles, or a 4x4 matrix"
    try:
        numbers = np.asarray(value, np.float64)
        if numbers.shape == (6,) and np.isfinite(numbers).all():
            return transforms_from_euler(numbers)
        if numbers.shape == (4, 4):
            return as_rigid(key, numbers)
    except (TypeError, ValueError) as error:
        raise DataError(path, f"{key} is no pose ({error})", expected=expected, remedy=_REMEDY) from error
    raise DataError(path, f"{key} is {str(value)[:80]}", expected=expected, remedy=_REMEDY)
