"""What YAML files tell: each defect is found once, in the file that has it, and nothing else is."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from opv2v_data import write_root
from opv2v_spoiling import (
    FRAMES,
    ONE,
    OTHER,
    PLACES,
    SCENE,
    agent_item,
    all_findings,
    edit,
    findings,
    frame_item,
    path,
)

from mapanything_data.checks.opv2v.telling import measure, percent

EVERYWHERE = [(agent, frame) for agent in (ONE, OTHER) for frame in FRAMES]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"camera0: [",
        b"a: &b 1\nc: *b\n",
        b"a: !!python/object/apply:os.system ['true']\n",
        b"a: \xff\xfe\n",
        b"[1, 2]\n",
        b"vehicles: {}\n",
    ],
    ids=["empty", "cut", "anchors", "Python tags", "no UTF-8", "a list", "no poses"],
)
def test_a_broken_yaml_is_one_finding(opv2v_root, content):
    path(opv2v_root, OTHER, 70, "yaml").write_bytes(content)

    assert findings(opv2v_root) == [("FAIL", "yaml", frame_item(OTHER, 70, "yaml"))]


def test_a_focal_length_of_zero_is_told_with_its_key(opv2v_root):
    edit(opv2v_root, ONE, 72, lambda content: content["camera1"]["intrinsic"][0].__setitem__(0, 0.0))

    (finding,) = all_findings(opv2v_root)

    assert (finding.check, finding.item) == ("yaml", frame_item(ONE, 72, "yaml"))
    assert finding.found.startswith("camera1.intrinsic is")


@pytest.mark.parametrize(("agent", "frame"), PLACES)
@pytest.mark.parametrize("camera", [0, 3])
def test_a_wrong_extrinsic_is_told_with_its_camera(opv2v_root, agent, frame, camera):
    edit(opv2v_root, agent, frame, lambda content: move(content[f"camera{camera}"]["extrinsic"], 0.002))

    (finding,) = all_findings(opv2v_root)

    assert (finding.severity.value, finding.check) == ("FAIL", "extrinsic")
    assert finding.item == frame_item(agent, frame, "yaml")
    assert f"of camera{camera} is 0.002 m" in finding.found


def move(matrix, metres):
    matrix[0][3] += metres


def test_an_extrinsic_the_other_way_round_is_recognised(opv2v_root):
    for agent, frame in EVERYWHERE:
        edit(opv2v_root, agent, frame, invert_extrinsics)

    found = all_findings(opv2v_root)

    assert [finding.item for finding in found] == [agent_item(ONE), agent_item(OTHER)]
    assert all("it is the inverse, camera to LiDAR" in finding.found for finding in found)


def invert_extrinsics(content):
    for camera in range(4):
        matrix = np.linalg.inv(content[f"camera{camera}"]["extrinsic"])
        content[f"camera{camera}"]["extrinsic"] = matrix.tolist()


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_wrong_lidar_pose_is_one_finding(root_with_depth, agent, frame):
    edit(root_with_depth, agent, frame, lambda content: shift(content["lidar_pose"], 3.0))

    assert findings(root_with_depth) == [("FAIL", "extrinsic", frame_item(agent, frame, "yaml"))]


def shift(pose, metres):
    pose[0] += metres


@pytest.mark.parametrize(("agent", "frame"), [(ONE, 70), (OTHER, 72), (OTHER, 74)])
def test_a_camera_that_moves_on_the_rig_is_found(opv2v_root, agent, frame):
    def turn(content):
        """10 degrees; the extrinsic follows, so that it agrees with cords."""
        camera = content["camera1"]
        camera["cords"][4] += 10
        c, s = math.cos(math.radians(10)), math.sin(math.radians(10))
        camera["extrinsic"] = (
            np.array([[c, s, 0, 0], [-s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ camera["extrinsic"]
        ).tolist()

    edit(opv2v_root, agent, frame, turn)

    found = all_findings(opv2v_root)

    # The agents lean a little, so that turning about the world's vertical is not quite turning the camera.
    assert {finding.item for finding in found} == {frame_item(agent, frame, "yaml")}


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_intrinsics_that_change_are_found(root_with_depth, agent, frame):
    edit(root_with_depth, agent, frame, lambda content: zoom(content["camera2"]["intrinsic"]))

    assert findings(root_with_depth) == [("FAIL", "intrinsics", frame_item(agent, frame, "yaml"))]


def zoom(intrinsic):
    intrinsic[0][0] *= 1.5
    intrinsic[1][1] *= 1.5
    intrinsic[0][2] *= 1.5


def test_a_skew_is_found(root_with_depth):
    edit(root_with_depth, ONE, 70, lambda content: content["camera0"]["intrinsic"][0].__setitem__(1, 0.01))

    (finding,) = all_findings(root_with_depth)

    assert (finding.check, finding.item) == ("yaml", frame_item(ONE, 70, "yaml"))
    assert finding.found.startswith("camera0.intrinsic is")
    assert "has skew 0.01" in finding.found


def test_a_camera_that_the_yaml_does_not_name_is_found(opv2v_root):
    edit(opv2v_root, ONE, 70, lambda content: content.pop("camera2"))

    assert findings(opv2v_root) == [("FAIL", "camera", frame_item(ONE, 70, "yaml"))]


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_true_pose_away_from_the_lidar_is_found(opv2v_root, agent, frame):
    edit(opv2v_root, agent, frame, lambda content: shift(content["true_ego_pos"], 0.2))

    assert findings(opv2v_root) == [("WARN", "mount", frame_item(agent, frame, "yaml"))]


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_an_agent_that_jumps_is_found(opv2v_root, agent, frame):
    edit(opv2v_root, agent, frame, lambda content: shift_agent(content, 8.0))

    ((severity, check, item),) = [found for found in findings(opv2v_root) if found[1] != "cloud"]

    assert (severity, check, item) == ("FAIL", "jump", frame_item(agent, frame, "yaml"))


def shift_agent(content, metres):
    for pose in ("lidar_pose", "true_ego_pos"):
        shift(content[pose], metres)
    for camera in range(4):
        shift(content[f"camera{camera}"]["cords"], metres)


def test_an_agent_that_stands_at_speed_is_found(opv2v_root):
    content = {}
    edit(opv2v_root, ONE, 70, content.update)
    poses = {name: content[name] for name in ("lidar_pose", "true_ego_pos")}
    for frame in (72, 74):
        edit(opv2v_root, ONE, frame, lambda c: c.update(poses))
        for camera in range(4):
            edit(
                opv2v_root, ONE, frame, lambda c, k=camera: c[f"camera{k}"].update(cords=content[f"camera{k}"]["cords"])
            )
        edit(opv2v_root, OTHER, frame, lambda c: c["vehicles"].pop(ONE))

    assert findings(opv2v_root) == [("WARN", "frozen", agent_item(ONE))]


@pytest.mark.parametrize(("agent", "frame"), PLACES)
@pytest.mark.parametrize(
    ("key", "index", "change"),
    [("location", 0, 0.002), ("angle", 1, 0.1), ("extent", 2, 0.002)],
    ids=["place", "turn", "size"],
)
def test_a_vehicle_that_agents_describe_differently_is_found(opv2v_root, agent, frame, key, index, change):
    def differ(content):
        content["vehicles"][5][key][index] += change

    edit(opv2v_root, agent, frame, differ)

    # Of two agents nobody knows which one is right; the finding names the second.
    assert findings(opv2v_root) == [("FAIL", "agreement", frame_item(OTHER, frame, "yaml"))]


@pytest.mark.parametrize("frame", FRAMES)
def test_an_agent_whose_place_another_one_tells_differently_is_found(opv2v_root, frame):
    edit(opv2v_root, OTHER, frame, lambda content: shift(content["vehicles"][ONE]["location"], 0.01))

    assert findings(opv2v_root) == [("FAIL", "agreement", frame_item(OTHER, frame, "yaml"))]


def test_of_three_agents_the_odd_one_is_named(opv2v_root):
    third = opv2v_root / SCENE / "2000"
    third.mkdir()
    for file in (opv2v_root / agent_item(OTHER)).iterdir():
        (third / file.name).write_bytes(file.read_bytes())
    edit(opv2v_root, ONE, 72, lambda content: shift(content["vehicles"][5]["location"], 0.01))

    assert ("FAIL", "agreement", frame_item(ONE, 72, "yaml")) in findings(opv2v_root)


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_an_agent_in_its_own_list_is_found(opv2v_root, agent, frame):
    def list_itself(content):
        x, y, z, roll, yaw, pitch = content["true_ego_pos"]
        content["vehicles"][agent] = {
            **copy.deepcopy(content["vehicles"][5]),
            "location": [x, y, z],
            "angle": [roll, yaw, pitch],
        }

    edit(opv2v_root, agent, frame, list_itself)

    assert findings(opv2v_root) == [("FAIL", "self", frame_item(agent, frame, "yaml"))]


def test_an_id_as_number_and_as_text_is_listed_twice(opv2v_root):
    edit(opv2v_root, ONE, 70, lambda content: content["vehicles"].update({"5": copy.deepcopy(content["vehicles"][5])}))

    assert findings(opv2v_root) == [("FAIL", "ids", frame_item(ONE, 70, "yaml"))]


def test_boxes_without_a_size_are_one_warning(opv2v_root):
    for agent, frame in EVERYWHERE:
        edit(opv2v_root, agent, frame, lambda content: content["vehicles"][5].update(extent=[0.0, 0.0, 0.0]))

    (finding,) = all_findings(opv2v_root)

    assert (finding.severity.value, finding.item) == ("WARN", SCENE)
    assert finding.found.startswith("vehicle 5 without a size, in 8 entries")


def test_a_negative_size_is_wrong_data(opv2v_root):
    edit(opv2v_root, ONE, 70, lambda content: content["vehicles"][5].update(extent=[-1.0, 1.0, 1.0]))

    (finding,) = all_findings(opv2v_root)

    assert (finding.severity.value, finding.item) == ("FAIL", frame_item(ONE, 70, "yaml"))
    assert finding.found == "gives vehicle 5 a negative extent"


def test_one_box_without_a_size_is_one_entry(opv2v_root):
    edit(opv2v_root, ONE, 70, lambda content: content["vehicles"].update({6: unsized(content["vehicles"][5])}))

    (finding,) = all_findings(opv2v_root)

    assert finding.found == "vehicle 6 without a size, in 1 entry (CARLA sizes no two-wheelers)"


def unsized(vehicle):
    return {**copy.deepcopy(vehicle), "extent": [0.0, 0.0, 0.0]}


def test_vehicles_that_differ_in_size_only_are_told_so(opv2v_root):
    edit(opv2v_root, OTHER, 70, lambda content: content["vehicles"][5]["extent"].__setitem__(0, 3.0))

    (finding,) = all_findings(opv2v_root)

    # The half length is 2.45 m.
    assert finding.found == "gives vehicle 5 a size 0.55 m from what other agents say"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.7e-16, "0"), (0.3, "0.3"), (0.0679, "0.0679"), (1.7449, "1.74"), (100.0, "100"), (12345.6, "12,346")],
)
def test_lengths_and_angles_are_told_as_people_write_them(value, text):
    assert measure(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0456, "4.56 %"), (0.99961, "100 %"), (2.5, "250 %"), (999.0, "99,900 %")]
)
def test_shares_are_told_as_people_write_them(share, text):
    assert percent(share) == text


def test_vehicles_that_carry_other_rigs_are_a_warning(opv2v_root):
    def longer(content):
        content["camera1"]["intrinsic"][0][0] += 5

    for frame in FRAMES:
        edit(opv2v_root, OTHER, frame, longer)

    assert findings(opv2v_root) == [("WARN", "rigs", SCENE)]


def test_a_rig_whose_cameras_all_differ_is_one_warning(opv2v_root):
    def longer(content):
        for camera in range(4):
            content[f"camera{camera}"]["intrinsic"][0][0] += 5

    for frame in FRAMES:
        edit(opv2v_root, OTHER, frame, longer)

    (finding,) = all_findings(opv2v_root)

    assert finding.found == (
        f"camera0, camera1, camera2, camera3 of {OTHER} and {ONE} differ by up to 0 m, 0 rad,"
        " 5.0 pixels in the intrinsics"
    )


@pytest.mark.parametrize("agent", [ONE, OTHER])
def test_a_lidar_pose_that_is_wrong_throughout_is_not_also_another_rig(opv2v_root, agent):
    for frame in FRAMES:
        edit(opv2v_root, agent, frame, lambda content: shift(content["lidar_pose"], 0.3))

    (finding,) = all_findings(opv2v_root)

    assert (finding.check, finding.item) == ("extrinsic", agent_item(agent))
    assert "is 0.3 m and 0 rad from what cords and lidar_pose say" in finding.found


def test_what_real_frames_look_like_is_no_finding(opv2v_root):
    """Reversing agents, plans, units beside the road, estimates that are off, vehicles far away."""

    def make_real(content):
        content["ego_speed"] = -0.249
        content["RSU"] = []
        content["plan_trajectory"] = [[1.0, 2.0, 30.0]]
        content["predicted_ego_pos"] = [value + 0.05 for value in content["predicted_ego_pos"]]
        content["vehicles"][77] = {**copy.deepcopy(content["vehicles"][5]), "location": [300.0, 90.0, 0.0]}

    for agent, frame in EVERYWHERE:
        edit(opv2v_root, agent, frame, make_real)

    assert findings(opv2v_root) == []


@pytest.mark.parametrize("agent", [ONE, OTHER])
def test_an_agent_that_does_not_list_what_others_list_beside_it_is_found(opv2v_root, agent):
    for each, frame in EVERYWHERE:
        edit(opv2v_root, each, frame, park_more)
    for frame in FRAMES[1:]:
        edit(opv2v_root, agent, frame, lambda content: content.update(vehicles={}))

    (finding,) = all_findings(opv2v_root)

    assert (finding.severity.value, finding.check, finding.item) == ("WARN", "list", agent_item(agent))
    assert finding.found == ("does not list vehicles 5, 77 in 3 of its 4 frames; other agents do, within 30 m of it")


def park_more(content):
    """A second car beside the first, and one out of reach."""
    parked = content["vehicles"][5]
    content["vehicles"][77] = {**copy.deepcopy(parked), "location": [22.0, -6.0, 0.0]}
    content["vehicles"][78] = {**copy.deepcopy(parked), "location": [122.0, -6.0, 0.0]}


def test_a_vehicle_that_an_agent_cannot_see_is_no_finding(opv2v_root):
    for agent, frame in EVERYWHERE:
        edit(opv2v_root, agent, frame, park_more)
        if agent == ONE:
            edit(opv2v_root, agent, frame, lambda content: (content["vehicles"].pop(77), content["vehicles"].pop(78)))

    assert findings(opv2v_root) == []


def test_a_roadside_unit_need_not_list_what_agents_do(opv2v_root):
    for agent, frame in EVERYWHERE:
        edit(opv2v_root, agent, frame, park_more)
    (opv2v_root / agent_item(OTHER)).rename(opv2v_root / SCENE / "-1")
    for frame in FRAMES:
        edit(opv2v_root, -1, frame, lambda content: content.update(vehicles={}))

    assert findings(opv2v_root) == []


def test_frames_without_vehicles_are_no_finding(opv2v_root):
    for agent, frame in EVERYWHERE:
        edit(opv2v_root, agent, frame, lambda content: content.update(vehicles={}))

    assert findings(opv2v_root) == []


def test_two_frames_are_enough_to_check(tmp_path):
    assert findings(write_root(tmp_path / "opv2v", frames=(68, 70))) == []


def test_one_frame_is_enough_to_check(tmp_path):
    assert findings(write_root(tmp_path / "opv2v", frames=(68,))) == []
