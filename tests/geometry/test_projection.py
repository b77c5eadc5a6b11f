"""Points, pixels and lenses; cv2 is the judge where it has an opinion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.geometry import (
    distort,
    in_image,
    invert,
    pixel_grid,
    project,
    rays,
    transform_points,
    undistort,
    unproject,
)
from mapanything_data.scene import NO_DISTORTION, Camera, Distortion

PINHOLE = Camera(width=640, height=480, fx=500.0, fy=510.0, cx=319.5, cy=239.5)
ZED = Distortion(k1=-0.1742, k2=0.0272, p1=0.0004, p2=-0.0007, k3=0.0008)
LENSES = [
    NO_DISTORTION,
    ZED,
    Distortion(k1=0.12, k2=-0.05, p1=-0.003, p2=0.002, k3=0.01),  # pincushion
    Distortion(k1=-0.35, k2=0.15, p1=0.001, p2=0.001, k3=-0.03),  # wide angle, turns back at radius 1.6
]
seeds = st.integers(0, 2**32 - 1)
lenses = st.builds(
    Distortion,
    k1=st.floats(-0.3, 0.3),
    k2=st.floats(-0.1, 0.1),
    p1=st.floats(-0.01, 0.01),
    p2=st.floats(-0.01, 0.01),
    k3=st.floats(-0.02, 0.02),
)


def with_lens(lens):
    return Camera(width=640, height=480, fx=500.0, fy=510.0, cx=319.5, cy=239.5, distortion=lens)


def points_in_view(seed, n=200):
    """Up to 0.7 to each side of the axis, that is 35 degrees, at 1 to 80 m."""
    generator = np.random.default_rng(seed)
    directions = np.column_stack([generator.uniform(-0.7, 0.7, (n, 2)), np.ones(n)])
    return directions * generator.uniform(1, 80, (n, 1))


def test_a_point_on_the_axis_appears_at_the_principal_point():
    pixel, visible = project(with_lens(ZED), [0.0, 0.0, 7.0])
    assert pixel.tolist() == [319.5, 239.5]
    assert visible


def test_a_point_to_the_right_and_below_appears_there():
    # 1 m right and 2 m below at 10 m: 500 * 0.1 = 50 and 510 * 0.2 = 102 pixels from the principal point.
    np.testing.assert_allclose(project(PINHOLE, [1.0, 2.0, 10.0])[0], [369.5, 341.5])


@pytest.mark.parametrize("lens", LENSES)
def test_projection_agrees_with_opencv(lens):
    cv2 = pytest.importorskip("cv2")
    camera, points = with_lens(lens), points_in_view(0)
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(lens))
    pixels, visible = project(camera, points)
    assert visible.all()
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
def test_undistortion_agrees_with_opencv(lens):
    cv2 = pytest.importorskip("cv2")
    camera = with_lens(lens)
    pixels, _ = project(camera, points_in_view(1))
    # OpenCV stops after five fixed-point steps unless it is asked for more.
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 500, 1e-13)
    expected = cv2.undistortPoints(pixels[:, None], camera.matrix, np.array(lens), None, None, None, criteria)
    found = unproject(camera, pixels, np.ones(len(pixels)))
    np.testing.assert_allclose(found[:, :2], expected[:, 0], atol=1e-9)


def test_points_behind_or_beside_the_camera_have_no_pixel():
    points = [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 0, 0], [np.nan, 0, 1], [1, 0, 1e-310], [np.inf, 0, 1]]
    pixels, visible = project(PINHOLE, points)
    assert visible.tolist() == [True, False, False, False, False, False, False]
    assert np.isnan(pixels[1:]).all()
    assert np.isfinite(pixels[0]).all()


def test_a_point_beyond_the_turn_of_the_lens_is_not_drawn_into_the_picture():
    # r (1 - r^2 / 3) grows up to r = 1 and is back at 0 for r = sqrt(3), which OpenCV draws in the middle.
    camera = with_lens(Distortion(k1=-1 / 3))
    points = [[0.999, 0, 1], [1.001, 0, 1], [math.sqrt(3), 0, 1], [0, -5, 1]]
    pixels, visible = project(camera, points)
    assert visible.tolist() == [True, False, False, False]
    assert np.isnan(pixels[1:]).all()
    assert pixels[0, 0] == pytest.approx(319.5 + 500 * 2 / 3, abs=1e-3)


@given(seeds, st.sampled_from(LENSES))
def test_unprojecting_a_projected_point_gives_it_back(seed, lens):
    camera, points = with_lens(lens), points_in_view(seed, 20)
    pixels, _ = project(camera, points)
    np.testing.assert_allclose(unproject(camera, pixels, points[:, 2]), points, rtol=0, atol=1e-9)


def test_unprojecting_an_invalid_depth_gives_no_point_rather_than_the_camera_centre():
    points = unproject(PINHOLE, [[3, 4], [3, 4], [3, 4]], [0.0, np.nan, 2.0])
    assert np.isnan(points[:2]).all()
    assert points[2, 2] == 2.0


def test_a_depth_map_unprojects_to_a_point_map():
    camera = Camera(width=3, height=2, fx=2.0, fy=4.0, cx=1.0, cy=0.0)
    points = unproject(camera, pixel_grid(camera), np.full((2, 3), 8, np.float32))
    expected = [[[-4, 0, 8], [0, 0, 8], [4, 0, 8]], [[-4, 2, 8], [0, 2, 8], [4, 2, 8]]]
    assert points.tolist() == expected


def test_pixel_grid_counts_columns_then_rows_from_integer_centres():
    grid = pixel_grid(Camera(width=3, height=2, fx=1, fy=1, cx=1, cy=0))
    assert grid.tolist() == [[[0, 0], [1, 0], [2, 0]], [[0, 1], [1, 1], [2, 1]]]


@pytest.mark.parametrize("lens", LENSES)
def test_rays_are_unit_and_project_back_to_their_pixels(lens):
    camera = with_lens(lens)
    directions = rays(camera)
    assert directions.shape == (480, 640, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-15)
    np.testing.assert_allclose(project(camera, directions)[0], pixel_grid(camera), atol=1e-8)


def test_a_pixel_that_the_lens_model_cannot_show_has_no_ray():
    # The distorted radius never exceeds 2/3, which is 333 pixels; the corners of the picture are 400 away.
    directions = rays(with_lens(Distortion(k1=-1 / 3)))
    assert np.isnan(directions[0, 0]).all()
    assert np.isnan(unproject(with_lens(Distortion(k1=-1 / 3)), [0, 0], 5.0)).all()
    assert np.isfinite(directions[240, 320]).all()


@given(seeds, lenses)
def test_undistort_inverts_distort(seed, lens):
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (50, 2))
    found, converged = undistort(lens, distort(lens, points))
    assert converged.all()
    np.testing.assert_allclose(found, points, rtol=0, atol=1e-9)


def test_undistort_reports_what_no_point_is_distorted_to():
    found, converged = undistort(Distortion(k1=-1 / 3), [[0.1, 0.0], [0.7, 0.0], [np.nan, 0.0]])
    assert converged.tolist() == [True, False, False]
    assert np.isnan(found[1:]).all()


def test_undistort_without_a_lens_changes_nothing():
    points = np.random.default_rng(0).normal(size=(4, 5, 2))
    found, converged = undistort(NO_DISTORTION, points)
    np.testing.assert_array_equal(found, points)
    assert converged.shape == (4, 5)
    assert converged.all()


@pytest.mark.parametrize("lens", [Distortion(k1=-1 / 3), Distortion(k2=-1 / 5), Distortion(k3=-1 / 7)])
def test_each_radial_term_can_turn_the_lens_back(lens):
    # d/dr (r - r^n / n) = 1 - r^(n-1), which is 0 at r = 1.
    visible = project(with_lens(lens), [[0.999, 0, 1], [1.001, 0, 1]])[1]
    assert visible.tolist() == [True, False]


@pytest.mark.parametrize("tiny", [1e-300, 1e-18, -1e-18])
def test_a_coefficient_that_rounding_left_does_not_disturb_the_turn_of_the_lens(tiny):
    lens = Distortion(k1=-1 / 3, k3=tiny)
    visible = project(with_lens(lens), [[0.999, 0, 1], [1.001, 0, 1]])[1]
    assert visible.tolist() == [True, False]


@pytest.mark.parametrize("lens", [NO_DISTORTION, ZED])
def test_a_pixel_that_is_nan_stays_nan_whatever_the_lens(lens):
    found, converged = undistort(lens, [[np.nan, 0.0], [0.1, 0.2]])
    assert converged.tolist() == [False, True]
    assert np.isnan(found[0]).all()


def test_in_image_reaches_half_a_pixel_beyond_the_outer_centres():
    camera = Camera(width=4, height=2, fx=1, fy=1, cx=0, cy=0)
    inside = [[-0.5, -0.5], [0, 0], [3, 1], [3.49, 1.49]]
    outside = [[-0.51, 0], [0, -0.51], [3.5, 0], [0, 1.5], [np.nan, 0], [0, np.inf]]
    assert in_image(camera, inside).all()
    assert not in_image(camera, outside).any()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_shows_the_same_world_when_its_pose_turns_too(turns):
    camera, points = with_lens(LENSES[2]), points_in_view(4)
    R = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    T_world_camera = np.eye(4)
    T_world_turned = T_world_camera @ invert(np.linalg.matrix_power(R, turns))
    pixels, _ = project(camera.rotated(turns), transform_points(invert(T_world_turned), points))
    (u, v), w, h = project(camera, points)[0].T, camera.width, camera.height
    # np.rot90(image, -turns) takes the pixel (u, v) there.
    expected = {1: (h - 1 - v, u), 2: (w - 1 - u, h - 1 - v), 3: (v, w - 1 - u)}[turns]
    np.testing.assert_allclose(pixels, np.column_stack(expected), atol=1e-9)


def test_a_resized_and_cropped_picture_shows_the_same_world():
    points = points_in_view(5)
    u, v = project(with_lens(ZED), points)[0].T
    pixels, _ = project(with_lens(ZED).resized(320, 120).cropped(10, 20, 100, 90), points)
    # The outer edge -0.5 stays; then 10 columns and 20 rows are gone.
    expected = np.column_stack([(u + 0.5) / 2 - 0.5 - 10, (v + 0.5) / 4 - 0.5 - 20])
    np.testing.assert_allclose(pixels, expected, atol=1e-9)


def test_arrays_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"points have shape \[2\], expected \[..., 3\]"):
        project(PINHOLE, [1, 2])
    with pytest.raises(ValueError, match=r"points have shape \[3\], expected \[..., 2\]"):
        distort(ZED, [1, 2, 3])
