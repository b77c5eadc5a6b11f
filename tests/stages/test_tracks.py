"""From recordings of DROID to tracks, depth and quality: what is made, when it is made anew, what it is worth."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from droid_runs import POINTS, STEPS, USER, command, contents, draw_episodes, quality_of, run_command, run_tracks
from scipy.spatial.transform import Rotation

from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.sim.droid import draw_view, exact_depth
from mapanything_data.sim.droid.episode import STALE
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions
from mapanything_data.sources.droid_mp4 import DroidMp4Source
from mapanything_data.sources.droid_svo import DroidSvoSource
from mapanything_data.storage.contact_tracks import load_tracks
from mapanything_data.storage.depth_video import DepthVideoReader
from mapanything_data.storage.droid.extrinsics import read_extrinsics
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.tables import read_csv


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return tmp_path_factory.mktemp("droid") / "raw"


@pytest.fixture(scope="module")
def episodes(raw):
    return draw_episodes(raw, 2)


@pytest.fixture(scope="module")
def book(raw, episodes):
    return raw / "intrinsics.json"


@pytest.fixture(scope="module")
def made(raw, episodes, book, tmp_path_factory):
    """Intrinsics, depth and tracks of both episodes."""
    root = tmp_path_factory.mktemp("droid") / "made"
    assert run_tracks(raw, root, book=book, steps=["intrinsics", "depth", "tracks"], occlusion_m=0.05) == 0
    return root


def test_it_makes_the_tree_that_users_of_the_original_pipelines_expect(made, episodes):
    for episode in episodes:
        folder = made / "MADELab" / "success" / episode.files.date / episode.files.timestamp
        cameras = sorted(camera.serial for camera in episode.cameras)

        assert sorted(path.name for path in folder.iterdir()) == [
            "extrinsics.npz", "quality.json", "recordings", "tracks.npz",
        ]  # fmt: skip
        assert sorted(path.name for path in (folder / "recordings").iterdir()) == cameras
        for serial in cameras:
            files = sorted(path.name for path in (folder / "recordings" / serial).iterdir())
            assert files == ["depth.mkv", "depth_meta.json", "intrinsics.json"]


def test_tracks_show_the_gripper_where_it_was_when_the_pictures_were_taken(tmp_path):
    (episode,) = draw_episodes(tmp_path / "raw", 1, steps=150, recordings=False)
    assert run_tracks(tmp_path / "raw", tmp_path / "made", book=tmp_path / "raw" / "intrinsics.json") == 0

    arrays = load_tracks(tmp_path / "made" / episode.files.output / "tracks.npz")
    # The time of a step is the median of its three cameras' times, which the file has in whole ms.
    taken = np.median(np.stack(list(episode.clocks.captures.values())), axis=0)[1:]
    truth = episode.motion.T_world_flange(taken)[:, :3, 3]
    logged = episode.motion.T_world_flange(episode.clocks.states)[1:, :3, 3]
    found = arrays["flange_poses"][1:, :3, 3]  # the first picture is older than the first state, which stands for it
    assert np.abs(arrays["frame_timestamps"][1:] - taken).max() < 1e-3
    assert np.linalg.norm(logged - truth, axis=-1).max() > 8e-3  # what is wrong without alignment
    # The arm speeds up by less than 2 m/s^2: 71 ms between two states make a straight line wrong by a t^2 / 8 = 1.3 mm.
    assert np.linalg.norm(found - truth, axis=-1).max() < 1.3e-3


def test_aligned_to_states_poses_are_those_that_were_logged(raw, episodes, book, tmp_path):
    assert run_tracks(raw, tmp_path / "made", book=book, align="state") == 0

    for episode in episodes:
        arrays = load_tracks(tmp_path / "made" / episode.files.output / "tracks.npz")
        with h5py.File(episode.files.trajectory) as file:
            logged = file["observation/robot_state/cartesian_position"][:]
        assert np.array_equal(arrays["flange_poses"][:, :3, 3], logged[:, :3])
        rotations = Rotation.from_euler("xyz", logged[:, 3:]).as_matrix()
        assert np.abs(arrays["flange_poses"][:, :3, :3] - rotations).max() < 1e-12


def test_extrinsics_say_where_each_camera_stands(made, episodes):
    for episode in episodes:
        extrinsics = read_extrinsics(made / episode.files.output / "extrinsics.npz")

        assert set(extrinsics.cameras) == {camera.serial for camera in episode.cameras}
        for camera in episode.cameras:
            fixed = extrinsics.cameras[camera.serial]
            assert fixed.kind == camera.kind
            assert np.abs(fixed.left - camera.T_parent_camera).max() < 1e-9


def test_a_later_calibration_moves_external_cameras_and_is_named(raw, episodes, book, tmp_path):
    episode = episodes[0]
    wrist, first, second = episode.cameras
    pose = [0.1, -0.2, 0.3, -2.0, 0.1, -0.4]
    later = {episode.files.uuid: {first.serial: pose, wrist.serial: pose, "relative_path": "somewhere"}}
    (tmp_path / "later.json").write_text(json.dumps(later))

    assert run_tracks(raw, tmp_path / "made", book=book, extrinsics=str(tmp_path / "later.json")) == 0

    extrinsics = read_extrinsics(tmp_path / "made" / episode.files.output / "extrinsics.npz")
    moved = extrinsics.cameras[first.serial]
    assert np.array_equal(moved.left[:3, 3], pose[:3])
    assert np.abs(moved.left[:3, :3] - Rotation.from_euler("xyz", pose[3:]).as_matrix()).max() < 1e-12
    # The right eye stays 121.5 mm to the right of the left one.
    assert np.allclose(np.linalg.inv(moved.left) @ moved.right @ [0, 0, 0, 1], [0.1215, 0, 0, 1], atol=1e-9)
    assert (moved.source, extrinsics.cameras[second.serial].source) == ("later.json", "trajectory.h5 camera_extrinsics")
    assert np.abs(extrinsics.cameras[wrist.serial].left - wrist.T_parent_camera).max() < 1e-9
    assert quality_of(tmp_path / "made", episode)["cameras"][first.serial]["pose_source"] == "later.json"


@pytest.mark.parametrize("entry", [[1, 2, 3], "here", [0, 0, 0, 0, 0, None], [[0] * 4] * 4])
def test_a_later_calibration_that_is_no_pose_fails_its_episode(raw, episodes, book, tmp_path, entry):
    episode = episodes[0]
    later = {episode.files.uuid: {episode.cameras[1].serial: entry}}
    (tmp_path / "later.json").write_text(json.dumps(later))

    assert run_tracks(raw, tmp_path / "made", book=book, extrinsics=str(tmp_path / "later.json")) == 1

    (failed,) = read_csv(tmp_path / "made" / "failed.csv")
    assert failed["episode"] == episode.files.uuid
    assert "expected: six numbers" in failed["reason"]


def test_quality_says_what_is_known_of_an_episode(made, episodes):
    quality = quality_of(made, episodes[0])
    wrist, *external = [camera.serial for camera in episodes[0].cameras]

    assert quality["steps"] == ["intrinsics", "depth", "tracks"]
    assert quality["num_frames"] == STEPS
    assert 12 < quality["fps"] < 16
    assert quality["cameras_with_2d_tracks"] == sorted([wrist, *external])
    assert quality["cameras_without_intrinsics"] == []
    assert quality["stale_serials"] == list(STALE)
    assert quality["cameras"][wrist]["kind"] == "wrist"
    # The generated right eyes stand 1.5 mm too far out, so 1 / (1 + (1.5 / 5)^2) = 0.917.
    for serial in (wrist, *external):
        calibration = quality["cameras"][serial]["calibration"]
        assert calibration["baseline_error_mm"] == pytest.approx(1.5, abs=1e-6)
        assert calibration["score"] == pytest.approx(1 / 1.09, abs=1e-6)
    assert 45 < quality["alignment"]["pose_to_image_skew_ms_median"] < 70
    assert quality["score"] == pytest.approx(np.prod(list(quality["scores"].values())) ** 0.25)


def test_no_file_that_is_made_holds_the_name_of_a_person(made, raw, episodes):
    assert any(USER.encode() in path.read_bytes() for path in raw.rglob("*.json"))
    for path in made.rglob("*"):
        if path.is_file() and path.suffix != ".mkv":
            assert USER.encode() not in path.read_bytes()


def test_depth_from_stereo_is_near_the_true_depth(made, episodes):
    episode = episodes[0]
    camera = next(camera for camera in episode.cameras if camera.kind == "external")
    with DepthVideoReader(made / episode.files.output / "recordings" / camera.serial / "depth.mkv") as video:
        assert len(video) == STEPS
        measured = video[STEPS // 2]
    truth = exact_depth(episode, camera.serial, STEPS // 2)
    found = (measured > 0) & (truth > 0)

    assert found.mean() > 0.3
    # Half a pixel of disparity is z^2 / (2 f B) metres.
    limit = truth**2 / (2 * camera.camera.fx * camera.baseline)
    assert (np.abs(measured - truth) < limit)[found].mean() > 0.9


def test_depth_says_where_its_baseline_comes_from(raw, episodes, book, tmp_path):
    values = json.loads(book.read_text())
    for entry in values[episodes[0].files.uuid].values():
        del entry["baseline_m"]
    other = tmp_path / "intrinsics.json"
    other.write_text(json.dumps(values))

    options = {"steps": ["intrinsics", "depth"], "episode": "*", "book": other}
    assert run_tracks(raw, tmp_path / "made", **options) == 0

    methods = [
        {told["depth"]["method"] for told in quality_of(tmp_path / "made", episode)["cameras"].values()}
        for episode in episodes
    ]
    assert all(method.endswith("intrinsics json with the baseline of trajectory.h5") for method in methods[0])
    assert all(method.endswith("intrinsics json") for method in methods[1])


def test_a_video_that_lacks_its_last_frame_gives_one_depth_map_less(made, episodes):
    short = quality_of(made, episodes[1])

    for camera in short["cameras"].values():
        assert (camera["depth"]["frames"], camera["depth"]["steps"]) == (STEPS - 1, STEPS)


def test_pictures_are_written_for_every_step(raw, episodes, book, tmp_path):
    steps = ["intrinsics", "images"]
    assert run_tracks(raw, tmp_path / "made", book=book, source=DroidMp4Source(), steps=steps) == 0

    for number, episode in enumerate(episodes):
        for camera in episode.cameras:
            folder = tmp_path / "made" / episode.files.output / "recordings" / camera.serial / "images"
            names = sorted(path.name for path in folder.iterdir())
            assert names == [f"{step:06d}.png" for step in range(STEPS - number)]  # the second lacks its last frame
            drawn = draw_view(episode, camera.serial, 3).image
            found = decode_png((folder / "000003.png").read_bytes())
            assert np.abs(found.astype(float) - drawn).mean() < 6  # H.264 with 4:2:0 colour


def test_depth_and_pictures_come_out_of_one_pass(raw, episodes, book, tmp_path):
    uuid = episodes[0].files.uuid
    steps = ["intrinsics", "depth", "images"]
    assert run_tracks(raw, tmp_path / "made", book=book, steps=steps, episode=uuid) == 0

    made = {path.suffix for path in (tmp_path / "made" / "MADELab").rglob("*.*")}
    assert made == {".mkv", ".png", ".json"}
    quality = quality_of(tmp_path / "made", episodes[0])
    assert quality["steps"] == steps
    for camera in quality["cameras"].values():
        assert camera["images"] == {"frames": STEPS, "steps": STEPS, "lost": 0}


def test_depth_tells_which_points_are_hidden(made, episodes):
    arrays = load_tracks(made / episodes[0].files.output / "tracks.npz")

    for camera in episodes[0].cameras:
        assert arrays[f"occluded_{camera.serial}"].shape == (STEPS, 2 * POINTS)


def test_compact_files_hold_the_same_arrays_bit_by_bit(raw, episodes, book, tmp_path):
    for form in ("full", "compact"):
        assert run_tracks(raw, tmp_path / form, book=book, format=form) == 0

    for episode in episodes:
        full, compact = (
            load_tracks(tmp_path / form / episode.files.output / "tracks.npz") for form in ("full", "compact")
        )
        assert full.keys() == compact.keys()
        for key, array in full.items():
            assert array.dtype == compact[key].dtype
            assert array.tobytes() == compact[key].tobytes()


def test_several_processes_make_the_same_files_as_one(raw, episodes, book, tmp_path):
    assert run_tracks(raw, tmp_path / "one", book=book) == 0
    assert run_tracks(raw, tmp_path / "two", book=book, executor=ProcessesExecutor(workers=2, shards=2)) == 0

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_intrinsics_of_one_episode_alone(raw, episodes, book, tmp_path):
    uuid = episodes[1].files.uuid

    assert run_tracks(raw, tmp_path / "made", book=book, steps=["intrinsics"], episode=uuid) == 0

    files = {path.name for path in (tmp_path / "made" / "MADELab").rglob("*") if path.is_file()}
    assert files == {"intrinsics.json", "quality.json"}
    assert quality_of(tmp_path / "made", episodes[1])["steps"] == ["intrinsics"]


def test_a_later_run_adds_depth_and_leaves_the_rest_as_it_is(raw, episodes, book, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book)
    before = contents(root)

    assert run_tracks(raw, root, book=book, steps=["intrinsics", "depth", "tracks"]) == 0

    after = contents(root)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {str(episode.files.output / "quality.json") for episode in episodes}
    assert {name.rsplit("/")[-1] for name in after.keys() - before.keys()} == {"depth.mkv", "depth_meta.json"}


def test_what_is_finished_is_made_again_only_when_asked(raw, episodes, book, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book)
    tracks_file = root / episodes[0].files.output / "tracks.npz"
    first = tracks_file.stat().st_mtime_ns

    run_tracks(raw, root, book=book)
    assert tracks_file.stat().st_mtime_ns == first
    run_tracks(raw, root, book=book, again=True)
    assert tracks_file.stat().st_mtime_ns > first


def test_a_root_that_was_made_with_other_options_is_refused(raw, episodes, book, tmp_path):
    run_tracks(raw, tmp_path / "made", book=book)

    with pytest.raises(DataError, match=r"labeler\.seed was 0 and is now 1"):
        run_tracks(raw, tmp_path / "made", book=book, seed=1)


def test_without_intrinsics_there_are_tracks_in_space_and_the_cameras_are_listed(raw, episodes, tmp_path, capsys):
    assert run_tracks(raw, tmp_path / "made", intrinsics=IntrinsicsOptions(providers=["h5", "json"])) == 0

    cameras = sum(len(episode.cameras) for episode in episodes)
    assert f"cameras {cameras}, cameras_with_2d_tracks 0," in capsys.readouterr().out
    quality = quality_of(tmp_path / "made", episodes[0])
    arrays = load_tracks(tmp_path / "made" / episodes[0].files.output / "tracks.npz")
    assert arrays["tracks_3d"].shape == (STEPS, 2 * POINTS, 3)
    assert list(arrays["cameras_with_2d_tracks"]) == []
    assert quality["cameras_without_intrinsics"] == sorted(camera.serial for camera in episodes[0].cameras)
    for camera in quality["cameras"].values():
        assert list(camera["intrinsics"]["tried"]) == ["h5", "json"]
    assert quality["scores"]["coverage"] is None


def test_timings_have_a_row_for_each_episode_and_a_column_for_each_step(made, episodes):
    rows = read_csv(made / "timings.csv")

    assert {row["episode"] for row in rows} == {episode.files.uuid for episode in episodes}
    for row in rows:
        steps = [float(row[f"{step}_s"]) for step in ("read", "intrinsics", "frames", "tracks", "quality")]
        assert 0 < sum(steps) <= float(row["seconds"])
    assert read_csv(made / "failed.csv") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": ["intrinsic"]}, r"steps: \['intrinsic'\]"),
        ({"steps": []}, "steps"),
        ({"format": "tiny"}, "format: 'tiny'"),
        ({"depth_scale_m": 0.0}, "depth_scale_m"),
        ({"steps": ["depth"], "source": DroidMp4Source()}, "source=droid_mp4 gives none"),
        ({"steps": ["images"], "source": DroidSvoSource()}, "source=droid_svo gives none"),
        ({"steps": ["upload"]}, r"hub\.full_repo"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(raw, episodes, tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        run_tracks(raw, tmp_path / "made", **options)
    assert not (tmp_path / "made").exists()


def test_an_unknown_episode_is_told_with_those_that_are_near(raw, episodes, tmp_path):
    near = episodes[0].files.uuid

    with pytest.raises(DataError) as told:
        run_tracks(raw, tmp_path / "made", episode=near.replace("07s", "08s"))
    assert near in str(told.value)


def test_a_folder_without_episodes_is_told(tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match="holds no episode"):
        run_tracks(tmp_path / "empty", tmp_path / "made")


def test_a_wrong_folder_of_recordings_is_named_and_leaves_the_root_to_the_right_command(raw, episodes, book, tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.recordings: .*nowhere is no folder"):
        run_tracks(tmp_path / "nowhere", tmp_path / "made")

    assert run_tracks(raw, tmp_path / "made", book=book, steps=["intrinsics"]) == 0


def test_a_folder_for_scratch_files_that_is_not_there_is_refused_at_once(raw, episodes, tmp_path):
    options = command(raw, tmp_path / "made", "source=droid_stereo", "steps=[depth]", "scratch=/nowhere/at/all")

    refused = run_command(*options)

    assert refused.returncode == 2
    assert refused.stderr.startswith("error: /nowhere/at/all: is no folder\n  remedy:   make it on this machine")
