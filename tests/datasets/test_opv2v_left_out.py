"""Frames that cannot be samples are left out, counted, and said with what to do."""

from __future__ import annotations

import pytest
from sample_makers import SCENE, one

from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.errors import DataError
from mapanything_data.labelers.lidar_depth import LidarDepth
from mapanything_data.stages.label import LabelConfig, label
from mapanything_data.storage.opv2v.layout import OPV2V


def test_frames_without_depth_are_left_out_and_said(root):
    depth = root.with_name("opv2v_depth") / f"validate/{SCENE}/962/000070_camera1_depth.npy"
    depth.unlink()
    dataset = one(root).test_dataset()

    assert len(dataset) == 5
    assert f"left out: 1 frames without depth of camera1 (first: {depth})" in dataset.summary()


def remedy_of(options):
    with pytest.raises(DataError) as caught:
        options.train_dataset()
    return caught.value.remedy


def test_a_root_without_depth_names_the_folder_and_a_file(root):
    root.with_name("opv2v_depth").rename(root.with_name("elsewhere"))

    with pytest.raises(DataError) as caught:
        one(root).train_dataset()

    assert caught.value.where == str(root.with_name("opv2v_depth"))
    assert "train/2021_08_16_22_26_00/962/000068_camera0_depth.npy" in caught.value.expected
    assert len(one(root, depth_root=str(root.with_name("elsewhere"))).train_dataset()) == 6


def test_both_steps_from_no_depth_to_samples_are_told_and_lead_there(root):
    root.with_name("opv2v_depth").rename(root.with_name("elsewhere"))
    made = root.with_name("opv2v_lidar_depth")
    either = "; or correct dataset.depth_root and dataset.depth_layout"
    first = f"run python -m mapanything_data.label dataset=opv2v dataset.root={root} labeler=lidar_depth"
    second = f"give dataset.depth_root={made}"

    assert remedy_of(one(root)) == f"{first}, then {second}{either}"
    label(LabelConfig(machine={}, dataset=OPV2V(root=str(root)), labeler=LidarDepth(), executor=InlineExecutor()))
    assert remedy_of(one(root)) == f"{second}{either}"
    assert remedy_of(one(root, depth_layout="png")) == f"{second} dataset.depth_layout=npy{either}"
    assert len(one(root, depth_root=str(made)).train_dataset()) == 6


def test_depth_that_was_not_made_where_it_is_read_is_to_be_made_there(root):
    made = root.with_name("opv2v_lidar_depth")

    assert ", then " not in (remedy := remedy_of(one(root, depth_root=str(made))))
    assert f"mapanything_data.label dataset=opv2v dataset.root={root} labeler=lidar_depth" in remedy


def test_depth_in_folders_of_frames_is_found(root):
    for path in list(root.with_name("opv2v_depth").rglob("*.npy")):
        frame, _, name = path.name.partition("_")
        (path.parent / frame).mkdir(exist_ok=True)
        path.rename(path.parent / frame / name)

    assert len(one(root, depth_layout="frame_folders").train_dataset()[0]) == 4


def test_a_camera_that_is_not_in_use_may_be_missing(root):
    for path in root.rglob("*camera3.png"):
        path.unlink()

    assert len(one(root, camera_ids=[0, 1, 2], num_views=3).test_dataset()) == 6


def test_a_split_that_is_not_there_is_told_with_those_that_are(sound_root):
    with pytest.raises(DataError, match=r"no scenes of the split test\n.*among train, validate"):
        one(sound_root, test_split="test").test_dataset()


def test_scenes_can_be_limited(root):
    scene = root / "train" / SCENE
    for folder in (scene, root.with_name("opv2v_depth") / "train" / SCENE):
        folder.rename(folder.with_name("b"))
        folder.with_name("a").symlink_to(folder.with_name("b"))

    assert len(one(root).train_dataset()) == 12
    assert len(one(root, max_scenes=1).train_dataset()) == 6
