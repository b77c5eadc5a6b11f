"""What names of files tell about an OPV2V root: each defect is found once, at its place, and nothing else is."""

from __future__ import annotations

import shutil

import pytest
from opv2v_data import make_snapshot, write_root
from opv2v_spoiling import (
    FRAMES,
    ONE,
    OTHER,
    PLACES,
    SCENE,
    agent_item,
    all_findings,
    depth_path,
    findings,
    frame_item,
    path,
)

from mapanything_data.checks.opv2v import Checks
from mapanything_data.storage.opv2v import OPV2V, FrameKey, write_snapshot


def test_a_sound_root_has_no_finding(sound_root):
    assert findings(sound_root) == []


def test_a_sound_root_without_depth_has_no_finding(opv2v_root):
    assert findings(opv2v_root) == []


@pytest.mark.parametrize("part", ["camera2", "pcd", "yaml"])
@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_missing_file_is_named(opv2v_root, agent, frame, part):
    path(opv2v_root, agent, frame, part).unlink()

    assert findings(opv2v_root) == [("FAIL", "missing", frame_item(agent, frame, part))]


def test_several_missing_files_of_a_frame_are_one_finding(opv2v_root):
    for part in ("yaml", "pcd", "camera1"):
        path(opv2v_root, OTHER, 70, part).unlink()

    (finding,) = all_findings(opv2v_root)

    assert (finding.item, finding.found) == (frame_item(OTHER, 70), "yaml, pcd, camera1 are missing")


def test_a_camera_that_no_frame_has_is_one_finding(opv2v_root):
    for frame in FRAMES:
        path(opv2v_root, OTHER, frame, "camera3").unlink()

    (finding,) = all_findings(opv2v_root)

    assert (finding.item, finding.found) == (agent_item(OTHER), "lacks camera3 in all 4 frames")


def test_a_part_that_neighbouring_frames_lack_is_one_finding(opv2v_root):
    for frame in (70, 72):
        path(opv2v_root, ONE, frame, "pcd").unlink()

    (finding,) = all_findings(opv2v_root)

    assert (finding.item, finding.found) == (agent_item(ONE), "pcd of 2 frames, 000070 to 000072: is missing")


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_unequal_time_stamps_say_what_is_dropped(opv2v_root, agent, frame):
    for file in (opv2v_root / agent_item(agent)).glob(f"{frame:06d}*"):
        file.unlink()

    (finding,) = all_findings(opv2v_root)

    assert (finding.severity.value, finding.check, finding.item) == ("WARN", "unequal", agent_item(agent))
    assert f"lacks 1 of the 4 frames that agents of the scenario have ({frame:06d}); 3 are common" in finding.found


def test_a_gap_that_all_agents_share_is_told_once(opv2v_root):
    for file in (opv2v_root / SCENE).glob("*/000070*"):
        file.unlink()
    for agent in (ONE, OTHER):  # two steps of 2 remain, so that 4 is unusual
        key = FrameKey(*SCENE.split("/"), str(agent), "000076")
        write_snapshot(opv2v_root, key, make_snapshot(agent, 76), depth_root=opv2v_root.with_name("elsewhere"))

    (finding,) = all_findings(opv2v_root)

    assert (finding.check, finding.item) == ("gap", SCENE)
    assert finding.found == "1 step between frames is not 2: 000068 to 000072"


def test_frames_that_count_by_another_step_are_told(tmp_path):
    write_root(tmp_path / "opv2v", frames=(68, 72, 76))

    (finding,) = all_findings(tmp_path / "opv2v")

    assert (finding.check, finding.item) == ("step", SCENE)
    assert finding.found.startswith("its frames count by 4")


def test_an_agent_without_frames_is_found_and_not_also_unequal(opv2v_root):
    (opv2v_root / SCENE / "1100").mkdir()

    assert findings(opv2v_root) == [("FAIL", "empty", f"{SCENE}/1100")]


def test_an_agent_on_its_own_is_a_warning(opv2v_root):
    shutil.rmtree(opv2v_root / agent_item(ONE))

    assert findings(opv2v_root) == [("WARN", "single", SCENE)]


def test_a_scenario_without_agents_is_found(opv2v_root):
    (opv2v_root / "train" / "2021_08_17_00_00_00").mkdir()

    assert findings(opv2v_root) == [("FAIL", "empty", "train/2021_08_17_00_00_00")]


def test_an_agent_under_two_names_is_found(opv2v_root):
    shutil.copytree(opv2v_root / agent_item(ONE), opv2v_root / SCENE / "0962")

    ((severity, check, item),) = findings(opv2v_root)

    assert (severity, check, item) == ("FAIL", "unlisted", f"{SCENE}/0962")


def test_an_empty_folder_beside_an_agent_does_not_hide_it(opv2v_root):
    (opv2v_root / SCENE / "0962").mkdir()

    (finding,) = all_findings(opv2v_root)

    assert (finding.check, finding.item, finding.remedy) == ("unlisted", f"{SCENE}/0962", "keep one of the two folders")


def test_a_frame_under_two_names_is_found(opv2v_root):
    shutil.copy(path(opv2v_root, ONE, 70, "yaml"), opv2v_root / agent_item(ONE) / "00070.yaml")

    assert findings(opv2v_root) == [("WARN", "duplicate", f"{agent_item(ONE)}/00070")]


