"""Boxes in the world."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapanything_data.scene import Box3D, Pose


def box(**changes):
    return Box3D(**{"T_world_box": Pose.identity(), "extent": [2, 1, 0.5], "label": "car", "id": 7} | changes)


def test_corners_come_in_the_documented_order():
    assert box().corners().tolist() == [
        [-2, -1, -0.5],
        [2, -1, -0.5],
        [-2, 1, -0.5],
        [2, 1, -0.5],
        [-2, -1, 0.5],
        [2, -1, 0.5],
        [-2, 1, 0.5],
        [2, 1, 0.5],
    ]


def test_corners_are_turned_with_the_box_and_moved_to_its_centre():
    half = math.sqrt(0.5)
    quarter_about_z = Pose.from_quaternion([0, 0, half, half], [10, 20, 30])
    corners = box(T_world_box=quarter_about_z).corners()
    # x goes to y and y to -x: the far corner (2, 1, 0.5) stands at (-1, 2, 0.5) from the centre.
    np.testing.assert_allclose(corners[7], [9, 22, 30.5], atol=1e-12)
    np.testing.assert_allclose(corners.mean(axis=0), [10, 20, 30], atol=1e-12)


def test_corners_whose_indices_differ_in_one_bit_share_an_edge():
    corners = box().corners()
    for bit, length in enumerate([4, 2, 1]):
        for i in range(8):
            assert np.linalg.norm(corners[i] - corners[i ^ (1 << bit)]) == length


def test_extent_is_a_copy_that_cannot_be_changed():
    sizes = np.array([2.0, 1.0, 0.5])
    made = box(extent=sizes)
    sizes[0] = 9.0
    assert made.extent.tolist() == [2.0, 1.0, 0.5]
    with pytest.raises(ValueError, match="read-only"):
        made.extent[0] = 9.0


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        ([2, 1, 0], "three positive half sizes"),
        ([2, -1, 1], "three positive half sizes"),
        ([2, 1], r"extent has shape \[2\], expected \[3\]"),
        ([2, 1, math.nan], "extent has 1 values that are not finite"),
    ],
)
def test_a_box_without_a_size_is_refused(extent, message):
    with pytest.raises(ValueError, match=message):
        box(extent=extent)
