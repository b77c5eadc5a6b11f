"""DROID: recordings of robot arms (layout, trajectory, intrinsics) and what is made from them."""

from __future__ import annotations

from mapanything_data.storage.droid.clock import Aligned, CaptureClock, aligned, capture_clock, frame_rate
from mapanything_data.storage.droid.episodes import Found, find_episodes, read_metadata
from mapanything_data.storage.droid.intrinsics import (
    CameraIntrinsics,
    MissingIntrinsics,
    read_intrinsics,
    write_intrinsics,
)
from mapanything_data.storage.droid.layout import CameraFiles, DroidDataset, EpisodeFiles
from mapanything_data.storage.droid.trajectory import RecordedCamera, Trajectory, read_trajectory

__all__ = [
    "Aligned",
    "CameraFiles",
    "CameraIntrinsics",
    "CaptureClock",
    "DroidDataset",
    "EpisodeFiles",
    "Found",
    "MissingIntrinsics",
    "RecordedCamera",
    "Trajectory",
    "aligned",
    "capture_clock",
    "find_episodes",
    "frame_rate",
    "read_intrinsics",
    "read_metadata",
    "read_trajectory",
    "write_intrinsics",
]
