"""The synthetic drive."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.sim.clip import PATCHES, Drive, patch_boxes, read_frame_number, write_clip


@settings(max_examples=25, deadline=None)
@given(st.integers(64, 300), st.integers(48, 200), st.integers(0, 65535))
def test_a_picture_of_any_size_carries_its_number(width, height, number):
    assert read_frame_number(Drive(width, height).draw(number, 0.3)) == number


def test_the_number_survives_strong_compression_and_scaling():
    image = Drive(320, 240).draw(0b1010_1100_0101_0011, 1.0)
    _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 10])
    assert read_frame_number(cv2.imdecode(packed, cv2.IMREAD_COLOR)) == 0b1010_1100_0101_0011
    assert read_frame_number(cv2.resize(image, (160, 90), interpolation=cv2.INTER_AREA)) == 0b1010_1100_0101_0011


def test_a_picture_of_something_else_is_refused():
    with pytest.raises(ValueError, match="cannot be read"):
        read_frame_number(np.full((96, 160, 3), 128, np.uint8))


def test_the_chart_shows_the_known_colours():
    image = Drive(320, 240).draw(5, 0.25)
    for name, (left, top, right, bottom) in patch_boxes(320, 240).items():
        assert (image[top:bottom, left:right] == PATCHES[name]).all()


def test_a_seed_always_draws_the_same_drive_and_another_seed_another():
    assert np.array_equal(Drive(160, 96, seed=3).draw(7, 0.5), Drive(160, 96, seed=3).draw(7, 0.5))
    assert not np.array_equal(Drive(160, 96, seed=3).draw(7, 0.5), Drive(160, 96, seed=0).draw(7, 0.5))


def test_the_scene_moves():
    drive = Drive(160, 96)
    ground = slice(50, 88)
    changed = drive.draw(0, 0.0)[ground] != drive.draw(0, 0.1)[ground]
    assert changed.mean() > 0.2


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="64x48"):
        Drive(40, 40)


def test_a_clip_needs_a_time_for_each_frame(tmp_path):
    with pytest.raises(ValueError, match="5 frames need 5 timestamps, found 2"):
        write_clip(tmp_path / "x.mp4", frames=5, timestamps=[0, 1])
