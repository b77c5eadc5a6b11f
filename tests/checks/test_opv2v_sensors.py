"""What pictures, clouds and depth maps hold: each defect is found once, in its file, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from opv2v_data import HEIGHT, WIDTH, write_root
from opv2v_spoiling import (
    FRAMES,
    ONE,
    OTHER,
    PLACES,
    agent_item,
    all_findings,
    depth_path,
    edit,
    edit_points,
    findings,
    frame_item,
    path,
    put_picture,
)

from mapanything_data.storage.png import decode_png

TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""A quarter about y, OpenCV axes."""
MIRROR = np.diag([-1.0, 1.0, 1.0])


@pytest.mark.parametrize("keep", [0, 40, -5])
@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_truncated_picture_is_one_finding(root_with_depth, agent, frame, keep):
    file = path(root_with_depth, agent, frame, "camera1")
    file.write_bytes(file.read_bytes()[:keep])

    assert findings(root_with_depth) == [("FAIL", "unreadable", frame_item(agent, frame, "camera1"))]


def test_a_grey_picture_is_unreadable(opv2v_root):
    put_picture(opv2v_root, ONE, 70, np.full((HEIGHT, WIDTH), 99, np.uint8))

    assert findings(opv2v_root) == [("FAIL", "unreadable", frame_item(ONE, 70, "camera0"))]


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_picture_of_another_size_is_found(opv2v_root, agent, frame):
    put_picture(opv2v_root, agent, frame, decode_png(path(opv2v_root, agent, frame, "camera0"))[:, :-8])

    assert findings(opv2v_root) == [("FAIL", "size", frame_item(agent, frame, "camera0"))]


def test_pictures_that_were_scaled_without_their_intrinsics_are_one_finding(opv2v_root):
    for frame in FRAMES:
        put_picture(opv2v_root, ONE, frame, decode_png(path(opv2v_root, ONE, frame, "camera0"))[::2, ::2])

    (finding,) = all_findings(opv2v_root)

    assert finding.item == agent_item(ONE)
    assert finding.found == "camera0 of all 4 frames, 000068 to 000074: is 40x30, cx and cy are for 80x60"


def test_a_black_picture_is_found(opv2v_root):
    put_picture(opv2v_root, OTHER, 72, np.zeros((HEIGHT, WIDTH, 3), np.uint8))

    assert findings(opv2v_root) == [("WARN", "black", frame_item(OTHER, 72, "camera0"))]


def test_a_camera_that_stands_still_while_the_agent_drives_is_frozen(opv2v_root):
    for frame in (70, 72):
        put_picture(opv2v_root, ONE, frame, decode_png(path(opv2v_root, ONE, 68, "camera0")))

    assert findings(opv2v_root) == [("WARN", "frozen", agent_item(ONE))]


def test_pictures_of_an_agent_that_waits_may_be_identical(opv2v_root):
    make_wait(opv2v_root)

    assert findings(opv2v_root) == []


@pytest.mark.parametrize("damaged", FRAMES)
def test_pictures_of_an_agent_that_waits_may_be_identical_where_its_place_is_unknown(opv2v_root, damaged):
    make_wait(opv2v_root)
    path(opv2v_root, ONE, damaged, "yaml").write_bytes(b"")

    assert findings(opv2v_root) == [("FAIL", "yaml", frame_item(ONE, damaged, "yaml"))]


def make_wait(root):
    content = {}
    edit(root, ONE, 68, content.update)
    for frame in FRAMES[1:]:
        edit(root, ONE, frame, lambda c: c.update(content, vehicles={}, ego_speed=0.0))
        put_picture(root, ONE, frame, decode_png(path(root, ONE, 68, "camera0")))
        edit(root, OTHER, frame, lambda c: c["vehicles"].pop(ONE))
    edit(root, ONE, 68, lambda c: c.update(ego_speed=0.0))


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_truncated_cloud_is_one_finding(root_with_depth, agent, frame):
    file = path(root_with_depth, agent, frame, "pcd")
    file.write_bytes(file.read_bytes()[:-2000])

    assert findings(root_with_depth) == [("FAIL", "unreadable", frame_item(agent, frame, "pcd"))]


def test_an_empty_cloud_file_is_one_finding(root_with_depth):
    path(root_with_depth, ONE, 70, "pcd").write_bytes(b"")

    assert findings(root_with_depth) == [("FAIL", "unreadable", frame_item(ONE, 70, "pcd"))]


def test_a_cloud_without_a_coordinate_is_one_finding(opv2v_root):
    file = path(opv2v_root, ONE, 70, "pcd")
    file.write_bytes(file.read_bytes().replace(b"FIELDS x y z", b"FIELDS x y h"))

    assert findings(opv2v_root) == [("FAIL", "unreadable", frame_item(ONE, 70, "pcd"))]


