"""Between points of a camera's space and its pixels, with Brown's lens distortion.

Pixel centres are integers, points are in OpenCV camera axes and metres. A pixel or point that does not
exist is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mapanything_data.scene import Camera, Distortion
from mapanything_data.scene.arrays import Floats

# Realistic lenses need 3 to 5 steps; near the edge of what a lens model can show, convergence is slower.
_NEWTON_STEPS = 20
# In normalised coordinates: a few billionths of a pixel at a focal length of some thousand.
_CONVERGED = 1e-12


def project(camera: Camera, points: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Pixels in which points of the camera's space appear, inside the picture or not (see `in_image`).

    A strong distortion polynomial turns back at some angle and would draw points from far outside the field
    of view into the picture. Points beyond that angle are treated like points behind the camera.

    Args:
        camera: The camera.
        points: [..., 3], metres, camera axes.

    Returns:
        Pixels [..., 2] float64 (column, row), NaN where there is none, and [...] bool, False at the same
        places.
    """
    p = np.asarray(points, dtype=np.float64)
    if p.shape[-1:] != (3,):
        raise ValueError(f"points have shape {list(p.shape)}, expected [..., 3]")
    visible = p[..., 2] > 0
    depth = np.where(visible, p[..., 2], np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # points on the camera's plane are infinitely far out
        normalised = p[..., :2] / depth[..., None]
        visible &= (normalised**2).sum(axis=-1) < _turning_radius(camera.distortion) ** 2
    normalised = np.where(visible[..., None], normalised, np.nan)
    return distort(camera.distortion, normalised) * _focal(camera) + _centre(camera), visible


def unproject(camera: Camera, pixels: ArrayLike, depth: ArrayLike) -> Floats:
    """Points of the camera's space that pixels with a known depth show.

    A whole depth map is `unproject(camera, pixel_grid(camera), depth)`.

    Args:
        camera: The camera.
        pixels: [..., 2] (column, row).
        depth: [...], z-depth in metres.

    Returns:
        [..., 3] float64, metres, camera axes; NaN where the depth is 0, hence invalid, or where the lens
        model shows nothing in that pixel.
    """
    z = np.asarray(depth, dtype=np.float64)
    z = np.where(z > 0, z, np.nan)
    normalised, found = undistort(camera.distortion, (np.asarray(pixels) - _centre(camera)) / _focal(camera))
    at_one_metre = np.concatenate([normalised, np.where(found, 1.0, np.nan)[..., None]], axis=-1)
    return at_one_metre * z[..., None]


def rays(camera: Camera) -> Floats:
    """Unit directions from the camera through the centres of its pixels, [H, W, 3] float64, camera axes.

    NaN where the lens model shows nothing in a pixel.
    """
    directions = unproject(camera, pixel_grid(camera), np.ones((camera.height, camera.width)))
    unit: Floats = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return unit


def pixel_grid(camera: Camera) -> Floats:
    """The centre (column, row) of every pixel, [H, W, 2] float64."""
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([columns, rows], axis=-1).astype(np.float64)


def in_image(camera: Camera, pixels: ArrayLike) -> NDArray[np.bool_]:
    """Where pixels [..., 2] lie on the picture, [...] bool.

    The picture reaches half a pixel beyond its outer centres, so what is on it is a valid index once rounded
    with np.rint. NaN is not on it.
    """
    u, v, _ = _split(pixels)
    inside: NDArray[np.bool_] = (u >= -0.5) & (u < camera.width - 0.5) & (v >= -0.5) & (v < camera.height - 0.5)
    return inside


def distort(distortion: Distortion, points: ArrayLike) -> Floats:
    """Where a lens moves normalised points (x/z, y/z).

    Brown's model as OpenCV documents it, with r^2 = x^2 + y^2:
    x_d = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2), and p1, p2 traded for y_d.

    Args:
        distortion: The lens.
        points: [..., 2], normalised.

    Returns:
        [..., 2] float64, normalised.
    """
    x, y, r2 = _split(points)
    _, _, p1, p2, _ = distortion
    radial, _ = _radial(distortion, r2)
    x_d = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    y_d = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x_d, y_d], axis=-1)


def undistort(distortion: Distortion, points: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """The inverse of `distort`, by Newton's method.

    Args:
        distortion: The lens.
        points: [..., 2], normalised and distorted.

    Returns:
        Points [..., 2] float64, normalised, exact to 1e-12 once distorted again, and [...] bool: False,
        with NaN in the points, where no point is distorted to the given one, since the distortion
        polynomial turns back before.
    """
    target = np.asarray(points, dtype=np.float64)
    if not any(distortion):
        x, y, _ = _split(target)
        found = np.isfinite(x) & np.isfinite(y)
        return np.where(found[..., None], target, np.nan), found
    estimate = target
    with np.errstate(all="ignore"):  # a point without an answer may run off to infinity
        for _ in range(_NEWTON_STEPS):
            error = distort(distortion, estimate) - target
            if not (np.abs(error) > _CONVERGED).any():
                break
            estimate = estimate - _newton_step(distortion, estimate, error)
        error = np.abs(distort(distortion, estimate) - target).max(axis=-1)
        radius_squared = (estimate**2).sum(axis=-1)
        found = (error <= _CONVERGED) & (radius_squared < _turning_radius(distortion) ** 2)
    return np.where(found[..., None], estimate, np.nan), found


def _newton_step(distortion: Distortion, points: Floats, error: Floats) -> Floats:
    """The inverse of the distortion's 2x2 Jacobian, which is symmetric, times the error."""
    x, y, r2 = _split(points)
    _, _, p1, p2, _ = distortion
    radial, slope = _radial(distortion, r2)
    xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    step_x = yy * error[..., 0] - xy * error[..., 1]
    step_y = xx * error[..., 1] - xy * error[..., 0]
    return np.stack([step_x, step_y], axis=-1) / (xx * yy - xy * xy)[..., None]


def _radial(distortion: Distortion, r2: Floats) -> tuple[Floats, Floats]:
    """The radial factor and its derivative by r^2."""
    k1, k2, _, _, k3 = distortion
    return 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), k1 + r2 * (2 * k2 + r2 * 3 * k3)


def _turning_radius(distortion: Distortion) -> float:
    """The normalised radius at which the distorted radius stops growing; infinite for most lenses.

    That is where d/dr (r + k1 r^3 + k2 r^5 + k3 r^7) = 0. In u = 1 / r^2 the polynomial has leading
    coefficient 1 whatever the k are, so tiny coefficients do no harm; its largest real root is the first
    turn.
    """
    k1, k2, _, _, k3 = distortion
    roots = np.roots([1.0, 3 * k1, 5 * k2, 7 * k3])
    real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 1e-12)]
    return 1 / math.sqrt(real.max()) if len(real) else math.inf


def _split(points: ArrayLike) -> tuple[Floats, Floats, Floats]:
    p = np.asarray(points, dtype=np.float64)
    if p.shape[-1:] != (2,):
        raise ValueError(f"points have shape {list(p.shape)}, expected [..., 2]")
    x, y = p[..., 0], p[..., 1]
    return x, y, x * x + y * y


def _focal(camera: Camera) -> Floats:
    return np.array([camera.fx, camera.fy])


def _centre(camera: Camera) -> Floats:
    return np.array([camera.cx, camera.cy])
