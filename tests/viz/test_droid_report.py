"""The report about DROID's episodes: ranked by quality, and pictures in which things are where they must be."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from droid_tree import EXTERNAL, FIRST, SECOND, STEPS, WRIST, copy_tree, edit_json, sound_tree

from mapanything_data.scene import Camera
from mapanything_data.stages.report import ReportConfig, report
from mapanything_data.storage.droid import DroidDataset
from mapanything_data.storage.tables import read_csv, read_json
from mapanything_data.viz.droid import summarise
from mapanything_data.viz.tracks import LEFT, RIGHT, colour_near_depth, draw_scene, draw_timeline, draw_tracks


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_tree(tmp_path_factory)


@pytest.fixture
def dataset(sound, tmp_path):
    return copy_tree(sound, tmp_path / "copy")


def score(dataset, name, value):
    edit_json(dataset.folder / name / "quality.json", lambda quality: quality.update(score=value))


def near(image, colour, tolerance=60):
    """Rows and columns of the pixels that have nearly a colour."""
    return np.argwhere(np.abs(image.astype(int) - colour).max(axis=-1) <= tolerance)


def test_facts_add_up(dataset):
    facts = summarise(dataset).facts

    assert (facts["episodes"], facts["MADELab success"], facts["frames"]) == (2, 2, 2 * STEPS)
    assert (facts["cameras"], facts["cameras with intrinsics"], facts["episodes with depth"]) == (6, 6, 2)
    fps = read_json(dataset.folder / FIRST / "quality.json")["fps"]
    assert facts["hours"] == pytest.approx(2 * STEPS / fps / 3600, rel=0.05)  # the other robot's clock is a little off


def test_episodes_are_ranked_and_one_without_a_score_comes_last(dataset):
    score(dataset, FIRST, 0.3)
    score(dataset, SECOND, 0.7)
    assert [item.name for item in summarise(dataset).items] == [SECOND, FIRST]

    (dataset.folder / SECOND / "quality.json").write_text("{")
    items = summarise(dataset).items
    assert [item.name for item in items] == [FIRST, SECOND]
    assert items[1].facts["remarks"].startswith("quality.json: is no JSON")


def test_of_many_episodes_the_best_and_the_worst_are_shown_and_all_are_in_the_table(dataset, monkeypatch):
    monkeypatch.setattr("mapanything_data.viz.droid.EPISODES_SHOWN", 2)
    for number in range(2, 5):
        name = FIRST.replace("16h-00m", f"16h-{number:02d}m")
        shutil.copytree(dataset.folder / FIRST, dataset.folder / name)
        score(dataset, name, number / 10)
    score(dataset, FIRST, 0.9)
    score(dataset, SECOND, 0.1)

    summary = summarise(dataset)

    assert [item.name for item in summary.items] == [FIRST, SECOND]
    assert len(summary.tables["quality"]) == 5
    assert "Of 5 episodes these are the best and the worst 1" in summary.note


def test_the_whole_ranking_is_written_as_a_table(dataset, capsys):
    score(dataset, SECOND, 0.75)

    assert report(ReportConfig(machine={}, dataset=dataset, output=dataset.root)) == 0

    rows = read_csv(dataset.folder / "quality.csv")
    assert {row["episode"] for row in rows} == {FIRST, SECOND}
    assert next(row["score"] for row in rows if row["episode"] == SECOND) == "0.75"
    assert "quality.csv" in capsys.readouterr().out
    assert "The score is the geometric mean" in (dataset.folder / "report.html").read_text()
    assert (dataset.folder / "report.html").read_text().count("data:image/jpeg;base64,") == 2 * 9


def test_an_episode_has_pictures_over_time_in_space_of_each_camera_and_of_depth(dataset):
    pictures = summarise(dataset).items[0].pictures

    starts = ["The gripper's opening", "In space", "The same from above"]
    cameras = [f"Camera {serial}" for serial in (WRIST, EXTERNAL, "22000003")]
    depth = [f"Depth of camera {serial}" for serial in (WRIST, EXTERNAL, "22000003")]
    assert len(pictures) == 9
    for picture, start in zip(pictures, [*starts, *cameras, *depth], strict=True):
        assert picture.caption.startswith(start)
        assert picture.image is not None


def test_without_recordings_the_frame_is_empty_and_the_caption_says_so(dataset):
    without = DroidDataset(root=dataset.root, recordings="")
    there, gone = (next(p for p in summarise(d).items[0].pictures if p.caption.startswith("Camera"))
                   for d in (dataset, without))  # fmt: skip

    assert "not within reach" in gone.caption
    assert "not within reach" not in there.caption
    assert len(np.unique(gone.image.reshape(-1, 3), axis=0)) < len(np.unique(there.image.reshape(-1, 3), axis=0)) / 4


@pytest.mark.parametrize("name", ["tracks.npz", f"recordings/{WRIST}/depth.mkv", f"recordings/{WRIST}/depth_meta.json"])
def test_a_damaged_file_leaves_the_rest_of_the_page(dataset, name):
    (dataset.folder / FIRST / name).write_bytes(b"nothing")

    items = {item.name: item for item in summarise(dataset).items}

    assert any(picture.image is None for picture in items[FIRST].pictures)
    assert all(picture.image is not None for picture in items[SECOND].pictures)


class TestDrawing:
    # One point on each pad: the left one goes from column 100 to 300 in row 50, the right one stands at (500, 200).
    PIXELS = np.array([[[100 + 20.0 * t, 50], [500, 200]] for t in range(11)], np.float32)

    def test_points_are_where_they_are_at_the_step(self):
        drawn = draw_tracks(np.zeros((270, 960, 3), np.uint8), self.PIXELS, step=10, trail=3)

        assert drawn[50, 300].tolist() == list(LEFT)
        assert drawn[200, 500].tolist() == list(RIGHT)

    def test_a_trail_fades(self):
        drawn = draw_tracks(np.zeros((270, 960, 3), np.uint8), self.PIXELS, step=10, trail=8).astype(int)

        # Orange is 255 red. The way of 10 steps of 20 columns ends at 300; the trail begins 8 steps before.
        red = drawn[50, [250, 210, 170], 0]
        assert red[0] > red[1] > red[2] > 0

    def test_an_occluded_point_is_hollow(self):
        occluded = np.zeros((11, 2), np.bool_)
        occluded[10, 1] = True

        drawn = draw_tracks(np.zeros((270, 960, 3), np.uint8), self.PIXELS, 10, 3, occluded)

        assert drawn[200, 500].tolist() != list(RIGHT)
        assert len(near(drawn, RIGHT)) > 4
        assert drawn[50, 300].tolist() == list(LEFT)

    def test_a_point_that_is_nowhere_or_far_outside_is_left_out(self):
        pixels = self.PIXELS.copy()
        pixels[:, 0], pixels[:, 1] = np.nan, 1e12

        assert not draw_tracks(np.zeros((270, 960, 3), np.uint8), pixels, 10, 3).any()

    def test_a_small_picture_is_enlarged_and_its_points_with_it(self):
        # By 3: the middle of pixel (100, 50) is at 3 * 100 + 1 and 3 * 50 + 1.
        drawn = draw_tracks(np.zeros((90, 320, 3), np.uint8), self.PIXELS, step=0, trail=3)

        assert drawn.shape == (270, 960, 3)
        assert drawn[151, 301].tolist() == list(LEFT)

    def test_from_above_ahead_is_right_and_left_of_the_robot_is_up(self):
        # A pad at x = 0.5, y = 0.3 (left of the robot), another at y = -0.3; the viewer stands at -y and looks down.
        tracks = np.tile(np.array([[0.5, 0.3, 0.2], [0.5, -0.3, 0.2]], np.float32), (3, 1, 1))
        camera = Camera(100, 80, 50, 50, 50, 40)
        poses = np.broadcast_to(np.eye(4), (3, 4, 4))

        drawn = draw_scene(tracks, 1, {"7": (camera, poses)}, azimuth=-np.pi / 2, elevation=np.pi / 2)

        left, right = near(drawn, LEFT, 20).mean(axis=0), near(drawn, RIGHT, 20).mean(axis=0)
        assert left[0] < right[0]  # rows go down
        assert left[1] == pytest.approx(right[1], abs=2)
        assert left[1] > drawn.shape[1] / 2  # ahead of the base, which is on the other side

    def test_curves_are_high_where_values_are_and_shades_where_steps_do_not_count(self):
        times, values = np.arange(11.0), np.linspace(0, 5, 11)
        shaded = np.arange(11) == 3  # from 2 s to 3 s

        drawn = draw_timeline(times, [("way", values)], shaded, step=5)

        curve = near(drawn[20:260, 160:1150], (225, 230, 236), 5)
        assert curve[curve[:, 1] < 50, 0].min() > curve[curve[:, 1] > 930, 0].max()
        columns = near(drawn[12:14, 150:1160], (52, 44, 30), 2)[:, 1]
        assert columns.min() / 1010 == pytest.approx(0.2, abs=0.01)  # of the axis, which is 1010 pixels for 10 s
        assert columns.max() / 1010 == pytest.approx(0.3, abs=0.01)

    def test_near_is_warm_far_is_cold_and_unknown_is_black(self):
        depth = np.full((4, 6), 1.0, np.float32)
        depth[:, 3:] = 3.0
        depth[0, 0] = 0

        image, ends = colour_near_depth(depth)

        assert ends == (1.0, 3.0)
        assert image[0, 0].tolist() == [0, 0, 0]
        assert image[1, 1, 0] > image[1, 1, 2]
        assert image[1, 5, 2] > image[1, 5, 0]

    def test_a_map_without_depth_is_black(self):
        assert not colour_near_depth(np.zeros((3, 3), np.float32))[0].any()
