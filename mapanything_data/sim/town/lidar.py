"""What a spinning LiDAR measures: its rays against triangles, exactly.

The rays of one azimuth lie in an upright half-plane. It cuts a triangle in a straight piece, whose ends have an
elevation each, and only the channels between them can hit it. So each triangle meets just the rays that it covers: much
faster than searching for each ray what it meets (`mujoco.mj_multiRay`, 0.5 s a sweep).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene import PointCloud, Pose
from mapanything_data.scene.arrays import Floats
from mapanything_data.sim.town.axes import OPENCV_FROM_MUJOCO, mujoco_vectors

LOWEST, HIGHEST = np.deg2rad((-25.0, 2.0))
"""Elevation of the outer channels."""
_ATTENUATION = 0.004  # 1 / m: CARLA's air takes this share of the intensity
_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lidar:
    """The scanner's properties."""

    channels: int
    """At least 2."""
    steps: int
    """Measurements of each channel in one turn."""
    range: float
    """Metres: nothing farther is measured."""
    noise: float
    """Standard deviation of a range, metres."""

    def directions(self) -> Floats:
        """Unit vectors [channels, steps, 3] in the scanner's frame (OpenCV axes), the lowest channel first."""
        elevation = np.linspace(LOWEST, HIGHEST, self.channels)[:, None]
        azimuth = np.arange(self.steps) * (2 * np.pi / self.steps)
        across = np.stack([np.sin(azimuth), 0 * azimuth, np.cos(azimuth)], axis=-1)
        up = np.array([0.0, -1.0, 0.0])
        directions: Floats = np.cos(elevation)[..., None] * across + np.sin(elevation)[..., None] * up
        return directions

    def scan(self, triangles: Floats, T_world_lidar: Pose, rng: np.random.Generator) -> PointCloud:
        """One sweep, all of it at the same moment. Only the fronts of triangles are seen, as by a camera.

        Args:
            triangles: [M, 3, 3] corners, counter-clockwise seen from the front; metres, MuJoCo's world.
            T_world_lidar: Where the scanner is.
            rng: What the noise is drawn from.
        """
        ranges = self.ranges(triangles, T_world_lidar)
        # Every ray draws its noise, hit or not, so that one car more does not change the noise of the others.
        noise = rng.normal(0.0, self.noise, ranges.shape)
        hit = ranges <= self.range
        measured = np.maximum(ranges[hit] + noise[hit], 0.0)
        return PointCloud(
            points=(self.directions()[hit] * measured[:, None]).astype(np.float32),
            intensity=np.exp(-_ATTENUATION * measured).astype(np.float32),
            T_world_lidar=T_world_lidar,
        )

    def ranges(self, triangles: Floats, T_world_lidar: Pose) -> Floats:
        """Exact distance [channels, steps] to what each ray meets first, metres; infinite where that is nothing.

        Args:
            triangles: As in `scan`.
            T_world_lidar: Where the scanner is.
        """
        candidates = triangles[self._in_reach(triangles, mujoco_vectors(T_world_lidar.translation))]
        corners = _in_cylinder_axes(candidates, T_world_lidar)
        corners = corners[_between_cones(corners)]
        triangle, step = self._azimuths(corners)
        ends = self._cut(corners[triangle], step)
        piece, channel = self._elevations(ends)
        elevation = LOWEST + channel * ((HIGHEST - LOWEST) / (self.channels - 1))
        distances = _meet(ends[piece], elevation)
        nearest = np.full(self.channels * self.steps, np.inf)
        np.minimum.at(nearest, channel * self.steps + step[piece], distances)
        return nearest.reshape(self.channels, self.steps)

    def _in_reach(self, triangles: Floats, origin: Floats) -> NDArray[np.bool_]:
        """Which triangles turn their front to the scanner and are not out of its range."""
        a, ab, ac = triangles[:, 0] - origin, triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
        facing = np.einsum("ij,ij->i", np.cross(ab, ac), a) < 0
        in_reach: NDArray[np.bool_] = facing & (_length(a) < self.range + np.maximum(_length(ab), _length(ac)))
        return in_reach

    def _azimuths(self, corners: Floats) -> tuple[_Integers, _Integers]:
        """Every triangle with every azimuth step that it covers: two index arrays [P]."""
        x, y = corners[..., 0], corners[..., 1]
        place = np.arctan2(y, x) * (self.steps / (2 * np.pi))
        # Seen from the axis, a triangle spans less than half a turn, unless the axis passes through it.
        turned = (place - place[:, :1] + self.steps / 2) % self.steps - self.steps / 2
        first = np.ceil(place[:, 0] + turned.min(axis=1)).astype(np.int64)
        last = np.floor(place[:, 0] + turned.max(axis=1)).astype(np.int64)
        side = x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)
        # With an edge on the axis, rounding would decide on which side half a turn lies: so it counts as around, too.
        rounding = 1e-9 * (x * x + y * y).max(axis=1, keepdims=True)
        around_axis = (side > -rounding).all(axis=1) | (side < rounding).all(axis=1)
        first[around_axis], last[around_axis] = 0, self.steps - 1
        triangle, step = _expand(first, last)
        return triangle, step % self.steps

    def _cut(self, corners: Floats, step: _Integers) -> Floats:
        """The straight pieces that half-planes cut of triangles: ends [P, 2, 2], distance from the axis and height."""
        azimuth = step * (2 * np.pi / self.steps)
        cos, sin = np.cos(azimuth)[:, None], np.sin(azimuth)[:, None]
        across = corners[..., 1] * cos - corners[..., 0] * sin
        in_plane = np.stack([corners[..., 0] * cos + corners[..., 1] * sin, corners[..., 2]], axis=-1)
        left = across > 0
        # The corner that is alone on its side of the plane: both edges that leave it cross the plane.
        lonely = np.where(left[:, 0] == left[:, 1], 2, np.where(left[:, 0] == left[:, 2], 1, 0))
        row = np.arange(len(corners))[:, None]
        others = (lonely[:, None] + (1, 2)) % 3
        start, end = across[row, lonely[:, None]], across[row, others]
        span = np.where(start == end, 1.0, start - end)  # only where the plane just touches the triangle
        share = (start / span)[..., None]
        ends: Floats = (1 - share) * in_plane[row, lonely[:, None]] + share * in_plane[row, others]
        return ends

    def _elevations(self, ends: Floats) -> tuple[_Integers, _Integers]:
        """Every piece with every channel between its ends: two index arrays [Q]."""
        elevation = np.arctan2(ends[..., 1], ends[..., 0])
        place = (elevation - LOWEST) * ((self.channels - 1) / (HIGHEST - LOWEST))
        low, high = place.min(axis=1), place.max(axis=1)
        # A piece of a triangle around the axis starts behind it: any channel may meet what lies before it.
        behind = (ends[..., 0] < 0).any(axis=1)
        first = np.where(behind, 0, np.maximum(np.ceil(low), 0)).astype(np.int64)
        last = np.where(behind, self.channels - 1, np.minimum(np.floor(high), self.channels - 1)).astype(np.int64)
        return _expand(first, last)


