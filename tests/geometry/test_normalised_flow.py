"""Samples along the way: where they are, what counts as way, and how frames find them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from contact_motions import random_motion, rigid, straight_motion
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation, Slerp

from mapanything_data.errors import ConfigError
from mapanything_data.geometry.contact_tracks import contact_tracks
from mapanything_data.geometry.normalised_flow import counted_steps, normalised_flow, require_samples_fit
from mapanything_data.scene import ContactMotion

seeds = st.integers(0, 2**32 - 1)
step_sizes = st.floats(0.3, 30)


def counted(motion, enabled=None, **policy):
    enabled = np.ones(len(motion), bool) if enabled is None else np.array(enabled)
    return counted_steps(
        motion.T_world_flange, motion.gripper_positions, motion.pad_points, motion.T_flange_gripper, enabled, **policy
    ).tolist()


def x_mm(flow):
    """How far samples of a straight motion along x are from its first frame, if that is where the first sample is."""
    return 1000 * (flow.tracks.contact_centroids[:, 0] - flow.tracks.contact_centroids[0, 0])


def test_samples_are_at_exact_multiples_and_at_the_end():
    flow = normalised_flow(straight_motion([4.0, 3.0, 1.25]))  # 8.25 mm
    np.testing.assert_allclose(x_mm(flow), [0, 1, 2, 3, 4, 5, 6, 7, 8, 8.25], atol=1e-9)
    np.testing.assert_allclose(flow.cumulative_distance_mm, [0, 4, 7, 8.25])
    assert flow.frame_to_normalized_idx.tolist() == [0, 4, 7, 9]
    assert flow.step_mm == 1.0
    assert flow.last_step_mm == pytest.approx(0.25)


def test_a_way_of_whole_steps_ends_with_a_whole_step():
    flow = normalised_flow(straight_motion([0.1] * 20))  # 2 mm and 1e-15, the rounding of 20 sums
    np.testing.assert_allclose(x_mm(flow), [0, 1, 2], atol=1e-6)
    assert flow.last_step_mm == 1.0


def test_of_two_equally_near_samples_a_frame_takes_the_first():
    # Half metres and a gripper mounted without a turn, all of which floats hold exactly.
    T_world_flange = rigid(Rotation.identity(4), np.arange(4)[:, None] * [0.5, 0.0, 0.0])
    motion = straight_motion([500.0] * 3, step_mm=1000.0, T_world_flange=T_world_flange, T_flange_gripper=np.eye(4))
    flow = normalised_flow(motion)
    assert flow.cumulative_distance_mm.tolist() == [0, 500, 1000, 1500]
    assert flow.last_step_mm == 500  # samples at 0, 1000 and 1500
    assert flow.frame_to_normalized_idx.tolist() == [0, 0, 1, 2]


def test_a_gripper_that_never_moves_has_two_samples():
    for motion in (
        straight_motion([]),
        straight_motion([0.0, 0.0]),
        straight_motion([5.0], is_counted=np.zeros(2, bool)),
    ):
        flow = normalised_flow(motion)
        assert len(flow.tracks.tracks_3d) == 2
        assert flow.last_step_mm == 0.0
        assert flow.frame_to_normalized_idx.tolist() == [0] * len(motion)


def test_a_way_shorter_than_a_step_has_its_beginning_and_its_end():
    flow = normalised_flow(straight_motion([0.3, 0.4]))
    np.testing.assert_allclose(x_mm(flow), [0, 0.7], atol=1e-9)
    assert flow.last_step_mm == pytest.approx(0.7)


def test_a_sample_in_a_pause_shows_its_end():
    # 2 mm, then 5 mm that do not count, then 2 mm: the sample at 2 mm of the way is at 7 mm of the world.
    flow = normalised_flow(straight_motion([2.0, 5.0, 2.0], is_counted=np.array([False, True, False, True])))
    np.testing.assert_allclose(flow.cumulative_distance_mm, [0, 2, 2, 4])
    np.testing.assert_allclose(x_mm(flow), [0, 1, 7, 8, 9], atol=1e-6)
    assert flow.frame_to_normalized_idx.tolist() == [0, 2, 2, 4]


def test_steps_of_less_than_idle_mm_do_not_count():
    motion = straight_motion([0.02, 0.25, 0.09, 0.11])
    assert counted(motion) == [False, False, True, False, True]
    assert counted(motion, idle_mm=0.0) == [False, True, True, True, True]
    assert counted(motion, idle_mm=0.2) == [False, False, True, False, False]


def test_what_moves_after_a_frame_in_which_movement_was_disabled_does_not_count():
    # The flag of a frame is what the operator held when the command for the step after it was given.
    motion, enabled = straight_motion([3.0, 3.0, 3.0]), [True, False, True, False]
    assert counted(motion, enabled) == [False, True, False, True]
    assert counted(motion, enabled, count_disabled=True) == [False, True, True, True]


def test_closing_counts_as_way_unless_told_otherwise():
    # In the first step only the fingers close, in the second the arm moves too, in the third nothing moves.
    motion = straight_motion([0.0, 5.0, 0.0], gripper_positions=np.array([0.0, 0.5, 1.0, 1.0]))
    assert counted(motion) == [False, True, True, False]
    assert counted(motion, count_gripper=False) == [False, False, True, False]
    closing = straight_motion([0.0], gripper_positions=np.array([0.0, 1.0]))
    assert normalised_flow(closing).cumulative_distance_mm[1] == pytest.approx(13.89, abs=0.02)


def test_a_motion_of_no_step_counts_nothing_and_has_no_flow():
    motion = straight_motion([1.0])
    nothing = counted_steps(
        motion.T_world_flange[:0], np.zeros(0), motion.pad_points, motion.T_flange_gripper, np.zeros(0, bool)
    )
    assert nothing.tolist() == []
    empty = straight_motion([])
    fields = {name: getattr(empty, name) for name in ContactMotion.__dataclass_fields__}
    for name in ("timestamps", "T_world_flange", "gripper_positions", "cartesian_positions", "is_counted"):
        fields[name] = fields[name][:0]
    with pytest.raises(ValueError, match="the motion has no steps"):
        normalised_flow(ContactMotion(**fields))


@given(seeds, step_sizes)
def test_both_maps_never_go_back_and_reach_from_end_to_end(seed, step_mm):
    motion = random_motion(seed, step_mm=step_mm)
    flow = normalised_flow(motion)
    assert flow.cumulative_distance_mm[0] == 0
    assert (np.diff(flow.cumulative_distance_mm) >= 0).all()
    assert (np.diff(flow.frame_to_normalized_idx) >= 0).all()
    assert flow.frame_to_normalized_idx[0] == 0
    if flow.cumulative_distance_mm[-1] > 0:
        assert flow.frame_to_normalized_idx[-1] == len(flow.tracks.tracks_3d) - 1


@settings(max_examples=30, deadline=None)
@given(seeds, step_sizes)
def test_the_way_and_its_samples_are_as_a_loop_finds_them(seed, step_mm):
    motion = random_motion(seed, step_mm=step_mm)
    flow, centroids = normalised_flow(motion), contact_tracks(motion).contact_centroids
    way = [0.0]
    for step in range(1, len(motion)):
        length = 1000 * np.linalg.norm(centroids[step] - centroids[step - 1])
        way.append(way[-1] + (length if motion.is_counted[step] else 0.0))
    np.testing.assert_allclose(flow.cumulative_distance_mm, way, atol=1e-9)
    places = [min(index * step_mm, way[-1]) for index in range(len(flow.tracks.tracks_3d))]
    assert places[-1] == pytest.approx(way[-1], abs=1e-5 * step_mm)
    assert flow.last_step_mm == pytest.approx(places[-1] - places[-2], abs=1e-5 * step_mm)
    for frame, sample in enumerate(flow.frame_to_normalized_idx):
        distances = np.abs(np.array(places) - way[frame])
        assert distances[sample] <= distances.min() + 1e-6
    for place, centroid in zip(places, flow.tracks.contact_centroids, strict=True):
        after = next((i for i in range(len(way)) if way[i] > place + 1e-7), None)
        if after is None:
            continue
        share = (place - way[after - 1]) / (way[after] - way[after - 1])
        expected = (1 - share) * centroids[after - 1] + share * centroids[after]
        np.testing.assert_allclose(centroid, expected, atol=1e-8)


@given(seeds)
def test_samples_within_a_step_of_the_arm_are_equally_far_apart(seed):
    motion = random_motion(seed, steps=2, is_counted=np.array([False, True]), step_mm=0.5)
    flow = normalised_flow(motion)
    gaps = 1000 * np.linalg.norm(np.diff(flow.tracks.contact_centroids, axis=0), axis=1)
    np.testing.assert_allclose(gaps[:-1], 0.5, atol=1e-9)
    assert gaps[-1] == pytest.approx(flow.last_step_mm, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_points_stay_rigid_on_their_pads_between_frames(seed):
    motion = random_motion(seed, step_mm=3.0)
    for tracks in normalised_flow(motion).tracks.tracks_3d.astype(np.float64):
        for pad, points in zip(tracks.reshape(2, -1, 3), motion.pad_points, strict=True):
            np.testing.assert_allclose(pdist(pad), pdist(points), atol=2e-7)


@given(seeds)
def test_the_gripper_turns_as_scipys_slerp_and_closes_evenly(seed):
    motion = random_motion(seed, steps=2, is_counted=np.array([False, True]), step_mm=0.5)
    flow = normalised_flow(motion)
    length = flow.cumulative_distance_mm[-1]
    shares = np.minimum(np.arange(len(flow.tracks.tracks_3d)) * 0.5 / length, 1.0)
    turns = Slerp([0, 1], Rotation.from_matrix(contact_tracks(motion).contact_frames[:, :3, :3]))(shares)
    np.testing.assert_allclose(flow.tracks.contact_frames[:, :3, :3], turns.as_matrix(), atol=1e-6)
    left, right = flow.tracks.left_contact_frames[:, :3, 3], flow.tracks.right_contact_frames[:, :3, 3]
    apertures = (1 - shares) * motion.gripper_positions[0] + shares * motion.gripper_positions[1]
    np.testing.assert_allclose(np.linalg.norm(left - right, axis=1), 0.085 * (1 - apertures), atol=1e-6)


def test_the_first_sample_is_the_first_frame_where_the_way_begins_at_once():
    motion = random_motion(5, is_counted=np.arange(12) > 0)
    flow, tracks = normalised_flow(motion), contact_tracks(motion)
    np.testing.assert_allclose(flow.tracks.tracks_3d[0], tracks.tracks_3d[0], atol=1e-7)
    np.testing.assert_allclose(flow.tracks.tracks_3d[-1], tracks.tracks_3d[-1], atol=1e-7)


def test_a_straight_way_that_is_sampled_again_stays_as_it_is():
    flow = normalised_flow(straight_motion([4.0, 3.0, 1.25, 0.5]))
    again = normalised_flow(straight_motion(np.diff(x_mm(flow)).tolist()))
    np.testing.assert_allclose(x_mm(again), x_mm(flow), atol=1e-6)
    assert again.last_step_mm == pytest.approx(flow.last_step_mm)


@pytest.mark.parametrize("check", [normalised_flow, require_samples_fit])
def test_a_step_that_makes_more_samples_than_fit_is_refused_at_once(check):
    start = time.monotonic()
    with pytest.raises(ConfigError, match="step_mm: 1e-06 makes 3e"):
        check(straight_motion([300.0], step_mm=1e-6))
    with pytest.raises(ConfigError, match="step_mm"):
        check(straight_motion([300.0], step_mm=5e-324))
    assert time.monotonic() - start < 1
