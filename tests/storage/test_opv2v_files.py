"""Frames of OPV2V: what is written is read back, and what is damaged is named."""

from __future__ import annotations

import os
import re
from contextlib import suppress

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opv2v_data import AGENTS, FRAMES, HEIGHT, WIDTH, agent_pose, make_snapshot, vehicles, write_root

from mapanything_data.errors import DataError
from mapanything_data.geometry.carla import ue_matrix_from_carla_pose
from mapanything_data.storage.opv2v import (
    FrameKey,
    depth_file,
    read_annotation,
    read_cloud,
    read_depth,
    read_image,
    read_snapshot,
    write_depth,
)
from mapanything_data.storage.pcd import write_pcd
from mapanything_data.storage.png import encode_png

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
LARGE_NUMBERS = [b"1.0e+308", b"1e999", b"9" * 25, b"9" * 400, b"9" * 5000, b"0x" + b"f" * 5000]
KEY = FrameKey("train", "2021_08_16_22_26_00", "962", "000068")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_root(tmp_path_factory.mktemp("intact") / "opv2v")


@pytest.fixture
def frame(intact, tmp_path):
    """The YAML content of a frame, and a function that writes it changed and reads it."""
    content = yaml.safe_load((intact / KEY.file("yaml")).read_bytes())

    def read_changed():
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(content))
        return read_annotation(path)

    return content, read_changed


def test_a_snapshot_survives_the_way_to_the_disk_and_back(intact):
    written = make_snapshot(962, 68)

    read = read_snapshot(intact, KEY, depth_root=intact.with_name("opv2v_depth"))

    assert (read.agent, read.frame, read.timestamp) == (962, 68, 3.4)
    assert np.isclose(read.speed, 5.0)
    assert np.allclose(read.T_world_agent.matrix, written.T_world_agent.matrix, atol=1e-12)
    for number, view in written.views.items():
        assert np.array_equal(read.views[number].image, view.image)
        assert np.array_equal(read.views[number].depth, view.depth)
        assert np.allclose(read.views[number].T_world_camera.matrix, view.T_world_camera.matrix, atol=1e-12)
        assert np.allclose(read.views[number].camera.matrix, view.camera.matrix, atol=1e-12)
    assert np.array_equal(read.cloud.points, written.cloud.points)
    assert np.abs(read.cloud.intensity - written.cloud.intensity).max() <= 0.5 / 255  # a byte of red
    for one, other in zip(read.boxes, written.boxes, strict=True):
        assert one.id == other.id
        assert np.allclose(one.corners(), other.corners(), atol=1e-12)


def test_a_camera_that_the_frame_does_not_name_is_told_with_those_it_names(intact):
    with pytest.raises(DataError, match=r"(?s)000068\.yaml: names no camera7.*camera0, camera1, camera2, camera3"):
        read_snapshot(intact, KEY, cameras=(7,))


def test_the_files_hold_what_opv2v_says_they_hold(intact):
    content = yaml.safe_load((intact / KEY.file("yaml")).read_bytes())

    # At frame 68 the first agent stands in the origin; its LiDAR is 0.5 m behind and 1.9 m above, seen with the
    # agent's pitch of -0.6 and roll of 0.4 degrees.
    up = ue_matrix_from_carla_pose([0, 0, 0, 0.4, 0, -0.6]) @ [-0.5, 0, 1.9, 1]
    assert np.allclose(content["lidar_pose"], [*up[:3], 0.4, 0, -0.6], atol=1e-9)
    assert np.allclose(content["true_ego_pos"], [0, 0, 0, 0.4, 0, -0.6], atol=1e-9)
    assert content["predicted_ego_pos"][3] == content["predicted_ego_pos"][5] == 0
    assert np.isclose(content["ego_speed"], 18.0)  # 5 m/s
    assert np.allclose(content["camera0"]["intrinsic"], [[33.564, 0, 40], [0, 33.564, 30], [0, 0, 1]], atol=1e-3)
    # The parked car: 22 m ahead, 3 m to the left, turned by 30 degrees; half sizes are length, width, height.
    parked = content["vehicles"][5]
    assert np.allclose(parked["location"], [22, -3, 0], atol=1e-9)
    assert np.allclose(parked["angle"], [0, 30, 0], atol=1e-9)
    assert np.allclose(parked["center"], [0, 0, 0.75], atol=1e-9)
    assert np.allclose(parked["extent"], [2.45, 1.06, 0.75], atol=1e-9)


