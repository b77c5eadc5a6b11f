"""Rays meet triangles where plain geometry says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.scene import Pose
from mapanything_data.sim.town.axes import mujoco_vectors, opencv_transform
from mapanything_data.sim.town.lidar import HIGHEST, LOWEST, Lidar
from mapanything_data.sim.town.mesh import box

LIDAR = Lidar(channels=16, steps=90, range=120.0, noise=0.02)


LEVEL = np.eye(3)


def standing_at(x, y, z, turn=LEVEL):
    return Pose(opencv_transform(turn, [x, y, z]))


def rotation(roll, pitch, yaw):
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    return (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )


def brute_force(triangles, lidar, pose):
    """Moller and Trumbore's test of every ray with every triangle, fronts only."""
    origin = mujoco_vectors(pose.translation)
    rays = mujoco_vectors(lidar.directions().reshape(-1, 3) @ pose.rotation.T)
    a, edge1, edge2 = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(rays[:, None], edge2)
    det = (p * edge1).sum(-1)
    with np.errstate(all="ignore"):
        u = (p * (origin - a)).sum(-1) / det
        q = np.cross(origin - a, edge1)
        v = (rays[:, None] * q).sum(-1) / det
        t = (q * edge2).sum(-1) / det
    hit = (det > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return np.where(hit, t, np.inf).min(axis=1).reshape(lidar.channels, lidar.steps)


def test_channels_are_spread_evenly_and_the_first_step_looks_forward():
    directions = LIDAR.directions()
    elevation = np.arcsin(-directions[..., 1])

    assert np.allclose(elevation, np.linspace(LOWEST, HIGHEST, 16)[:, None])
    assert np.allclose(np.rad2deg([LOWEST, HIGHEST]), [-25, 2])
    assert np.allclose(directions[:, 0, 0], 0)
    assert (directions[:, 0, 2] > 0.9).all()
    assert directions[8, 1, 0] > 0  # then it turns to the right


def test_flat_ground_is_met_at_height_over_the_sine_of_the_elevation():
    ground = box([-300, -300, -1], [300, 300, 0]).triangles

    ranges = LIDAR.ranges(ground, standing_at(0, 0, 1.9))

    elevation = np.linspace(LOWEST, HIGHEST, 16)
    assert np.allclose(ranges[:-2], (1.9 / np.sin(-elevation[:-2]))[:, None], rtol=1e-12)
    assert np.isinf(ranges[-1]).all()  # 2 degrees upwards


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    place=st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_any_triangles_seen_from_anywhere_are_met_as_brute_force_says(seed, angles, place):
    rng = np.random.default_rng(seed)
    triangles = rng.uniform(-8, 8, (12, 1, 3)) * [1, 1, 0.3] + rng.normal(0, rng.choice([0.3, 3.0]), (12, 3, 3))
    lidar = Lidar(channels=8, steps=24, range=1000.0, noise=0.0)
    pose = standing_at(*place, rotation(*angles))

    expected = brute_force(triangles, lidar, pose)
    found = lidar.ranges(triangles, pose)

    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_noise_lies_along_the_ray_with_the_given_deviation_and_intensity_fades():
    room = box([-20, -20, -2], [20, 20, 6])
    inside_out = room.triangles[:, ::-1]
    lidar = Lidar(channels=32, steps=360, range=120.0, noise=0.02)
    pose = standing_at(1.0, 2.0, 0.5, rotation(0.02, 0.05, 1.0))

    exact = lidar.ranges(inside_out, pose).ravel()
    cloud = lidar.scan(inside_out, pose, np.random.default_rng(0))

    measured = np.linalg.norm(cloud.points, axis=1)
    assert len(cloud.points) == 32 * 360  # the room is closed
    assert np.allclose(cloud.points / measured[:, None], lidar.directions().reshape(-1, 3), atol=1e-6)
    # 11520 draws: their deviation is within 4 / sqrt(2 * 11520) = 2.6 % of 0.02, their mean within 0.02 * 4 / 107.
    assert np.std(measured - exact) == pytest.approx(0.02, rel=0.026)
    assert abs(np.mean(measured - exact)) < 0.02 * 4 / 107
    assert np.allclose(cloud.intensity, np.exp(-0.004 * measured))


def test_what_is_out_of_range_is_not_measured():
    wall = box([50, -500, -500], [51, 500, 500]).triangles

    assert len(Lidar(16, 90, 49.0, 0.0).scan(wall, standing_at(0, 0, 0), np.random.default_rng(0)).points) == 0
    assert len(Lidar(16, 90, 55.0, 0.0).scan(wall, standing_at(0, 0, 0), np.random.default_rng(0)).points) > 0
