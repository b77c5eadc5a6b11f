"""Many rigid transforms at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.geometry import interpolate, interpolate_at, invert, transform_points
from mapanything_data.scene import Pose

HALF = math.sqrt(0.5)
seeds = st.integers(0, 2**32 - 1)


def random_transforms(seed, n):
    generator = np.random.default_rng(seed)
    pairs = zip(generator.normal(size=(n, 4)), generator.normal(size=(n, 3)), strict=True)
    return np.stack([Pose.from_quaternion(q, t).matrix for q, t in pairs])


def yaw(degrees, translation=(0.0, 0.0, 0.0)):
    angle = math.radians(degrees)
    T = np.eye(4)
    T[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    T[:3, 3] = translation
    return T


@given(seeds)
def test_invert_is_the_inverse_of_each_matrix(seed):
    T = random_transforms(seed, 5)
    np.testing.assert_allclose(invert(T), np.linalg.inv(T), atol=1e-12)


def test_invert_keeps_the_last_row_exact():
    assert (invert(random_transforms(0, 5))[:, 3] == [0, 0, 0, 1]).all()


@given(seeds)
def test_one_transform_moves_points_as_its_pose_does(seed):
    T, points = random_transforms(seed, 1)[0], np.random.default_rng(seed).normal(size=(2, 3, 3))
    np.testing.assert_allclose(transform_points(T, points), Pose(T) @ points, atol=1e-13)


def test_one_point_is_turned_and_then_moved():
    np.testing.assert_allclose(transform_points(yaw(90, (10, 20, 30)), [1, 0, 5]), [10, 21, 35], atol=1e-14)


def test_each_transform_moves_its_own_points():
    T, points = random_transforms(1, 4), np.random.default_rng(2).normal(size=(4, 6, 3))
    moved = transform_points(T[:, None], points)
    np.testing.assert_allclose(moved[3], Pose(T[3]) @ points[3], atol=1e-13)
    assert moved.shape == (4, 6, 3)


def test_arrays_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"points have shape \[4\], expected \[..., 3\]"):
        transform_points(np.eye(4), [1, 2, 3, 1])
    with pytest.raises(ValueError, match=r"transform has shape \[3, 4\], expected \[..., 4, 4\]"):
        transform_points(np.eye(4)[:3], [1, 2, 3])


def test_halfway_moves_half_the_way_and_turns_half_the_angle():
    np.testing.assert_allclose(interpolate(yaw(0), yaw(90, (2, 4, 6)), 0.5), yaw(45, (1, 2, 3)), atol=1e-15)


def test_alpha_broadcasts_against_the_transforms():
    T = interpolate(yaw(0), yaw(90), [0.0, 1 / 3, 1.0])
    np.testing.assert_allclose(T, [yaw(0), yaw(30), yaw(90)], atol=1e-15)


@given(seeds)
def test_the_ends_are_the_given_transforms(seed):
    T_a, T_b = random_transforms(seed, 2)
    np.testing.assert_allclose(interpolate(T_a, T_b, 0.0), T_a, atol=1e-14)
    np.testing.assert_allclose(interpolate(T_a, T_b, 1.0), T_b, atol=1e-14)


@given(seeds, st.floats(0, 1))
def test_what_is_interpolated_is_rigid(seed, alpha):
    assert Pose(interpolate(*random_transforms(seed, 2), alpha)).matrix[3].tolist() == [0, 0, 0, 1]


@given(seeds, st.floats(0, 1))
def test_interpolation_does_not_depend_on_the_frame_of_the_world(seed, alpha):
    T_a, T_b, T_other_world = random_transforms(seed, 3)
    moved_after = T_other_world @ interpolate(T_a, T_b, alpha)
    moved_before = interpolate(T_other_world @ T_a, T_other_world @ T_b, alpha)
    np.testing.assert_allclose(moved_before, moved_after, atol=1e-9)


def test_a_trajectory_is_read_between_its_uneven_time_stamps():
    T = np.stack([yaw(0), yaw(90, (9, 0, 0)), yaw(90, (9, 1, 0))])
    found = interpolate_at([10.0, 13.0, 13.5], T, [11.0, 13.25, 12.0])
    expected = [yaw(30, (3, 0, 0)), yaw(90, (9, 0.5, 0)), yaw(60, (6, 0, 0))]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_a_trajectory_at_its_own_time_stamps_is_itself():
    T = random_transforms(5, 6)
    np.testing.assert_allclose(interpolate_at(np.arange(6.0), T, np.arange(6.0)), T, atol=1e-14)


def test_a_trajectory_of_one_pose_answers_at_its_one_time():
    np.testing.assert_allclose(interpolate_at([3.0], yaw(20)[None], [3.0, 3.0]), [yaw(20)] * 2, atol=1e-15)


@pytest.mark.parametrize("time", [9.999, 12.001, math.nan])
def test_a_time_outside_of_the_trajectory_is_refused(time):
    with pytest.raises(ValueError, match=r"expected to lie within 10.0 to 12.0 s"):
        interpolate_at([10.0, 11.0, 12.0], random_transforms(0, 3), [11.0, time])


def test_an_empty_trajectory_has_no_answer_and_no_questions_need_none():
    empty = np.zeros((0, 4, 4))
    assert interpolate_at([], empty, []).shape == (0, 4, 4)
    with pytest.raises(ValueError, match="an empty trajectory"):
        interpolate_at([], empty, [0.0])


def test_a_trajectory_of_another_length_than_its_time_stamps_is_refused():
    with pytest.raises(ValueError, match=r"T has shape \[3, 4, 4\], expected \[2, 4, 4\]"):
        interpolate_at([0.0, 1.0], random_transforms(0, 3), [0.5])
