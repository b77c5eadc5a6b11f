"""`tracks.npz`: every key as documented, and a compact file that reads as the full one, bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from contact_motions import random_motion, straight_motion
from hypothesis import given, settings
from hypothesis import strategies as st

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.geometry.contact_tracks import contact_tracks, project_tracks
from mapanything_data.geometry.normalised_flow import normalised_flow
from mapanything_data.storage.contact_tracks import DERIVED, STORED, load_motion, load_tracks, write_tracks
from mapanything_data.storage.npz import read_npz, write_npz

pytest.importorskip("isal")
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracks")


def some_occlusion(motion, serials=("12",)):
    draw = np.random.default_rng(7)
    return {serial: draw.random((len(motion), 2 * motion.pad_points.shape[1])) < 0.3 for serial in serials}


def assert_same(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].shape == b[name].shape, name
        assert a[name].tobytes() == b[name].tobytes(), name


@settings(max_examples=25, deadline=None)
@given(
    seeds, st.integers(1, 12), st.integers(1, 9), st.floats(0.5, 40), st.sampled_from([(), ("12",), ("11", "13")]),
    st.booleans(),
)  # fmt: skip
def test_a_compact_file_reads_as_the_full_one(folder, seed, steps, points, step_mm, hidden, has_cameras):
    motion = random_motion(seed, steps, points, step_mm=step_mm, **({} if has_cameras else {"cameras": {}}))
    occluded = some_occlusion(motion, hidden) if has_cameras else None
    for name in ("full", "compact"):
        write_tracks(folder / name, motion, format=name, occluded=occluded, settings={"seed": seed})
    full, compact = load_tracks(folder / "full"), load_tracks(folder / "compact")
    assert_same(full, compact)
    with np.load(folder / "full", allow_pickle=False) as plain:
        assert_same(dict(plain), full)


@pytest.mark.parametrize("name", ["full", "compact"])
def test_every_key_has_the_documented_shape_and_dtype(tmp_path, name):
    motion = random_motion(2, steps=7, points=3, step_mm=5.0)
    write_tracks(tmp_path / "t.npz", motion, format=name, occluded=some_occlusion(motion))
    arrays = load_tracks(tmp_path / "t.npz")
    M = int(arrays["num_normalized_steps"])
    sizes = {"T": 7, "N": 3, "2N": 6, "M": M, "C": 3, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}
    seen = set()
    for pattern, key in (STORED | DERIVED).items():
        for serial in ("11", "12", "13"):
            array = arrays.get(pattern.format(serial=serial))
            if array is not None:
                seen.add(pattern.format(serial=serial))
                assert array.shape == tuple(sizes[axis] for axis in key.shape.split(", ") if axis), pattern
                assert array.dtype.kind == "U" if key.dtype == "str" else array.dtype == np.dtype(key.dtype), pattern
    assert seen == set(arrays)
    assert {"T_flange_camera_11", "T_world_camera_12", "occluded_12"} < seen
    assert not {"T_world_camera_11", "T_flange_camera_12", "occluded_11"} & seen


def test_the_keys_that_users_of_the_original_pipelines_know_are_there(tmp_path):
    motion = random_motion(2)
    write_tracks(tmp_path / "t.npz", motion, format="full")
    known = """tracks_3d contact_centroids contact_frames left_contact_frames right_contact_frames
        normalized_tracks_3d normalized_centroids normalized_frames normalized_left_frames normalized_right_frames
        cumulative_distance_mm frame_to_normalized_idx normalized_step_size_mm num_normalized_steps
        tracks_2d_11 intrinsics_11 image_size_11 tracks_2d_12 cameras_with_2d_tracks gripper_poses gripper_positions
        cartesian_positions num_frames num_points_per_finger fps"""
    assert set(known.split()) <= set(read_npz(tmp_path / "t.npz"))


def test_values_are_those_of_the_motion(tmp_path):
    motion = random_motion(4, steps=6, points=3, step_mm=2.0)
    write_tracks(tmp_path / "t.npz", motion, format="full", settings={"align": "capture", "seed": 0})
    arrays = load_tracks(tmp_path / "t.npz")
    tracks, flow, seen = contact_tracks(motion), normalised_flow(motion), project_tracks(motion, "13")
    np.testing.assert_array_equal(arrays["tracks_3d"], tracks.tracks_3d)
    np.testing.assert_array_equal(arrays["right_contact_frames"], tracks.right_contact_frames)
    np.testing.assert_array_equal(arrays["gripper_poses"], tracks.gripper_poses)
    np.testing.assert_array_equal(arrays["normalized_tracks_3d"], flow.tracks.tracks_3d)
    np.testing.assert_array_equal(arrays["normalized_left_frames"], flow.tracks.left_contact_frames)
    np.testing.assert_array_equal(arrays["frame_to_normalized_idx"], flow.frame_to_normalized_idx)
    np.testing.assert_array_equal(arrays["tracks_2d_13"], seen.pixels)
    np.testing.assert_array_equal(arrays["in_image_13"], seen.is_in_image)
    assert arrays["fps"] == 14.1
    assert (arrays["num_frames"], arrays["num_points_per_finger"]) == (6, 3)
    assert arrays["normalized_step_size_mm"] == 2.0
    assert arrays["normalized_last_step_mm"] == flow.last_step_mm
    assert arrays["cameras_with_2d_tracks"].tolist() == ["11", "12", "13"]
    assert arrays["image_size_11"].tolist() == [1280, 720]
    assert json.loads(str(arrays["settings"])) == {"align": "capture", "seed": 0}


@pytest.mark.parametrize("name", ["full", "compact"])
def test_the_motion_comes_back_from_either_format(tmp_path, name):
    motion = random_motion(8)
    write_tracks(tmp_path / "a.npz", motion, format=name)
    again = load_motion(tmp_path / "a.npz")
    assert again.cameras["13"].camera == motion.cameras["13"].camera
    write_tracks(tmp_path / "b.npz", again, format=name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_an_episode_of_226_steps_and_960_points_is_below_100_kb_with_three_occlusions(tmp_path):
    motion = random_motion(0, steps=226, points=480)
    occluded = {serial: np.random.default_rng(1).random((226, 960)) < 0.5 for serial in ("11", "12", "13")}
    write_tracks(tmp_path / "t.npz", motion, format="compact", occluded=occluded)
    # 3 * 226 * 960 random bits are 81 KB that nothing shrinks; real ones hardly change from step to step.
    assert (tmp_path / "t.npz").stat().st_size < 81_360 + 60_000
    write_tracks(tmp_path / "t.npz", motion, format="compact")
    assert (tmp_path / "t.npz").stat().st_size < 60_000


@pytest.mark.parametrize("name", ["full", "compact"])
def test_tracks_that_could_not_be_expanded_are_not_written(tmp_path, name):
    with pytest.raises(ConfigError, match="step_mm"):
        write_tracks(tmp_path / "t.npz", straight_motion([300.0], step_mm=1e-6), format=name)
    assert not list(tmp_path.iterdir())


def test_occlusion_that_does_not_fit_is_refused(tmp_path):
    motion = random_motion(0)
    with pytest.raises(ValueError, match=r"occluded names \['99'\]"):
        write_tracks(tmp_path / "t.npz", motion, format="full", occluded={"99": np.zeros((12, 10), bool)})
    with pytest.raises(ValueError, match=r"occluded\['12'\] has shape \[12, 9\], expected \[12, 10\]"):
        write_tracks(tmp_path / "t.npz", motion, format="full", occluded={"12": np.zeros((12, 9), bool)})


def spoiled(tmp_path, name, **changes):
    """A file of which some arrays are others, or gone where None."""
    path = tmp_path / "t.npz"
    motion = random_motion(1)
    write_tracks(path, motion, format=name, occluded=some_occlusion(motion))
    arrays = read_npz(path) | changes
    write_npz(path, {key: array for key, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("name", ["full", "compact"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": np.array(2)}, "has format version 2(.|\n)*expected: version 1(.|\n)*steps="),
        ({"format_version": None}, "has no format_version"),
        ({"is_counted": None}, "has no is_counted"),
        ({"intrinsics_12": None}, "has no intrinsics_12"),
        ({"gripper_positions": np.zeros(11)}, r"gripper_positions is float64 of shape \[11\]"),
        ({"is_counted": np.zeros(12)}, r"is_counted is float64 of shape \[12\](.|\n)*expected: bool \[T\] with T = 12"),
        ({"pad_points": np.zeros((3, 5, 3))}, "pad_points is"),
    ],
)
def test_spoiled_files_are_refused_in_words(tmp_path, name, changes, message):
    path = spoiled(tmp_path, name, **changes)
    for load in (load_tracks, load_motion):
        with pytest.raises(DataError, match=message):
            load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"gripper_positions": np.full(12, 1.5)},
        {"flange_poses": np.zeros((12, 4, 4))},
        {"T_world_camera_12": None},
        {"intrinsics_12": np.zeros((3, 3))},
        {"normalized_step_size_mm": np.array(0.0)},
        {"frame_timestamps": np.zeros(12)},
    ],
)
def test_values_that_make_no_motion_are_refused_in_words(tmp_path, changes):
    with pytest.raises(DataError, match="holds no motion"):
        load_tracks(spoiled(tmp_path, "compact", **changes))


def test_damaged_bits_and_a_step_of_nothing_are_refused_in_words(tmp_path):
    with pytest.raises(DataError, match="bits of occlusion"):
        load_tracks(spoiled(tmp_path, "compact", occluded_bits_12=np.zeros((12, 2))))
    with pytest.raises(DataError, match="occluded_12 is bool"):
        load_tracks(spoiled(tmp_path, "compact", occluded_bits_12=np.zeros((3, 2), np.uint8)))
    with pytest.raises(DataError, match="cannot be expanded: step_mm"):
        load_tracks(spoiled(tmp_path, "compact", normalized_step_size_mm=np.array(1e-9)))


def test_a_full_file_without_one_of_its_keys_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no tracks_2d_12"):
        load_tracks(spoiled(tmp_path, "full", tracks_2d_12=None))
    with pytest.raises(DataError, match="normalized_frames is float64"):
        load_tracks(spoiled(tmp_path, "full", normalized_frames=np.zeros((3, 4, 4))))
