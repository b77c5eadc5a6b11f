"""Which views a sample has, of one vehicle or several, and what chance and requests decide."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sample_makers import JITTER, SCENE, coop, instances, one, same
from torch.utils.data import DataLoader

from mapanything_data.datasets.colour import ColourJitter
from mapanything_data.datasets.samples import SampleRequest, collate_views
from mapanything_data.errors import DataError

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


def test_what_a_sample_draws_by_itself_is_known_without_reading_it(sound_root):
    variable = {"num_views": 5, "coop_min_num_views": 3, "coop_max_num_views": 6}
    fixed = {"num_views": 7, "allow_variable_view_count": False}

    assert coop(sound_root, **variable).train_dataset().drawn_views(0) == (3, 6)
    assert coop(sound_root, **variable).test_dataset().drawn_views(0) == (5, 5)
    assert coop(sound_root, **variable | {"num_views": 7}).test_dataset().drawn_views(0) == (6, 6)
    assert coop(sound_root, **fixed).train_dataset().drawn_views(0) == (7, 7)
    assert coop(sound_root, **fixed).test_dataset().drawn_views(0) == (7, 7)
    assert one(sound_root, num_views=2).train_dataset().drawn_views(0) == (2, 2)
    assert one(sound_root, num_views=2).test_dataset().drawn_views(0) == (2, 2)


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
