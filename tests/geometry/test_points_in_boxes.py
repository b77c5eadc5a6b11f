"""Points in boxes, against the definition applied one by one."""

from __future__ import annotations

import numpy as np

from mapanything_data.geometry.points_in_boxes import points_in_boxes
from mapanything_data.scene import Pose


def test_a_turned_box_holds_what_lies_along_it():
    # Turned by 90 degrees about y (down): the box's z axis points along the world's x.
    T = Pose.from_quaternion([0, np.sqrt(0.5), 0, np.sqrt(0.5)], [10, 0, 0]).matrix
    points = np.array([[12.3, 0, 0], [12.6, 0, 0], [10, 0, 0.9], [10, 0, 1.1], [10, 0.7, 0], [10, 0.8, 0]], np.float32)

    inside = points_in_boxes(points, [T], [[1.0, 0.75, 2.5]])

    assert inside.tolist() == [True, False, True, False, True, False]


def test_many_boxes_hold_what_any_of_them_holds():
    rng = np.random.default_rng(0)
    points = rng.uniform(-20, 20, (3000, 3)).astype(np.float32)
    poses = [Pose.from_quaternion(rng.normal(size=4), rng.uniform(-15, 15, 3)) for _ in range(20)]
    extent = rng.uniform(0.5, 4, (20, 3))
    expected = np.zeros(len(points), bool)
    for pose, half in zip(poses, extent, strict=True):
        expected |= (np.abs(pose.inverse() @ points) <= half).all(axis=1)

    inside = points_in_boxes(points, [pose.matrix for pose in poses], extent)

    assert expected.sum() > 50
    assert np.array_equal(inside, expected)


def test_no_boxes_and_points_that_are_no_numbers_are_outside():
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]], np.float32)

    assert points_in_boxes(points, [], []).tolist() == [False, False, False]
    assert points_in_boxes(points, [np.eye(4)], [[1, 1, 1]]).tolist() == [True, False, False]