def test_the_extrinsic_is_lidar_to_camera_in_unreals_axes(intact):
    for agent in AGENTS:
        content = yaml.safe_load((intact / KEY._replace(agent=str(agent)).file("yaml")).read_bytes())
        for camera in range(4):
            expected = np.linalg.inv(ue_matrix_from_carla_pose(content[f"camera{camera}"]["cords"])) @ (
                ue_matrix_from_carla_pose(content["lidar_pose"])
            )
            assert np.allclose(content[f"camera{camera}"]["extrinsic"], expected, atol=1e-12)


def test_two_agents_agree_on_a_third_and_on_each_other(intact):
    first, second = (read_annotation(intact / KEY._replace(agent=str(agent)).file("yaml")) for agent in AGENTS)

    one = {box.id: box for box in first.vehicles.boxes()}
    other = {box.id: box for box in second.vehicles.boxes()}

    assert np.array_equal(one[5].corners(), other[5].corners())
    T_world_second = first.vehicles.T_world_vehicle[first.vehicles.ids.tolist().index(AGENTS[1])]
    assert np.allclose(T_world_second, second.T_world_agent.matrix, atol=1e-12)


def test_points_of_the_cloud_lie_on_the_street_the_wall_and_the_cars(intact):
    snapshot = read_snapshot(intact, KEY, cameras=())
    world = snapshot.cloud.T_world_lidar @ snapshot.cloud.points

    on_street = np.abs(world[:, 1]) < 1e-3
    on_wall = np.abs(world[:, 2] - 60) < 1e-3
    on_cars = np.zeros(len(world), bool)
    for box in vehicles(68):
        local = np.abs(box.T_world_box.inverse() @ world) / box.extent
        on_cars |= np.abs(local.max(axis=1) - 1) < 1e-3

    assert (on_street | on_wall | on_cars).all()
    assert on_cars.sum() > 50


def test_vehicles_without_a_size_are_no_boxes(frame):
    # CARLA gives some two-wheelers no extent.
    content, read_changed = frame
    content["vehicles"][5]["extent"] = [1.0, 0.0, 0.8]

    annotation = read_changed()

    assert len(annotation.vehicles) == 2
    assert [box.id for box in annotation.vehicles.boxes()] == [1007]


def test_the_centre_is_an_offset_in_the_frame_of_the_vehicle(frame):
    content, read_changed = frame
    content["vehicles"] = {
        7: {"location": [10, 0, 0], "angle": [0, 90, 0], "center": [2, 0, 1], "extent": [2, 1, 1], "speed": 36}
    }

    vehicles = read_changed().vehicles

    # Turned right by 90 degrees, 2 m ahead of the vehicle is 2 m to the right of the world: x = 2, y = -1, z = 10.
    assert np.allclose(vehicles.T_world_box[0, :3, 3], [2, -1, 10])
    assert np.allclose(vehicles.speed, [10.0])


def test_a_frame_of_a_roadside_unit_may_lack_the_pose_and_speed_of_a_vehicle(frame):
    content, read_changed = frame
    for key in ("true_ego_pos", "predicted_ego_pos", "ego_speed", "plan_trajectory"):
        del content[key]
    content["RSU"] = True

    assert read_changed().T_world_agent is None


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda c: c.pop("lidar_pose"), "lacks lidar_pose"),
        (lambda c: c.pop("vehicles"), "lacks vehicles"),
        (lambda c: c["camera1"].pop("cords"), "lacks camera1.cords"),
        (lambda c: c.update(lidar_pose=[1, 2, 3]), "lidar_pose is [1, 2, 3]"),
        (lambda c: c.update(lidar_pose="here"), "lidar_pose is 'here'"),
        (lambda c: c.update(lidar_pose=[1, 2, 3, 4, 5, float("nan")]), "lidar_pose is"),
        (lambda c: c["camera2"]["intrinsic"][0].__setitem__(0, 0.0), "camera2.intrinsic is [[0.0"),
        (lambda c: c["camera2"].update(intrinsic=[[1, 0], [0, 1]]), "camera2.intrinsic is"),
        (lambda c: c["camera2"]["intrinsic"][0].__setitem__(1, 0.01), "camera2.intrinsic is"),
        (lambda c: c["camera2"]["intrinsic"][1].__setitem__(0, 0.01), "camera2.intrinsic is"),
        (lambda c: c["camera3"]["extrinsic"][0].__setitem__(0, 7.0), "camera3.extrinsic is no rigid transform"),
        (lambda c: c["vehicles"].update(car=c["vehicles"].pop(5)), "vehicles.car is no id"),
        (lambda c: c["vehicles"].update({10**25: c["vehicles"].pop(5)}), f"vehicles.{10**25} is no id"),
        (lambda c: c["vehicles"].update({2**63: c["vehicles"].pop(5)}), f"vehicles.{2**63} is no id"),
        (lambda c: c.update(ego_speed=10**400), "ego_speed is 1000"),
        (lambda c: c["lidar_pose"].__setitem__(1, 10**400), "lidar_pose is [-0.48"),
        (lambda c: c["true_ego_pos"].__setitem__(4, 1e300), "true_ego_pos is [0.0"),
        (lambda c: c["vehicles"][5].update(location=[1e308, 0, 0], center=[1e308, 0, 0]), "vehicles.5.location is"),
        (lambda c: c["vehicles"].update({5: [1]}), "vehicles.5 is list"),
        (lambda c: c["vehicles"][5].update(extent="big"), "vehicles.5.extent is 'big'"),
        (lambda c: c.update(vehicles=[1]), "vehicles is list"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_by_its_key(frame, spoil, found):
    content, read_changed = frame
    spoil(content)

    with pytest.raises(DataError) as caught:
        read_changed()

    assert caught.value.found.startswith(found)


@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_annotation_is_read_or_refused_and_never_anything_else(intact, tmp_path, data):
    content = bytearray((intact / KEY.file("yaml")).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(content)))
        inserted = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"[", b"]", b"- ", b"\n", b": ", b"'", b"~", *LARGE_NUMBERS])
        )
        content[start : start + data.draw(st.integers(0, 12))] = inserted
    path = tmp_path / "damaged.yaml"
    path.write_bytes(content)

    with suppress(DataError):
        read_annotation(path).vehicles.boxes()


