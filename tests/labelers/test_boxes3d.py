"""Annotated vehicles as boxes in pictures, with what is known of each."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapanything_data.errors import ConfigError
from mapanything_data.labelers.boxes3d import Boxes3D
from mapanything_data.labelers.protocol import LabelView, Moment
from mapanything_data.scene import Box3D, Camera, Pose
from mapanything_data.storage.detections import read_detections, read_yolo

CAMERA = Camera(width=800, height=600, fx=400.0, fy=400.0, cx=400.0, cy=300.0)


def box(number: int, x: float, z: float) -> Box3D:
    pose = Pose.from_quaternion([0, 0, 0, 1], [x, 0, z])
    return Box3D(T_world_box=pose, extent=[1.0, 0.75, 2.0], label="vehicle", id=number)


BOXES = [box(7, 0, 10), box(8, 10, 10), box(9, 0, -10), box(10, 0, 102)]  # ahead, at the edge, behind, far


def label(folder, boxes=BOXES, depth=None, **options):
    moment = Moment(
        agent=1,
        frame=68,
        name="000068",
        views={2: LabelView(camera=CAMERA, T_world_camera=Pose.identity(), depth=depth)},
        boxes=boxes,
    )
    labels = Boxes3D(depth=depth is not None, **options).open().label(moment)
    for name, write in labels.files.items():
        write(folder / name)
    (row,) = labels.rows
    return read_detections(folder / "000068_camera2.json"), row


def test_every_vehicle_in_the_picture_has_its_box_id_truncation_and_distance(tmp_path):
    stored, row = label(tmp_path)

    found = stored.detections
    assert found.track_ids.tolist() == [7, 8, 10]
    # As worked out in test_boxes_in_picture; the far one's near face is 100 m away: half sizes 4 and 3 pixels.
    assert found.boxes.tolist() == [[350, 262.5, 450, 337.5], [700, 262.5, 799.5, 337.5], [396, 297, 404, 303]]
    assert stored.attributes["truncation"].tolist() == [0, 0.602, 0]  # 1 - 99.5 / 250
    assert stored.attributes["distance"].tolist() == pytest.approx([10, 200**0.5, 102], abs=1e-4)
    assert np.isnan(stored.attributes["occlusion"]).all()
    assert found.scores.tolist() == [1, 1, 1]
    assert row == {"frame": "000068", "camera": 2, "vehicles": 4, "in_picture": 3, "boxes": 3}


def test_yolo_has_the_same_boxes(tmp_path):
    stored, _ = label(tmp_path)

    from_yolo = read_yolo(tmp_path / "000068_camera2.txt", ("vehicle",), 800, 600)

    assert np.allclose(from_yolo.boxes, stored.detections.boxes, atol=2e-3)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"min_size": 6.1}, [7, 8]),
        ({"min_size": 6.0}, [7, 8, 10]),
        ({"max_distance": 101.0}, [7, 8]),
        ({"max_truncation": 0.6}, [7, 10]),
        ({"max_truncation": 0.61}, [7, 8, 10]),
    ],
)
def test_boxes_beyond_a_limit_are_left_out(tmp_path, options, left):
    stored, row = label(tmp_path, **options)

    assert stored.detections.track_ids.tolist() == left
    assert (row["in_picture"], row["boxes"]) == (3, len(left))


def half_covered() -> np.ndarray:
    depth = np.zeros((600, 800), np.float32)
    depth[:, 300:400], depth[:, 400:500] = 4, 8.5  # something 4 m away before the left half, the vehicle itself
    return depth


def test_occlusion_comes_from_depth_and_is_null_where_there_is_none(tmp_path):
    stored, _ = label(tmp_path, depth=half_covered())

    assert np.array_equal(stored.attributes["occlusion"], [0.5, np.nan, 1], equal_nan=True)
    assert json.loads((tmp_path / "000068_camera2.json").read_text())["objects"][1]["occlusion"] is None


def test_hidden_boxes_can_be_left_out_and_unknown_ones_stay(tmp_path):
    stored, _ = label(tmp_path, depth=half_covered(), max_occlusion=0.4)

    assert stored.detections.track_ids.tolist() == [8]


def test_no_vehicles_give_empty_files(tmp_path):
    stored, row = label(tmp_path, boxes=[], depth=half_covered())

    assert len(stored.detections) == 0
    assert (tmp_path / "000068_camera2.txt").read_text() == ""
    assert row["vehicles"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"min_size": -1.0},
        {"max_distance": 0.0},
        {"max_truncation": 1.1},
        {"max_occlusion": -0.1},
        {"max_occlusion": 0.5},
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=f"labeler.{next(iter(options))}"):
        Boxes3D(**options)
