"""`extrinsics.npz`: fixed cameras, and the way of the one on the wrist."""

from __future__ import annotations

import numpy as np
import pytest
from contact_motions import random_motion, rigid
from scipy.spatial.transform import Rotation

from mapanything_data.errors import DataError
from mapanything_data.storage.droid.extrinsics import KEYS, CameraExtrinsics, read_extrinsics, write_extrinsics
from mapanything_data.storage.npz import read_npz, write_npz

pytest.importorskip("isal")
LEFT = rigid(Rotation.from_euler("xyz", [0.1, -0.2, 0.3]), [0.2, 0.6, 0.3])
RIGHT = rigid(Rotation.from_euler("xyz", [0.1, -0.2, 0.31]), [0.3, 0.6, 0.3])


@pytest.fixture
def written(tmp_path):
    motion = random_motion(0)
    cameras = {
        "11": CameraExtrinsics("wrist", LEFT, RIGHT, "trajectory.h5 camera_extrinsics"),
        "12": CameraExtrinsics("external", LEFT, RIGHT, "trajectory.h5 camera_extrinsics"),
        "13": CameraExtrinsics("external", RIGHT, None, "calibration by uuid"),
    }
    path = tmp_path / "extrinsics.npz"
    write_extrinsics(path, timestamps=motion.timestamps, T_world_flange=motion.T_world_flange, cameras=cameras)
    return path, motion


def test_external_cameras_stand_still_and_the_wrist_camera_moves_with_the_flange(written):
    path, motion = written
    extrinsics = read_extrinsics(path)
    np.testing.assert_array_equal(extrinsics.T_world_camera["12"], LEFT)
    assert extrinsics.T_world_camera["11"].shape == (12, 4, 4)
    np.testing.assert_allclose(extrinsics.T_world_camera["11"], motion.T_world_flange @ LEFT, atol=1e-15)
    np.testing.assert_array_equal(extrinsics.timestamps, motion.timestamps)


def test_what_was_known_of_each_camera_comes_back(written):
    cameras = read_extrinsics(written[0]).cameras
    assert [camera.kind for camera in cameras.values()] == ["wrist", "external", "external"]
    np.testing.assert_array_equal(cameras["11"].left, LEFT)
    np.testing.assert_array_equal(cameras["11"].right, RIGHT)
    np.testing.assert_array_equal(cameras["13"].left, RIGHT)
    assert cameras["13"].right is None
    assert cameras["13"].source == "calibration by uuid"


def test_keys_are_those_documented(written):
    names = set(read_npz(written[0]))
    patterns = {pattern.format(serial=serial) for pattern in KEYS for serial in ("11", "12", "13")}
    assert names < patterns
    assert {"T_flange_right_11", "T_world_right_12"} < names
    assert not {"T_flange_camera_12", "T_world_right_13", "T_world_right_11"} & names


def test_an_episode_without_cameras_has_its_times(tmp_path):
    motion = random_motion(0)
    path = tmp_path / "extrinsics.npz"
    write_extrinsics(path, timestamps=motion.timestamps, T_world_flange=motion.T_world_flange, cameras={})
    assert read_extrinsics(path).cameras == {}


def test_poses_that_are_not_rigid_are_not_written(tmp_path):
    motion, odd = random_motion(0), CameraExtrinsics("external", 2 * np.eye(4), None, "")
    with pytest.raises(ValueError, match="camera of 12 has a last row"):
        write_extrinsics(
            tmp_path / "e.npz", timestamps=motion.timestamps, T_world_flange=motion.T_world_flange, cameras={"12": odd}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": np.array(9)}, "has format version 9"),
        ({"format_version": None}, "has format version None"),
        ({"camera_kinds": np.array(["wrist", "external"])}, "holds no extrinsics"),
        ({"camera_kinds": np.array(["hand", "external", "external"])}, "'hand', expected wrist or external"),
        ({"T_world_camera_11": LEFT}, "T_world_camera_11 has shape"),
        ({"T_world_camera_12": np.zeros((4, 4))}, "holds no extrinsics"),
        ({"T_flange_camera_11": None}, "T_flange_camera_11"),
    ],
)
def test_spoiled_files_are_refused_in_words(written, changes, message):
    path, _ = written
    arrays = read_npz(path) | changes
    write_npz(path, {key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=message):
        read_extrinsics(path)
