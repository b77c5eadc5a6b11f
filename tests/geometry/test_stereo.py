"""Disparity and depth of rectified pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.geometry.stereo import depth_of_disparity, disparity_of_depth


def test_a_point_projected_into_both_eyes_has_the_disparity_of_its_depth():
    # Eyes with f = 700, B = 0.12 m, cx 640 and 630. The point (0.3, 0, 2) lands on column 700 * 0.15 + 640 = 745 at the
    # left, and, being at x = 0.18 for the right eye, on 700 * 0.09 + 630 = 693 there: 52 = 700 * 0.12 / 2 + 10.
    assert disparity_of_depth(2.0, 700.0, 0.12, offset=10.0) == 52.0
    assert depth_of_disparity(np.array([52.0]), 700.0, 0.12, offset=10.0).tolist() == [2.0]


@given(
    depth=st.floats(0.1, 100),
    focal=st.floats(100, 2000),
    baseline=st.floats(0.02, 1),
    offset=st.floats(-20, 20),
)
def test_depth_is_had_back_from_its_disparity(depth, focal, baseline, offset):
    disparity = disparity_of_depth(np.array([depth]), focal, baseline, offset)

    found = depth_of_disparity(disparity, focal, baseline, offset)[0]

    # float32 keeps a disparity to 2^-24 of it and of the offset; depth is off by as much as the shift is, relatively.
    shift = focal * baseline / depth
    rounding = 2.0**-23 * (shift + 2 * abs(offset)) / shift
    assert abs(found / depth - 1) <= rounding + 2.0**-22


def test_no_disparity_is_no_depth():
    disparity = np.array([np.nan, 0.0, -3.0, 2.0, np.inf])

    assert depth_of_disparity(disparity, 500.0, 0.1).tolist() == [0.0, 0.0, 0.0, 25.0, 0.0]
    assert depth_of_disparity(disparity, 500.0, 0.1, offset=2.0)[3] == 0.0
