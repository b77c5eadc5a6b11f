"""Depth maps of point clouds, without the points that something nearer hides.

A cloud is sparse: between the points of a near surface, points behind it find a free way to the camera. A point counts
as hidden when nearer points stand all around it, in each of four blocks of pixels that turn around its own like a
pinwheel:

    4 1 1
    4 . 2
    3 3 2

Inverse depth is affine in the pixel on any plane, so one block of a plane holds no nearer point: however grazing the
camera looks at the road, its points stay (all of a level road's pixels, all but 4 in 10,000 of one that is tilted
sideways). At the outline of a near object two blocks are free of it, so what is seen beside it stays as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.geometry.projection import project
from mapanything_data.scene import Camera
from mapanything_data.scene.arrays import Floats, require_array

NEAREST = 0.1
"""Metres in front of the camera where pictures begin; points nearer to its plane count as outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occlusion:
    """When a point counts as hidden.

    Attributes:
        reach: Size of a block, radians: as far as neighbouring points of one surface may lie apart. Zero leaves only
            the nearest point of each pixel, without looking around it.
        tolerance: A surface hides what is farther by this share of its own depth, and by `slack`.
        slack: Metres.
    """

    reach: float = 0.03
    tolerance: float = 0.05
    slack: float = 0.2


class Fate(IntEnum):
    """What became of a point."""

    hit = 0
    """it is seen, in its pixel at most the tolerance behind the nearest one"""
    hidden = 1
    """something nearer is in its way"""
    outside = 2
    """it is behind the camera or beside the picture"""
    not_finite = 3
    """it has a coordinate that is no number"""


@dataclass(frozen=True, slots=True, eq=False)
class PointDepth:
    """A depth map and where it comes from."""

    depth: NDArray[np.float32]
    """[H, W] float32, z-depth in metres, 0 where no point is seen."""
    fate: NDArray[np.uint8]
    """[N] uint8, a `Fate` for each point."""


def depth_from_points(
    camera: Camera,
    points: NDArray[np.float32],
    T_camera_points: Floats | None = None,
    occlusion: Occlusion = Occlusion(),
) -> PointDepth:
    """The depth map that a camera has of a cloud.

    Args:
        camera: The camera.
        points: [N, 3] float32, metres; not finite ones are left out.
        T_camera_points: [4, 4], points to camera; None where they are in the camera's frame.
        occlusion: When a point counts as hidden.

    Raises:
        ValueError: The points are of another shape or dtype.
    """
    require_array("points", points, ("N", 3), np.float32)
    T = np.eye(4) if T_camera_points is None else T_camera_points
    fate, seen = _project(camera, points, T.astype(np.float32))
    depth = np.zeros((camera.height, camera.width), np.float32)
    if len(seen.z):
        nearest, farthest = _seen_range(camera, seen, occlusion)
        is_hit = seen.z <= farthest
        fate[seen.places] = np.where(is_hit, np.uint8(Fate.hit), np.uint8(Fate.hidden))
        # Where any point of a pixel is seen, so is the nearest one.
        depth[seen.rows[is_hit], seen.columns[is_hit]] = nearest[is_hit]
    return PointDepth(depth, fate)


class _InPicture(NamedTuple):
    """Points in the picture with their places in the cloud."""

    places: NDArray[np.intp]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    z: NDArray[np.float32]


def _project(
    camera: Camera, points: NDArray[np.float32], T: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], _InPicture]:
    """The fate of points outside, and the others with their pixels. What is behind the camera is left out at once."""
    with np.errstate(invalid="ignore", over="ignore"):
        z = points @ T[2, :3] + T[2, 3]  # no finite number where any coordinate is none
    is_finite = np.isfinite(z)
    fate = np.where(is_finite, np.uint8(Fate.outside), np.uint8(Fate.not_finite))
    front = np.flatnonzero(is_finite & (z > NEAREST))
    z = z.take(front)  # twice as fast as z[front]; the same below
    x, y = T[:2, :3] @ points.take(front, axis=0).T + T[:2, 3:]
    u, v = _pixels(camera, x, y, z)
    inside = np.flatnonzero((u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height))
    rows, columns = v.take(inside).astype(np.intp), u.take(inside).astype(np.intp)
    return fate, _InPicture(front.take(inside), rows, columns, z.take(inside))


def _pixels(
    camera: Camera, x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Columns and rows counted from the picture's corner, so that cutting off the fraction gives the pixel."""
    if camera.is_distorted:
        pixels = project(camera, np.stack([x, y, z], axis=-1))[0].astype(np.float32) + np.float32(0.5)
        return pixels[:, 0], pixels[:, 1]
    inverse = 1 / z
    return (
        x * inverse * np.float32(camera.fx) + np.float32(camera.cx + 0.5),
        y * inverse * np.float32(camera.fy) + np.float32(camera.cy + 0.5),
    )


def _seen_range(
    camera: Camera, points: _InPicture, occlusion: Occlusion
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The depth of the nearest point in each point's pixel, and that up to which the point is seen, [N] metres each."""
    size = math.ceil(occlusion.reach * camera.fx)
    top, bottom = int(points.rows.min()), int(points.rows.max())
    width = camera.width + 2 * size
    image = np.full((bottom - top + 1 + 2 * size, width), np.inf, np.float32)
    pixel = (points.rows - (top - size)) * width + points.columns + size
    np.minimum.at(image.reshape(-1), pixel, points.z)
    nearest = farthest = image.take(pixel)
    if size:
        # A pixel of `block` is the least of a block with this top left corner: one filter serves all four blocks.
        block = _sliding_minimum(_sliding_minimum(image, size).T, size).T
        flat = np.ascontiguousarray(block)
        corner = (points.rows - (top - size)) * block.shape[1] + points.columns + size
        above, right, below, left = (
            flat.take(corner + rows * block.shape[1] + columns)
            for rows, columns in ((-size, 0), (0, 1), (1, 1 - size), (1 - size, -size))
        )
        farthest = np.minimum(nearest, np.maximum(np.maximum(above, right), np.maximum(below, left)))
    return nearest, farthest * np.float32(1 + occlusion.tolerance) + np.float32(occlusion.slack)


def _sliding_minimum(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The least of `size` rows from each row on; doubles what it has covered, so it takes log2(size) passes."""
    covered = 1
    while covered < size:
        step = min(covered, size - covered)
        image = np.minimum(image[:-step], image[step:])
        covered += step
    return image
