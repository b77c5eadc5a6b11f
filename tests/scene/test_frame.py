"""What a frame and a view accept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapanything_data.scene import Camera, Frame, Pose, View

CAMERA = Camera(width=6, height=4, fx=5, fy=5, cx=2.5, cy=1.5)
IMAGE = np.zeros((4, 6, 3), np.uint8)


def view(**changes):
    return View(**{"image": IMAGE, "camera": CAMERA, "timestamp": 0.5} | changes)


def test_a_frame_keeps_the_image_it_is_given():
    assert Frame(IMAGE, timestamp=0.0, source_frame=0, camera=CAMERA).image is IMAGE


def test_a_frame_needs_no_camera():
    assert Frame(IMAGE, 1.5, 30).camera is None


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 6), np.uint8), r"image has shape \[4, 6\], expected \[H, W, 3\]"),
        (np.zeros((4, 6, 4), np.uint8), r"shape \[4, 6, 4\]"),
        (np.zeros((4, 6, 3), np.float32), "dtype float32, expected uint8"),
        ([[[0, 0, 0]]], "image is a list, expected a NumPy array"),
    ],
)
def test_an_image_that_is_not_rgb_bytes_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        Frame(image, 0.0, 0)


def test_an_image_of_another_size_than_the_camera_is_refused():
    turned = IMAGE.transpose(1, 0, 2)
    message = r"image has shape \[6, 4, 3\], expected \[4, 6, 3\]"
    with pytest.raises(ValueError, match=message):
        Frame(turned, 0.0, 0, CAMERA)
    with pytest.raises(ValueError, match=message):
        view(image=turned)


def test_a_frame_before_the_first_is_refused():
    with pytest.raises(ValueError, match="source_frame is -1"):
        Frame(IMAGE, 0.0, -1)


@pytest.mark.parametrize("timestamp", [math.nan, math.inf])
def test_a_time_stamp_that_is_no_time_is_refused(timestamp):
    with pytest.raises(ValueError, match="expected seconds"):
        Frame(IMAGE, timestamp, 0)
    with pytest.raises(ValueError, match="expected seconds"):
        view(timestamp=timestamp)


def test_a_view_needs_neither_pose_nor_depth():
    assert (view().T_world_camera, view().depth) == (None, None)


def test_a_view_carries_pose_and_depth():
    depth = np.full((4, 6), 2.0, np.float32)
    depth[0, 0] = 0.0  # invalid
    seen = view(T_world_camera=Pose.identity(), depth=depth)
    assert seen.depth is depth
    assert seen.T_world_camera == Pose.identity()


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (np.zeros((4, 6), np.uint16), "depth has dtype uint16, expected float32"),
        (np.zeros((4, 6), np.float64), "depth has dtype float64"),
        (np.zeros((4, 6, 1), np.float32), r"shape \[4, 6, 1\], expected \[4, 6\]"),
        (np.zeros((6, 4), np.float32), r"shape \[6, 4\], expected \[4, 6\]"),
        (np.full((4, 6), np.nan, np.float32), r"24 values that are not finite, the first at \[0, 0\]"),
        (np.full((4, 6), np.inf, np.float32), "not finite"),
        (np.full((4, 6), -1, np.float32), "down to -1.0 m; expected 0 where there is none"),
    ],
)
def test_a_depth_that_is_not_metres_with_0_for_invalid_is_refused(depth, message):
    with pytest.raises(ValueError, match=message):
        view(depth=depth)
