"""Rectangles around boxes, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.geometry.boxes_in_picture import boxes_in_picture, cut_segments, hidden_share
from mapanything_data.scene import Camera, Pose

CAMERA = Camera(width=800, height=600, fx=400.0, fy=400.0, cx=400.0, cy=300.0)
CAR = [[1.0, 0.75, 2.0]]


def at(x: float, y: float, z: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, 3] = [x, y, z]
    return T[None]


def test_a_box_ahead_is_as_large_as_its_near_face():
    seen = boxes_in_picture(CAMERA, at(0, 0, 10), CAR)

    # The near face is 8 m away: half width 400 * 1 / 8 = 50, half height 400 * 0.75 / 8 = 37.5.
    assert seen.whole[0].tolist() == [350, 262.5, 450, 337.5]
    assert seen.visible[0].tolist() == [350, 262.5, 450, 337.5]
    assert seen.truncation[0] == 0
    assert seen.distance[0] == 10


def test_a_box_at_the_edge_is_cut_at_the_edge_of_the_last_pixel():
    seen = boxes_in_picture(CAMERA, at(10, 0, 10), CAR)

    # Left: the far face at 12 m, 400 + 400 * 9 / 12 = 700. Right: the near one, 400 + 400 * 11 / 8 = 950.
    assert seen.whole[0].tolist() == [700, 262.5, 950, 337.5]
    assert seen.visible[0].tolist() == [700, 262.5, 799.5, 337.5]
    assert seen.truncation[0] == pytest.approx(1 - 99.5 / 250)


def test_a_box_that_reaches_behind_the_camera_is_cut_at_the_near_plane():
    # A car beside the camera from z = -2 to 2, x from 1 to 3, y from -0.75 to 0.75.
    seen = boxes_in_picture(CAMERA, at(2, 0, 0), CAR)

    # Left: the far end, 400 + 400 * 1 / 2 = 600. At z = 0.1: right 400 + 400 * 3 / 0.1, above 300 - 400 * 0.75 / 0.1.
    assert seen.whole[0] == pytest.approx([600, -2700, 12400, 3300])
    assert seen.visible[0].tolist() == [600, -0.5, 799.5, 599.5]
    assert seen.truncation[0] == pytest.approx(1 - 199.5 * 600 / (11800 * 6000))


def test_a_box_behind_the_camera_or_beside_the_picture_is_not_in_it():
    seen = boxes_in_picture(CAMERA, np.concatenate([at(0, 0, -10), at(40, 0, 10)]), CAR * 2)

    assert seen.truncation.tolist() == [1, 1]
    assert np.isnan(seen.whole[0]).all()


def test_no_boxes_are_no_problem():
    seen = boxes_in_picture(CAMERA, np.zeros((0, 4, 4)), np.zeros((0, 3)))
    depth = np.zeros((600, 800), np.float32)

    assert seen.whole.shape == (0, 4)
    assert hidden_share(CAMERA, depth, np.zeros((0, 4, 4)), np.zeros((0, 3)), seen.visible).shape == (0,)


quaternions = st.tuples(*[st.floats(-1, 1) for _ in range(4)]).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(quaternions, st.floats(-8, 8), st.floats(-4, 4), st.floats(-3, 20))
@settings(max_examples=80, deadline=None)
def test_the_rectangle_holds_every_point_of_the_box_and_touches_the_outermost(quaternion, x, y, z):
    T = Pose.from_quaternion(quaternion, [x, y, z])
    steps = np.linspace(-1, 1, 41)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    surface = T @ (grid[np.abs(grid).max(axis=1) == 1] * CAR)
    in_front = surface[surface[:, 2] >= 0.1]

    seen = boxes_in_picture(CAMERA, T.matrix[None], CAR)

    assert np.isfinite(seen.truncation).all()
    assert 0 <= seen.truncation[0] <= 1
    if len(in_front):
        pixels = in_front[:, :2] / in_front[:, 2:] * 400 + [400, 300]
        assert (pixels >= seen.whole[0, :2] - 1e-6).all()
        assert (pixels <= seen.whole[0, 2:] + 1e-6).all()
        if surface[:, 2].min() > 1:  # the corners are among the points
            assert np.allclose([*pixels.min(axis=0), *pixels.max(axis=0)], seen.whole[0])


def share(depth: np.ndarray) -> float:
    T = at(0, 0, 10)
    return float(hidden_share(CAMERA, depth, T, CAR, boxes_in_picture(CAMERA, T, CAR).visible)[0])


def test_half_a_box_behind_a_wall_is_half_hidden():
    depth = np.full((600, 800), 8.5, np.float32)  # inside of the box: the vehicle itself
    depth[:, :400] = 4

    assert share(depth) == 0.5


def test_what_is_behind_or_seen_through_hides_nothing():
    assert share(np.full((600, 800), 60, np.float32)) == 0
    assert share(np.full((600, 800), 7.8, np.float32)) == 0  # 0.2 m before the surface: within the slack
    assert share(np.full((600, 800), 7.6, np.float32)) == 1


def test_pixels_without_depth_do_not_count():
    depth = np.zeros((600, 800), np.float32)
    assert np.isnan(share(depth))

    depth[300, :400] = 4  # a single row, all of its left half in front
    depth[301, :400] = 4
    assert share(depth) == 1


def test_segments_are_cut_where_they_cross_a_plane():
    # The plane is x = 1: one segment beyond it, one that crosses it in either direction, one before it.
    segments = np.array([[[2, 0], [3, 4]], [[0, 0], [2, 4]], [[2, 4], [0, 0]], [[0, 0], [0.5, 4]]])

    cut = cut_segments(segments, segments[..., 0] - 1)

    assert cut[0].tolist() == [[2, 0], [3, 4]]
    assert cut[1].tolist() == [[1, 2], [2, 4]]
    assert cut[2].tolist() == [[2, 4], [1, 2]]
    assert np.isnan(cut[3]).all()
