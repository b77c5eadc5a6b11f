"""Only the cameras of a frame: the same as of the whole file, whatever else it holds and however it is laid out."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from opv2v_data import make_snapshot

from mapanything_data.errors import DataError
from mapanything_data.storage.opv2v import read_annotation, read_cameras, write_annotation
from mapanything_data.storage.opv2v.snapshots import annotation_of
from mapanything_data.storage.plain_yaml import read_plain_yaml


@pytest.fixture
def frame(tmp_path):
    path = tmp_path / "000068.yaml"
    write_annotation(path, annotation_of(make_snapshot(962, 68)))
    return path


@pytest.mark.parametrize("flow", [False, None], ids=["as OPV2V is laid out", "as this project writes"])
@pytest.mark.parametrize("sort", [False, True], ids=["vehicles last", "in order of the alphabet"])
def test_the_cameras_are_those_of_the_whole_file(frame, flow, sort):
    content = read_plain_yaml(frame) | {"plan_trajectory": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "zoom": 1}
    frame.write_text(yaml.safe_dump(content, default_flow_style=flow, sort_keys=sort))

    whole, cameras = read_annotation(frame).cameras, read_cameras(frame)

    assert list(cameras) == [0, 1, 2, 3]
    for number, camera in cameras.items():
        assert camera.T_world_camera == whole[number].T_world_camera
        assert camera.T_camera_lidar == whole[number].T_camera_lidar
        np.testing.assert_array_equal(camera.intrinsics, whole[number].intrinsics)


def test_what_is_wrong_with_a_camera_is_told(frame):
    frame.write_text(frame.read_text().replace("cords", "coords", 1))

    with pytest.raises(DataError, match=r"lacks camera0\.cords"):
        read_cameras(frame)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nlong:\n  x: 2\n  y: [3]\nb: 4\n",
        "a: 1\nlong:\n- 2\n- - 3\n  - 3\n\nb: 4\n",
        "long:\n  x: 2\na: 1\nb: 4",
        "a: 1\nb: 4\nlong:\n  x: 2",
        "a: 1\r\nlong:\r\n  x: 2\r\nb: 4\r\n",
    ],
)
def test_a_key_is_passed_over_with_all_of_its_lines(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text, newline="")

    assert read_plain_yaml(path, without=["long"]) == {"a": 1, "b": 4}


def test_a_key_whose_value_stands_beside_it_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("long: {}\nlonger:\n  long:\n    x: 1\n")

    assert read_plain_yaml(path, without=["long"]) == {"long": {}, "longer": {"long": {"x": 1}}}
