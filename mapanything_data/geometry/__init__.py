"""Where things are: transforms, projection, lens distortion and resampling on plain arrays."""

from __future__ import annotations

from mapanything_data.geometry.projection import (
    distort,
    in_image,
    pixel_grid,
    project,
    rays,
    undistort,
    unproject,
)
from mapanything_data.geometry.quaternions import matrix_from_quaternion, quaternion_from_matrix, slerp
from mapanything_data.geometry.resampling import Resampling, cover
from mapanything_data.geometry.transforms import interpolate, interpolate_at, invert, transform_points

__all__ = [
    "Resampling",
    "cover",
    "distort",
    "in_image",
    "interpolate",
    "interpolate_at",
    "invert",
    "matrix_from_quaternion",
    "pixel_grid",
    "project",
    "quaternion_from_matrix",
    "rays",
    "slerp",
    "transform_points",
    "undistort",
    "unproject",
]
