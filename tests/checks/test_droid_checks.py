"""Each defect of what `tracks` makes is found, named and comes with a remedy; a sound tree has no finding."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from droid_tree import EXTERNAL, FIRST, SECOND, STEPS, WRIST, copy_tree, edit_json, edit_npz, sound_tree

from mapanything_data.checks.droid import Checks as DroidChecks
from mapanything_data.checks.finding import Severity
from mapanything_data.errors import DataError
from mapanything_data.scene import Distortion
from mapanything_data.storage.contact_tracks import load_motion, load_tracks, write_tracks
from mapanything_data.storage.droid import DroidDataset, find_episodes
from mapanything_data.storage.tables import read_json

FAIL, WARN = Severity.fail, Severity.warn
NAME = "Roberta Imaginaria"  # the user in the metadata of generated episodes


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    return sound_tree(tmp_path_factory)


@pytest.fixture
def dataset(sound, tmp_path):
    return copy_tree(sound, tmp_path / "copy")


@pytest.fixture
def first(dataset):
    """The folder of the first episode, which most tests spoil."""
    return dataset.folder / FIRST


def all_findings(dataset):
    checks = DroidChecks(dataset)
    found = [
        *checks.check_whole(),
        *(f for item in checks.item_names() for f in checks.check_item(item, lambda _: None)),
    ]
    assert all(finding.remedy for finding in found)
    return found


def findings(dataset):
    return [(finding.severity, finding.check, finding.item) for finding in all_findings(dataset)]


def only(dataset):
    """The only finding."""
    (finding,) = all_findings(dataset)
    return finding


def spoil(array, index, value):
    array[index] = value
    return array


def test_a_sound_tree_has_no_finding(dataset):
    assert all_findings(dataset) == []


def test_a_sound_tree_of_compact_files_has_no_finding(dataset):
    for name in (FIRST, SECOND):
        path = dataset.folder / name / "tracks.npz"
        occluded = {serial: load_tracks(path)[f"occluded_{serial}"] for serial in (WRIST, EXTERNAL)}
        write_tracks(path, load_motion(path), format="compact", occluded=occluded, settings={})

    assert all_findings(dataset) == []


def test_a_tree_without_its_recordings_has_no_finding(dataset):
    assert all_findings(DroidDataset(root=dataset.root, recordings="")) == []
    assert all_findings(DroidDataset(root=dataset.root, recordings=dataset.root + "/nowhere")) == []


def test_a_root_without_episodes_is_told(tmp_path):
    with pytest.raises(DataError, match="holds no episode"):
        DroidChecks(DroidDataset(root=str(tmp_path), recordings="")).item_names()


def test_checks_can_be_sent_to_another_process(dataset):
    checks = pickle.loads(pickle.dumps(DroidChecks(dataset)))

    assert checks.check_item(FIRST, lambda _: None) == []


class TestFiles:
    def test_without_quality_json_an_episode_is_unfinished(self, dataset, first):
        (first / "quality.json").unlink()

        assert findings(dataset) == [(FAIL, "unfinished", FIRST)]

    @pytest.mark.parametrize(
        "name", ["tracks.npz", "extrinsics.npz", f"recordings/{WRIST}/depth.mkv", f"recordings/{WRIST}/depth_meta.json"]
    )
    def test_a_file_that_quality_json_names_is_missing(self, dataset, first, name):
        (first / name).unlink()

        assert findings(dataset) == [(FAIL, "missing", f"{FIRST}/{name}")]

    def test_missing_intrinsics_are_told_and_that_pixels_cannot_be_held_against_them(self, dataset, first):
        name = f"recordings/{WRIST}/intrinsics.json"
        (first / name).unlink()

        assert findings(dataset) == [
            (FAIL, "missing", f"{FIRST}/{name}"),
            (FAIL, "intrinsics", f"{FIRST}/tracks.npz"),
        ]

    def test_tracks_of_a_step_that_is_not_done_are_unfinished(self, dataset, first):
        edit_json(first / "quality.json", lambda quality: quality["steps"].remove("tracks"))

        assert findings(dataset) == [
            (WARN, "unfinished", f"{FIRST}/{name}") for name in ("tracks.npz", "extrinsics.npz")
        ]

    def test_what_a_killed_writer_left_is_told(self, dataset, first):
        (first / f"recordings/{WRIST}/.unfinished-1234-depth.mkv").touch()

        assert findings(dataset) == [(WARN, "leftover", FIRST)]

    @pytest.mark.parametrize(
        "name", ["Thumbs.db", f"recordings/{WRIST}/depth.npy", f"recordings/{WRIST}/old/depth.mkv"]
    )
    def test_a_file_that_tracks_does_not_write_is_a_stray(self, dataset, first, name):
        (first / name).parent.mkdir(exist_ok=True)
        (first / name).touch()

        assert findings(dataset) == [(WARN, "stray", FIRST)]

    def test_a_camera_that_quality_json_does_not_name_is_a_stray(self, dataset, first):
        (first / "recordings/99999999").mkdir()

        assert findings(dataset) == [(WARN, "stray", f"{FIRST}/recordings/99999999")]

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "steps": 3}'])
    def test_a_quality_json_that_makes_no_sense_is_told(self, dataset, first, text):
        (first / "quality.json").write_text(text)

        assert findings(dataset) == [(FAIL, "quality", f"{FIRST}/quality.json")]


class TestTracks:
    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_a_truncated_file_cannot_be_read(self, dataset, first, share):
        data = (first / "tracks.npz").read_bytes()
        (first / "tracks.npz").write_bytes(data[: int(share * len(data))])

        assert findings(dataset) == [(FAIL, "tracks", f"{FIRST}/tracks.npz")]

    def test_a_flipped_bit_is_found(self, dataset, first):
        data = bytearray((first / "tracks.npz").read_bytes())
        data[len(data) // 2] ^= 1
        (first / "tracks.npz").write_bytes(data)

        assert findings(dataset) == [(FAIL, "tracks", f"{FIRST}/tracks.npz")]

    @pytest.mark.parametrize("edit", [lambda a: a[:-1], lambda a: a.astype(np.float64)], ids=["shorter", "dtype"])
    def test_another_shape_or_dtype_is_told(self, dataset, first, edit):
        edit_npz(first / "tracks.npz", tracks_3d=edit)

        assert findings(dataset) == [(FAIL, "tracks", f"{FIRST}/tracks.npz")]

    def test_it_is_not_finite(self, dataset, first):
        edit_npz(first / "tracks.npz", tracks_3d=lambda a: spoil(a, (3, 2, 1), np.nan))

        finding = only(dataset)
        assert (finding.check, finding.severity) == ("finite", FAIL)
        assert finding.found.startswith("tracks_3d has 1 values that are NaN")

    def test_time_goes_back(self, dataset, first):
        edit_npz(first / "tracks.npz", frame_timestamps=lambda a: spoil(a, 5, a[4]))

        finding = only(dataset)
        assert finding.check == "time"
        assert "at frame 5" in finding.found

    def test_a_pose_is_no_rotation(self, dataset, first):
        edit_npz(first / "tracks.npz", gripper_poses=lambda a: spoil(a, (2, 0, 0), a[2, 0, 0] + 1e-3))

        assert "gripper_poses are no rigid transforms" in only_first(dataset, "poses")

    def test_a_pad_is_bent(self, dataset, first):
        edit_npz(first / "tracks.npz", tracks_3d=lambda a: spoil(a, (7, -1, 0), a[7, -1, 0] + 1e-3))

        # 1 mm along one axis, at the last point, which is on the right pad.
        assert only_first(dataset, "rigid") == "the right pad of tracks_3d is bent by 1 mm at frame 7"

    def test_a_pad_is_bent_at_a_sample(self, dataset, first):
        edit_npz(first / "tracks.npz", normalized_tracks_3d=lambda a: spoil(a, (1, 1, 2), a[1, 1, 2] - 2e-3))

        assert only_first(dataset, "rigid") == "the left pad of normalized_tracks_3d is bent by 2 mm at sample 1"

    def test_the_pads_do_not_meet_as_the_gripper_says(self, dataset, first):
        # Full of points at an opening of 0.5 * 85 mm, whatever they are.
        edit_npz(first / "tracks.npz", gripper_positions=lambda a: spoil(a, 4, 0.5))

        found = only_first(dataset, "gripper")
        assert found.endswith("at frame 4, but gripper_positions says 42.500 mm")

    def test_right_comes_before_left(self, dataset, first):
        def swap(points):
            half = points.shape[1] // 2
            return np.concatenate([points[:, half:], points[:, :half]], axis=1)

        edit_npz(first / "tracks.npz", tracks_3d=swap, normalized_tracks_3d=swap, pad_points=lambda a: a[::-1].copy())

        assert only_first(dataset, "gripper") == "the right pad's points come before the left pad's in tracks_3d"

    @pytest.mark.parametrize(
        "name", ["contact_frames", "left_contact_frames", "right_contact_frames", "normalized_right_frames"]
    )
    def test_a_frame_is_not_where_its_points_are(self, dataset, first, name):
        edit_npz(first / "tracks.npz", **{name: lambda a: spoil(a, (0, 1, 3), a[0, 1, 3] + 5e-4)})

        assert only_first(dataset, "frames").startswith(f"the origins of {name} are up to 0.5 mm away")

    def test_a_centroid_is_not_the_mean(self, dataset, first):
        edit_npz(first / "tracks.npz", contact_centroids=lambda a: spoil(a, (1, 0), a[1, 0] + 5e-4))

        assert only_first(dataset, "frames").startswith("contact_centroids are up to 0.5 mm away")

    def test_the_way_does_not_add_up(self, dataset, first):
        edit_npz(first / "tracks.npz", cumulative_distance_mm=lambda a: a * 1.01)

        assert "away from what the centroid moves" in only_first(dataset, "way")

    def test_the_way_goes_back(self, dataset, first):
        edit_npz(first / "tracks.npz", cumulative_distance_mm=lambda a: spoil(a, -1, 0.0))

        assert only_first(dataset, "way") == f"cumulative_distance_mm goes back at frame {STEPS - 1}"

    def test_the_last_step_is_not_the_true_one(self, dataset, first):
        edit_npz(first / "tracks.npz", normalized_last_step_mm=lambda a: a * 0.5)

        assert "of a way of" in only_first(dataset, "samples").replace("mm of a way", "of a way")

    def test_the_step_is_not_the_true_one(self, dataset, first):
        # The defect of the original: the step that is stored is not the one between the samples.
        edit_npz(first / "tracks.npz", normalized_step_size_mm=lambda a: a * 1.001)

        only_first(dataset, "samples")

    @pytest.mark.parametrize("edit", [lambda a: a[::-1], lambda a: np.maximum(a - 3, 0), lambda a: a + 1])
    def test_frames_belong_to_other_samples(self, dataset, first, edit):
        edit_npz(first / "tracks.npz", frame_to_normalized_idx=edit)

        assert only_first(dataset, "samples").startswith("frame_to_normalized_idx")

    def test_quality_json_tells_of_another_number_of_frames(self, dataset, first):
        edit_json(first / "quality.json", lambda quality: quality.update(num_frames=STEPS + 1))

        # Of depth, one frame less than steps is no defect.
        assert only_first(dataset, "count") == f"has {STEPS} frames, but quality.json says {STEPS + 1}"


class TestPixels:
    def test_a_pixel_is_off(self, dataset, first):
        edit_npz(first / "tracks.npz", **{f"tracks_2d_{EXTERNAL}": lambda a: spoil(a, (6, 1, 0), a[6, 1, 0] + 0.4)})

        found = only_first(dataset, "pixels")
        assert found.startswith(f"camera {EXTERNAL}: its pixels are up to 0.4 pixels off")
        assert found.endswith("(frame 6)")

    def test_a_lens_with_distortion_is_held_against_that_of_opencv(self, dataset, first):
        coefficients = {"k1": -0.17, "k2": 0.026, "p1": 2e-4, "p2": -1e-4, "k3": -0.002}
        edit_json(first / f"recordings/{EXTERNAL}/intrinsics.json", lambda told: told.update(coefficients, model="raw"))
        motion = load_motion(first / "tracks.npz")
        lens = replace(motion.cameras[EXTERNAL].camera, distortion=Distortion(**coefficients))
        cameras = {**motion.cameras, EXTERNAL: replace(motion.cameras[EXTERNAL], camera=lens)}
        write_tracks(first / "tracks.npz", replace(motion, cameras=cameras), format="full")
        assert all_findings(dataset) == []

        edit_npz(first / "tracks.npz", **{f"tracks_2d_{EXTERNAL}": lambda a: spoil(a, (8, 1, 1), a[8, 1, 1] - 0.4)})

        assert only_first(dataset, "pixels").endswith("off the projection of tracks_3d (frame 8)")

    def test_a_point_before_the_camera_has_no_pixel(self, dataset, first):
        edit_npz(
            first / "tracks.npz",
            **{
                f"tracks_2d_{EXTERNAL}": lambda a: spoil(a, (6, 1), np.nan),
                f"in_front_{EXTERNAL}": lambda a: spoil(a, (6, 1), False),
                f"in_image_{EXTERNAL}": lambda a: spoil(a, (6, 1), False),
            },
        )

        assert "1 points have a pixel behind the camera, or none before it" in only_first(dataset, "pixels")

    def test_a_mask_does_not_fit_its_pixels(self, dataset, first):
        edit_npz(first / "tracks.npz", **{f"in_front_{WRIST}": lambda a: spoil(a, (0, 0), ~a[0, 0])})

        assert "1 points have a pixel, but are not in front" in only_first(dataset, "pixels")

    def test_a_point_is_not_in_the_picture(self, dataset, first):
        edit_npz(first / "tracks.npz", **{f"in_image_{WRIST}": lambda a: spoil(a, (0, 0), ~a[0, 0])})

        assert "in_image is wrong for 1 points" in only_first(dataset, "pixels")

    def test_a_wrist_camera_is_not_fixed_to_the_flange(self, dataset, first):
        edit_npz(
            first / "extrinsics.npz", **{f"T_world_camera_{WRIST}": lambda a: spoil(a, (3, 2, 3), a[3, 2, 3] + 2e-3)}
        )

        assert only_first(dataset, "extrinsics").endswith("is not fixed to the flange (off by up to 2 mm)")

    def test_an_external_camera_stands_elsewhere(self, dataset, first):
        # 90 degrees about z, as a known implementation had it for months: Rz(90) has the rows (0 -1 0), (1 0 0).
        quarter = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        edit_npz(first / "extrinsics.npz", **{f"T_world_camera_{EXTERNAL}": lambda a: a @ quarter})

        assert "is not where tracks.npz has it" in only_first(dataset, "extrinsics")

    def test_intrinsics_were_made_again_and_tracks_were_not(self, dataset, first):
        edit_json(first / f"recordings/{WRIST}/intrinsics.json", lambda values: values.update(fx=values["fx"] * 1.01))

        assert "other intrinsics than intrinsics.json" in only_first(dataset, "intrinsics")

    def test_no_point_is_ever_in_a_picture(self, dataset, first):
        # All cameras look the other way: a half turn about their own y axis.
        turn = np.diag([-1.0, 1, -1, 1])
        arrays = {}
        for serial, kind in ((WRIST, "flange"), (EXTERNAL, "world"), ("22000003", "world")):
            arrays[f"T_{kind}_camera_{serial}"] = lambda a: a @ turn
            arrays[f"in_front_{serial}"] = arrays[f"in_image_{serial}"] = np.zeros_like
            arrays[f"tracks_2d_{serial}"] = lambda a: np.full_like(a, np.nan)
            arrays[f"occluded_{serial}"] = np.zeros_like
        edit_npz(first / "tracks.npz", **arrays)
        edit_npz(
            first / "extrinsics.npz",
            **{f"T_world_camera_{serial}": lambda a: a @ turn for serial in (WRIST, EXTERNAL, "22000003")},
            **{f"T_flange_camera_{WRIST}": lambda a: a @ turn},
        )

        assert findings(dataset) == [(WARN, "coverage", f"{FIRST}/tracks.npz")]


class TestCameras:
    def spoil_intrinsics(self, first, **values):
        """In intrinsics.json and in the tracks, so that they agree."""
        edit_json(first / f"recordings/{WRIST}/intrinsics.json", lambda told: told.update(values))
        (first / "tracks.npz").unlink()
        (first / "extrinsics.npz").unlink()
        edit_json(first / "quality.json", lambda quality: quality["steps"].remove("tracks"))

    @pytest.mark.parametrize(
        ("values", "severity", "check", "told"),
        [
            ({"fx": 3000.0, "fy": 3000.0}, WARN, "intrinsics", "makes no sense for pictures of 160x90"),
            ({"fy": 200.0}, WARN, "intrinsics", "pixels are square"),
            ({"cx": 500.0}, FAIL, "intrinsics", "outside of pictures of 160x90"),
            ({"cx": 20.0}, WARN, "intrinsics", "far from the middle"),
            ({"k1": 0.1}, WARN, "intrinsics", "called rectified, but have distortion"),
            ({"serial": "5"}, FAIL, "intrinsics", "is of camera 5"),
            ({"approximate": True}, WARN, "approximate", "is approximate"),
        ],
    )
    def test_intrinsics_make_no_sense(self, dataset, first, values, severity, check, told):
        self.spoil_intrinsics(first, **values)

        finding = only(dataset)
        assert (finding.severity, finding.check) == (severity, check)
        assert finding.item == f"{FIRST}/recordings/{WRIST}/intrinsics.json"
        assert told in finding.found

    def test_pictures_and_depth_are_of_another_size(self, dataset, first):
        self.spoil_intrinsics(first, width=80, height=45, cx=40.0, cy=22.0, fx=50.0, fy=50.0)

        found = [(finding.severity, finding.check, finding.found) for finding in all_findings(dataset)]
        assert {(severity, check) for severity, check, _ in found} == {(FAIL, "size")}
        texts = " ".join(text for _, _, text in found)
        assert f"those of {WRIST}.mp4 have 160x90" in texts
        assert f"those of {WRIST}-stereo.mp4 have 160x90" in texts
        assert "frames of 160x90, but intrinsics.json is for 80x45" in texts

    def test_a_file_that_cannot_be_read(self, dataset, first):
        (first / f"recordings/{EXTERNAL}/intrinsics.json").write_text("{}")

        assert ("intrinsics", f"{FIRST}/recordings/{EXTERNAL}/intrinsics.json") in [
            (finding.check, finding.item) for finding in all_findings(dataset)
        ]

    def test_a_camera_without_intrinsics_tells_who_was_asked(self, dataset, first):
        self.spoil_intrinsics(first)
        (first / f"recordings/{WRIST}/intrinsics.json").unlink()
        tried = {"provider": None, "tried": {"h5": "has none", "json": "does not name it"}}
        edit_json(first / "quality.json", lambda quality: quality["cameras"][WRIST].update(intrinsics=tried))

        finding = only(dataset)
        assert (finding.severity, finding.check) == (WARN, "no-intrinsics")
        assert "(h5: has none; json: does not name it)" in finding.found

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"baseline_error_mm": -5.1}, "its two eyes are -5.1 mm from where"),
            ({"rotation_disagreement_deg": 2.1}, "its two eyes look 2.10 degrees apart"),
        ],
    )
    def test_a_bad_calibration_is_a_warning(self, dataset, first, values, told):
        edit_json(first / "quality.json", lambda quality: quality["cameras"][WRIST]["calibration"].update(values))

        finding = only(dataset)
        assert (finding.severity, finding.check) == (WARN, "calibration")
        assert told in finding.found

    def test_a_camera_with_a_problem_is_told(self, dataset, first):
        edit_json(first / "quality.json", lambda quality: quality["cameras"][EXTERNAL].update(problem="it moves"))

        assert only(dataset).found == f"camera {EXTERNAL} cannot be used: it moves"


class TestDepth:
    def test_a_truncated_video_is_damaged(self, dataset, first):
        video = first / f"recordings/{EXTERNAL}/depth.mkv"
        video.write_bytes(video.read_bytes()[:-100])

        finding = only(dataset)
        assert (finding.severity, finding.check) == (FAIL, "depth")
        assert "mapanything_data.depth_video path=" in finding.remedy

    def test_a_damaged_first_frame_is_found(self, dataset, first):
        video = first / f"recordings/{EXTERNAL}/depth.mkv"
        data = bytearray(video.read_bytes())
        data[1200:1300] = bytes(100)  # after the header of the file, and before the second of the frames
        video.write_bytes(data)

        assert findings(dataset) == [(FAIL, "depth", f"{FIRST}/recordings/{EXTERNAL}/depth.mkv")]

    @pytest.mark.parametrize(
        ("counts", "told"),
        [
            ({"invalid": 0.96}, "96.0 % of the pixels have no depth"),
            ({"saturated": 0.02}, "2.0 % of the pixels were deeper than 65.53 m"),
        ],
    )
    def test_depth_that_says_little_is_a_warning(self, dataset, first, counts, told):
        def edit(meta):
            meta["counts"].update({name: round(share * meta["counts"]["pixels"]) for name, share in counts.items()})

        edit_json(first / f"recordings/{EXTERNAL}/depth_meta.json", edit)

        finding = only(dataset)
        assert (finding.severity, finding.check) == (WARN, "depth")
        assert told in finding.found

    def test_a_picture_that_was_read_twice_is_no_fault_and_time_that_goes_back_is_one(self, dataset, first):
        def set_time(meta, number, other):
            meta["timestamps"][number] = meta["timestamps"][other]

        meta = first / f"recordings/{EXTERNAL}/depth_meta.json"
        edit_json(meta, lambda values: set_time(values, 5, 4))
        assert findings(dataset) == []

        edit_json(meta, lambda values: set_time(values, 5, 3))
        assert only(dataset).found == "has timestamps that go back"

    def test_one_frame_short_is_usual_and_two_are_not(self, dataset):
        second = dataset.folder / SECOND  # its recording lacks the last frame, and has no finding
        assert read_json(second / f"recordings/{WRIST}/depth_meta.json")["frame_count"] == STEPS - 1

        edit_json(second / f"recordings/{WRIST}/depth_meta.json", lambda meta: meta.update(
            frame_count=STEPS - 2, timestamps=meta["timestamps"][:-1]))  # fmt: skip

        assert only(dataset).found == f"has {STEPS - 2} frames for {STEPS} steps, so frame i may not be step i"

    def test_a_failure_to_make_it_is_told_with_its_reason(self, dataset, first):
        edit_json(
            first / "quality.json",
            lambda quality: quality["cameras"][WRIST].update(depth={"failed": "x.svo: is encrypted\nremedy"}),
        )

        assert only(dataset).found == f"depth of camera {WRIST} could not be made: x.svo: is encrypted"


class TestJudgement:
    @pytest.mark.parametrize(
        ("part", "values", "check", "told"),
        [
            ("alignment", {"held_frames": 3}, "held", f"3 of {STEPS} frames lie outside"),
            ("alignment", {"remaining_skew_mm_p95": 5.5}, "alignment", "up to 5.5 mm away from the pictures"),
            ("motion", {"score": 0.04}, "idle", "96.0 % of the steps do not count"),
        ],
    )
    def test_what_is_unusual_is_a_warning(self, dataset, first, part, values, check, told):
        edit_json(first / "quality.json", lambda quality: quality[part].update(values))

        finding = only(dataset)
        assert (finding.severity, finding.check, finding.item) == (WARN, check, f"{FIRST}/quality.json")
        assert told in finding.found

    def test_a_low_score_tells_its_parts(self, dataset, first):
        scores = {"calibration": 0.1, "coverage": 0.5, "alignment": 0.2, "motion": None}
        edit_json(first / "quality.json", lambda quality: quality.update(score=0.215, scores=scores))

        assert only(dataset).found == "its score is 0.21 (calibration 0.10, coverage 0.50, alignment 0.20)"


class TestPeople:
    @pytest.mark.parametrize("name", ["quality.json", "recordings/11000001/intrinsics.json"])
    def test_a_name_in_a_json_is_found(self, dataset, first, name):
        edit_json(first / name, lambda values: values.update(origin=f"of {NAME.upper()}'s machine"))

        finding = only(dataset)
        assert (finding.severity, finding.check, finding.item) == (FAIL, "private", f"{FIRST}/{name}")
        assert NAME not in finding.found

    def test_a_name_among_the_arrays_is_found(self, dataset, first):
        edit_npz(first / "tracks.npz", settings=lambda a: np.array(f'{{"by": "{NAME}"}}'))

        assert findings(dataset) == [(FAIL, "private", f"{FIRST}/tracks.npz")]

    def test_a_name_in_a_table_beside_the_episodes_is_found(self, dataset):
        (dataset.folder / "failed.csv").write_text(f"episode,reason\nx,/home/{NAME}/x is missing\n")

        assert findings(dataset) == [(FAIL, "private", "failed.csv")]

    def test_a_key_for_a_name_is_found_without_the_recordings(self, dataset, first):
        edit_json(first / "quality.json", lambda quality: quality["episode"]["metadata"].update(user="anybody"))

        finding = only(DroidDataset(root=dataset.root, recordings=""))
        assert (finding.severity, finding.check) == (FAIL, "private")

    def test_a_part_of_a_word_is_no_name(self, dataset, first):
        edit_json(first / "quality.json", lambda quality: quality.update(remarks=[f"{NAME}s"]))

        assert all_findings(dataset) == []


class TestWhole:
    def test_recordings_that_are_left_out_are_counted(self, dataset):
        shutil.rmtree(dataset.folder / SECOND)

        finding = only(dataset)
        assert (finding.severity, finding.check) == (WARN, "left-out")
        assert "lacks 1 of 2 recordings" in finding.found
        assert "mapanything_data.tracks dataset.recordings=" in finding.remedy

    def test_a_recording_that_is_gone_is_no_defect(self, dataset):
        shutil.rmtree(find_episodes(dataset.recordings_folder).episodes[0].folder)

        assert all_findings(dataset) == []

    def test_an_episode_with_two_folders_is_told(self, dataset, first):
        other = dataset.folder / FIRST.replace("/success/", "/failure/")
        shutil.copytree(first, other)

        finding = only(dataset)
        assert (finding.severity, finding.check) == (FAIL, "copy")

    def test_a_tree_of_something_else_is_told(self, dataset):
        edit_json(dataset.folder / "manifest.json", lambda manifest: manifest.update(format="segments"))

        assert findings(dataset) == [(WARN, "manifest", "manifest.json")]

    def test_the_table_tells_labs_and_outcomes_from_names(self, dataset, first):
        (first / "tracks.npz").unlink()

        header, row, *_ = (line.split() for line in DroidChecks(dataset).describe().splitlines())
        assert header == ["lab", "outcome", "episodes", "finished", "tracks", "depth", "recordings"]
        assert row == ["MADELab", "success", "2", "2", "1", "2", "2"]

    def test_files_of_an_item_are_what_its_findings_depend_on(self, dataset, first):
        files = set(DroidChecks(dataset).files(FIRST))

        assert {first / "tracks.npz", first / f"recordings/{WRIST}/depth.mkv"} <= files
        assert any(path.name == f"{WRIST}.mp4" for path in files)
        assert any(path.name.startswith("metadata_") for path in files)


def only_first(dataset, check) -> str:
    """What is told of the first episode's tracks.npz, and nothing else is."""
    finding = only(dataset)
    assert (finding.severity, finding.check, finding.item) == (FAIL, check, f"{FIRST}/tracks.npz")
    return finding.found
