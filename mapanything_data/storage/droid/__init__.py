"""DROID: recordings of robot arms (layout, trajectory, intrinsics) and what is made from them."""

from __future__ import annotations

from mapanything_data.storage.droid.intrinsics import (
    CameraIntrinsics,
    MissingIntrinsics,
    read_intrinsics,
    write_intrinsics,
)
from mapanything_data.storage.droid.layout import CameraFiles, DroidDataset, EpisodeFiles
from mapanything_data.storage.droid.trajectory import RecordedCamera, Trajectory

__all__ = [
    "CameraFiles",
    "CameraIntrinsics",
    "DroidDataset",
    "EpisodeFiles",
    "MissingIntrinsics",
    "RecordedCamera",
    "Trajectory",
    "read_intrinsics",
    "write_intrinsics",
]
