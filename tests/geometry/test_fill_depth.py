"""Gaps are filled where measurements agree on a plane, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from mapanything_data.geometry.fill_depth import fill_depth
from mapanything_data.geometry.projection import pixel_grid, unproject
from mapanything_data.scene import Camera

CAMERA = Camera(width=120, height=90, fx=100.0, fy=100.0, cx=60.0, cy=20.0)


def sparse(depth: np.ndarray, every: int = 3) -> np.ndarray:
    """Every third pixel of every third row, the others 0."""
    kept = np.zeros_like(depth)
    kept[::every, ::every] = depth[::every, ::every]
    return kept


def ground(height: float = 1.5) -> np.ndarray:
    """Exact depth of the road below the camera; row 20 is the horizon."""
    rows = pixel_grid(CAMERA)[..., 1]
    with np.errstate(divide="ignore"):
        return np.where(rows > 24, height * CAMERA.fy / (rows - CAMERA.cy), 0).astype(np.float32)


def test_the_road_is_filled_exactly():
    exact = ground()

    filled, is_filled = fill_depth(sparse(exact), radius=6, tolerance=0.01)

    inner = is_filled[40:80, 10:110]
    assert inner.mean() > 0.85  # 8 of 9 pixels were gaps
    assert np.allclose(filled[is_filled], exact[is_filled], rtol=1e-4)
    points = unproject(CAMERA, pixel_grid(CAMERA), filled)
    assert np.nanmax(np.abs(points[..., 1] - 1.5)) < 1e-3  # all on the plane y = 1.5 m


def test_measurements_stay_as_they_are_and_count_as_not_filled():
    measured = sparse(ground())

    filled, is_filled = fill_depth(measured, radius=6, tolerance=0.01)

    assert np.array_equal(filled[measured > 0], measured[measured > 0])
    assert not is_filled[measured > 0].any()
    assert ((filled > 0) == (is_filled | (measured > 0))).all()


def test_nothing_is_filled_across_an_edge():
    exact = np.full((90, 120), 20, np.float32)
    exact[:, 60:] = 5

    filled, is_filled = fill_depth(sparse(exact), radius=4, tolerance=0.02)

    assert not is_filled[:, 58:62].any()
    assert np.allclose(filled[is_filled], exact[is_filled], rtol=1e-4)
    assert is_filled[20:70, 20:50].mean() > 0.85


def test_nothing_is_filled_beyond_the_measurements():
    exact = np.zeros((90, 120), np.float32)
    exact[30:61, 30:91] = 10

    _, is_filled = fill_depth(sparse(exact), radius=6, tolerance=0.02)

    outside = np.ones(exact.shape, bool)
    outside[30:61, 30:91] = False
    assert not is_filled[outside].any()
    assert is_filled[36:55, 36:85].mean() > 0.85


@pytest.mark.parametrize("measurements", [0, 1, 3])
def test_too_few_measurements_fill_nothing(measurements):
    depth = np.zeros((90, 120), np.float32)
    depth[[40, 44, 42][:measurements], [50, 50, 54][:measurements]] = 10

    filled, is_filled = fill_depth(depth, radius=6, tolerance=0.02)

    assert not is_filled.any()
    assert np.array_equal(filled, depth)


def test_measurements_in_one_line_fill_nothing():
    depth = np.zeros((90, 120), np.float32)
    depth[45, ::2] = 10

    assert not fill_depth(depth, radius=6, tolerance=0.02)[1].any()
