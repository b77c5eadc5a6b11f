"""Labels of a data set as a user makes them: beside it, complete, resumable, and never with a frame lost unseen."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from captures import contents
from opv2v_data import AGENTS, FRAMES, make_snapshot, write_root

from mapanything_data.engine import Retry
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.labelers.boxes3d import Boxes3D
from mapanything_data.labelers.lidar_depth import Agents, LidarDepth
from mapanything_data.stages.label import LabelConfig, label
from mapanything_data.storage.detections import read_detections
from mapanything_data.storage.opv2v import OPV2V, FrameKey, read_snapshot
from mapanything_data.storage.segments import SegmentsDataset
from mapanything_data.storage.tables import read_csv

SCENARIO = "train/2021_08_16_22_26_00"
OWN = f"{SCENARIO}/962"


def run_label(root, labeler=None, executor=None, depth_root="", **options) -> int:
    return label(
        LabelConfig(
            machine={},
            dataset=OPV2V(root=str(root), depth_root=str(depth_root)),
            labeler=labeler or LidarDepth(),
            executor=executor or InlineExecutor(),
            **options,
        )
    )


@pytest.fixture(scope="session")
def written_root(tmp_path_factory):
    return write_root(tmp_path_factory.mktemp("opv2v") / "opv2v")


@pytest.fixture
def root(written_root, tmp_path):
    shutil.copytree(written_root.parent, tmp_path / "data")
    return tmp_path / "data" / "opv2v"


def test_depth_lies_beside_the_data_set_and_is_read_as_its_depth(root):
    before = contents(root)

    assert run_label(root) == 0

    assert {path: data for path, data in contents(root).items() if not path.startswith(".")} == before
    key = FrameKey("train", "2021_08_16_22_26_00", "962", "000068")
    snapshot = read_snapshot(root, key, depth_root=root.with_name("opv2v_lidar_depth"))
    for number, view in snapshot.views.items():
        exact = make_snapshot(962, 68).views[number].depth
        assert (view.depth > 0).mean() > 0.2
        measured = (view.depth > 0) & (exact > 0)
        # A pixel of 80x60 is wide: a point half a pixel off its centre lies elsewhere on the road.
        assert np.median(np.abs(view.depth - exact)[measured] / exact[measured]) < 0.05


def test_each_agent_has_a_table_with_a_row_for_each_picture(root):
    run_label(root)

    rows = read_csv(root.with_name("opv2v_lidar_depth") / OWN / "lidar_depth.csv")
    assert [(row["frame"], row["camera"]) for row in rows] == [
        (f"{frame:06d}", str(camera)) for frame in FRAMES for camera in range(4)
    ]
    fates = ("hit", "occluded", "outside", "ego_body", "moving", "not_finite")
    assert all(int(row["points"]) == sum(int(row[fate]) for fate in fates) for row in rows)


def test_all_agents_give_more_points_than_the_own(root, tmp_path):
    run_label(root, output=str(tmp_path / "own"))
    run_label(root, LidarDepth(agents=Agents.all), output=str(tmp_path / "all"))

    def points(name: str) -> int:
        return int(read_csv(tmp_path / name / OWN / "lidar_depth.csv")[0]["points"])

    number = {agent: len(make_snapshot(agent, 68).cloud.points) for agent in AGENTS}
    assert (points("own"), points("all")) == (number[962], number[962] + number[1007])


def test_neighbouring_frames_add_their_points_but_not_the_vehicles(root, tmp_path):
    run_label(root, LidarDepth(sweeps_before=3, sweeps_after=1))

    first, second = (read_csv(root.with_name("opv2v_lidar_depth") / OWN / "lidar_depth.csv")[i] for i in (0, 4))
    number = {frame: len(make_snapshot(962, frame).cloud.points) for frame in FRAMES}
    # Both frames see each other: frame 70 is one after 68, and 68 one of three before 70.
    assert int(first["points"]) == int(second["points"]) == sum(number.values())
    assert int(first["moving"]) > 20
    assert int(second["moving"]) > 20


def test_boxes_are_written_as_yolo_and_json_with_the_classes_once(root):
    assert run_label(root, Boxes3D(depth=True)) == 0

    output = root.with_name("opv2v_boxes3d")
    assert (output / "classes.txt").read_text() == "vehicle\n"
    stored = read_detections(output / OWN / "000068_camera0.json")
    # Ahead of agent 962: agent 1007 (12 m) and the parked car 5 (22 m); both in free view.
    assert sorted(stored.detections.track_ids.tolist()) == [5, 1007]
    assert stored.attributes["occlusion"].max() < 0.2
    assert len((output / OWN / "000068_camera0.txt").read_text().splitlines()) == 2
    assert read_csv(output / OWN / "boxes3d.csv")[0]["boxes"] == "2"


def test_a_second_run_does_nothing(root, capsys):
    run_label(root)
    output = root.with_name("opv2v_lidar_depth")
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if ".mapanything" not in path.parts}

    assert run_label(root) == 0

    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "0 done, 2 already finished" in capsys.readouterr().out


def test_another_executor_gives_the_same_bytes(root, tmp_path):
    run_label(root, output=str(tmp_path / "inline"))
    run_label(root, executor=ProcessesExecutor(workers=2), output=str(tmp_path / "processes"))

    assert contents(tmp_path / "processes") == contents(tmp_path / "inline")


@pytest.mark.parametrize("kill_after", [1, 9, 26])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(root, tmp_path, kill_after):
    run_label(root, output=str(tmp_path / "undisturbed"))
    output = tmp_path / "killed"
    command = [sys.executable, "-m", "mapanything_data.label", f"dataset.root={root}", f"output={output}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(output.glob("train/*/*/[0-9]*"))) < kill_after:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)  # of 32 files
    process.wait()

    again = subprocess.run(command, capture_output=True, text=True)

    assert (again.returncode, again.stderr) == (0, "")
    assert contents(output) == contents(tmp_path / "undisturbed")


def test_frames_that_are_finished_are_not_made_again(root):
    output = root.with_name("opv2v_lidar_depth")
    (root / OWN / "000070.yaml").write_text("lidar_pose: [")  # so that the agent stays unfinished
    run_label(root)
    path = output / OWN / "000068_camera0_depth.npy"
    before = path.stat().st_mtime_ns

    run_label(root, retry=Retry.failed)
    assert path.stat().st_mtime_ns == before

    path.unlink()
    run_label(root, retry=Retry.failed)
    assert path.exists()


def broken(root) -> bytes:
    """Damage one frame's YAML file; gives back what it held."""
    path = root / OWN / "000070.yaml"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    return whole