@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_number_of_any_size_in_place_of_another_is_read_or_refused(intact, tmp_path, data):
    content = (intact / KEY.file("yaml")).read_bytes()
    number = data.draw(st.sampled_from(list(re.finditer(rb"-?[0-9.]+", content))))
    (tmp_path / "damaged.yaml").write_bytes(
        content[: number.start()] + data.draw(st.sampled_from(LARGE_NUMBERS)) + content[number.end() :]
    )

    with suppress(DataError):
        read_annotation(tmp_path / "damaged.yaml").vehicles.boxes()


def test_a_truncated_picture_is_named(intact, tmp_path):
    whole = (intact / KEY.file("camera0")).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataError, match=r"cut\.png"):
        read_image(tmp_path / "cut.png")


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(DataError, match="the file is missing"):
        read_image(tmp_path / "none.png")


def test_a_grey_picture_is_refused(tmp_path):
    (tmp_path / "grey.png").write_bytes(encode_png(np.zeros((4, 4), np.uint8)))

    with pytest.raises(DataError, match="grey"):
        read_image(tmp_path / "grey.png")


def test_a_cloud_without_coordinates_is_refused(tmp_path):
    (tmp_path / "flat.pcd").write_text(
        "VERSION 0.7\nFIELDS x y\nSIZE 4 4\nTYPE F F\nCOUNT 1 1\nWIDTH 1\nHEIGHT 1\n"
        "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 1\nDATA ascii\n1 2\n"
    )

    with pytest.raises(DataError, match="has the fields x, y"):
        read_cloud(tmp_path / "flat.pcd", agent_pose(962, 68))


def test_the_red_byte_of_a_point_is_its_intensity(tmp_path):
    # 0x00800000 is the smallest normal float32, 2^-126: red 128, green 0, blue 0.
    (tmp_path / "one.pcd").write_text(
        "VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 1\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 1\nDATA ascii\n1 2 3 {2.0**-126!r}\n"
    )

    cloud = read_cloud(tmp_path / "one.pcd", agent_pose(962, 68))

    assert cloud.points.tolist() == [[2, -3, 1]]  # forward 1, right 2, up 3
    assert np.allclose(cloud.intensity, 128 / 255)


XYZ = {axis: np.zeros(2, np.float32) for axis in "xyz"}


@pytest.mark.parametrize(
    ("fields", "intensity"),
    [
        ({}, [0, 0]),
        ({"intensity": np.array([0.25, 3], np.float64)}, [0.25, 3]),
        ({"intensity": np.array([51, 255], np.uint8)}, [0.2, 1]),
        ({"intensity": np.array([7, -1], np.int16)}, [7, -1]),
        ({"intensity": np.ones((2, 2), np.float32)}, [0, 0]),
        ({"rgb": np.array([0x330000, 0xFF0000], np.uint32)}, [0.2, 1]),
        ({"rgb": np.array([1.0, 2.0], np.float64), "intensity": np.array([0.25, 0.5], np.float32)}, [0.25, 0.5]),
        ({"rgb": np.array([1, 2], np.uint8)}, [0, 0]),
        ({"rgb": np.zeros((2, 3), np.uint8), "intensity": np.array([0.25, 0.5], np.float32)}, [0.25, 0.5]),
        ({"rgb": np.zeros((2, 3), np.float32)}, [0, 0]),
        ({"normal": np.zeros((2, 3), np.float32)}, [0, 0]),
    ],
)
def test_a_cloud_may_have_any_fields_beside_its_coordinates(tmp_path, fields, intensity):
    write_pcd(tmp_path / "a.pcd", XYZ | fields)

    cloud = read_cloud(tmp_path / "a.pcd", agent_pose(962, 68))

    assert np.allclose(cloud.intensity, intensity)
    assert cloud.intensity.dtype == np.float32


