"""What an OPV2V root holds is told from names alone."""

from __future__ import annotations

import pytest

from mapanything_data.errors import DataError
from mapanything_data.storage.opv2v import FrameKey, nearest_root, read_index
from mapanything_data.storage.opv2v.index import ProblemKind
from mapanything_data.storage.opv2v.layout import camera_of_part, camera_part

PARTS = ("{}.yaml", "{}.pcd", "{}_camera0.png", "{}_camera1.png", "{}_camera2.png", "{}_camera3.png")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def plant(root, agent="962", frame="000068", split="train", scenario="2021_08_16_22_26_54", parts=PARTS):
    folder = root / split / scenario / agent
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        (folder / part.format(frame)).touch()
    return folder


def only_scenario(root):
    (scenario,) = read_index(root).scenarios
    return scenario


def test_a_frame_has_its_files(tmp_path):
    plant(tmp_path)

    scenario = only_scenario(tmp_path)

    assert (scenario.split, scenario.name) == ("train", "2021_08_16_22_26_54")
    assert dict(scenario.agents[962].frames) == {68: "000068"}
    assert scenario.agents[962].parts[68] == {"yaml", "pcd", "camera0", "camera1", "camera2", "camera3"}
    assert scenario.key(962, 68) == FrameKey("train", "2021_08_16_22_26_54", "962", "000068")
    assert (tmp_path / scenario.key(962, 68).file("camera2")).name == "000068_camera2.png"
    assert (tmp_path / scenario.key(962, 68).file("pcd")).exists()


def test_cameras_are_the_pictures_that_a_frame_has_in_order(tmp_path):
    plant(tmp_path, parts=("{}.yaml", "{}_camera10.png", "{}_camera2.png", "{}_camera0.png"))
    plant(tmp_path, frame="000070", parts=("{}.yaml",))

    agent = only_scenario(tmp_path).agents[962]

    assert agent.cameras(68) == [0, 2, 10]
    assert agent.cameras(70) == []


@pytest.mark.parametrize("number", [0, 3, 12])
def test_a_part_names_its_camera(number):
    assert camera_of_part(camera_part(number)) == number


@pytest.mark.parametrize("part", ["yaml", "camera", "camera-1", "3", "camera1_depth", "camera" + "9" * 5000])
def test_other_parts_name_none(part):
    assert camera_of_part(part) is None


def test_the_ego_is_the_lowest_number_not_the_first_text(tmp_path):
    plant(tmp_path, "1007")
    plant(tmp_path, "962")

    scenario = only_scenario(tmp_path)

    assert list(scenario.agents) == [962, 1007]
    assert scenario.ego() == 962


def test_the_ego_can_be_pinned(tmp_path):
    plant(tmp_path, "962")
    plant(tmp_path, "1007")

    assert only_scenario(tmp_path).ego(1007) == 1007
    assert only_scenario(tmp_path).ego(641) is None


def test_a_roadside_unit_comes_last_and_is_never_the_ego(tmp_path):
    plant(tmp_path, "-1")
    plant(tmp_path, "962")

    scenario = only_scenario(tmp_path)

    assert list(scenario.agents) == [962, -1]
    assert scenario.agents[-1].is_roadside_unit
    assert scenario.ego() == 962
    assert scenario.ego(-1) is None


def test_frames_of_a_scenario_are_those_that_all_agents_have(tmp_path):
    for frame in ("000068", "000070", "000072"):
        plant(tmp_path, "962", frame)
    for frame in ("000070", "000072", "000074"):
        plant(tmp_path, "1007", frame)

    assert only_scenario(tmp_path).common_frames() == [70, 72]


def test_both_spellings_of_culver_city_are_one_split(tmp_path):
    plant(tmp_path / "docs", split="test_culvercity")
    plant(tmp_path / "archive", split="test_culver_city")

    assert len(read_index(tmp_path / "docs").of_split("test_culver_city")) == 1
    assert len(read_index(tmp_path / "archive").of_split("test_culvercity")) == 1


def test_splits_come_in_the_order_of_their_use(tmp_path):
    for split in ("validate", "test", "train"):
        plant(tmp_path, split=split)

    assert [scenario.split for scenario in read_index(tmp_path).scenarios] == ["train", "validate", "test"]


def test_what_is_no_frame_is_left_out(tmp_path):
    folder = plant(tmp_path)
    (folder / "000068_bev_visibility.png").touch()
    (folder / "000068_additional.yaml").touch()
    (folder / "000070_camera0_depth.npy").touch()
    (folder.parent / "data_protocol.yaml").touch()
    plant(tmp_path, scenario="train_additional")

    assert dict(only_scenario(tmp_path).agents[962].frames) == {68: "000068"}
    assert read_index(tmp_path).problems == []