def test_a_damaged_frame_is_named_and_costs_no_other(root, capsys):
    broken(root)

    assert run_label(root) == 1

    output = root.with_name("opv2v_lidar_depth")
    (problem,) = read_csv(output / OWN / "problems.csv")
    assert (problem["frame"], problem["file"]) == ("000070", f"{OWN}/000070.yaml")
    assert [row["frame"] for row in read_csv(output / OWN / "lidar_depth.csv")] == ["000068"] * 4
    assert len(read_csv(output / SCENARIO / "1007" / "lidar_depth.csv")) == 8
    told = capsys.readouterr().out
    assert "1 done, 1 failed of 2 items" in told
    assert "1 of 2 frames could not be labelled" in told


def test_a_damaged_frame_is_not_forgotten_by_the_next_run(root):
    broken(root)
    run_label(root)

    assert run_label(root) == 1


def test_once_the_file_is_restored_the_labels_are_those_of_a_sound_data_set(root, tmp_path):
    run_label(root, output=str(tmp_path / "sound"))
    whole = broken(root)
    run_label(root, output=str(tmp_path / "mended"))
    (root / OWN / "000070.yaml").write_bytes(whole)

    assert run_label(root, output=str(tmp_path / "mended"), retry=Retry.failed) == 0
    assert contents(tmp_path / "mended") == contents(tmp_path / "sound")


def test_a_damaged_cloud_of_another_agent_is_named_too(root):
    (root / SCENARIO / "1007" / "000070.pcd").write_text(
        "FIELDS a b\nSIZE 4 4\nTYPE F F\nCOUNT 1 1\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2\n"
    )

    assert run_label(root, LidarDepth(agents=Agents.all)) == 1

    for agent in AGENTS:
        (problem,) = read_csv(root.with_name("opv2v_lidar_depth") / SCENARIO / str(agent) / "problems.csv")
        assert problem["file"] == f"{SCENARIO}/1007/000070.pcd"


def test_a_camera_without_a_picture_has_no_labels_and_stops_nothing(root):
    (root / OWN / "000070_camera3.png").unlink()

    assert run_label(root) == 0

    rows = read_csv(root.with_name("opv2v_lidar_depth") / OWN / "lidar_depth.csv")
    assert [row["camera"] for row in rows if row["frame"] == "000070"] == ["0", "1", "2"]


def test_other_settings_are_refused_and_nothing_is_touched(root):
    run_label(root)
    output = root.with_name("opv2v_lidar_depth")
    before = contents(output)

    with pytest.raises(DataError, match=r"labeler\.agents was 'own' and is now 'all'") as refused:
        run_label(root, LidarDepth(agents=Agents.all))
    assert "another output" in str(refused.value)
    with pytest.raises(DataError, match="format lidar_depth"):
        run_label(root, Boxes3D(), output=str(output))
    assert contents(output) == before