def _between_cones(corners: Floats) -> NDArray[np.bool_]:
    """Which triangles are not wholly above the highest or below the lowest cone of rays."""
    above, below = np.ones(len(corners), dtype=bool), np.ones(len(corners), dtype=bool)
    for x, y, z in np.moveaxis(corners, (1, 2), (0, 1)):  # a reduction along the short axis takes five times as long
        level = np.hypot(x, y)
        # Outside of a cone is where a concave function is positive, so three corners there mean the whole triangle.
        above &= z > np.tan(HIGHEST) * level
        below &= z < np.tan(LOWEST) * level
    between: NDArray[np.bool_] = ~above & ~below
    return between


def _in_cylinder_axes(triangles: Floats, T_world_lidar: Pose) -> Floats:
    """Corners in the scanner's frame with x forward, y right, z up, around whose z axis azimuths are counted."""
    forward_right_up = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    R = forward_right_up @ T_world_lidar.rotation.T
    moved: Floats = triangles @ (R @ OPENCV_FROM_MUJOCO).T - R @ T_world_lidar.translation
    return moved


def _length(vectors: Floats) -> Floats:
    length: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return length


def _meet(ends: Floats, elevation: Floats) -> Floats:
    """Distance [Q] at which rays meet straight pieces [Q, 2, 2] of their half-plane; infinite where they do not."""
    cos, sin = np.cos(elevation), np.sin(elevation)
    (r0, z0), (r1, z1) = np.moveaxis(ends, 0, -1)
    side0, side1 = cos * z0 - sin * r0, cos * z1 - sin * r1
    crosses = (side0 > 0) != (side1 > 0)
    share = side0 / np.where(crosses, side0 - side1, 1.0)
    distance = cos * (r0 + share * (r1 - r0)) + sin * (z0 + share * (z1 - z0))
    return np.where(crosses & (distance > 0), distance, np.inf)


def _expand(first: _Integers, last: _Integers) -> tuple[_Integers, _Integers]:
    """All whole numbers from `first` to `last` of each row: the row and the number, [N] each."""
    count = np.maximum(last - first + 1, 0)
    row = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + first[row]
    return row, number
