"""What one vehicle sensed and knew at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import require_array
from mapanything_data.scene.box import Box3D
from mapanything_data.scene.frame import View
from mapanything_data.scene.pose import Pose


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PointCloud:
    """One sweep of a LiDAR. The arrays are not copied.

    Raises:
        ValueError: A shape or dtype is another one.
    """

    points: NDArray[np.float32]
    """[N, 3] float32, metres, in the LiDAR's frame (OpenCV axes: x right, y down, z forward)."""
    intensity: NDArray[np.float32]
    """[N] float32, 0 to 1."""
    T_world_lidar: Pose
    """Maps LiDAR points to world points."""

    def __post_init__(self) -> None:
        require_array("points", self.points, ("N", 3), np.float32)
        require_array("intensity", self.intensity, (len(self.points),), np.float32)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Snapshot:
    """What one agent (a vehicle or a roadside unit) sensed and knew at one moment."""

    agent: int
    """The agent's id; a roadside unit's is negative."""
    frame: int
    """Number of the moment in the recording; the same for all agents."""
    timestamp: float
    """Seconds on the clock of the recording."""
    T_world_agent: Pose
    """Maps points of the agent's own frame to world points."""
    T_world_agent_estimate: Pose | None = None
    """What the agent's own localisation believed: some centimetres off and level, never the truth."""
    speed: float
    """Metres per second, negative when it reverses."""
    views: Mapping[int, View]
    """Camera number to what it saw."""
    cloud: PointCloud | None = None
    """What its LiDAR measured."""
    boxes: Sequence[Box3D] = ()
    """The other vehicles around it, in the world."""
    box_speeds: Mapping[int, float] = field(default_factory=dict)
    """Speed of each box by its id, metres per second."""
    segmentation: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    """Camera number to the class of every pixel, [H, W] uint8."""