def test_a_frame_of_other_digits_is_found(opv2v_root):
    for file in (opv2v_root / agent_item(ONE)).glob("000070*"):
        file.rename(file.with_name(file.name[1:]))

    assert findings(opv2v_root) == [("WARN", "digits", f"{agent_item(ONE)}/00070")]


def test_a_frame_of_other_digits_does_not_also_lack_its_depth(root_with_depth):
    for file in (root_with_depth / agent_item(ONE)).glob("000070*"):
        file.rename(file.with_name(file.name[1:]))

    assert findings(root_with_depth) == [("WARN", "digits", f"{agent_item(ONE)}/00070")]


def test_a_folder_that_is_no_agent_is_a_stray(opv2v_root):
    (opv2v_root / SCENE / "notes").mkdir()

    assert findings(opv2v_root) == [("WARN", "stray", f"{SCENE}/notes")]


@pytest.mark.parametrize("part", ["yaml", "pcd", "camera0"])
def test_a_link_to_nowhere_is_found_and_not_also_missing(opv2v_root, part):
    file = path(opv2v_root, OTHER, 70, part)
    file.unlink()
    file.symlink_to("/nowhere/at/all")

    assert findings(opv2v_root) == [("FAIL", "unlisted", frame_item(OTHER, 70, part))]


def test_files_behind_links_are_as_good_as_others(opv2v_root, tmp_path):
    (opv2v_root / agent_item(ONE)).rename(tmp_path / "moved")
    (opv2v_root / agent_item(ONE)).symlink_to(tmp_path / "moved")

    assert findings(opv2v_root) == []


def test_files_of_the_protocol_and_of_the_additional_archive_are_no_frames(opv2v_root):
    (opv2v_root / SCENE / "data_protocol.yaml").write_text("a: &b 1\nc: *b\n")
    (opv2v_root / agent_item(ONE) / "000070_additional.yaml").write_text("{")

    assert findings(opv2v_root) == []


def test_roadside_units_may_lack_cameras(opv2v_root):
    shutil.copytree(opv2v_root / agent_item(OTHER), opv2v_root / SCENE / "-1")
    for picture in (opv2v_root / SCENE / "-1").glob("*.png"):
        picture.unlink()

    assert findings(opv2v_root) == []


def test_splits_that_share_scenarios_are_told(opv2v_root):
    shutil.copytree(opv2v_root / "train", opv2v_root / "test")
    shutil.copytree(opv2v_root / "train", opv2v_root / "validate")
    (opv2v_root / "validate" / SCENE.split("/")[1]).rename(opv2v_root / "validate" / "2021_08_18")

    assert findings(opv2v_root) == [("WARN", "split", "train and test")]


def test_a_split_that_is_empty_or_absent_beside_others_is_told(opv2v_root):
    (opv2v_root / "validate").mkdir()
    (opv2v_root / "test" / "2021_08_18").mkdir(parents=True)
    shutil.copytree(opv2v_root / agent_item(ONE), opv2v_root / "test" / "2021_08_18" / "1")
    shutil.copytree(opv2v_root / agent_item(OTHER), opv2v_root / "test" / "2021_08_18" / "2")

    assert findings(opv2v_root) == [("WARN", "split", "validate")]

    (opv2v_root / "validate").rmdir()
    assert findings(opv2v_root) == [("WARN", "split", "validate")]


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_missing_depth_map_is_named_by_its_picture(root_with_depth, agent, frame):
    depth_path(root_with_depth, agent, frame, camera=2).unlink()

    assert findings(root_with_depth) == [("FAIL", "depth", frame_item(agent, frame, "camera2"))]


def test_an_agent_without_depth_is_one_finding(root_with_depth):
    shutil.rmtree(depth_path(root_with_depth, ONE, 68).parent)

    assert findings(root_with_depth) == [("WARN", "depth", agent_item(ONE))]


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("frame_folders", "{0}/camera{1}_depth.npy"),
        ("numbered_png", "{0}_depth{1}.png"),
        ("png", "{0}_camera{1}_depth.png"),
    ],
)
def test_depth_in_another_layout_is_told_with_its_name(root_with_depth, layout, name):
    for agent in (ONE, OTHER):
        for frame in FRAMES:
            for camera in range(4):
                old = depth_path(root_with_depth, agent, frame, camera)
                new = old.parent / name.format(f"{frame:06d}", camera)
                new.parent.mkdir(exist_ok=True)
                old.rename(new)

    (finding,) = all_findings(root_with_depth)

    assert (finding.check, finding.remedy) == ("depth", f"give dataset.depth_layout={layout}")


def test_a_depth_root_that_was_asked_for_must_be_there(opv2v_root, tmp_path):
    assert findings(opv2v_root, depth_root=str(tmp_path / "absent")) == [("FAIL", "depth", str(tmp_path / "absent"))]


def test_the_table_counts_what_is_there(root_with_depth):
    path(root_with_depth, ONE, 68, "pcd").unlink()
    for file in (root_with_depth / agent_item(OTHER)).glob("000074*"):
        file.unlink()
    shutil.copytree(root_with_depth / agent_item(OTHER), root_with_depth / SCENE / "-1")

    header, row, *_ = Checks(OPV2V(root=str(root_with_depth))).describe().splitlines()

    # 4 + 3 + 3 frames, one lacks its cloud; 000074 is not common; depth for 4 * (4 + 3) pictures.
    assert row.split() == ["train", "1", "2", "1", "10", "9", "3", "28"]
    assert header.split()[:3] == ["split", "scenes", "vehicles"]
