"""Points in boxes, against the definition applied one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np

from mapanything_data.geometry.points_in_boxes import pairs_inside, points_in_boxes
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


def test_each_pair_of_a_point_and_a_box_is_told_once():
    rng = np.random.default_rng(1)
    points = rng.uniform(-20, 20, (500, 3)).astype(np.float32)
    poses = [Pose.from_quaternion(rng.normal(size=4), rng.uniform(-15, 15, 3)) for _ in range(40)]
    lower, upper = -rng.uniform(0.5, 8, (40, 3)), rng.uniform(0.5, 8, (40, 3))  # not the same on both sides
    expected = [
        (point, box)
        for box, pose in enumerate(poses)
        for point, local in enumerate(pose.inverse() @ points)
        if (local >= lower[box]).all() and (local <= upper[box]).all()
    ]

    point, box = pairs_inside(points, np.array([pose.matrix for pose in poses]), lower, upper)

    assert len(expected) > 100
    assert list(zip(point.tolist(), box.tolist(), strict=True)) == expected


def test_many_points_and_boxes_take_little_memory():
    # 200,000 points and 300 boxes in arrays of [N, B, 3] float32 would be 720 MB each.
    rng = np.random.default_rng(0)
    points = rng.uniform(-100, 100, (200_000, 3)).astype(np.float32)
    T = np.tile(np.eye(4), (300, 1, 1))
    T[:, :3, 3] = rng.uniform(-100, 100, (300, 3))

    tracemalloc.start()
    inside = points_in_boxes(points, T, np.full((300, 3), 2.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 350 < inside.sum() < 650  # each box holds 64 of 8,000,000 m^3: 1.6 points, 480 in all
    assert peak < 60e6


def test_no_boxes_and_points_that_are_no_numbers_are_outside():
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]], np.float32)

    assert points_in_boxes(points, [], []).tolist() == [False, False, False]
    assert points_in_boxes(points, [np.eye(4)], [[1, 1, 1]]).tolist() == [True, False, False]