def test_a_cloud_without_points_is_found(root_with_depth):
    edit_points(root_with_depth, OTHER, 72, lambda points: points[:0])

    assert findings(root_with_depth) == [("FAIL", "points", frame_item(OTHER, 72, "pcd"))]


def test_points_that_are_no_numbers_are_counted(root_with_depth):
    def spoil(points):
        points[10:17, 1] = np.nan
        return points

    edit_points(root_with_depth, OTHER, 72, spoil)

    (finding,) = all_findings(root_with_depth)
    assert (finding.check, finding.item) == ("nan", frame_item(OTHER, 72, "pcd"))
    assert finding.found == "has 7 points that are no finite numbers"


def test_a_cloud_of_few_points_is_a_warning(opv2v_root):
    edit_points(opv2v_root, ONE, 72, lambda points: points[::6])

    assert findings(opv2v_root) == [("WARN", "points", frame_item(ONE, 72, "pcd"))]


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_cloud_that_is_turned_in_one_frame_is_found(root_with_depth, agent, frame):
    edit_points(root_with_depth, agent, frame, lambda points: points @ TURN)

    (finding,) = all_findings(root_with_depth)

    assert (finding.severity.value, finding.check, finding.item) == ("WARN", "cloud", frame_item(agent, frame, "pcd"))
    assert finding.found.startswith("0 of 2 boxes within 40 m contain points; 2 do when the cloud is turned by")


@pytest.mark.parametrize("agent", [ONE, OTHER])
@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [
        (TURN, "turned by 90 degrees"),
        (TURN @ TURN, "turned by 180 degrees"),
        (TURN.T, "turned by 270 degrees"),
        (MIRROR, "mirrored"),
        (MIRROR @ TURN, "mirrored and turned by"),
    ],
)
def test_an_agent_whose_clouds_are_turned_is_one_finding(root_with_depth, agent, matrix, orientation):
    for frame in FRAMES:
        edit_points(root_with_depth, agent, frame, lambda points: points @ matrix)

    (finding,) = all_findings(root_with_depth)

    assert (finding.severity.value, finding.check, finding.item) == ("FAIL", "cloud", agent_item(agent))
    assert f"when the cloud is {orientation}" in finding.found


@pytest.mark.parametrize(("agent", "frame"), PLACES)
def test_a_depth_map_of_another_size_is_found(root_with_depth, agent, frame):
    np.save(depth_path(root_with_depth, agent, frame), np.ones((HEIGHT, WIDTH + 2), np.float32))

    assert findings(root_with_depth) == [("FAIL", "depth", frame_item(agent, frame, "camera0"))]


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((HEIGHT, WIDTH), np.float32),
        np.full((HEIGHT, WIDTH), np.nan, np.float32),
        np.ones((HEIGHT, WIDTH), np.uint16),
        np.ones((HEIGHT, WIDTH, 3), np.float32),
        -np.ones((HEIGHT, WIDTH), np.float32),
    ],
    ids=["zero", "NaN", "integers", "colour", "negative"],
)
def test_what_is_no_depth_map_is_found(root_with_depth, content):
    np.save(depth_path(root_with_depth, OTHER, 72), content)

    assert findings(root_with_depth) == [("FAIL", "depth", frame_item(OTHER, 72, "camera0"))]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"depth"])
def test_a_damaged_depth_map_is_found(root_with_depth, content):
    depth_path(root_with_depth, ONE, 72).write_bytes(content)

    assert findings(root_with_depth) == [("FAIL", "depth", frame_item(ONE, 72, "camera0"))]


def test_double_precision_is_told(root_with_depth):
    file = depth_path(root_with_depth, ONE, 72)
    np.save(file, np.load(file).astype(np.float64))

    (finding,) = all_findings(root_with_depth)
    assert finding.found == "its depth map holds float64, not float32"


@pytest.mark.parametrize(("agent", "frame"), PLACES)
@pytest.mark.parametrize(("factor", "what"), [(1000, ": it fits as millimetres"), (100, ": it fits as centimetres")])
def test_depth_in_another_unit_is_recognised(root_with_depth, agent, frame, factor, what):
    file = depth_path(root_with_depth, agent, frame)
    np.save(file, np.load(file) * np.float32(factor))

    (finding,) = all_findings(root_with_depth)

    assert (finding.severity.value, finding.item) == ("FAIL", frame_item(agent, frame, "camera0"))
    assert finding.found.endswith(what)