def test_coordinates_of_several_values_are_refused(tmp_path):
    write_pcd(tmp_path / "a.pcd", XYZ | {"y": np.zeros((2, 2), np.float32)})

    with pytest.raises(DataError, match=r"has the fields x, y \(2 values\), z"):
        read_cloud(tmp_path / "a.pcd", agent_pose(962, 68))


def test_a_coordinate_that_float32_cannot_hold_is_infinite(tmp_path):
    write_pcd(tmp_path / "a.pcd", XYZ | {"y": np.array([1e300, 1.0])})

    assert read_cloud(tmp_path / "a.pcd", agent_pose(962, 68)).points[:, 0].tolist() == [np.inf, 1]


def test_a_depth_map_of_another_size_than_its_picture_is_refused(intact, tmp_path):
    path = tmp_path / "depth" / depth_file(KEY, 0)
    path.parent.mkdir(parents=True)
    write_depth(path, np.ones((HEIGHT // 2, WIDTH // 2), np.float32))

    with pytest.raises(DataError, match=f"is {WIDTH // 2}x{HEIGHT // 2}, but its picture is {WIDTH}x{HEIGHT}"):
        read_snapshot(intact, KEY, cameras=(0,), depth_root=tmp_path / "depth")


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("npy", "000068_camera2_depth.npy"),
        ("png", "000068_camera2_depth.png"),
        ("numbered_png", "000068_depth2.png"),
        ("frame_folders", "000068/camera2_depth.npy"),
    ],
)
def test_the_layouts_of_depth_maps(layout, name):
    assert str(depth_file(KEY, 2, layout)) == f"{KEY.folder}/{name}"


def test_depth_in_a_16_bit_png_counts_256ths_of_a_metre(tmp_path):
    write_depth(tmp_path / "d.png", np.array([[0.0, 0.001, 1.0, 255.99609375, 256.0]], np.float32))

    # 0.001 m is less than half a step, but it is a measurement; 256 m has no value left.
    assert read_depth(tmp_path / "d.png").tolist() == [[0.0, 1 / 256, 1.0, 255.99609375, 0.0]]


def test_depth_in_an_8_bit_png_counts_metres(tmp_path):
    (tmp_path / "d.png").write_bytes(encode_png(np.array([[0, 7, 255]], np.uint8)))

    assert read_depth(tmp_path / "d.png").tolist() == [[0.0, 7.0, 255.0]]


def test_carlas_colour_code_has_red_as_its_lowest_byte_and_the_far_plane_is_no_depth(tmp_path):
    # 1000 m * (1 + 2 * 256 + 3 * 65536) / 16777215 = 11.7494 m
    (tmp_path / "d.png").write_bytes(encode_png(np.array([[[1, 2, 3], [255, 255, 255], [0, 0, 0]]], np.uint8)))

    assert np.allclose(read_depth(tmp_path / "d.png"), [[1000 * 197121 / 16777215, 0, 0]])


def test_depth_that_is_not_finite_is_none(tmp_path):
    np.save(tmp_path / "d.npy", np.array([[np.nan, np.inf, 2.0]], np.float64))

    depth = read_depth(tmp_path / "d.npy")

    assert depth.tolist() == [[0.0, 0.0, 2.0]]
    assert depth.dtype == np.float32


@pytest.mark.parametrize("array", [np.ones((2, 2), np.uint16), np.ones((2, 2, 3), np.float32), -np.ones((2, 2))])
def test_arrays_that_are_no_depth_in_metres_are_refused(tmp_path, array):
    np.save(tmp_path / "d.npy", array)

    with pytest.raises(DataError, match=r"d\.npy"):
        read_depth(tmp_path / "d.npy")


def test_frames_two_apart_are_a_tenth_of_a_second_apart(intact):
    first, second = (
        read_snapshot(intact, KEY._replace(frame=f"{frame:06d}"), cameras=(), with_cloud=False) for frame in FRAMES
    )

    assert np.isclose(second.timestamp - first.timestamp, 0.1)