def test_a_frame_named_twice_is_told(tmp_path):
    plant(tmp_path, frame="00068")
    plant(tmp_path, frame="000068")

    agent = only_scenario(tmp_path).agents[962]

    assert dict(agent.frames) == {68: "000068"}
    assert list(agent.duplicates) == ["00068"]


def test_folders_that_stand_for_one_agent_and_strange_folders_are_told(tmp_path):
    plant(tmp_path, "0962")
    plant(tmp_path, "962")
    plant(tmp_path, "car")

    index = read_index(tmp_path)

    assert [(problem.path.name, problem.kind) for problem in index.problems] == [
        ("0962", ProblemKind.repeated),
        ("car", ProblemKind.stray),
    ]
    assert index.problems[0].text == "is agent 962 a second time, beside 962/"
    assert index.scenarios[0].agents[962].name == "962"


@pytest.mark.parametrize(("full", "empty"), [("962", "0962"), ("0962", "962"), ("00962", "0962")])
def test_of_two_folders_of_an_agent_the_one_with_frames_is_read(tmp_path, full, empty):
    plant(tmp_path, full)
    plant(tmp_path, empty, parts=())

    index = read_index(tmp_path)

    assert index.scenarios[0].agents[962].name == full
    assert [(problem.path.name, problem.text) for problem in index.problems] == [
        (empty, f"is agent 962 a second time, beside {full}/, and holds no frames")
    ]


@pytest.mark.parametrize("what", ["depth", "lidar_depth", "boxes3d"])
@pytest.mark.parametrize("images", ["opv2v", "opv2v_images"])
@pytest.mark.parametrize(
    "files", [("{}_camera0_depth.npy", "{}_camera1_depth.npy"), ("{}_camera0.txt", "manifest.json"), ("{}/",)]
)
def test_a_root_of_depth_maps_or_labels_is_refused_with_the_one_beside_it(tmp_path, what, images, files):
    plant(tmp_path / images)
    folder = plant(tmp_path / f"opv2v_{what}", parts=())
    for file in files:
        path = folder / file.format("000068")
        path.mkdir() if file.endswith("/") else path.touch()

    with pytest.raises(DataError) as refusal:
        read_index(tmp_path / f"opv2v_{what}")

    assert refusal.value.found == "holds no frames: these are depth maps or labels of an OPV2V root"
    assert refusal.value.remedy == f"did you mean dataset.root={tmp_path / images}?"


def test_labels_without_frames_beside_them_are_refused_as_well(tmp_path):
    plant(tmp_path / "opv2v_depth", parts=("{}_camera0_depth.npy",))

    with pytest.raises(DataError, match="the folder that holds the frames"):
        read_index(tmp_path / "opv2v_depth")


def test_links_to_nowhere_are_told(tmp_path):
    folder = plant(tmp_path)
    (folder / "000070.yaml").symlink_to(tmp_path / "gone.yaml")
    (tmp_path / "test").symlink_to(tmp_path / "gone")

    problems = {problem.path.as_posix(): problem.kind for problem in read_index(tmp_path).problems}

    assert problems == {
        "test": ProblemKind.unreadable,
        "train/2021_08_16_22_26_54/962/000070.yaml": ProblemKind.unreadable,
    }
    assert 70 not in only_scenario(tmp_path).agents[962].frames


def test_a_new_frame_is_seen_by_the_next_index(tmp_path):
    plant(tmp_path)
    read_index(tmp_path)
    plant(tmp_path, frame="000070")

    assert list(only_scenario(tmp_path).agents[962].frames) == [68, 70]


@pytest.mark.parametrize("inside", ["", "train", "train/2021_08_16_22_26_54", "train/2021_08_16_22_26_54/962", "../.."])
def test_a_folder_near_the_root_leads_to_it(tmp_path, inside):
    root = tmp_path / "disk" / "OPV2V"
    plant(root)

    assert nearest_root(root / inside).resolve() == root


def test_a_folder_without_data_names_the_nearest_that_has_some(tmp_path):
    plant(tmp_path / "disk" / "OPV2V")

    with pytest.raises(DataError) as caught:
        read_index(tmp_path / "disk")

    assert str(tmp_path / "disk" / "OPV2V") in caught.value.remedy


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_anywhere_is_said_as_it_is(tmp_path, name):
    (tmp_path / "far" / "away" / "from" / "all" / "empty").mkdir(parents=True)

    with pytest.raises(DataError) as caught:
        read_index(tmp_path / "far" / "away" / "from" / "all" / name)

    assert "dataset.root" in caught.value.remedy
