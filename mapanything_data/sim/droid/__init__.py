"""Generated episodes of DROID: an arm that moves, its cameras and clocks, in exactly the files that DROID has."""

from __future__ import annotations

from mapanything_data.sim.droid.episode import USER, GeneratedEpisode, write_episode
from mapanything_data.sim.droid.motion import Motion
from mapanything_data.sim.droid.recordings import (
    intrinsics_of,
    write_calibrations,
    write_intrinsics_json,
    write_recordings,
)
from mapanything_data.sim.droid.rig import RigCamera
from mapanything_data.sim.droid.view import draw_view, exact_depth

__all__ = [
    "USER",
    "GeneratedEpisode",
    "Motion",
    "RigCamera",
    "draw_view",
    "exact_depth",
    "intrinsics_of",
    "write_calibrations",
    "write_episode",
    "write_intrinsics_json",
    "write_recordings",
]
