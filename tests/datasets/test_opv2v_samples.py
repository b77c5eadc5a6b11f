"""Which views a sample has, what is left out, and that nothing but seed, epoch and index decides."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
import yaml
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from mapanything_data.config import CONFIG_DIR
from mapanything_data.config.app import hydra_version_base, register_schemas
from mapanything_data.config.build import build
from mapanything_data.datasets.colour import ColourJitter
from mapanything_data.datasets.opv2v import OPV2VCoopFinetune, OPV2VFinetune
from mapanything_data.datasets.opv2v_options import OnBrokenSample
from mapanything_data.datasets.samples import BrokenSample, SampleError, SampleRequest, collate_views
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.labelers.lidar_depth import LidarDepth
from mapanything_data.stages.check import check
from mapanything_data.stages.label import LabelConfig, label
from mapanything_data.storage.opv2v.layout import OPV2V, split_of_folder
from mapanything_data.storage.plain_yaml import dump_plain_yaml, read_plain_yaml

SCENE = "2021_08_16_22_26_00"
SMALL = {"resolution": [28, 14]}
JITTER = ColourJitter(brightness=0.3, hue=0.1, blur=1.0)


def one(root, **options):
    return OPV2VFinetune(root=str(root), **SMALL | options)


def coop(root, **options):
    return OPV2VCoopFinetune(root=str(root), **SMALL | options)


def instances(views):
    return [view["instance"] for view in views]


def same(one_sample, other_sample):
    """Whether two samples agree in every key of every view, bit by bit."""
    return len(one_sample) == len(other_sample) and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for view, other in zip(one_sample, other_sample, strict=True)
        for key, value in view.items()
    )


# One vehicle


def test_there_is_a_sample_for_each_frame_of_each_vehicle(sound_root):
    dataset = one(sound_root).test_dataset()

    assert len(dataset) == 6
    assert [instances(dataset[i])[0] for i in (0, 2, 3)] == [
        "962/000068/camera0",
        "962/000072/camera0",
        "1007/000068/camera0",
    ]
    assert instances(dataset[0]) == [f"962/000068/camera{k}" for k in range(4)]
    assert dataset.summary() == f"validate: 6 samples of 1 scenes in {sound_root}"


def test_the_own_frame_comes_before_its_neighbour_and_no_view_twice(sound_root):
    dataset = one(sound_root, time_steps=2, num_views=8).train_dataset()

    for index in range(len(dataset)):
        seen = [instance.split("/")[1] for instance in instances(dataset[index])]
        assert seen == [seen[0]] * 4 + [seen[4]] * 4
        assert seen[0] != seen[4]
        assert len(set(instances(dataset[index]))) == 8


def test_neighbours_are_later_ones_and_earlier_ones_at_the_end(sound_root):
    dataset = one(sound_root, time_steps=2, num_views=5).test_dataset()

    assert [[key.frame for key in dataset.frames(i)] for i in range(3)] == [
        ["000068", "000070"],
        ["000070", "000072"],
        ["000072", "000070"],
    ]


def test_a_stride_skips_frames_and_samples_without_neighbours_are_counted(sound_root):
    dataset = one(sound_root, time_steps=2, time_stride=2, num_views=5).test_dataset()

    assert [[key.frame for key in dataset.frames(i)] for i in range(2)] == [["000068", "000072"], ["000072", "000068"]]
    assert f"left out: 2 frames without 1 complete neighbours (first: validate/{SCENE}/962/000070)" in dataset.summary()


def test_few_views_show_every_camera_over_the_epochs(sound_root):
    dataset = one(sound_root, num_views=2).train_dataset()
    second = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        first, other = instances(dataset[0])
        assert first == "962/000068/camera0"
        second.add(other)

    assert second == {f"962/000068/camera{k}" for k in (1, 2, 3)}


def test_another_reference_camera_is_view_0(sound_root):
    dataset = one(sound_root, reference_camera=3, camera_ids=[1, 3], num_views=2).test_dataset()

    assert instances(dataset[0]) == ["962/000068/camera3", "962/000068/camera1"]


def test_flags_and_provenance(sound_root):
    view = one(sound_root).test_dataset()[4][1]

    assert {key: view[key] for key in ("dataset", "label", "idx", "agent", "agent_id")} == {
        "dataset": "opv2v",
        "label": f"validate/{SCENE}",
        "idx": 4,
        "agent": 0,
        "agent_id": 1007,
    }
    assert view["is_metric_scale"] is True


@pytest.mark.parametrize("make", [one, coop])
@pytest.mark.parametrize("dense", [True, False])
def test_only_exact_depth_counts_as_synthetic(sound_root, make, dense):
    views = make(sound_root, depth_is_dense=dense).test_dataset()[0]

    assert [view["is_synthetic"] for view in views] == [dense] * len(views)


# Several vehicles


def test_each_agent_gives_a_view_before_any_gives_its_second(sound_root):
    dataset = coop(sound_root, num_views=8, allow_variable_view_count=False).train_dataset()

    for index in range(3):
        views = dataset[index]
        assert instances(views)[0].startswith("962/")
        assert instances(views)[0].endswith("/camera0")
        assert [view["agent"] for view in views] == [0, 1] * 4
        assert [view["agent_id"] for view in views] == [962, 1007] * 4
        assert len(set(instances(views))) == 8


def test_the_ego_is_the_lowest_number_or_the_pinned_one(sound_root):
    assert coop(sound_root).test_dataset()[0][0]["agent_id"] == 962
    assert coop(sound_root, main_agent=1007).test_dataset()[0][0]["agent_id"] == 1007


def test_scenes_without_the_pinned_agent_are_said(sound_root):
    with pytest.raises(DataError, match=rf"left out: 1 scenes without agent 5 \(first: validate/{SCENE}\)"):
        coop(sound_root, main_agent=5).test_dataset()


def test_variable_counts_lie_between_their_limits(sound_root):
    dataset = coop(sound_root, num_views=5, coop_min_num_views=3, coop_max_num_views=6).train_dataset()
    counts = set()
    for epoch in range(20):
        dataset.set_epoch(epoch)
        counts |= {len(dataset[index]) for index in range(len(dataset))}

    assert counts == {3, 4, 5, 6}
    assert dataset.view_counts().tolist() == [6, 6, 6]


def test_without_a_limit_all_views_may_come(sound_root):
    dataset = coop(sound_root, coop_max_num_views=None).train_dataset()

    assert dataset.view_counts().tolist() == [8, 8, 8]
    assert dataset.view_limits(0) == (4, 8)


def test_test_samples_have_the_nominal_count_where_there_are_so_many(sound_root):
    assert len(coop(sound_root, num_views=5).test_dataset()[0]) == 5
    assert len(coop(sound_root, num_views=10).test_dataset()[0]) == 8


def test_a_fixed_count_leaves_out_frames_with_fewer_views(root):
    (root / f"validate/{SCENE}/1007/000070.yaml").unlink()
    dataset = coop(root, num_views=8, allow_variable_view_count=False, coop_min_agents=1).test_dataset()

    assert [len(dataset[index]) for index in range(len(dataset))] == [8, 8]
    assert "left out: 1 frames with fewer than 8 views" in dataset.summary()


def test_frames_with_too_few_agents_are_left_out_and_said(root):
    (root / f"validate/{SCENE}/1007/000070_camera2.png").unlink()
    dataset = coop(root).test_dataset()

    assert [dataset.frames(index)[0].frame for index in range(len(dataset))] == ["000068", "000072"]
    assert f"left out: 1 frames without camera2 (first: {root}/validate/{SCENE}/1007" in dataset.summary()
    assert f"left out: 1 frames with fewer than 2 agents (first: validate/{SCENE}/962/000070)" in dataset.summary()
    assert len(coop(root, coop_min_agents=1).test_dataset()) == 3


def test_frames_that_only_others_have_are_said(root):
    for path in (root / f"validate/{SCENE}/962").glob("000072*"):
        path.unlink()

    assert "left out: 1 frames that the ego does not have (first:" in coop(root).test_dataset().summary()


def test_roadside_units_take_part_only_when_asked_and_are_never_the_ego(root):
    for folder in (root / f"validate/{SCENE}", root.with_name("opv2v_depth") / f"validate/{SCENE}"):
        (folder / "1007").rename(folder / "-1")

    with pytest.raises(DataError, match="left out: 3 frames of roadside units"):
        coop(root).test_dataset()
    dataset = coop(root, include_roadside_units=True).test_dataset()
    assert [view["agent_id"] for view in dataset[0]] == [962, -1] * 4


# What is left out


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


# Requests and chance


def test_a_request_decides_count_and_size_and_keeps_the_rest(sound_root):
    dataset = coop(sound_root, colour=JITTER).train_dataset()

    few = dataset[SampleRequest(1, num_views=5, resolution=(42, 28))]
    many = dataset[SampleRequest(1, num_views=8)]

    assert few[0]["img"].shape == (3, 28, 42)
    assert many[0]["img"].shape == (3, 14, 28)
    assert instances(many)[:5] == instances(few)


@pytest.mark.parametrize("count", [0, 3, 9])
def test_a_count_that_a_sample_cannot_have_is_refused(sound_root, count):
    with pytest.raises(ValueError, match=f"{count} views asked for of sample 0, which has 4 to 8"):
        coop(sound_root).train_dataset()[SampleRequest(0, num_views=count)]


def test_an_index_beyond_the_end_ends_iteration(sound_root):
    assert len(list(one(sound_root).test_dataset())) == 6


@pytest.mark.parametrize("make", [one, coop])
def test_seed_and_epoch_each_change_a_training_sample(sound_root, make):
    def first(seed=0, epoch=0):
        dataset = make(sound_root, seed=seed, colour=JITTER).train_dataset()
        dataset.set_epoch(epoch)
        return dataset[0]

    start = first()
    assert same(start, first())
    assert not same(start, first(seed=1))
    assert not same(start, first(epoch=1))


def test_samples_of_one_epoch_choose_differently(sound_root):
    dataset = one(sound_root).train_dataset()

    cameras = {tuple(instance.split("/")[2] for instance in instances(dataset[index])) for index in range(6)}

    assert len(cameras) > 1


def test_the_epoch_of_a_request_goes_before_that_of_the_data_set(sound_root):
    dataset = coop(sound_root, colour=JITTER).train_dataset()
    asked = dataset[SampleRequest(0, epoch=7)]
    dataset.set_epoch(7)

    assert same(asked, dataset[0])


def test_test_samples_never_change(sound_root):
    dataset = coop(sound_root, colour=JITTER, num_views=6).test_dataset()
    before = dataset[1]
    dataset.set_epoch(5)

    assert same(before, dataset[1])
    assert same(before, coop(sound_root, num_views=6, seed=9).test_dataset()[1])


def test_one_light_falls_on_all_views_unless_told_otherwise(root):
    import cv2

    for path in root.rglob("*.png"):
        cv2.imwrite(str(path), np.full((60, 80, 3), 100, np.uint8))

    def levels(same_for_all_views):
        colour = ColourJitter(brightness=0.5, same_for_all_views=same_for_all_views)
        return {float(view["img"].mean()) for view in one(root, colour=colour).train_dataset()[0]}

    assert len(levels(same_for_all_views=True)) == 1
    assert len(levels(same_for_all_views=False)) > 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of Python 3.12, about any multi-threaded process
def test_workers_change_nothing(sound_root):
    dataset = coop(sound_root, colour=JITTER, num_views=6, allow_variable_view_count=False).train_dataset()
    dataset.set_epoch(3)

    def batches(**how):
        return list(DataLoader(dataset, batch_size=2, collate_fn=collate_views, **how))

    alone = batches()
    for how in ({}, {"num_workers": 2}, {"num_workers": 2, "multiprocessing_context": "spawn"}):
        for batch, other in zip(alone, batches(**how), strict=True):
            assert same(batch, other)
    backwards = batches(sampler=[2, 1, 0])
    assert same([{k: v[0] for k, v in view.items()} for view in alone[0]],
                [{k: v[0] for k, v in view.items()} for view in backwards[1]])  # fmt: skip


def test_a_data_set_survives_pickling(sound_root):
    dataset = coop(sound_root).train_dataset()

    assert same(pickle.loads(pickle.dumps(dataset))[0], dataset[0])


# Broken files


@pytest.fixture
def broken(root):
    """Frame 68 of agent 962 has half a picture."""
    path = root / f"train/{SCENE}/962/000068_camera1.png"
    path.write_bytes(path.read_bytes()[:2000])
    return path


def test_a_broken_picture_is_an_error_that_names_it(broken, root):
    with pytest.raises(DataError, match="is truncated") as caught:
        one(root).train_dataset()[0]

    assert str(caught.value).startswith(f"{broken}: the PNG is truncated")
    assert str(caught.value).endswith("remedy:   write or copy the file again, or set dataset.on_broken_sample=skip")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def damage(root, damaged):
    """Harm one file of frame 68 of agent 962; gives its path."""
    annotation = root / f"train/{SCENE}/962/000068.yaml"
    depth = root.with_name("opv2v_depth") / f"train/{SCENE}/962/000068_camera0_depth.npy"
    if damaged == "no camera2":
        annotation.write_text(annotation.read_text().replace("camera2:", "camera9:"))
    elif damaged == "skew":
        content = read_plain_yaml(annotation)
        content["camera0"]["intrinsic"][0][1] = 3.0
        annotation.write_text(dump_plain_yaml(content))
    elif damaged == "small depth":
        np.save(depth, np.ones((30, 40), np.float32))
    elif damaged == "half a depth":
        depth.write_bytes(depth.read_bytes()[:500])
    elif damaged == "a folder":
        depth = root / f"train/{SCENE}/962/000068_camera0.png"
        depth.unlink()
        depth.mkdir()
    return annotation if damaged in ("no camera2", "skew") else depth


@pytest.mark.parametrize(
    ("damaged", "found"),
    [
        ("no camera2", "names no camera2"),
        ("skew", "camera0.intrinsic is [["),
        ("small depth", "is 40x30, but its picture is 80x60"),
        ("half a depth", "is no readable .npy array"),
        ("a folder", "cannot be read (Is a directory)"),
    ],
)
def test_whatever_is_broken_is_named(root, damaged, found):
    dataset = one(root).train_dataset()  # lists the files before the damage
    path = damage(root, damaged)

    with pytest.raises(SampleError) as caught:
        dataset[0]

    assert str(caught.value).startswith(f"{path}: {found}")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_error_of_a_worker_is_the_same_one(broken, root):
    batches = iter(DataLoader(one(root).train_dataset(), sampler=[0], num_workers=1, collate_fn=collate_views))

    with pytest.raises(SampleError) as caught:
        next(batches)
    assert list(batches) == []  # a loader that was not read to its end takes five seconds to stop its workers

    assert str(caught.value).startswith(f"{broken}: the PNG is truncated after 2000 bytes\n")
    assert str(caught.value).endswith("or set dataset.on_broken_sample=skip")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("path", ["/data/a: b/x.png", "/data/SampleError: x/y.png"])
def test_no_path_confuses_the_error_of_a_worker(path):
    message = f"{path}: is truncated\n  remedy:   copy it again"
    try:
        raise SampleError(message)
    except SampleError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")

    with pytest.raises(SampleError) as caught:
        wrapped.reraise()

    assert (str(caught.value), caught.value.text) == (message, message)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_skipped_sample_is_missing_from_its_batch_and_listed_there(broken, root, workers):
    dataset = one(root, on_broken_sample="skip").train_dataset()

    batches = list(DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=collate_views))

    assert [len(batch[0]["idx"]) for batch in batches] == [3, 2]
    assert batches[0][0]["idx"].tolist() == [1, 2, 3]
    (lost,) = batches[0].broken
    assert lost.index == 0
    assert lost.reason.startswith(f"{broken}: the PNG is truncated")
    assert batches[1].broken == []


def test_a_batch_of_broken_samples_is_empty(broken, root):
    dataset = one(root, on_broken_sample="skip").train_dataset()

    batch = collate_views([dataset[0]])

    assert (list(batch), [lost.index for lost in batch.broken]) == ([], [0])
    assert isinstance(dataset[0], BrokenSample)


def test_samples_of_different_counts_make_no_batch(sound_root):
    dataset = coop(sound_root).train_dataset()

    with pytest.raises(ValueError, match="samples of 4 to 6 views in one batch"):
        collate_views([dataset[SampleRequest(0, num_views=4)], dataset[SampleRequest(1, num_views=6)]])


# Options


@pytest.mark.parametrize(
    ("make", "options", "key"),
    [
        (one, {"test_split": "train"}, "test_split"),
        (one, {"train_split": "test_culver_city", "test_split": "test_culvercity"}, "test_split"),
        (one, {"train_split": "training"}, "train_split"),
        (one, {"camera_ids": [0, 0]}, "camera_ids"),
        (one, {"camera_ids": []}, "camera_ids"),
        (one, {"camera_ids": [1, 2]}, "reference_camera"),
        (one, {"camera_ids": [0, 7]}, "camera_ids"),
        (one, {"num_views": 5}, "num_views"),
        (one, {"time_steps": 2, "num_views": 4}, "num_views"),  # all of the first time
        (one, {"camera_ids": [0, 1], "time_steps": 3, "num_views": 4}, "num_views"),  # none of the third time
        (one, {"time_stride": 0, "time_steps": 2, "num_views": 8}, "time_stride"),
        (one, {"time_stride": 2}, "time_stride"),  # with one time
        (one, {"num_views": 0}, "num_views"),
        (one, {"time_steps": 0}, "time_steps"),
        (one, {"resolution": [518]}, "resolution"),
        (one, {"data_norm_type": "clip"}, "data_norm_type"),
        (one, {"on_broken_sample": "retry"}, "on_broken_sample"),
        (one, {"seed": -1}, "seed"),
        (one, {"max_scenes": 0}, "max_scenes"),
        (one, {"depth_layout": "zip"}, "depth_layout"),
        (coop, {"coop_min_agents": 0}, "coop_min_agents"),
        (coop, {"coop_max_num_views": 3}, "coop_max_num_views"),
        (coop, {"num_views": 2, "coop_min_num_views": 4}, "num_views"),
        (coop, {"main_agent": -1}, "main_agent"),  # a roadside unit
    ],
)
def test_options_that_cannot_give_samples_are_refused(tmp_path, make, options, key):
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, **options)

    assert caught.value.where == f"dataset.{key}"


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (one, {"camera_ids": [0, 1], "time_steps": 3, "num_views": 5}),
        (coop, {"num_views": 2, "allow_variable_view_count": False}),  # the limits are of no use then
        (coop, {"num_views": 12, "allow_variable_view_count": False}),
        (coop, {"num_views": 10, "coop_max_num_views": 6}),
        (coop, {"num_views": 12, "coop_max_num_views": None}),
        (coop, {"num_views": 4, "coop_min_num_views": 4, "coop_max_num_views": 4}),
    ],
)
def test_options_at_the_limits_of_each_other_are_sound(tmp_path, make, options):
    assert make(tmp_path, **options).num_views == options["num_views"]


@pytest.mark.parametrize("name", ["opv2v_ft", "opv2v_coop_ft", "opv2v_ft_smoke"])
def test_shipped_configurations_test_on_another_split_than_they_train_on(name):
    from hydra import compose, initialize_config_dir

    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        dataset = build(compose("check", [f"dataset={name}", "machine=fixture"])).dataset

    assert split_of_folder(dataset.train_split) != split_of_folder(dataset.test_split)


SHOWN = {"root", "depth_root", "depth_is_dense", "camera_ids", "resolution", "num_views"}
SHOWN_COOP = {
    "coop_min_agents", "coop_min_num_views", "coop_max_num_views", "allow_variable_view_count", "main_agent",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "name", "shown"),
    [(OPV2VFinetune, "opv2v_ft", SHOWN), (OPV2VCoopFinetune, "opv2v_coop_ft", SHOWN | SHOWN_COOP)],
)
def test_shipped_configurations_show_what_users_change_with_the_values_of_the_schema(schema, name, shown):
    values = yaml.safe_load((CONFIG_DIR / "dataset" / f"{name}.yaml").read_text())
    defaults = schema()

    assert shown <= values.keys()
    assert {key: values[key] for key in shown - {"root"}} == {key: getattr(defaults, key) for key in shown - {"root"}}


def test_what_a_broken_sample_does_is_one_of_a_closed_set_for_hydra_too():
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        arguments = ["dataset=opv2v_ft", "machine=fixture"]
        built = build(compose("check", [*arguments, "dataset.on_broken_sample=skip"])).dataset
        with pytest.raises(HydraException) as caught:
            compose("check", [*arguments, "dataset.on_broken_sample=retry"])

    assert built.on_broken_sample is OnBrokenSample.skip
    assert "expected one of [error, skip]" in str(caught.value.__cause__)


def test_the_command_of_stage_3_composes():
    from hydra import compose, initialize_config_dir

    register_schemas(check)
    overrides = ["coop_min_agents=1", "coop_min_num_views=4", "coop_max_num_views=null", "num_views=10"]
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        arguments = ["dataset=opv2v_coop_ft", "machine=fixture", *(f"dataset.{override}" for override in overrides)]
        dataset = build(compose("check", arguments)).dataset

    assert (dataset.coop_min_agents, dataset.coop_max_num_views, dataset.resolution) == (1, None, [518, 392])


def test_the_smoke_configuration_gives_samples_of_the_checked_in_town(monkeypatch):
    from hydra import compose, initialize_config_dir

    monkeypatch.chdir(CONFIG_DIR.parent)
    register_schemas(check)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), job_name="check", **hydra_version_base()):
        dataset = build(compose("check", ["dataset=opv2v_ft_smoke", "machine=fixture"])).dataset

    for samples in (dataset.train_dataset(), dataset.test_dataset()):
        views = samples[0]
        assert len(views) == 4
        assert views[0]["img"].shape == (3, 42, 56)
        # The checked-in depth is the simulator's own: all but the sky has one, and what has none is known to be sky.
        assert views[0]["valid_mask"].float().mean() > 0.5
        assert torch.equal(views[0]["non_ambiguous_mask"], views[0]["valid_mask"])
        assert not views[0]["valid_mask"].all()
        assert views[0]["is_synthetic"]


def test_the_smoke_configuration_says_what_it_is_for():
    assert (CONFIG_DIR / "dataset" / "opv2v_ft_smoke.yaml").read_text().startswith("# DEBUG ONLY")
