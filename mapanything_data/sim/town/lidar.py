"""What a spinning LiDAR measures: rays against the triangles of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapanything_data.scene import PointCloud, Pose
from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.axes import mujoco_vectors

LOWEST, HIGHEST = np.deg2rad((-25.0, 2.0))
"""Elevation of the outer channels."""
_ATTENUATION = 0.004  # 1 / m: CARLA's air takes this share of the intensity


@dataclass(frozen=True, slots=True)
class Lidar:
    """The scanner's properties."""

    channels: int
    steps: int
    """Measurements of each channel in one turn."""
    range: float
    """Metres: nothing farther is measured."""
    noise: float
    """Standard deviation of a range, metres."""

    def directions(self) -> Floats:
        """Unit vectors [channels * steps, 3], OpenCV axes, channel by channel from the lowest."""
        elevation = np.linspace(LOWEST, HIGHEST, self.channels)[:, None]
        azimuth = np.arange(self.steps) * (2 * np.pi / self.steps)
        level = np.cos(elevation)
        directions = np.stack(
            [level * np.sin(azimuth), np.broadcast_to(-np.sin(elevation), (self.channels, self.steps)), level * np.cos(azimuth)],
            axis=-1,
        )
        return directions.reshape(-1, 3)

    def scan(self, model: Any, data: Any, T_world_lidar: Pose, rng: np.random.Generator) -> PointCloud:
        """One sweep, all of it at the same moment.

        Args:
            model: The town.
            data: Where everything is.
            T_world_lidar: Where the scanner is.
            rng: What the noise is drawn from.
        """
        import mujoco

        local = self.directions()
        origin = mujoco_vectors(T_world_lidar.translation)
        rays = np.ascontiguousarray(mujoco_vectors(local @ T_world_lidar.rotation.T))
        geom, ranges = np.empty(len(rays), dtype=np.int32), np.empty(len(rays))
        mujoco.mj_multiRay(
            model, data, origin, rays.ravel(), None, True, -1, geom, ranges, None, len(rays), self.range
        )
        # Every ray draws its noise, hit or not, so that one car more does not change the noise of the others.
        noise = rng.normal(0.0, self.noise, len(rays))
        hit = (geom >= 0) & (ranges <= self.range)
        measured = ranges[hit] + noise[hit]
        return PointCloud(
            points=(local[hit] * measured[:, None]).astype(np.float32),
            intensity=np.exp(-_ATTENUATION * measured).clip(0, 1).astype(np.float32),
            T_world_lidar=T_world_lidar,
        )
