"""Scaling and cropping: pictures, depth and intrinsics stay of one mind about where every pixel looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.geometry.projection import pixel_grid, rays, unproject
from mapanything_data.geometry.resampling import cover, nearest_indices
from mapanything_data.scene import Camera

OPV2V = Camera(width=800, height=600, fx=336.0, fy=336.0, cx=399.5, cy=299.5)
sizes = st.integers(8, 90)
places = st.one_of(st.none(), st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)))
cameras = st.builds(
    Camera,
    width=sizes,
    height=sizes,
    fx=st.floats(20, 200),
    fy=st.floats(20, 200),
    cx=st.floats(0, 80),
    cy=st.floats(0, 80),
)


def source_pixels(resampling):
    """Where the centres of the result lie in the source, through the two intrinsics: K_source K_target^-1 p."""
    to_source = resampling.source.matrix @ np.linalg.inv(resampling.camera.matrix)
    columns = to_source[0, 0] * np.arange(resampling.width) + to_source[0, 2]
    rows = to_source[1, 1] * np.arange(resampling.height) + to_source[1, 2]
    return columns, rows


def test_intrinsics_of_an_opv2v_picture_by_hand():
    # 518 / 800 = 0.6475 and 392 / 600 = 0.6533: the height decides, and 800 * 0.6533 = 522.67 is 523 pixels.
    # cx = 400 * 523 / 800 - 0.5 = 261; the middle of 518 is at 258.5, so 2.5 are to be cropped, of which 2 can be.
    camera = cover(OPV2V, 518, 392).camera

    assert (camera.width, camera.height) == (518, 392)
    assert camera.fx == pytest.approx(336 * 523 / 800)
    assert camera.fy == pytest.approx(336 * 392 / 600)
    assert (camera.cx, camera.cy) == (pytest.approx(259.0), pytest.approx(195.5))


def test_a_wider_target_is_cropped_above_and_below():
    resampling = cover(OPV2V, 400, 200)

    assert (resampling.scaled_width, resampling.scaled_height, resampling.left, resampling.top) == (400, 300, 0, 50)
    assert resampling.camera.cy == pytest.approx(300 / 2 - 0.5 - 50)


def test_a_principal_point_aside_draws_the_crop_with_it():
    # Twice the width there is to cover: at half size the principal point is at 150 / 2 = 75 from the edge, of 200.
    aside = Camera(width=400, height=100, fx=100.0, fy=100.0, cx=149.5, cy=49.5)

    resampling = cover(aside, 60, 50)

    assert (resampling.left, resampling.camera.cx) == (45, 74.5 - 45)  # 29.5 is the middle of 60


@given(cameras, sizes, sizes)
def test_the_principal_point_is_within_half_a_pixel_of_the_middle_where_the_picture_reaches(camera, width, height):
    resampling = cover(camera, width, height)

    room = resampling.scaled_width - width
    if 0 < resampling.left < room:
        assert abs(resampling.camera.cx - (width - 1) / 2) <= 0.5 + 1e-9
    assert 0 <= resampling.left <= room
    assert (room == 0) or (resampling.scaled_height == height)


@given(cameras, sizes, sizes, places)
def test_dense_depth_is_that_of_the_nearest_centre(camera, width, height, place):
    resampling = cover(camera, width, height, place)
    columns, rows = source_pixels(resampling)
    ramp = np.broadcast_to(1 + np.arange(camera.width), (camera.height, camera.width)).astype(np.float32)
    climb = np.broadcast_to(1 + np.arange(camera.height)[:, None], ramp.shape).astype(np.float32)

    taken_column = resampling.dense_depth(ramp)[0] - 1
    taken_row = resampling.dense_depth(climb)[:, 0] - 1

    assert np.abs(taken_column - columns).max() <= 0.5 + 1e-6
    assert np.abs(taken_row - rows).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("target", [523, 400, 200, 350, 1600, 799])
def test_dense_depth_is_not_shifted_on_the_whole(target):
    taken = nearest_indices(800, target)
    exact = (np.arange(target) + 0.5) * 800 / target - 0.5

    assert abs((taken - exact).mean()) < 0.01


def test_at_half_size_ties_take_turns():
    # The centres lie at 0.5, 2.5, 4.5, 6.5, each as near to the pixel before as to the one after.
    assert nearest_indices(8, 4).tolist() == [1, 2, 5, 6]


@given(
    st.integers(30, 90),
    st.integers(30, 90),
    st.integers(10, 80),
    st.integers(10, 80),
    st.floats(-0.3, 0.3),
    st.floats(-0.3, 0.3),
)
def test_a_plane_stays_where_it_is(width, height, target_width, target_height, slope_x, slope_y):
    camera = Camera(width=width, height=height, fx=60.0, fy=64.0, cx=(width - 1) / 2 + 3, cy=(height - 1) / 2 - 2)
    normal = np.array([slope_x, slope_y, 1.0])  # the plane normal . X = 10
    across = rays(camera) / rays(camera)[..., 2:]
    depth = (10 / (across @ normal)).astype(np.float32)

    resampling = cover(camera, target_width, target_height)
    small = resampling.dense_depth(depth)
    points = unproject(resampling.camera, pixel_grid(resampling.camera), small)

    # A depth from half a pixel away: along the ray, the plane moves by z |slope| / (2 f), in both axes.
    bound = small * (abs(slope_x) / 60 + abs(slope_y) / 64) / 2 * 1.01 + 1e-4
    assert (np.abs(points @ normal - 10) <= bound).all()


@given(cameras, sizes, sizes, places)
def test_sparse_values_stay_within_their_pixel_and_none_is_made_up(camera, width, height, place):
    rng = np.random.default_rng(0)
    depth = np.where(rng.random((camera.height, camera.width)) < 0.05, 1, 0).astype(np.float32)
    rows, columns = np.nonzero(depth)
    depth[rows, columns] = 1 + np.arange(len(rows))  # tells them apart
    resampling = cover(camera, width, height, place)

    small = resampling.sparse_depth(depth)

    found_rows, found_columns = np.nonzero(small)
    which = np.rint(small[found_rows, found_columns] - 1).astype(int)
    to_target = resampling.camera.matrix @ np.linalg.inv(camera.matrix)
    exact_columns = to_target[0, 0] * columns[which] + to_target[0, 2]
    exact_rows = to_target[1, 1] * rows[which] + to_target[1, 2]
    assert np.abs(exact_columns - found_columns).max(initial=0) <= 0.5 + 1e-6
    assert np.abs(exact_rows - found_rows).max(initial=0) <= 0.5 + 1e-6
    assert len(set(which)) == len(which)


def test_sparse_values_are_kept_where_the_nearest_pixel_would_lose_them():
    # At a third of the size, only the middle one of nine pixels is the nearest to a centre.
    camera = Camera(width=9, height=9, fx=9.0, fy=9.0, cx=4.0, cy=4.0)
    depth = np.zeros((9, 9), np.float32)
    depth[0, 0], depth[2, 5], depth[4, 5] = 7, 9, 5
    depth[4, 3] = 6  # in the same cell of 3x3 as the one with 5 metres, which hides it

    assert cover(camera, 3, 3).sparse_depth(depth).tolist() == [[7, 9, 0], [0, 5, 0], [0, 0, 0]]
    assert np.count_nonzero(cover(camera, 3, 3).dense_depth(depth)) == 0


@pytest.mark.parametrize(("width", "height"), [(523, 392), (400, 300), (1200, 900)])
def test_pictures_are_aligned_with_their_camera(width, height):
    # Brightness that grows by a quarter level each column says which column of the source a pixel shows.
    ramp = (np.arange(800) / 4).astype(np.uint8)
    resampling = cover(OPV2V, width, height)
    columns, _ = source_pixels(resampling)

    shown = resampling.image(np.broadcast_to(ramp[:, None], (600, 800, 3)).copy())[height // 2, 8:-8, 0].astype(float)

    # Rounding down to whole levels takes 0.375 on average, and the result is rounded to the nearest.
    assert np.mean(shown - columns[8:-8] / 4) == pytest.approx(-0.375, abs=0.03)


def test_shrunk_pictures_are_means_of_areas():
    stripes = np.zeros((6, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    camera = Camera(width=8, height=6, fx=8.0, fy=8.0, cx=3.5, cy=2.5)

    assert (cover(camera, 4, 3).image(stripes) == 100).all()


@given(st.floats(0, 0.9999), st.floats(0, 0.9999))
def test_a_place_is_within_the_room(x, y):
    resampling = cover(OPV2V, 300, 200, (x, y))

    assert 0 <= resampling.left <= 0  # 300 wide: 800 x 600 becomes 300 x 225
    assert 0 <= resampling.top <= 25


def test_places_reach_both_ends():
    assert cover(OPV2V, 300, 200, (0.0, 0.0)).top == 0
    assert cover(OPV2V, 300, 200, (0.0, 0.999)).top == 25


@pytest.mark.parametrize("place", [(1.0, 0.0), (0.0, -0.1)])
def test_a_place_beyond_the_ends_is_refused(place):
    with pytest.raises(ValueError, match=r"place is .*, expected two numbers in \[0, 1\)"):
        cover(OPV2V, 300, 200, place)


def test_a_size_without_pixels_is_refused():
    with pytest.raises(ValueError, match="target is 0x5"):
        cover(OPV2V, 0, 5)


@pytest.mark.parametrize("method", ["image", "dense_depth", "sparse_depth"])
def test_arrays_of_another_size_are_refused(method):
    with pytest.raises(ValueError, match="is 600x800, expected 800x600"):
        getattr(cover(OPV2V, 300, 200), method)(np.zeros((800, 600, 3)[: 3 if method == "image" else 2]))
