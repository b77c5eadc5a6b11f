"""Where the sensors of an agent are mounted: measured on OPV2V's recordings."""

from __future__ import annotations

from mapanything_data.geometry.carla import matrix_from_carla_pose
from mapanything_data.scene import Pose

# x, y, z in metres, roll, yaw, pitch in degrees: CARLA's axes (x forward, y right, z up), the origin on the road.
_CAMERAS = {
    0: (2.5, 0.0, 1.0, 0.0, 0.0, 0.0),
    1: (0.0, 0.3, 1.8, 0.0, 100.0, 0.0),
    2: (0.0, -0.3, 1.8, 0.0, -100.0, 0.0),
    3: (-2.0, 0.0, 1.5, 0.0, 180.0, 0.0),
}
_LIDAR = (-0.5, 0.0, 1.9, 0.0, 0.0, 0.0)

T_AGENT_CAMERA = {number: Pose(matrix_from_carla_pose(mount)) for number, mount in _CAMERAS.items()}
"""Front, right, left, rear."""
T_AGENT_LIDAR = Pose(matrix_from_carla_pose(_LIDAR))
