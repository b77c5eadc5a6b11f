"""Points followed over time."""

from __future__ import annotations

import numpy as np
import pytest

from mapanything_data.scene import Tracks

T, N = 4, 3


def tracks(**changes):
    arrays = {"points": np.ones((T, N, 3)), "valid": np.ones((T, N), bool), "timestamps": np.arange(T) / 10}
    return Tracks(**(arrays | changes))


def test_points_become_float64():
    assert tracks(points=np.ones((T, N, 3), np.float32)).points.dtype == np.float64


def test_a_point_that_is_not_valid_may_be_nan():
    points, valid = np.ones((T, N, 3)), np.ones((T, N), bool)
    points[2, 1], valid[2, 1] = np.nan, False
    assert np.isnan(tracks(points=points, valid=valid).points[2, 1]).all()


def test_a_valid_point_that_is_nan_is_refused_with_its_place():
    points = np.ones((T, N, 3))
    points[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"1 points are valid but not finite, the first at \[2, 1\]"):
        tracks(points=points)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": np.ones((T + 1, N, 3))}, r"points has shape \[5, 3, 3\], expected \[4, N, 3\]"),
        ({"points": np.ones((T, N, 2))}, r"points has shape \[4, 3, 2\]"),
        ({"valid": np.ones((T, N + 1), bool)}, r"valid has shape \[4, 4\], expected \[4, 3\]"),
        ({"valid": np.ones((T, N), np.uint8)}, "valid has dtype uint8, expected bool"),
        (
            {"timestamps": [0.0, 0.1, 0.1, 0.2]},
            r"must increase strictly, but timestamps\[2\] = 0.1 follows 0.1",
        ),
        ({"timestamps": [0.0, 0.1, np.nan, 0.2]}, r"not finite, the first at \[2\]"),
    ],
)
def test_tracks_that_do_not_fit_together_say_why(changes, message):
    with pytest.raises(ValueError, match=message):
        tracks(**changes)