def test_range_instead_of_depth_is_recognised(root_with_depth):
    columns, rows = np.meshgrid(np.arange(WIDTH) - 39.5, np.arange(HEIGHT) - 29.5)
    focal = WIDTH / 2 / np.tan(np.deg2rad(50))
    slant = np.sqrt(1 + (columns**2 + rows**2) / focal**2).astype(np.float32)
    for frame in FRAMES:
        for camera in range(4):
            file = depth_path(root_with_depth, ONE, frame, camera)
            np.save(file, np.load(file) * slant)

    (finding,) = all_findings(root_with_depth)

    assert finding.item == agent_item(ONE)
    assert finding.found.startswith("camera0, camera1, camera2, camera3 of all 4 frames, 000068 to 000074: its depth")
    assert finding.found.endswith("it fits as range, not z")


@pytest.mark.parametrize(("frames", "item"), [((70,), frame_item(ONE, 70)), (FRAMES, agent_item(ONE))])
def test_millimetres_in_all_cameras_are_one_finding(root_with_depth, frames, item):
    for frame in frames:
        for camera in range(4):
            file = depth_path(root_with_depth, ONE, frame, camera)
            np.save(file, np.load(file) * np.float32(1000))

    (finding,) = all_findings(root_with_depth)

    # 1000 times too far is 99,900 % off.
    assert (finding.check, finding.item) == ("lidar depth", item)
    assert "camera0, camera1, camera2, camera3" in finding.found
    assert finding.found.endswith("differs from the LiDAR by 99,900 % (median): it fits as millimetres")


def test_clouds_at_another_place_are_told_with_what_may_be_wrong(root_with_depth):
    """There are no boxes that would tell that the cloud is the wrong one."""
    for frame in FRAMES:
        for agent in (ONE, OTHER):
            edit(root_with_depth, agent, frame, lambda content: content.update(vehicles={}))
        edit_points(root_with_depth, ONE, frame, lambda points: points * [2.0, 2.0, 2.0])

    (finding,) = all_findings(root_with_depth)

    assert (finding.severity.value, finding.check, finding.item) == ("FAIL", "lidar depth", agent_item(ONE))
    assert "the depth of all its cameras differs from the LiDAR by" in finding.found
    assert finding.remedy.startswith("depth, cloud or poses are of another frame or agent")


@pytest.mark.parametrize("scaled", [1, 4])
def test_pictures_of_a_wrong_size_are_one_finding_and_their_depth_is_none(root_with_depth, scaled):
    for frame in FRAMES:
        for camera in range(scaled):
            image = decode_png(path(root_with_depth, ONE, frame, f"camera{camera}"))
            put_picture(root_with_depth, ONE, frame, image[::2, ::2], camera)

    (finding,) = all_findings(root_with_depth)

    names = ", ".join(f"camera{camera}" for camera in range(scaled))
    assert (finding.check, finding.item) == ("size", agent_item(ONE))
    assert finding.found == f"{names} of all 4 frames, 000068 to 000074: is 40x30, cx and cy are for 80x60"


def test_depth_of_another_camera_is_recognised(root_with_depth):
    one, other = (np.load(depth_path(root_with_depth, ONE, 70, camera)) for camera in (0, 3))
    np.save(depth_path(root_with_depth, ONE, 70, 0), other)
    np.save(depth_path(root_with_depth, ONE, 70, 3), one)

    found = {finding.item: finding.found for finding in all_findings(root_with_depth)}

    assert found.keys() == {frame_item(ONE, 70, "camera0"), frame_item(ONE, 70, "camera3")}
    assert found[frame_item(ONE, 70, "camera0")].endswith("it fits camera3")


def test_depth_that_a_model_made_is_a_warning(root_with_depth):
    file = depth_path(root_with_depth, ONE, 70)
    np.save(file, np.load(file) * np.float32(1.05))

    assert findings(root_with_depth) == [("WARN", "rough depth", frame_item(ONE, 70, "camera0"))]


def test_depth_that_covers_a_part_of_the_picture_is_no_finding(root_with_depth):
    """As projected LiDAR does: 3 % of the pixels have a value."""
    for frame in FRAMES:
        file = depth_path(root_with_depth, ONE, frame)
        depth = np.load(file)
        np.save(file, np.where(np.random.default_rng(frame).random(depth.shape) < 0.03, depth, 0).astype(np.float32))

    assert findings(root_with_depth) == []


def test_sound_data_of_more_frames_and_splits_have_no_finding(tmp_path):
    write_root(tmp_path / "opv2v", frames=tuple(range(60, 76, 2)), scenarios=2)

    assert findings(tmp_path / "opv2v") == []