def test_settings_may_change_while_nothing_is_labelled(root):
    run_label(root, limit=0)

    assert run_label(root, LidarDepth(agents=Agents.all)) == 0


def test_the_manifest_says_what_the_labels_are_made_by(root):
    run_label(root, Boxes3D(min_size=5.0))

    manifest = json.loads((root.with_name("opv2v_boxes3d") / "manifest.json").read_text())
    assert (manifest["format"], manifest["settings"]["labeler.min_size"]) == ("boxes3d", 5.0)
    assert manifest["provenance"]["root"] == str(root)


def test_labels_of_two_data_sets_are_not_mixed_in_one_folder(root, tmp_path):
    run_label(root, output=str(tmp_path / "labels"))
    shutil.copytree(root.parent, tmp_path / "other")

    with pytest.raises(DataError, match=r"holds labels made from root="):
        run_label(tmp_path / "other" / "opv2v", output=str(tmp_path / "labels"))


def test_occlusion_from_two_depth_roots_is_not_mixed_in_one_folder(root, tmp_path):
    shutil.copytree(root.with_name("opv2v_depth"), tmp_path / "depth")
    run_label(root, Boxes3D(depth=True))

    with pytest.raises(DataError, match=r"holds labels made from depth_root="):
        run_label(root, Boxes3D(depth=True), depth_root=tmp_path / "depth")
    assert run_label(root, Boxes3D(depth=True)) == 0


def test_frames_that_came_later_are_labelled_by_the_next_run(root, tmp_path):
    later = sorted((root / OWN).glob("000070*"))
    for path in later:
        path.rename(tmp_path / path.name)
    run_label(root)
    output = root.with_name("opv2v_lidar_depth")
    before = (output / OWN / "000068_camera0_depth.npy").stat().st_mtime_ns
    for path in later:
        (tmp_path / path.name).rename(path)

    run_label(root)
    run_label(root, output=str(tmp_path / "at once"))

    assert (output / OWN / "000068_camera0_depth.npy").stat().st_mtime_ns == before
    assert contents(output) == contents(tmp_path / "at once")


def test_a_label_that_was_lost_is_made_again(root, tmp_path):
    run_label(root)
    output = root.with_name("opv2v_lidar_depth")
    whole = contents(output)
    (output / OWN / "000070_camera1_mask.png").unlink()

    run_label(root)

    assert contents(output) == whole


@pytest.mark.parametrize("labeler", [LidarDepth(), LidarDepth(png=True, dense=True), Boxes3D()])
def test_a_picture_has_the_files_that_its_labeler_announces(root, labeler):
    run_label(root, labeler, output=str(root.parent / "out"))

    names = {path.name for path in (root.parent / "out" / OWN).glob("000068_camera0*")}
    assert names == {f"000068_camera0{suffix}" for suffix in labeler.suffixes}


@pytest.mark.parametrize("output", ["{root}", "{root}/train", "{root}/labels", "{root}/..", "{root}_depth"])
def test_labels_are_not_written_among_what_they_are_made_from(root, output):
    before = contents(root.parent)

    with pytest.raises(ConfigError, match="one lies in the other"):
        run_label(root, output=output.format(root=root))
    assert contents(root.parent) == before


def test_a_folder_with_other_files_is_refused(root, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")

    with pytest.raises(DataError, match=r"no manifest\.json"):
        run_label(root, output=str(tmp_path / "mine"))


def test_a_data_set_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        run_label(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_another_dataset_is_refused(tmp_path):
    config = LabelConfig(
        machine={}, dataset=SegmentsDataset(root=str(tmp_path)), labeler=LidarDepth(), executor=InlineExecutor()
    )
    with pytest.raises(ConfigError, match="dataset=segments"):
        label(config)


def test_data_that_have_changed_are_labelled_again_when_asked_for(root, tmp_path):
    run_label(root)
    output = root.with_name("opv2v_lidar_depth")
    shutil.copy(root / SCENARIO / "1007" / "000068.pcd", root / OWN / "000068.pcd")
    before = contents(output)

    run_label(root)
    assert contents(output) == before
    run_label(root, again=True)
    run_label(root, output=str(tmp_path / "fresh"))
    assert contents(output) == contents(tmp_path / "fresh") != before


def test_a_depth_root_that_is_not_there_is_refused_at_once(root):
    with pytest.raises(ConfigError, match=r"dataset\.depth_root"):
        run_label(root, Boxes3D(depth=True), depth_root=root.parent / "nowhere")
    assert not root.with_name("opv2v_boxes3d").exists()
