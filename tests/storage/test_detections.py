"""Detections survive their two formats, and YOLO's half pixel is where YOLO expects it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mapanything_data.errors import DataError
from mapanything_data.scene import Detections
from mapanything_data.storage.detections import read_detections, read_yolo, write_detections, write_yolo

WIDTH, HEIGHT = 800, 600


def detections(*boxes, ids=None) -> Detections:
    n = len(boxes)
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.full(n, 0.5, np.float32),
        class_ids=np.arange(n) % 2,
        class_names=("car", "van"),
        track_ids=None if ids is None else np.array(ids),
    )


def test_the_whole_picture_is_the_whole_picture_in_yolo(tmp_path):
    write_yolo(tmp_path / "a.txt", detections([-0.5, -0.5, 799.5, 599.5]), WIDTH, HEIGHT)

    assert (tmp_path / "a.txt").read_text() == "0 0.500000 0.500000 1.000000 1.000000\n"


def test_a_box_around_one_pixel_is_centred_on_the_middle_of_that_pixel(tmp_path):
    write_yolo(tmp_path / "a.txt", detections([-0.5, -0.5, 0.5, 0.5], [99.5, 59.5, 199.5, 119.5]), WIDTH, HEIGHT)

    # The centre of the first pixel is half a pixel from the corner: 0.5 / 800 and 0.5 / 600.
    # The second box goes from 100 to 200 of 800 and from 60 to 120 of 600, counted from the corner.
    assert (tmp_path / "a.txt").read_text().splitlines() == [
        "0 0.000625 0.000833 0.001250 0.001667",
        "1 0.187500 0.150000 0.125000 0.100000",
    ]


boxes = arrays(np.float64, (4, 4), elements=st.floats(0, 1)).map(
    lambda a: (
        np.concatenate([np.minimum(a[:, :2], a[:, 2:]), np.maximum(a[:, :2], a[:, 2:])], axis=1)
        * [WIDTH, HEIGHT, WIDTH, HEIGHT]
        - 0.5
    )
)


@given(boxes)
@settings(max_examples=30, deadline=None)
def test_both_formats_give_back_what_was_written(tmp_path_factory, boxes):
    folder = tmp_path_factory.mktemp("detections")
    written = detections(*boxes, ids=[7, 8, 9, -1])
    more = {"truncation": np.array([0, 0.25, np.nan, 1])}
    write_yolo(folder / "a.txt", written, WIDTH, HEIGHT)
    write_detections(folder / "a.json", written, WIDTH, HEIGHT, more)

    from_yolo = read_yolo(folder / "a.txt", ("car", "van"), WIDTH, HEIGHT)
    from_json = read_detections(folder / "a.json")

    assert np.abs(from_yolo.boxes - written.boxes).max() < 2e-3  # six decimals of 800 pixels
    assert np.abs(from_json.detections.boxes - written.boxes).max() < 1e-3
    assert np.array_equal(from_yolo.class_ids, written.class_ids)
    assert np.array_equal(from_json.detections.class_ids, written.class_ids)
    assert from_json.detections.track_ids.tolist() == [7, 8, 9, -1]
    assert from_json.detections.scores.tolist() == [0.5] * 4
    assert np.array_equal(from_json.attributes["truncation"], more["truncation"], equal_nan=True)
    assert (from_json.width, from_json.height) == (WIDTH, HEIGHT)


def test_a_picture_with_nothing_in_it_has_files_too(tmp_path):
    nothing = Detections.empty(("car",))
    write_yolo(tmp_path / "a.txt", nothing, WIDTH, HEIGHT)
    write_detections(tmp_path / "a.json", nothing, WIDTH, HEIGHT, {"distance": np.zeros(0)})

    assert (tmp_path / "a.txt").read_text() == ""
    assert len(read_yolo(tmp_path / "a.txt", ("car",), WIDTH, HEIGHT)) == 0
    assert len(read_detections(tmp_path / "a.json").detections) == 0


def test_what_is_unknown_is_null_in_json(tmp_path):
    write_detections(tmp_path / "a.json", detections([1, 2, 3, 4]), WIDTH, HEIGHT, {"occlusion": np.array([np.nan])})

    (entry,) = json.loads((tmp_path / "a.json").read_text())["objects"]
    assert entry == {"box": [1.0, 2.0, 3.0, 4.0], "class": "car", "score": 0.5, "id": None, "occlusion": None}


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5 0.5 0.1",
        "0 0.5 0.5 0.1 x",
        "0.5 0.5 0.5 0.1 0.1",
        "2 0.5 0.5 0.1 0.1",
        "0 0.5 0.5 nan 0.1",
        "0 0.5 0.5 -1 0.1",
    ],
)
def test_a_damaged_line_of_yolo_is_refused_by_name(tmp_path, line):
    (tmp_path / "a.txt").write_text(f"1 0.5 0.5 0.1 0.1\n{line}\n")

    with pytest.raises(DataError, match=r"a\.txt"):
        read_yolo(tmp_path / "a.txt", ("car", "van"), WIDTH, HEIGHT)


@pytest.mark.parametrize("text", ["[]", "{}", '{"objects": [{"box": [1, 2]}], "class_names": ["car"]}', "no json"])
def test_json_of_something_else_is_refused_by_name(tmp_path, text):
    (tmp_path / "a.json").write_text(text)

    with pytest.raises(DataError, match=r"a\.json"):
        read_detections(tmp_path / "a.json")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="missing"):
        read_yolo(tmp_path / "a.txt", ("car",), WIDTH, HEIGHT)
