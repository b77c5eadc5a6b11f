"""The time of each step is when its pictures were taken, and the robot's poses are brought to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from droid_data import REAL, generated

from mapanything_data.storage.droid import aligned, capture_clock, find_episodes, frame_rate, read_trajectory

SERIALS = ["11000001", "22000002", "22000003"]


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("droid"), steps=120)


@pytest.fixture(scope="module")
def trajectory(episode):
    return read_trajectory(episode.files.trajectory)


def with_clock(trajectory, serial, **changes):
    cameras = dict(trajectory.cameras)
    cameras[serial] = replace(cameras[serial], **changes)
    return replace(trajectory, cameras=cameras)


def test_the_time_of_a_step_is_the_median_of_its_pictures(trajectory):
    clock = capture_clock(trajectory)

    captures = np.sort([trajectory.cameras[serial].capture_times for serial in SERIALS], axis=0)
    assert clock.serials == tuple(SERIALS)
    assert clock.remarks == []
    assert np.array_equal(clock.times, captures[1])  # of three the second
    assert np.array_equal(clock.spread, captures[2] - captures[0])
    assert (np.diff(clock.times) > 0).all()


def test_cameras_can_be_chosen(trajectory):
    clock = capture_clock(trajectory, [SERIALS[2]])

    assert np.array_equal(clock.times, trajectory.cameras[SERIALS[2]].capture_times)
    assert not clock.spread.any()


def repeats(times):
    return np.where(np.arange(len(times)) == 40, np.roll(times, 1), times)


def test_a_picture_that_was_read_twice_is_a_step_of_its_own_a_moment_later(trajectory):
    for serial in SERIALS:
        spoilt = repeats(trajectory.cameras[serial].capture_times)
        trajectory = with_clock(trajectory, serial, capture_times=spoilt)

    clock = capture_clock(trajectory)

    assert clock.serials == tuple(SERIALS)
    assert clock.remarks == ["1 steps show the pictures of the step before"]
    assert 0 < clock.times[40] - clock.times[39] < 2e-6
    assert (np.diff(clock.times) > 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda times: np.full_like(times, times[50]), "stands still"),
        (lambda times: times[::-1].copy(), "goes back at 119 steps"),
        (lambda times: np.where(times > times[50], np.nan, times), "69 of its times are not finite"),
        (lambda times: times + 7200, "is up to 7.2e+03 s away from the robot's"),
        (lambda times: None, "has no times of capture"),
    ],
)
def test_a_camera_with_a_bad_clock_is_left_out(trajectory, spoil, message):
    times = spoil(trajectory.cameras[SERIALS[0]].capture_times)

    clock = capture_clock(with_clock(trajectory, SERIALS[0], capture_times=times))

    assert clock.serials == tuple(SERIALS[1:])
    assert message in clock.remarks[0]
    assert np.array_equal(clock.times, capture_clock(trajectory, SERIALS[1:]).times)


def test_a_camera_with_a_problem_is_left_out(trajectory):
    clock = capture_clock(with_clock(trajectory, SERIALS[1], problem="it has no extrinsics"))

    assert clock.serials == (SERIALS[0], SERIALS[2])
    assert "it has no extrinsics" in clock.remarks[0]


def test_without_any_clock_of_a_camera_the_states_stand_for_it(trajectory):
    for serial in SERIALS:
        trajectory = with_clock(trajectory, serial, capture_times=None)

    clock = capture_clock(trajectory)

    assert clock.serials == ()
    assert np.array_equal(clock.times, trajectory.state_times)
    assert "the robot's states stand for them" in clock.remarks[-1]
    assert aligned(trajectory, "capture").held == 0


def test_poses_are_those_of_the_moment_of_the_picture(episode, trajectory):
    robot = aligned(trajectory, "capture")

    truth = episode.motion.T_world_flange(robot.timestamps)
    error = np.linalg.norm(robot.T_world_flange[1:, :3, 3] - truth[1:, :3, 3], axis=1)
    unaligned = np.linalg.norm(trajectory.T_world_flange[1:, :3, 3] - truth[1:, :3, 3], axis=1)
    # Between two states the arm speeds up by some m/s^2; an error of a t^2 / 8 is left, t = 0.071 s.
    assert error.max() < 0.002
    assert unaligned.max() > 0.02
    assert np.abs(robot.gripper[1:] - episode.motion.gripper(robot.timestamps)[1:]).max() < 0.05


def test_what_lies_outside_of_the_states_holds_their_ends_and_is_counted(trajectory):
    # The first picture was taken before the first state.
    robot = aligned(trajectory, "capture")
    assert robot.held == 1
    assert np.allclose(robot.T_world_flange[0], trajectory.T_world_flange[0])
    assert robot.gripper[0] == trajectory.gripper_position[0]

    # Half a second later, the last seven pictures at 14 Hz lie behind the last state.
    later = replace(capture_clock(trajectory), times=trajectory.state_times + 0.46)
    robot = aligned(trajectory, "capture", later)
    assert robot.held == 7
    assert np.allclose(robot.T_world_flange[-7:], trajectory.T_world_flange[-1])
    assert np.array_equal(robot.timestamps, later.times)


def test_aligned_with_the_states_nothing_changes(trajectory):
    robot = aligned(trajectory, "state")

    assert np.array_equal(robot.timestamps, trajectory.state_times)
    assert np.array_equal(robot.T_world_flange, trajectory.T_world_flange)
    assert np.array_equal(robot.gripper, trajectory.gripper_position)
    assert robot.held == 0


def test_the_frame_rate_is_that_of_the_loop_also_over_a_pause(trajectory):
    paused = trajectory.state_times + np.where(np.arange(120) > 60, 30.0, 0.0)

    assert frame_rate(trajectory) == pytest.approx(1 / 0.071, rel=0.02)
    assert frame_rate(replace(trajectory, state_times=paused)) == pytest.approx(frame_rate(trajectory), rel=0.01)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real episode is not there")
def test_the_real_episode_has_the_measured_clocks():
    (episode,) = find_episodes(REAL).episodes
    trajectory = read_trajectory(episode.trajectory)
    clock = capture_clock(trajectory)

    skew = trajectory.state_times - clock.times
    assert len(trajectory) == 226
    assert trajectory.remarks == clock.remarks == []
    assert trajectory.stale_serials == ["19824535", "23404442", "26405488", "29838012"]
    assert [camera.kind for camera in trajectory.cameras.values()] == ["wrist", "external", "external"]
    assert np.median(skew) == pytest.approx(0.056, abs=0.002)
    assert clock.spread.max() == pytest.approx(0.018, abs=1e-6)
    assert frame_rate(trajectory) == pytest.approx(14.09, abs=0.01)
    assert aligned(trajectory, "capture").held == 1
