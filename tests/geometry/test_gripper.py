"""The pads of the 2F-85 against its linkage, and the points on their faces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from mapanything_data.geometry.gripper import mount, pad_translations, sample_pad_points

apertures = st.floats(0, 1)
seeds = st.integers(0, 2**64)
FACE_X = float(np.float32(0.0078))


def test_the_faces_are_85_mm_apart_when_open_and_touch_when_closed():
    for closed, width in ((0.0, 0.085), (0.5, 0.0425), (1.0, 0.0)):
        left, right = pad_translations(closed)
        assert (left[0] - FACE_X) - (right[0] + FACE_X) == pytest.approx(width, abs=1e-15)
    assert pad_translations(1.0)[0, 0] - FACE_X == 0.0


@given(apertures)
def test_pads_stand_where_the_linkage_holds_them(closed):
    # The URDF: the finger hangs 34.59 mm across and 45.5 mm along from the knuckle's joint, which turns by theta.
    def x(theta):
        return 0.0127 + 0.03459 * math.cos(theta) - 0.04550 * math.sin(theta)

    def z(theta):
        return 0.0693 + 0.03459 * math.sin(theta) + 0.04550 * math.cos(theta)

    theta = brentq(lambda theta: x(theta) - FACE_X - 0.0425 * (1 - closed), -0.2, 0.9, xtol=1e-14)
    left, right = pad_translations(closed)
    np.testing.assert_allclose(left, [x(theta), 0, z(theta)], atol=1e-12)
    np.testing.assert_allclose(right, left * [-1, 1, 1])


def test_the_linkage_s_joint_is_at_0_and_at_0_736_where_the_facts_have_it():
    # At 0 the gap is 2 * (12.7 + 34.59 - 7.8) = 78.98 mm and z is 69.3 + 45.5 mm; at 0.736 the pads meet.
    np.testing.assert_allclose(pad_translations(1 - 0.07898 / 0.085)[0], [0.04729, 0, 0.1148], atol=1e-7)
    expected = 0.0693 + 0.03459 * math.sin(0.736) + 0.04550 * math.cos(0.736)
    assert pad_translations(1.0)[0, 2] == pytest.approx(expected, abs=1e-5)


def test_pads_come_13_9_mm_further_out_while_they_close():
    # sqrt(A^2 + B^2 - c^2), A^2 + B^2 = 3266.7 mm^2, with c = 37.6 mm open and -4.9 mm closed: 43.05 and 56.94 mm.
    advance = pad_translations(1.0)[0, 2] - pad_translations(0.0)[0, 2]
    assert advance == pytest.approx(0.05694 - 0.04305, abs=2e-5)


def test_apertures_may_have_any_axes():
    assert pad_translations(np.zeros((4, 5))).shape == (4, 5, 2, 3)
    np.testing.assert_array_equal(pad_translations([0.2, 0.7])[1], pad_translations(0.7))


@given(st.integers(1, 600), seeds)
def test_all_points_lie_on_the_inner_faces_and_meet_when_the_gripper_closes(count, seed):
    points = sample_pad_points(count, seed)
    assert points.shape == (2, count, 3)
    assert points.dtype == np.float64
    assert (points[0, :, 0] == -FACE_X).all()
    assert (np.abs(points[..., 1]) <= 0.011 + 1e-9).all()
    assert (points[..., 2] >= 0.007 - 1e-9).all()
    assert (points[..., 2] <= 0.044 + 1e-9).all()
    left, right = points + pad_translations(1.0)[:, None]
    np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(points, points.astype(np.float32))


def test_points_are_these_on_every_machine():
    # The first raw numbers of Philox with seed 0, as shares of 2^64, and from there steps of 1 / p and 1 / p^2 around
    # the circle, p = 1.32471795724...
    start = np.array([int(raw) for raw in np.random.Philox(0).random_raw(2)], dtype=object)
    assert start.tolist() == [259491006799949737, 4754966410622352325]
    shares = np.array([float(raw) / 2.0**64 for raw in start])
    for index, (_, y, z) in enumerate(sample_pad_points(3, 0)[0]):
        share = (shares + index * np.array([0.7548776662466927, 0.5698402909980532])) % 1
        assert y == pytest.approx(-0.011 + 0.022 * share[0], abs=2e-9)
        assert z == pytest.approx(0.007 + 0.037 * share[1], abs=4e-9)


@given(seeds)
def test_a_smaller_set_is_the_beginning_of_a_larger_one(seed):
    np.testing.assert_array_equal(sample_pad_points(7, seed), sample_pad_points(50, seed)[:, :7])


def test_other_seeds_give_other_points():
    assert not np.intersect1d(sample_pad_points(480, 0)[0, :, 1], sample_pad_points(480, 1)[0, :, 1]).size > 24


@given(seeds)
def test_points_are_spread_evenly(seed):
    # 480 points on 8 x 8 cells of equal size are 7.5 in each: random ones leave cells with 1 and with 17 of them.
    _, y, z = sample_pad_points(480, seed)[0].T
    counts, _, _ = np.histogram2d(y, z, bins=8, range=[(-0.0110001, 0.0110001), (0.0069999, 0.0440001)])
    assert counts.min() >= 4
    assert counts.max() <= 12


def test_no_points_and_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="points_per_finger is 0"):
        sample_pad_points(0, 0)
    with pytest.raises(ValueError, match="seed is -1"):
        sample_pad_points(4, -1)


def test_the_gripper_is_bolted_on_with_a_quarter_turn():
    # The gripper's x, along which it closes, is the flange's y.
    np.testing.assert_allclose(mount() @ [1, 0, 0, 1], [0, 1, 0, 1], atol=1e-15)
    np.testing.assert_allclose(mount(0.014, 0.0) @ [1, 2, 3, 1], [1, 2, 3.014, 1])
