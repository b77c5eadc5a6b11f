"""What a camera is, and what resizing, cropping and turning a picture do to it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.scene import NO_DISTORTION, Camera, Distortion

ROAD = Camera(width=1928, height=1208, fx=2648.0, fy=2648.0, cx=963.5, cy=603.5)
LENS = Distortion(k1=-0.17, k2=0.02, p1=0.001, p2=-0.002, k3=0.0005)

cameras = st.builds(
    Camera,
    width=st.integers(2, 4000),
    height=st.integers(2, 4000),
    fx=st.floats(1, 5000),
    fy=st.floats(1, 5000),
    cx=st.floats(-100, 4000),
    cy=st.floats(-100, 4000),
    distortion=st.builds(Distortion, *[st.floats(-0.5, 0.5)] * 5),
)


def test_matrix_holds_focal_lengths_and_principal_point():
    camera = Camera(640, 480, fx=500.0, fy=501.0, cx=319.5, cy=239.5)
    assert camera.matrix.dtype == np.float64
    assert camera.matrix.tolist() == [[500.0, 0.0, 319.5], [0.0, 501.0, 239.5], [0.0, 0.0, 1.0]]


def test_a_camera_has_no_distortion_unless_it_is_told():
    assert ROAD.distortion == NO_DISTORTION == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert not ROAD.is_distorted
    assert Camera(8, 8, 4, 4, 3, 3, LENS).is_distorted


def test_distortion_is_taken_from_any_sequence_in_opencv_order():
    camera = Camera(8, 8, 4, 4, 3, 3, np.array([1, 2, 3, 4, 5], dtype=np.float32))
    assert (camera.distortion.k1, camera.distortion.k2, camera.distortion.k3) == (1.0, 2.0, 5.0)
    assert (camera.distortion.p1, camera.distortion.p2) == (3.0, 4.0)


def test_fov_of_100_degrees_over_800_pixels_gives_the_focal_length_of_the_opv2v_rig():
    camera = Camera.from_fov(800, 600, math.radians(100))
    assert camera.fx == camera.fy == pytest.approx(335.6399, abs=1e-4)


def test_fov_puts_the_principal_point_in_the_middle_of_integer_pixel_centres():
    camera = Camera.from_fov(4, 2, math.pi / 2)
    # Outer edges at -0.5 and 3.5, so 90 degrees see 2 pixels to each side at focal length 2.
    assert (camera.fx, camera.cx, camera.cy) == (pytest.approx(2.0), 1.5, 0.5)


@given(cameras)
def test_from_matrix_inverts_matrix(camera):
    assert Camera.from_matrix(camera.matrix, camera.width, camera.height, camera.distortion) == camera


@given(cameras)
def test_a_camera_survives_json_exactly(camera):
    assert Camera.from_dict(json.loads(json.dumps(camera.to_dict()))) == camera


def test_dictionary_has_the_keys_of_the_file_format():
    assert Camera(4, 2, 2.0, 3.0, 1.5, 0.5, LENS).to_dict() == {
        "width": 4,
        "height": 2,
        "fx": 2.0,
        "fy": 3.0,
        "cx": 1.5,
        "cy": 0.5,
        "distortion": [-0.17, 0.02, 0.001, -0.002, 0.0005],
    }


def test_dictionary_without_distortion_is_a_pinhole():
    assert Camera.from_dict({"width": 4, "height": 2, "fx": 2, "fy": 2, "cx": 1, "cy": 0}) == Camera(
        4, 2, 2.0, 2.0, 1.0, 0.0
    )


def test_dictionary_with_missing_and_unknown_keys_names_them():
    with pytest.raises(ValueError, match=r"missing keys \['cy', 'height'\] and unknown keys \['h'\]"):
        Camera.from_dict({"width": 4, "h": 2, "fx": 2, "fy": 2, "cx": 1})


def test_numpy_numbers_become_plain_ones():
    camera = Camera(np.int64(4), np.int32(2), np.float32(2), np.float64(2), np.float64(1), 0)
    assert [type(value) for value in camera.to_dict().values()] == [
        int,
        int,
        float,
        float,
        float,
        float,
        list,
    ]


def test_equal_cameras_are_one_key():
    assert len({Camera(4, 2, 2, 2, 1, 0), Camera(4, 2, 2.0, 2.0, 1.0, 0.0)}) == 1


def test_halving_the_size_keeps_the_middle_of_the_picture_in_the_middle():
    half = Camera(800, 600, 300.0, 300.0, cx=399.5, cy=299.5).resized(400, 300)
    assert (half.width, half.height, half.fx, half.fy) == (400, 300, 150.0, 150.0)
    assert (half.cx, half.cy) == (199.5, 149.5)


def test_halving_the_size_puts_the_first_centre_a_quarter_outside_of_the_new_one():
    # Old pixels 0 and 1 share new pixel 0, whose centre is between them: old 0 is at new -0.25.
    assert Camera(8, 8, 4, 4, cx=0, cy=1).resized(4, 4).cx == -0.25
    assert Camera(8, 8, 4, 4, cx=0, cy=1).resized(4, 4).cy == 0.25


def test_resizing_scales_each_axis_by_itself_and_keeps_the_lens():
    camera = Camera(100, 50, 80.0, 80.0, 49.5, 24.5, LENS).resized(200, 25)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (160.0, 40.0, 99.5, 12.0)
    assert camera.distortion == LENS


@given(cameras, st.integers(1, 3000), st.integers(1, 3000))
def test_resizing_there_and_back_changes_nothing(camera, width, height):
    back = camera.resized(width, height).resized(camera.width, camera.height)
    np.testing.assert_allclose(back.matrix, camera.matrix, rtol=1e-9, atol=1e-6)


def test_cropping_moves_the_principal_point_and_nothing_else():
    camera = Camera(100, 50, 80.0, 81.0, 49.5, 24.5, LENS).cropped(left=10, top=20, width=60, height=30)
    assert camera == Camera(60, 30, 80.0, 81.0, 39.5, 4.5, LENS)


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, -1, 4, 4), (97, 0, 4, 4), (0, 47, 4, 4)])
def test_cropping_beyond_the_picture_is_refused(window):
    with pytest.raises(ValueError, match="is not within 100x50 pixels"):
        Camera(100, 50, 80, 80, 49.5, 24.5).cropped(*window)


@pytest.mark.parametrize("turns", range(-5, 6))
def test_a_turned_picture_shows_each_pixel_where_the_turned_camera_has_its_principal_point(turns):
    row, column = 3, 17
    image = np.zeros((40, 60), np.uint8)
    image[row, column] = 1
    camera = Camera(60, 40, 50.0, 70.0, cx=column, cy=row).rotated(turns)
    turned = np.rot90(image, -turns)
    assert (camera.height, camera.width) == turned.shape
    assert np.argwhere(turned).tolist() == [[camera.cy, camera.cx]]
    assert (camera.fx, camera.fy) == ((70.0, 50.0) if turns % 2 else (50.0, 70.0))


def test_one_turn_clockwise_by_hand():
    # The left column becomes the top row: (u, v) goes to (H - 1 - v, u).
    turned = Camera(60, 40, 50.0, 70.0, cx=17.0, cy=3.0, distortion=(1, 2, 3, 4, 5)).rotated(1)
    assert turned == Camera(40, 60, 70.0, 50.0, cx=36.0, cy=17.0, distortion=(1, 2, 4, -3, 5))


@given(cameras)
def test_four_turns_change_nothing(camera):
    turned = camera.rotated(1).rotated(1).rotated(1).rotated(1)
    assert turned.distortion == camera.distortion
    np.testing.assert_allclose(turned.matrix, camera.matrix, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0, expected a positive number of pixels"),
        ({"height": -3}, "height is -3"),
        ({"width": True}, "width is True"),
        ({"width": 640.0}, "width is 640.0, expected a whole number of pixels"),
        ({"fx": 0}, "fx is 0.0, expected a positive focal length"),
        ({"fy": -1.0}, "fy is -1.0"),
        ({"fy": math.inf}, "fy is inf, expected a finite number"),
        ({"cx": math.nan}, "cx is nan, expected a finite number"),
        ({"cy": "mid"}, "cy is 'mid', expected a number"),
        ({"cy": None}, "cy is None, expected a number"),
        (
            {"distortion": (0, 0, 0, 0)},
            r"distortion is \(0, 0, 0, 0\), expected five numbers: k1, k2, p1, p2, k3",
        ),
        ({"distortion": None}, "distortion is None, expected five numbers"),
        ({"distortion": (0, 0, math.nan, 0, 0)}, "p1 is nan"),
    ],
)
def test_a_camera_that_cannot_be_says_why(change, message):
    good = {"width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 319.5, "cy": 239.5}
    with pytest.raises(ValueError, match=message):
        Camera(**(good | change))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[500, 0.1, 3], [0, 500, 2], [0, 0, 1]], "skew 0.1"),
        ([[500, 0, 3], [0.5, 500, 2], [0, 0, 1]], "skew 0.0 and 0.5"),
        ([[500, 0, 0], [0, 500, 0], [3, 2, 1]], "is it transposed"),
        (np.eye(4), r"matrix has shape \[4, 4\], expected \[3, 3\]"),
    ],
)
def test_a_matrix_that_is_no_intrinsic_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        Camera.from_matrix(matrix, 8, 8)


def test_four_coefficients_beside_a_matrix_are_refused_rather_than_filled_up():
    with pytest.raises(ValueError, match="expected five numbers"):
        Camera.from_matrix(np.eye(3), 8, 8, [0.1, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("fov", [0.0, -1.0, math.pi, 100.0, math.nan])
def test_a_field_of_view_in_degrees_or_of_nothing_is_refused(fov):
    with pytest.raises(ValueError, match="radians between 0 and pi"):
        Camera.from_fov(8, 8, fov)
