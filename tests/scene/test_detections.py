"""Boxes in a picture."""

from __future__ import annotations

import numpy as np
import pytest

from mapanything_data.scene import Detections

BOXES = np.array([[0, 0, 4, 4], [1, 2, 3, 4], [5, 5, 9, 6]], np.float32)


def detections(**changes):
    arrays = {
        "boxes": BOXES,
        "scores": [0.9, 0.5, 0.0],
        "class_ids": [1, 0, 1],
        "class_names": ("car", "bus"),
    }
    return Detections(**(arrays | changes))


def test_arrays_have_the_documented_dtypes():
    found = detections(boxes=BOXES.astype(np.float64), class_ids=np.array([1, 0, 1], np.int32), track_ids=[3, 1, 2])
    dtypes = [found.boxes.dtype, found.scores.dtype, found.class_ids.dtype, found.track_ids.dtype]
    assert dtypes == [np.float32, np.float32, np.int64, np.int64]


def test_length_is_the_number_of_boxes():
    assert len(detections()) == 3


def test_filtering_keeps_every_array_in_step():
    kept = detections(track_ids=[7, 8, 9]).filtered(np.array([True, False, True]))
    assert kept.boxes.tolist() == [[0, 0, 4, 4], [5, 5, 9, 6]]
    np.testing.assert_array_equal(kept.scores, np.array([0.9, 0.0], np.float32))
    assert kept.class_ids.tolist() == [1, 1]
    assert kept.track_ids.tolist() == [7, 9]
    assert kept.class_names == ("car", "bus")


def test_filtering_leaves_untracked_detections_untracked():
    assert detections().filtered(np.array([True, False, True])).track_ids is None


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([0, 2]), "mask has dtype int64, expected bool"),
        (np.array([True]), r"mask has shape \[1\], expected \[3\]"),
        ([True, False, True], "mask is a list"),
    ],
)
def test_filtering_by_anything_but_a_mask_is_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        detections().filtered(mask)


def test_nothing_found_is_a_value():
    nothing = Detections.empty(("car", "bus"))
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.class_names == ("car", "bus")
    assert len(nothing.filtered(np.zeros(0, bool))) == 0


def test_a_box_of_no_area_is_a_box():
    assert len(detections(boxes=np.zeros((3, 4)))) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": BOXES[:, :3]}, r"boxes has shape \[3, 3\], expected \[N, 4\]"),
        ({"boxes": BOXES[:, [2, 1, 0, 3]]}, r"boxes\[0\] is .*, expected left <= right and top <= bottom"),
        ({"boxes": BOXES[:, [0, 3, 2, 1]]}, r"boxes\[0\] is .*, expected left <= right and top <= bottom"),
        ({"boxes": np.full((3, 4), np.nan)}, "boxes has 12 values that are not finite"),
        ({"scores": [0.9, 0.5]}, r"scores has shape \[2\], expected \[3\]"),
        ({"scores": [0.9, 1.5, 0]}, r"scores\[1\] is 1.5, expected 0 to 1"),
        ({"scores": [0.9, 0.5, -0.1]}, r"scores\[2\] is -0.1"),
        ({"scores": [np.nan, 0.5, 0]}, r"scores\[0\] is nan"),
        ({"class_ids": [1.0, 0.0, 1.0]}, "class_ids has dtype float64, expected int64"),
        ({"class_ids": [1, 0, 2]}, r"class_ids\[2\] is 2, but there are 2 class_names"),
        ({"class_ids": [1, -1, 0]}, r"class_ids\[1\] is -1"),
        ({"track_ids": [1]}, r"track_ids has shape \[1\], expected \[3\]"),
    ],
)
def test_detections_that_do_not_fit_together_say_why(changes, message):
    with pytest.raises(ValueError, match=message):
        detections(**changes)
