"""Recordings of a robot."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mapanything_data.scene import Camera, Episode

T = 4
CAMERA = Camera(width=6, height=4, fx=5, fy=5, cx=2.5, cy=1.5)


def stack():
    poses = np.tile(np.eye(4), (T, 1, 1))
    poses[:, 0, 3] = np.arange(T)
    return poses


def episode(**changes):
    values = {
        "name": "LAB+collector+2023-08-12-16h-26m-07s",
        "timestamps": np.arange(T) / 15,
        "cameras": {"wrist": CAMERA, "side": CAMERA},
        "T_world_camera": {"wrist": stack(), "side": np.eye(4)},
    }
    return Episode(**(values | changes))


def test_length_is_the_number_of_control_steps():
    assert len(episode()) == T


def test_a_camera_stands_still_or_moves_with_the_robot():
    poses = episode().T_world_camera
    assert poses["side"].shape == (4, 4)
    assert poses["wrist"].shape == (T, 4, 4)


def test_what_a_robot_without_a_gripper_lacks_is_none():
    bare = episode()
    assert (bare.T_world_flange, bare.gripper_position, bare.movement_enabled) == (None, None, None)
    assert bare.capture_times == {}


def test_a_camera_may_have_fewer_pictures_than_there_are_steps_and_repeat_one():
    times = episode(capture_times={"side": [0.0, 0.1, 0.1]}).capture_times["side"]
    assert times.tolist() == [0.0, 0.1, 0.1]


def test_gripper_and_idle_flags_are_kept():
    full = episode(T_world_flange=stack(), gripper_position=[0, 0.5, 1, 1], movement_enabled=[True, True, False, True])
    assert full.T_world_flange.shape == (T, 4, 4)
    assert full.gripper_position.dtype == np.float64
    assert full.movement_enabled.dtype == np.bool_


def test_an_episode_crosses_process_borders():
    copy = pickle.loads(pickle.dumps(episode(capture_times={"side": [0.0]})))
    assert copy.cameras == episode().cameras
    np.testing.assert_array_equal(copy.T_world_camera["wrist"], stack())


def test_a_change_of_the_mapping_it_came_from_does_not_reach_it():
    cameras = {"wrist": CAMERA, "side": CAMERA}
    made = episode(cameras=cameras)
    cameras.clear()
    assert sorted(made.cameras) == ["side", "wrist"]


def mirrored_at(step):
    poses = stack()
    poses[step, 0, 0] = -1
    return poses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamps": [0, 2, 1, 3]}, r"timestamps\[2\] = 1.0 follows 2.0"),
        ({"T_world_camera": {"top": np.eye(4)}}, r"T_world_camera names \['top'\], but the cameras are"),
        ({"capture_times": {"top": [0.0]}}, r"capture_times names \['top'\]"),
        ({"capture_times": {"side": [0.2, 0.1]}}, r"capture_times\['side'\] goes backwards in time"),
        ({"capture_times": {"side": [np.nan]}}, r"capture_times\['side'\] has 1 values that are not finite"),
        ({"T_world_camera": {"side": stack()[:3]}}, r"T_world_camera\['side'\] has shape \[3, 4, 4\]"),
        ({"T_world_camera": {"side": np.eye(3)}}, r"T_world_camera\['side'\] has shape \[3, 3\]"),
        ({"T_world_camera": {"wrist": mirrored_at(2)}}, r"T_world_camera\['wrist'\]\[2\] has mirrored axes"),
        ({"T_world_flange": mirrored_at(1)}, r"T_world_flange\[1\] has mirrored axes"),
        ({"T_world_flange": np.eye(4)}, r"T_world_flange has shape \[4, 4\], expected \[4, 4, 4\]"),
        ({"gripper_position": [0, 0, 0]}, r"gripper_position has shape \[3\], expected \[4\]"),
        ({"gripper_position": [0, 0, 0, 85]}, "gripper_position goes from 0.0 to 85.0"),
        ({"gripper_position": [0, 0, 0, np.nan]}, "gripper_position has 1 values that are not finite"),
        ({"movement_enabled": [1, 1, 0, 1]}, "movement_enabled has dtype int64, expected bool"),
    ],
)
def test_an_episode_that_does_not_fit_together_says_why(changes, message):
    with pytest.raises(ValueError, match=message):
        episode(**changes)
