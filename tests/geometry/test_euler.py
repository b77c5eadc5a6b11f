"""Poses as positions and extrinsic xyz Euler angles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mapanything_data.geometry.euler import euler_from_transforms, transforms_from_euler

ANGLES = st.floats(-2 * np.pi, 2 * np.pi)


@given(st.lists(st.tuples(ANGLES, ANGLES, ANGLES), min_size=1, max_size=5))
def test_angles_turn_about_fixed_axes_as_scipys_lower_case_xyz_do(angles):
    T = transforms_from_euler(np.concatenate([np.ones((len(angles), 3)), angles], axis=1))

    assert np.allclose(T[:, :3, :3], Rotation.from_euler("xyz", angles).as_matrix(), atol=1e-12)
    assert (T[:, :3, 3] == 1).all()
    assert (T[:, 3] == [0, 0, 0, 1]).all()


def test_a_quarter_turn_about_x_then_z_takes_y_to_z():
    # About the fixed x axis y becomes z, which the turn about z leaves where it is.
    T = transforms_from_euler([0, 0, 0, np.pi / 2, 0, np.pi / 2])

    assert np.allclose(T[:3, :3] @ [0, 1, 0], [0, 0, 1])


@given(ANGLES, st.one_of(ANGLES, st.sampled_from([np.pi / 2, -np.pi / 2])), ANGLES)
def test_the_angles_of_a_transform_name_the_same_transform(a, b, c):
    T = transforms_from_euler([0.3, -0.1, 0.4, a, b, c])

    assert np.allclose(transforms_from_euler(euler_from_transforms(T)), T, atol=1e-7)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \[2, 7\]"):
        transforms_from_euler(np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"shape \[3, 3\]"):
        euler_from_transforms(np.eye(3))
