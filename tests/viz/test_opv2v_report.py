"""The report about OPV2V: its numbers, its boxes where they belong, and no end of the page for a damaged file."""

from __future__ import annotations

import numpy as np
import pytest
from opv2v_data import AGENTS, CAMERA_MOUNTS, make_snapshot, write_root

from mapanything_data.scene import Box3D, Camera, Pose
from mapanything_data.storage.opv2v import OPV2V
from mapanything_data.viz.boxes import BOX_COLOUR, colour_depth, draw_boxes, draw_map, draw_points, mosaic
from mapanything_data.viz.opv2v import summarise

CAMERA = Camera(101, 101, 50.0, 50.0, 50.0, 50.0)


def box_at(x, y, z, half=0.5) -> Box3D:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return Box3D(T_world_box=Pose(matrix), extent=np.full(3, half), label="vehicle", id=1)


@pytest.fixture
def root(tmp_path):
    return write_root(tmp_path / "opv2v", frames=(68, 70, 72))


def test_facts_count_what_is_there(root):
    report = summarise(OPV2V(root=str(root)))

    assert report.facts["frames"] == 6
    (item,) = report.items
    # The frame in the middle; the two agents list each other and a parked car.
    assert (item.facts["shown frame"], item.facts["vehicles in it"], item.facts["pictures"]) == (70, 3, 24)
    assert item.facts["points in it"] == sum(len(make_snapshot(agent, 70).cloud.points) for agent in AGENTS)


def test_there_are_maps_and_a_mosaic_of_each_agent(root):
    (item,) = summarise(OPV2V(root=str(root))).items

    captions = [picture.caption for picture in item.pictures]
    assert captions[0].startswith("frame 000070 from above")
    assert captions[1:3] == ["the cloud of agent 962 alone", "the cloud of agent 1007 alone"]
    assert captions[3] == "agent 962, frame 000070: left, front, right, rear; boxes / LiDAR / depth"
    assert all(picture.image is not None for picture in item.pictures)


@pytest.mark.parametrize("part", [".yaml", ".pcd", *(f"_camera{number}.png" for number in CAMERA_MOUNTS)])
def test_a_damaged_file_leaves_the_rest_of_the_page(root, part):
    (root / "train" / "2021_08_16_22_26_00" / "962" / f"000070{part}").write_bytes(b"")

    (item,) = summarise(OPV2V(root=str(root))).items

    assert item.pictures[-1].caption.startswith("agent 1007")
    assert item.pictures[-1].image is not None


def test_the_edges_of_a_box_are_drawn_where_its_corners_are():
    drawn = draw_boxes(np.zeros((101, 101, 3), np.uint8), CAMERA, Pose.identity(), [box_at(0, 0, 3)])

    # The near face is at z = 2.5: its corners are 0.5 / 2.5 * 50 = 10 pixels from the centre.
    assert drawn[40, 50].tolist() == list(BOX_COLOUR)
    assert drawn[50, 60].tolist() == list(BOX_COLOUR)
    assert not drawn[50, 50].any()
    assert not drawn[30].any()


def test_a_box_behind_the_camera_is_not_drawn():
    assert not draw_boxes(np.zeros((101, 101, 3), np.uint8), CAMERA, Pose.identity(), [box_at(0, 0, -3)]).any()


def test_an_edge_that_crosses_the_picture_is_drawn_although_all_corners_lie_outside():
    # 200 m wide, 4 m deep and high, centred 4 m ahead: the near face at z = 2 reaches from row 0 to row 100 and far
    # beyond both sides, the far one at z = 6 has its edges in the rows 50 -+ 2 / 6 * 50 = 33.3 and 66.7.
    box = Box3D(T_world_box=box_at(0, 0, 4).T_world_box, extent=np.array([100.0, 2.0, 2.0]), label="vehicle", id=1)

    drawn = draw_boxes(np.zeros((101, 101, 3), np.uint8), CAMERA, Pose.identity(), [box])

    assert drawn[33, :].any(axis=-1).all()
    assert drawn[67, :].any(axis=-1).all()
    assert not drawn[50].any()


def test_pixels_beyond_all_integers_are_cut_at_the_picture():
    # At z = 0.3, 10^9 m aside are 1.7 * 10^11 pixels; an edge of this box runs from there through the picture's middle.
    T = np.eye(4)
    T[:3, :3] = [[0, 0, -1], [0, 1, 0], [1, 0, 0]]  # the box's z axis points to the left, its x axis ahead
    T[:3, 3] = 0, 2, 2
    box = Box3D(T_world_box=Pose(T), extent=np.array([1.5, 2.0, 1e9]), label="vehicle", id=1)

    drawn = draw_boxes(np.zeros((101, 101, 3), np.uint8), CAMERA, Pose.identity(), [box])

    assert drawn[50, :].any(axis=-1).all()  # the upper edges, at y = 0
    assert not drawn[:45].any()


def test_a_box_beside_the_picture_is_not_drawn():
    assert not draw_boxes(np.zeros((101, 101, 3), np.uint8), CAMERA, Pose.identity(), [box_at(6, 0, 3)]).any()


def test_a_box_that_the_camera_stands_in_is_cut():
    drawn = draw_boxes(np.zeros((101, 101, 3), np.uint8), CAMERA, Pose.identity(), [box_at(0, 0, 0, half=2)])

    assert drawn[0, 0].tolist() == list(BOX_COLOUR)  # the far face at z = 2 fills the field of view exactly


def test_points_are_drawn_where_they_project():
    drawn = draw_points(np.zeros((101, 101, 3), np.uint8), CAMERA, np.array([[0.4, 0.0, 2.0], [0.0, 0.0, -2.0]]))

    assert drawn[50, 60].any()  # 0.4 / 2 * 50 = 10 pixels to the right
    assert drawn.any(axis=-1).sum() == 9  # one dot of 3 x 3, none for the point behind


def test_depth_without_value_is_black():
    picture = colour_depth(np.array([[0.0, 5.0, 50.0]], np.float32))

    assert not picture[0, 0].any()
    assert picture[0, 1].tolist() != picture[0, 2].tolist()


def test_the_map_has_forward_up_and_right_to_the_right():
    points = np.array([[5.0, 1.0, 0.0], [0.0, 1.0, 8.0]])  # 5 m to the right; 8 m ahead

    drawn = draw_map([(points, (9, 8, 7))], [], Pose.identity(), reach=10.0, size=100)

    assert drawn[50, 75].tolist() == [9, 8, 7]  # 5 pixels a metre
    assert drawn[10, 50].tolist() == [9, 8, 7]


def test_a_box_far_beyond_the_map_is_not_on_it():
    ground = draw_map([], [], Pose.identity(), reach=10.0, size=100)

    drawn = draw_map([], [(box_at(1e9, 0, 1e9), BOX_COLOUR)], Pose.identity(), reach=10.0, size=100)

    assert np.array_equal(drawn, ground)


def test_a_mosaic_shrinks_and_keeps_places():
    white = np.full((20, 40, 3), 255, np.uint8)

    canvas = mosaic([[white, None], [None, white]], tile_width=20)

    assert canvas.shape == (24, 44, 3)
    assert canvas[0, 0, 0] == canvas[23, 43, 0] == 255
    assert canvas[0, 43, 0] == canvas[23, 0, 0] == 40
