"""Rotations as quaternions x, y, z, w."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.geometry.quaternions import (
    matrix_from_quaternion,
    multiply,
    normalise,
    quaternion_from_matrix,
    rotate,
    slerp,
)

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])
seeds = st.integers(0, 2**32 - 1)


def about_z(angle):
    return np.array([0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2)])


def random_units(seed, *shape):
    """Gaussian directions are uniform over the rotations."""
    q = np.random.default_rng(seed).normal(size=(*shape, 4))
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def angle_between(a, b):
    return 2 * np.arccos(np.clip(np.abs((a * b).sum(-1)), 0, 1))


def test_normalise_keeps_direction_and_sign():
    np.testing.assert_allclose(normalise([[0, 0, 0, -2], [3, 0, 4, 0]]), [[0, 0, 0, -1], [0.6, 0, 0.8, 0]])


@pytest.mark.parametrize("q", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [[0, 0, 0, 1], [0, 0, 0, 0]]])
def test_normalise_refuses_what_has_no_direction(q):
    with pytest.raises(ValueError, match="zero or not finite"):
        normalise(q)


@pytest.mark.parametrize("function", [normalise, matrix_from_quaternion])
def test_three_components_are_no_quaternion(function):
    with pytest.raises(ValueError, match=r"quaternion has shape \[3\], expected \[..., 4\]"):
        function([0, 0, 1])


def test_a_rotation_is_three_by_three():
    with pytest.raises(ValueError, match=r"rotation has shape \[4, 4\], expected \[..., 3, 3\]"):
        quaternion_from_matrix(np.eye(4))


def test_hamiltons_units_multiply_as_he_carved_them():
    i, j, k = np.eye(4)[:3]
    np.testing.assert_array_equal(multiply(i, j), k)
    np.testing.assert_array_equal(multiply(j, i), -k)
    np.testing.assert_array_equal(multiply(j, k), i)
    for unit in (i, j, k):
        np.testing.assert_array_equal(multiply(unit, unit), -IDENTITY)


@given(seeds)
def test_product_of_quaternions_is_product_of_matrices(seed):
    a, b = random_units(seed, 2, 5)
    np.testing.assert_allclose(
        matrix_from_quaternion(multiply(a, b)),
        matrix_from_quaternion(a) @ matrix_from_quaternion(b),
        atol=1e-14,
    )


@given(seeds)
def test_rotate_agrees_with_the_matrix(seed):
    q, points = random_units(seed, 6), np.random.default_rng(seed).normal(size=(6, 3))
    expected = np.einsum("nij,nj->ni", matrix_from_quaternion(q), points)
    np.testing.assert_allclose(rotate(q, points), expected, atol=1e-13)


def test_rotate_by_a_quarter_turn_about_z_takes_x_to_y():
    np.testing.assert_allclose(rotate(about_z(math.pi / 2), np.eye(3)), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-15)


def test_leading_axes_broadcast():
    assert multiply(random_units(0, 5, 1), random_units(1, 7)).shape == (5, 7, 4)
    assert rotate(random_units(0, 5, 1), np.zeros((7, 3))).shape == (5, 7, 3)
    assert slerp(random_units(0, 5, 1), random_units(1, 7), np.zeros(7)).shape == (5, 7, 4)
    assert quaternion_from_matrix(matrix_from_quaternion(random_units(0, 5, 7))).shape == (5, 7, 4)
    assert matrix_from_quaternion(np.zeros((0, 4))).shape == (0, 3, 3)


@given(seeds)
def test_matrices_and_quaternions_convert_back_and_forth(seed):
    q = random_units(seed, 50)
    back = quaternion_from_matrix(matrix_from_quaternion(q))
    np.testing.assert_allclose(back, np.where(q[:, 3:] < 0, -q, q), atol=1e-14)


def test_every_component_can_be_the_largest_when_converting_a_matrix():
    q = np.full((4, 4), 0.1) + 0.8 * np.eye(4)
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    np.testing.assert_allclose(quaternion_from_matrix(matrix_from_quaternion(q)), q, atol=1e-15)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0, 2.0, -1.0])
def test_slerp_turns_at_constant_speed_and_goes_on_beyond_the_ends(alpha):
    np.testing.assert_allclose(slerp(about_z(0.2), about_z(1.0), alpha), about_z(0.2 + 0.8 * alpha), atol=1e-15)


def test_slerp_takes_the_short_way_round():
    # From 10 to 350 degrees it is 20 degrees backwards over 0, not 340 forwards over 180.
    halfway = slerp(about_z(math.radians(10)), about_z(math.radians(350)), 0.5)
    np.testing.assert_allclose(halfway, about_z(0), atol=1e-15)


@given(seeds, st.floats(0, 1))
def test_slerp_does_not_care_about_the_sign_of_the_second_quaternion(seed, alpha):
    a, b = random_units(seed, 2)
    np.testing.assert_array_equal(slerp(a, b, alpha), slerp(a, -b, alpha))


@given(seeds, st.floats(0, 1))
def test_slerp_covers_its_share_of_the_angle_from_both_ends(seed, alpha):
    a, b = random_units(seed, 2, 20)
    q = slerp(a, b, np.full(20, alpha))
    whole = angle_between(a, b)
    np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1, atol=1e-14)
    np.testing.assert_allclose(angle_between(a, q), alpha * whole, atol=1e-6)
    np.testing.assert_allclose(angle_between(q, b), (1 - alpha) * whole, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-17, 1e-12, 1e-8])
def test_slerp_is_exact_between_rotations_that_nearly_agree(angle):
    middle = slerp(IDENTITY, about_z(angle), 0.25)
    np.testing.assert_allclose(middle, [0, 0, angle / 8, 1], rtol=1e-14, atol=0)


def test_slerp_between_a_quaternion_and_its_negative_stays_where_it_is():
    q = random_units(3)
    np.testing.assert_allclose(slerp(q, -q, [0.0, 0.3, 1.0]), np.tile(q, (3, 1)), atol=1e-15)


def test_slerp_over_180_degrees_passes_a_rotation_90_degrees_from_both():
    halfway = slerp(IDENTITY, about_z(math.pi), 0.5)
    np.testing.assert_allclose(np.abs(halfway), about_z(math.pi / 2), atol=1e-15)
