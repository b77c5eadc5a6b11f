"""What trajectory.h5 says: read fast, checked, and told in words where it is wrong."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from droid_data import generated, spoilt
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.errors import DataError
from mapanything_data.geometry.euler import euler_from_transforms, transforms_from_euler
from mapanything_data.sim.droid import USER
from mapanything_data.storage.droid import read_trajectory

STATE, CLOCK = "observation/robot_state", "observation/timestamp/robot_state"
WRIST, EXTERNAL = "11000001", "22000002"
EXTRINSICS = "observation/camera_extrinsics"
STEPS = 30


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    return generated(tmp_path_factory.mktemp("droid"))


@pytest.fixture
def change(episode, tmp_path):
    """A reader of the episode with data sets (paths with `__` for `/`) replaced or left out."""

    def read(**changes):
        return read_trajectory(spoilt(episode.files.trajectory, tmp_path / "trajectory.h5", **changes))

    return read


def recorded(episode, key):
    with h5py.File(episode.files.trajectory) as file:
        return file[key][()]


def path(*parts):
    return "/".join(parts).replace("/", "__")


def test_a_sound_file_is_read_without_remarks(episode):
    trajectory = read_trajectory(episode.files.trajectory)

    assert len(trajectory) == STEPS
    assert trajectory.remarks == []
    assert np.allclose(trajectory.T_world_flange, episode.motion.T_world_flange(episode.clocks.states), atol=1e-4)
    assert np.abs(trajectory.state_times - episode.clocks.states).max() < 1e-6
    assert np.array_equal(trajectory.gripper_position, episode.motion.gripper(episode.clocks.states))
    assert 0 < (~trajectory.movement_enabled).sum() < STEPS / 3
    assert list(trajectory.cameras) == ["11000001", "22000002", "22000003"]
    assert trajectory.stale_serials == ["33000004", "33000005"]
    assert trajectory.cameras[WRIST].matrices == {}
    assert USER not in repr(trajectory)


def test_cameras_have_the_poses_that_they_were_given(episode):
    trajectory = read_trajectory(episode.files.trajectory)

    for rig in episode.cameras:
        camera = trajectory.cameras[rig.serial]
        T_world_camera = rig.T_world_eye(trajectory.T_world_flange)
        right = np.linalg.inv(camera.T_world_camera) @ camera.T_world_right
        assert (camera.kind, camera.problem) == (rig.kind, "")
        assert np.allclose(camera.T_world_camera, T_world_camera, atol=1e-9)
        assert np.allclose(right[:, :3, 3], [rig.baseline + 0.0015, 0, 0], atol=1e-9)
        assert np.abs(camera.capture_times - episode.clocks.captures[rig.serial]).max() < 0.00051  # whole ms
    assert np.allclose(trajectory.cameras[WRIST].T_flange_camera, episode.cameras[0].T_parent_camera)
    assert trajectory.cameras[EXTERNAL].T_flange_camera is None


def test_newer_files_tell_intrinsics(tmp_path):
    episode = generated(tmp_path, has_intrinsics=True)

    cameras = read_trajectory(episode.files.trajectory).cameras

    for rig in episode.cameras:
        assert np.array_equal(cameras[rig.serial].matrices["left"], rig.camera.matrix)
        assert set(cameras[rig.serial].matrices) == {"left", "right"}


# Clocks of the robot


def test_a_robot_on_another_clock_gets_the_time_of_the_computer(change, episode):
    seconds = recorded(episode, f"{CLOCK}/robot_timestamp_seconds") - 3600

    trajectory = change(**{path(CLOCK, "robot_timestamp_seconds"): seconds})

    middle = (recorded(episode, f"{CLOCK}/read_start") + recorded(episode, f"{CLOCK}/read_end")) / 2000
    assert np.array_equal(trajectory.state_times, middle)
    assert "the robot's clock is up to 3.6e+03 s away" in trajectory.remarks[0]


@pytest.mark.parametrize("step", [0, 20])
def test_robot_time_stamps_that_repeat_are_not_used(change, episode, step):
    seconds, nanos = (recorded(episode, f"{CLOCK}/robot_timestamp_{unit}") for unit in ("seconds", "nanos"))
    seconds[step + 1], nanos[step + 1] = seconds[step], nanos[step]

    trajectory = change(
        **{path(CLOCK, "robot_timestamp_seconds"): seconds, path(CLOCK, "robot_timestamp_nanos"): nanos}
    )

    assert (np.diff(trajectory.state_times) > 0).all()
    assert "robot_timestamp does not increase" in trajectory.remarks[0]


@pytest.mark.parametrize("lost", [["robot_timestamp_nanos"], ["read_start"]])
def test_one_of_two_clocks_will_do(change, episode, lost):
    trajectory = change(without=[f"{CLOCK}/{name}" for name in lost])

    assert np.abs(trajectory.state_times - episode.clocks.states).max() < 0.01
    assert len(trajectory.remarks) == 1


@pytest.mark.parametrize(
    ("change_by", "message"), [(0, "goes on by 0 s at step 8"), (-50, "goes on by -0.05 s at step 8")]
)
def test_times_that_do_not_increase_are_an_error(change, episode, change_by, message):
    start, end = recorded(episode, f"{CLOCK}/read_start"), recorded(episode, f"{CLOCK}/read_end")
    start[8], end[8] = start[7] + change_by, end[7] + change_by

    with pytest.raises(DataError, match=message) as caught:
        change(
            without=[f"{CLOCK}/robot_timestamp_nanos"],
            **{path(CLOCK, "read_start"): start, path(CLOCK, "read_end"): end},
        )

    assert "trajectory.h5:observation/timestamp/robot_state" in caught.value.where


# What an episode cannot do without


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        (f"{STATE}/cartesian_position", np.zeros((STEPS, 7)), "positions and quaternions"),
        (f"{STATE}/cartesian_position", np.zeros((STEPS, 4)), "looks like quaternions"),
        (f"{STATE}/cartesian_position", np.zeros((STEPS, 4, 4)), "looks like matrices"),
        (f"{STATE}/cartesian_position", np.zeros((0, 6)), "has no steps"),
        (f"{STATE}/cartesian_position", np.zeros((1, 6)), "has one step"),
        (f"{STATE}/cartesian_position", np.full((STEPS, 6), [0, 0, 0, 180, 0, 90]), "are they in degrees?"),
        (f"{STATE}/cartesian_position", np.full((STEPS, 6), [400, 0, 300, 0, 0, 0]), "is it in millimetres?"),
        (f"{STATE}/cartesian_position", np.full((STEPS, 6), np.inf), "not finite .* at 30 of 30 steps"),
        (f"{STATE}/cartesian_position", np.zeros((STEPS - 1, 6)), "has the shape"),
        (f"{STATE}/gripper_position", np.full(STEPS, 0.5) + 0.6, "goes from 1.1 to 1.1"),
        (f"{STATE}/gripper_position", np.full(STEPS, -0.02), "goes from -0.02"),
        (f"{STATE}/gripper_position", np.full(STEPS, np.nan), "not finite"),
        (f"{STATE}/gripper_position", np.zeros((STEPS, 1)), "has the shape"),
        (f"{STATE}/joint_positions", np.zeros((STEPS, 6)), "has the shape"),
        (f"{CLOCK}/read_end", np.zeros(STEPS + 1, np.int64), "has the shape"),
        ("observation/controller_info/movement_enabled", np.zeros(STEPS - 1, bool), "has the shape"),
        (f"{STATE}/cartesian_position", np.array([b"x"] * STEPS), "expected numbers"),
    ],
)
def test_what_makes_no_sense_is_named(change, key, values, message):
    with pytest.raises(DataError, match=message) as caught:
        change(**{path(key): values})
    assert "trajectory.h5:observation/" in caught.value.where


def test_a_step_that_is_nan_is_named(change, episode):
    positions = recorded(episode, f"{STATE}/cartesian_position")
    positions[17, 4] = np.nan

    with pytest.raises(DataError, match="at 1 of 30 steps, the first is 17"):
        change(**{path(STATE, "cartesian_position"): positions})


@pytest.mark.parametrize("key", [f"{STATE}/cartesian_position", f"{STATE}/gripper_position", STATE, "observation"])
def test_missing_groups_are_named(change, key):
    with pytest.raises(DataError, match="is missing") as caught:
        change(without=[key])
    assert STATE in caught.value.where


def test_an_episode_without_any_clock_or_camera_is_refused(change):
    with pytest.raises(DataError, match="has no time stamps"):
        change(without=["observation/timestamp"])
    with pytest.raises(DataError, match="names no camera"):
        change(without=["observation/camera_type"])


def test_noise_of_the_gripper_is_clipped(change, episode):
    gripper = recorded(episode, f"{STATE}/gripper_position") * 1.001 / 0.94 - 0.0005

    trajectory = change(**{path(STATE, "gripper_position"): gripper})

    assert (trajectory.gripper_position.min(), trajectory.gripper_position.max()) == (0, 1)
    assert "was clipped to 0 to 1" in trajectory.remarks[0]


def test_what_is_optional_may_be_missing(change):
    trajectory = change(without=[f"{STATE}/joint_positions", "observation/controller_info", "action"])

    assert trajectory.joint_positions is None
    assert trajectory.movement_enabled.all()
    assert trajectory.remarks == ["movement_enabled is missing: all steps count as enabled"]


def test_movement_that_is_neither_enabled_nor_disabled_counts_as_enabled(change):
    values = np.zeros(STEPS)
    values[[3, 4]] = np.nan, 0.5
    values[5] = 1

    trajectory = change(observation__controller_info__movement_enabled=values)

    assert np.flatnonzero(trajectory.movement_enabled).tolist() == [3, 4, 5]
    assert trajectory.remarks == ["movement_enabled is neither 0 nor 1 at 2 steps, which count as enabled"]


def test_joint_positions_that_are_not_finite_are_left_out(change):
    trajectory = change(**{path(STATE, "joint_positions"): np.full((STEPS, 7), np.nan)})

    assert trajectory.joint_positions is None
    assert "joint_positions are not finite" in trajectory.remarks[0]


# Cameras: what is wrong with one of them leaves the others as they are


def moving(episode, name, move):
    T = transforms_from_euler(recorded(episode, f"{EXTRINSICS}/{name}"))
    T[5:, :3, 3] += move
    return {path(EXTRINSICS, name): euler_from_transforms(T)}


@pytest.mark.parametrize(
    ("serial", "changes", "problem"),
    [
        (EXTERNAL, {"without": [f"{EXTRINSICS}/{EXTERNAL}_left"]}, "it has no extrinsics"),
        (EXTERNAL, {path("observation/camera_type", EXTERNAL): np.full(STEPS, 7)}, "its type is 7"),
        (EXTERNAL, {path("observation/camera_type", EXTERNAL): np.arange(STEPS) % 2}, "not one and the same"),
        (EXTERNAL, {path(EXTRINSICS, f"{EXTERNAL}_left"): np.full((STEPS, 6), np.nan)}, "not finite at 30 of 30"),
        (EXTERNAL, {path(EXTRINSICS, f"{EXTERNAL}_left"): np.full((STEPS, 6), 1e300)}, "values up to 1e\\+300"),
        (EXTERNAL, {path(EXTRINSICS, f"{EXTERNAL}_left"): np.zeros((STEPS, 7))}, r"the shape \[30, 7\]"),
        (EXTERNAL, {path(EXTRINSICS, f"{EXTERNAL}_left"): np.zeros((STEPS - 2, 6))}, r"the shape \[28, 6\]"),
        (WRIST, {"without": [f"{EXTRINSICS}/{WRIST}_left", f"{EXTRINSICS}/{WRIST}_left_gripper_offset"]}, "no extrin"),
    ],
)
def test_a_camera_that_cannot_be_used_says_why(change, serial, changes, problem):
    cameras = change(**changes).cameras

    assert [name for name, camera in cameras.items() if camera.problem] == [serial]
    assert re.search(problem, cameras[serial].problem)


def test_an_external_camera_that_was_pushed_is_not_averaged(change, episode):
    cameras = change(**moving(episode, f"{EXTERNAL}_left", [0.004, 0, 0.003])).cameras

    assert cameras[EXTERNAL].problem == "it is external, but moves by up to 5 mm and 0.00 degrees"


def test_an_external_camera_that_was_turned_is_a_problem(change, episode):
    values = recorded(episode, f"{EXTRINSICS}/{EXTERNAL}_left")
    values[5:, 5] += np.radians(1)  # about the world's z, whatever the other angles are

    problem = change(**{path(EXTRINSICS, f"{EXTERNAL}_left"): values}).cameras[EXTERNAL].problem

    assert problem == "it is external, but moves by up to 0 mm and 1.00 degrees"


def test_angles_that_jump_by_a_whole_turn_are_no_motion(change, episode):
    values = recorded(episode, f"{EXTRINSICS}/{EXTERNAL}_left")
    values[::2, 5] += 2 * np.pi

    assert not change(**{path(EXTRINSICS, f"{EXTERNAL}_left"): values}).cameras[EXTERNAL].problem


def test_a_camera_without_its_right_eye_is_of_use(change, episode):
    gone = change(without=[f"{EXTRINSICS}/{EXTERNAL}_right"])
    pushed = change(**moving(episode, f"{EXTERNAL}_right", [0, 0, 0.1]))

    assert (gone.cameras[EXTERNAL].T_world_right, gone.cameras[EXTERNAL].problem) == (None, "")
    assert (pushed.cameras[EXTERNAL].T_world_right, pushed.cameras[EXTERNAL].problem) == (None, "")
    assert "right eye: it is external, but moves by up to 100 mm" in pushed.remarks[0]


def test_the_place_of_a_wrist_camera_follows_from_its_poses(change, episode):
    camera = change(without=[f"{EXTRINSICS}/{WRIST}_left_gripper_offset"]).cameras[WRIST]

    assert camera.problem == ""
    assert np.allclose(camera.T_flange_camera, episode.cameras[0].T_parent_camera, atol=1e-9)


def test_the_poses_of_a_wrist_camera_follow_from_its_place(change, episode):
    trajectory = change(without=[f"{EXTRINSICS}/{WRIST}_left"])

    camera = trajectory.cameras[WRIST]
    assert camera.problem == ""
    assert np.allclose(camera.T_world_camera, episode.cameras[0].T_world_eye(trajectory.T_world_flange))


def test_a_wrist_camera_whose_poses_and_place_disagree_is_a_problem(change, episode):
    with_offset = change(**moving(episode, f"{WRIST}_left", [0, 0, 0.002])).cameras[WRIST]
    without = change(
        without=[f"{EXTRINSICS}/{WRIST}_left_gripper_offset"], **moving(episode, f"{WRIST}_left", [0, 0, 0.002])
    ).cameras[WRIST]
    loose = change(**moving(episode, f"{WRIST}_left_gripper_offset", [0, 0, 0.002])).cameras[WRIST]

    assert (
        with_offset.problem
        == "its recorded poses differ from its offset from the gripper by up to 2 mm and 0.00 degrees"
    )
    assert without.problem.startswith("its recorded poses differ from standing still on the flange by up to 2 mm")
    assert loose.problem.startswith("its offset from the gripper changes by up to 2 mm")


@pytest.mark.parametrize("times", [None, np.zeros(STEPS - 1, np.int64)])
def test_a_camera_without_a_clock_is_of_use(change, times):
    key = f"observation/timestamp/cameras/{EXTERNAL}_estimated_capture"
    trajectory = change(**({"without": [key]} if times is None else {path(key): times}))

    assert trajectory.cameras[EXTERNAL].capture_times is None
    assert trajectory.cameras[EXTERNAL].problem == ""
    assert "its clock is not used" in trajectory.remarks[0]


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.zeros((STEPS, 3, 3)), "focal lengths that are not positive"),
        (np.full((STEPS, 3, 3), np.nan), "is not finite"),
        (np.eye(3) * np.arange(1, STEPS + 1)[:, None, None], "changes by 29 pixels"),
        (np.ones((STEPS, 4)), "has the shape"),
    ],
)
def test_intrinsics_that_make_no_sense_are_not_used(change, matrices, message):
    trajectory = change(**{path("observation/camera_intrinsics", f"{EXTERNAL}_left"): matrices})

    assert trajectory.cameras[EXTERNAL].matrices == {}
    assert message in trajectory.remarks[0]


# Damage


def test_a_missing_file_and_other_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"trajectory\.h5: the file is missing"):
        read_trajectory(tmp_path / "trajectory.h5")
    with pytest.raises(DataError, match="Is a directory"):
        read_trajectory(tmp_path)
    (tmp_path / "trajectory.h5").write_bytes(b"no HDF5 at all" * 100)
    with pytest.raises(DataError, match="is damaged or no HDF5"):
        read_trajectory(tmp_path / "trajectory.h5")


def test_a_file_cut_at_any_place_is_refused(episode, tmp_path):
    content = episode.files.trajectory.read_bytes()
    target = tmp_path / "trajectory.h5"
    for length in [0, 1, 7, 8, 9, 100, *range(500, len(content), len(content) // 40), len(content) - 1]:
        target.write_bytes(content[:length])
        with pytest.raises(DataError, match="is damaged or no HDF5"):
            read_trajectory(target)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_hole_of_zeros_anywhere_is_read_or_refused(episode, tmp_path_factory, data):
    content = bytearray(episode.files.trajectory.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    stop = min(start + data.draw(st.sampled_from([1, 8, 64, 512, 8192])), len(content))
    content[start:stop] = bytes(stop - start)
    target = tmp_path_factory.mktemp("hole") / "trajectory.h5"
    target.write_bytes(content)

    try:
        steps = len(read_trajectory(target))
    except DataError:
        return
    assert steps == STEPS


def test_a_data_set_that_claims_a_million_million_steps_takes_no_memory(change, episode, tmp_path):
    target = spoilt(episode.files.trajectory, tmp_path / "t.h5", without=[f"{STATE}/cartesian_position"])
    with h5py.File(target, "a") as file:
        file.create_dataset(f"{STATE}/cartesian_position", (10**12, 6), float, chunks=(1, 6))

    with pytest.raises(DataError, match="expected at most 1000000 steps"):
        read_trajectory(target)


def test_a_group_where_a_data_set_belongs_and_the_other_way_round_are_named(change, episode, tmp_path):
    with pytest.raises(DataError, match="expected a data set, found a group"):
        read_trajectory(
            spoilt(
                episode.files.trajectory,
                tmp_path / "a.h5",
                **{path(STATE, "gripper_position", "x"): [1]},
                without=[f"{STATE}/gripper_position"],
            )
        )
    with pytest.raises(DataError, match="expected a group, found a data set"):
        change(without=["observation/camera_type"], observation__camera_type=[1.0])
