"""What a pose accepts, and its algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mapanything_data.scene import Pose

HALF = math.sqrt(0.5)
# The image of the axes x, y, z under a quarter turn about each axis, written out by the right-hand rule.
QUARTER_TURNS = [
    ([HALF, 0, 0, HALF], [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    ([0, HALF, 0, HALF], [[0, 0, -1], [0, 1, 0], [1, 0, 0]]),
    ([0, 0, HALF, HALF], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
]
HALF_TURNS = [
    ([1, 0, 0, 0], np.diag([1, -1, -1])),
    ([0, 1, 0, 0], np.diag([-1, 1, -1])),
    ([0, 0, 1, 0], np.diag([-1, -1, 1])),
]

numbers = st.floats(-1, 1)
quaternions = st.tuples(numbers, numbers, numbers, numbers)
translations = st.tuples(*[st.floats(-1e3, 1e3)] * 3)


@st.composite
def poses(draw):
    quaternion = draw(quaternions)
    assume(np.linalg.norm(quaternion) > 1e-3)
    return Pose.from_quaternion(quaternion, draw(translations))


def with_rotation(rotation):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix


@pytest.mark.parametrize(("xyzw", "images_of_axes"), QUARTER_TURNS + HALF_TURNS)
def test_quarter_and_half_turns_follow_the_right_hand_rule(xyzw, images_of_axes):
    np.testing.assert_allclose(Pose.from_quaternion(xyzw) @ np.eye(3), images_of_axes, atol=1e-15)


@pytest.mark.parametrize(("xyzw", "images_of_axes"), QUARTER_TURNS + HALF_TURNS)
def test_quaternion_of_quarter_and_half_turns(xyzw, images_of_axes):
    pose = Pose(with_rotation(np.transpose(images_of_axes)))
    np.testing.assert_allclose(pose.quaternion, xyzw, atol=1e-15)


@given(quaternions)
def test_a_quaternion_survives_up_to_its_length_and_sign(xyzw):
    assume(np.linalg.norm(xyzw) > 1e-3)
    unit = np.array(xyzw) / np.linalg.norm(xyzw)
    found = Pose.from_quaternion(xyzw).quaternion
    assert min(np.abs(found - unit).max(), np.abs(found + unit).max()) < 1e-14
    assert found[3] >= 0


def test_quaternion_is_exact_where_the_trace_nearly_vanishes():
    # 180 degrees less 2e-9 about a slanted axis: w is 1e-9, and a formula that divides by w loses it.
    axis = np.array([2.0, 3.0, 6.0]) / 7.0
    unit = np.array([*(axis * math.cos(1e-9)), math.sin(1e-9)])
    np.testing.assert_allclose(Pose.from_quaternion(unit).quaternion, unit, rtol=0, atol=1e-15)


@given(poses())
def test_a_rotation_is_orthonormal_and_keeps_handedness(pose):
    np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(pose.rotation) == pytest.approx(1.0, abs=1e-14)


@given(poses())
def test_a_pose_times_its_inverse_is_the_identity(pose):
    np.testing.assert_allclose((pose @ pose.inverse()).matrix, np.eye(4), atol=1e-11)
    np.testing.assert_allclose((pose.inverse() @ pose).matrix, np.eye(4), atol=1e-11)


@given(poses(), poses(), translations)
def test_composition_moves_points_as_one_pose_after_the_other(T_a_b, T_b_c, point):
    np.testing.assert_allclose((T_a_b @ T_b_c) @ np.array(point), T_a_b @ (T_b_c @ np.array(point)), atol=1e-9)


def test_points_are_turned_and_then_moved():
    quarter_about_z = Pose.from_quaternion([0, 0, HALF, HALF], [10, 20, 30])
    np.testing.assert_allclose(quarter_about_z @ np.array([1.0, 0.0, 5.0]), [10, 21, 35], atol=1e-14)


def test_points_keep_their_leading_axes_and_become_float64():
    moved = Pose.from_quaternion([0, 0, 0, 1], [1, 2, 3]) @ np.zeros((4, 5, 3), np.float32)
    assert moved.shape == (4, 5, 3)
    assert moved.dtype == np.float64
    assert (moved == [1, 2, 3]).all()


def test_rotation_and_translation_are_the_parts_of_the_matrix():
    pose = Pose.from_quaternion([0, 0, 1, 0], [1, 2, 3])
    assert pose.translation.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(pose.rotation, np.diag([-1.0, -1.0, 1.0]))


def test_poses_are_equal_when_their_numbers_are():
    assert Pose.identity() == Pose(np.eye(4, dtype=np.float32))
    assert Pose.identity() != Pose.from_quaternion([0, 0, 0, 1], [0, 0, 1e-9])
    assert Pose.identity() != "identity"


def test_a_pose_cannot_be_changed_through_its_matrix_nor_through_the_array_it_came_from():
    given_matrix = np.eye(4)
    pose = Pose(given_matrix)
    given_matrix[0, 3] = 5.0
    assert pose == Pose.identity()
    with pytest.raises(ValueError, match="read-only"):
        pose.matrix[0, 3] = 5.0


def test_an_exact_rotation_is_stored_as_it_is():
    matrix = Pose.from_quaternion([0.1, 0.2, 0.3, 0.4], [1, 2, 3]).matrix
    assert np.array_equal(Pose(matrix).matrix, matrix)


@given(poses(), st.sampled_from([np.float32, "decimals"]))
def test_a_rotation_in_float32_or_four_decimals_is_made_exact(pose, precision):
    rough = pose.matrix.round(4) if precision == "decimals" else pose.matrix.astype(np.float32)
    rough[:3, 3] = 0
    exact = Pose(rough)
    np.testing.assert_allclose(exact.rotation @ exact.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(exact.rotation, rough[:3, :3], atol=1e-4)


def test_mirrored_axes_are_refused_with_the_way_to_convert_them():
    with pytest.raises(ValueError, match=r"mirrored axes: .*determinant .* -1.*P @ T @ inv\(P\)"):
        Pose(with_rotation([[0, 1, 0], [0, 0, -1], [1, 0, 0]]))  # UE to OpenCV axes, one side only


def test_both_sides_converted_is_a_pose_again():
    # The mirror P takes UE axes (x, y, z) to OpenCV axes (y, -z, x).
    P = with_rotation([[0, 1, 0], [0, 0, -1], [1, 0, 0]])
    T_ue = with_rotation([[0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x to y, y to -x
    # In OpenCV axes: z to x and x to -z, written as columns.
    np.testing.assert_array_equal(Pose(P @ T_ue @ np.linalg.inv(P)).rotation, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (with_rotation(2 * np.eye(3)), r"not orthonormal: .* by 3, allowed is 0.0002; does it hold a scale"),
        (with_rotation([[1, 0.01, 0], [0, 1, 0], [0, 0, 1]]), "not orthonormal"),
        (with_rotation(np.zeros((3, 3))), "not orthonormal"),
        (np.eye(4) + np.eye(4, k=-3), r"last row other than \[0, 0, 0, 1\]; is the matrix transposed"),
        (np.diag([1, 1, 1, 1 + 1e-15]), "last row"),
        (np.full((4, 4), np.nan), r"16 values that are not finite, the first at \[0, 0\]"),
        (np.eye(3), r"matrix has shape \[3, 3\], expected \[4, 4\]"),
        (np.eye(4)[None], r"matrix has shape \[1, 4, 4\], expected \[4, 4\]"),
        (np.eye(4, dtype=complex), "dtype complex128, expected float64"),
    ],
)
def test_a_matrix_that_is_not_rigid_says_why(matrix, message):
    with pytest.raises(ValueError, match=message):
        Pose(matrix)


@pytest.mark.parametrize("xyzw", [[0, 0, 0, 0], [0, 0, 0, math.nan], [math.inf, 0, 0, 1]])
def test_a_quaternion_that_names_no_rotation_is_refused(xyzw):
    with pytest.raises(ValueError, match="zero or not finite"):
        Pose.from_quaternion(xyzw)


@pytest.mark.parametrize("length", [1e-200, 1e200])
def test_a_quaternion_of_any_length_is_a_rotation(length):
    np.testing.assert_array_equal(Pose.from_quaternion([0, 0, length, 0]).rotation, np.diag([-1.0, -1.0, 1.0]))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (0,), ()])
def test_points_of_another_width_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \[..., 3\]"):
        Pose.identity() @ np.zeros(shape)
