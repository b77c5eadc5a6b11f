"""Fills the gaps of a sparse depth map with planes, where the measurements around a gap agree on one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mapanything_data.scene.arrays import Floats

_LEAST_MEASUREMENTS = 4


def fill_depth(
    depth: NDArray[np.float32], radius: int, tolerance: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A depth map with gaps filled by moving least squares: in each window, a plane through what was measured.

    Inverse depth is affine in the pixel on any plane, so that is what is fitted. A gap stays where the window's
    measurements are no plane (an edge of depth, foliage), where fewer than four of them are, or where they do not lie
    on all sides, as beyond the outline of an object.

    Args:
        depth: [H, W] float32, z-depth in metres, 0 where nothing was measured.
        radius: Half size of the window, pixels.
        tolerance: Root mean square of the inverse depth's deviation from the plane, as a share of the inverse depth,
            up to which the measurements count as a plane.

    Returns:
        [H, W] float32, metres: the measurements unchanged, gaps filled, 0 elsewhere; and [H, W] bool, where it is
        filled.
    """
    rows = np.flatnonzero((depth > 0).any(axis=1))
    if not len(rows):
        return depth.copy(), np.zeros(depth.shape, np.bool_)
    dense, is_filled = depth.copy(), np.zeros(depth.shape, np.bool_)
    measured_rows = slice(rows[0], rows[-1] + 1)  # nothing is filled above or below; LiDAR reaches half of a picture
    dense[measured_rows], is_filled[measured_rows] = _fill(depth[measured_rows], radius, tolerance)
    return dense, is_filled


def _fill(depth: NDArray[np.float32], radius: int, tolerance: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    fit = _fit_planes(depth, radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_plane = fit.deviation <= tolerance * fit.inverse_depth
        value = np.float32(1) / fit.inverse_depth.astype(np.float32)
    filled = (depth == 0) & is_plane & (fit.inverse_depth > 0) & _surrounded(depth > 0, radius)
    # What lies outside of the range of the measurements around was not measured by any of them.
    lowest, highest = _range(depth, radius)
    filled &= (value >= lowest) & (value <= highest)
    return np.where(filled, value, depth), filled


class _Fit(NamedTuple):
    """Of the plane around each pixel, [H, W] each: NaN where there is none."""

    inverse_depth: Floats
    deviation: Floats


def _fit_planes(depth: NDArray[np.float32], radius: int) -> _Fit:
    """The normal equations of d = a + b u + c v, u and v the column and row of a pixel, solved for each window."""
    measured = (depth > 0).astype(np.float64)
    d = np.divide(1.0, depth, where=depth > 0, out=np.zeros(depth.shape))
    v, u = (axis.astype(np.float64) for axis in np.indices(depth.shape))
    n, su, sv, sd = (_window_sum(values, radius) for values in (measured, measured * u, measured * v, d))
    suu, suv, svv = (_window_sum(measured * values, radius) for values in (u * u, u * v, v * v))
    sud, svd, sdd = (_window_sum(d * values, radius) for values in (u, v, d))
    with np.errstate(divide="ignore", invalid="ignore"):
        u0, v0, d0 = su / n, sv / n, sd / n
        cuu, cuv, cvv = suu / n - u0 * u0, suv / n - u0 * v0, svv / n - v0 * v0
        cud, cvd, cdd = sud / n - u0 * d0, svd / n - v0 * d0, sdd / n - d0 * d0
        determinant = cuu * cvv - cuv * cuv
        # Measurements in one line leave the slope across it open; a quarter of a square pixel is no spread.
        sound = (n >= _LEAST_MEASUREMENTS) & (determinant > 0.25)
        b, c = (cud * cvv - cvd * cuv) / determinant, (cvd * cuu - cud * cuv) / determinant
        inverse_depth = np.where(sound, d0 + b * (u - u0) + c * (v - v0), np.nan)
        variance = np.maximum(cdd - b * cud - c * cvd, 0)
    return _Fit(inverse_depth, np.where(sound, np.sqrt(variance), np.nan))


def _window_sum(image: Floats, radius: int) -> Floats:
    import cv2

    size = 2 * radius + 1
    total: Floats = cv2.boxFilter(image, cv2.CV_64F, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return total


def _surrounded(measured: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Where each of the four blocks around a pixel (see `depth_from_points`) holds a measurement."""
    import cv2

    above = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
    above[:radius, radius:] = 1
    found = np.ones(measured.shape, np.bool_)
    for turns in range(4):
        block = np.ascontiguousarray(np.rot90(above, turns))
        found &= cv2.dilate(measured.astype(np.uint8), block, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    return found


def _range(depth: NDArray[np.float32], radius: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest measured depth of each window."""
    import cv2

    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    nearest = cv2.erode(np.where(depth > 0, depth, np.float32(np.inf)).astype(np.float32), kernel)
    return nearest, cv2.dilate(depth, kernel)
