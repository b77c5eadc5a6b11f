"""CARLA's poses, against elementary rotations written out by hand.

The convention: translation, then Rz(yaw) Ry(-pitch) Rx(-roll), ordinary right-handed rotations applied to Unreal's
left-handed axes x forward, y right, z up. Seen by a driver that means: yaw turns right, pitch lifts the nose, roll
lowers the right side.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.geometry.carla import (
    OPENCV_FROM_UE,
    carla_pose_from_matrix,
    carla_pose_from_ue_matrix,
    matrix_from_carla_pose,
    opencv_from_ue,
    ue_from_opencv,
    ue_matrix_from_carla_pose,
)
from mapanything_data.geometry.transforms import invert

FORWARD, RIGHT, UP = np.eye(3)  # Unreal's axes
degrees = st.floats(-179.9, 179.9)
metres = st.floats(-1000, 1000)
poses = st.tuples(metres, metres, metres, degrees, degrees, st.floats(-89, 89)).map(np.array)


def turned(direction, *, roll=0.0, yaw=0.0, pitch=0.0):
    return ue_matrix_from_carla_pose([0, 0, 0, roll, yaw, pitch])[:3, :3] @ direction


def test_a_yaw_of_90_degrees_turns_the_nose_to_the_right():
    assert turned(FORWARD, yaw=90).tolist() == RIGHT.tolist()
    assert turned(RIGHT, yaw=90).tolist() == (-FORWARD).tolist()
    assert turned(UP, yaw=90).tolist() == UP.tolist()


def test_a_pitch_of_90_degrees_lifts_the_nose():
    assert turned(FORWARD, pitch=90).tolist() == UP.tolist()
    assert turned(UP, pitch=90).tolist() == (-FORWARD).tolist()
    assert turned(RIGHT, pitch=90).tolist() == RIGHT.tolist()


def test_a_roll_of_90_degrees_lowers_the_right_side():
    assert turned(RIGHT, roll=90).tolist() == (-UP).tolist()
    assert turned(UP, roll=90).tolist() == RIGHT.tolist()
    assert turned(FORWARD, roll=90).tolist() == FORWARD.tolist()


def test_yaw_stands_before_pitch_in_the_files():
    # x, y, z, roll, YAW, PITCH: swapping the last two would point the nose upwards.
    assert ue_matrix_from_carla_pose([0, 0, 0, 0, 90, 0])[:3, 0].tolist() == RIGHT.tolist()


@given(poses)
def test_the_rotation_is_the_product_of_the_three_elementary_ones(pose):
    roll, yaw, pitch = np.deg2rad(pose[3:])

    expected = about_z(yaw) @ about_y(-pitch) @ about_x(-roll)

    assert np.allclose(ue_matrix_from_carla_pose(pose)[:3, :3], expected, atol=1e-13)


@given(poses)
def test_rotations_have_determinant_one_on_both_sides_of_the_change_of_axes(pose):
    T = matrix_from_carla_pose(pose)

    assert np.isclose(np.linalg.det(ue_matrix_from_carla_pose(pose)[:3, :3]), 1, atol=1e-12)
    assert np.isclose(np.linalg.det(T[:3, :3]), 1, atol=1e-12)


def test_the_change_of_axes_is_a_mirror_so_converting_one_side_only_is_wrong():
    assert np.isclose(np.linalg.det(OPENCV_FROM_UE[:3, :3]), -1)


def test_unreal_axes_become_opencv_axes():
    # Right is x, down is y, ahead is z.
    assert (OPENCV_FROM_UE[:3, :3] @ FORWARD).tolist() == [0, 0, 1]
    assert (OPENCV_FROM_UE[:3, :3] @ RIGHT).tolist() == [1, 0, 0]
    assert (OPENCV_FROM_UE[:3, :3] @ UP).tolist() == [0, -1, 0]


@given(poses, st.tuples(metres, metres, metres))
def test_a_point_ends_at_the_same_place_whichever_axes_carry_it(pose, point):
    P = OPENCV_FROM_UE[:3, :3]
    T_ue = ue_matrix_from_carla_pose(pose)
    in_ue = T_ue[:3, :3] @ point + T_ue[:3, 3]

    T = matrix_from_carla_pose(pose)
    in_opencv = T[:3, :3] @ (P @ point) + T[:3, 3]

    assert np.allclose(in_opencv, P @ in_ue, atol=1e-9)


@given(poses)
def test_poses_survive_the_way_to_matrices_and_back(pose):
    assert np.allclose(carla_pose_from_matrix(matrix_from_carla_pose(pose)), pose, atol=1e-9)


@given(metres, degrees, degrees, st.sampled_from([-90.0, 90.0]))
def test_straight_up_and_down_the_matrix_survives_though_the_angles_may_not(x, roll, yaw, pitch):
    T = ue_matrix_from_carla_pose([x, 0, 0, roll, yaw, pitch])

    assert np.allclose(ue_matrix_from_carla_pose(carla_pose_from_ue_matrix(T)), T, atol=1e-9)


@given(poses)
def test_the_two_changes_of_axes_are_each_others_inverse(pose):
    T = ue_matrix_from_carla_pose(pose)

    assert np.array_equal(ue_from_opencv(opencv_from_ue(T)), T)


def test_many_poses_are_converted_at_once():
    several = np.arange(24, dtype=float).reshape(2, 2, 6)

    together = matrix_from_carla_pose(several)

    assert together.shape == (2, 2, 4, 4)
    assert np.array_equal(together[1, 0], matrix_from_carla_pose(several[1, 0]))


def test_the_extrinsic_of_a_camera_that_looks_right_is_found_by_hand():
    # The agent stands at x = 100, y = 50 and faces +y (yaw 90). Its LiDAR is 1.9 m above the road, its camera 2 m to
    # the agent's front, hence at y = 52, 1 m high, and looks to the agent's right (yaw 180: towards -x).
    lidar_pose = [100, 50, 1.9, 0, 90, 0]
    cords = [100, 52, 1.0, 0, 180, 0]
    # A point 10 m ahead of the LiDAR is at (100, 60, 1.9) in the world. The camera's right is the world's -y, so the
    # point is 60 - 52 = 8 m to its left, not ahead of it (both have x = 100), and 0.9 m above it.
    extrinsic = invert(ue_matrix_from_carla_pose(cords)) @ ue_matrix_from_carla_pose(lidar_pose)

    assert np.allclose(extrinsic @ [10, 0, 0, 1], [0, -8, 0.9, 1], atol=1e-12)
    assert np.allclose(extrinsic[:3, :3], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize("shape", [(5,), (2, 7)])
def test_anything_but_six_numbers_is_refused(shape):
    with pytest.raises(ValueError, match="x, y, z, roll, yaw, pitch"):
        ue_matrix_from_carla_pose(np.zeros(shape))


def about_x(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_y(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
