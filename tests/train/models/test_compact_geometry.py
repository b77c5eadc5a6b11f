"""What model=compact makes of rays, depth, poses and scale."""

from __future__ import annotations

import pytest
import torch
from compact_networks import EVERYTHING, IMAGES, assert_same, differ, network, seen
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_views import toy_batch

from train.views.inputs import Input, visible_views

PROPORTIONS = EVERYTHING - {Input.scale}


def times(batch, depth, translation):
    """The batch with all depth and all translations multiplied."""
    changed = {"depth_along_ray": depth, "camera_pose_trans": translation}
    return [view | {key: view[key] * factor for key, factor in changed.items()} for view in batch]


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-3, 1e3))
def test_without_scale_only_proportions_count(factor):
    batch = toy_batch(num_views=3, holes=0.5)
    net = network()

    assert_same(net(seen(batch, PROPORTIONS)), net(seen(times(batch, factor, factor), PROPORTIONS)))


def test_without_scale_depth_and_translations_may_have_units_of_their_own():
    batch = toy_batch(num_views=3)
    net = network()

    assert_same(net(seen(batch, PROPORTIONS)), net(seen(times(batch, 5, 0.3), PROPORTIONS)))


def test_a_sample_that_says_it_is_not_metric_has_only_proportions():
    net = network()
    batch = toy_batch(2, num_views=3)
    for view in batch:
        view["is_metric_scale"] = torch.tensor([True, False])

    before, after = net(seen(batch)), net(seen(times(batch, 3, 3)))

    metric, relative = (
        [[{k: v[n : n + 1] for k, v in view.items()} for view in p] for p in (before, after)] for n in (0, 1)
    )
    assert differ(*metric)
    assert_same(*relative)


@pytest.mark.parametrize(("depth", "translation"), [(2, 1), (1, 2)])
def test_with_scale_metres_count(depth, translation):
    batch = toy_batch(num_views=3)
    net = network()

    assert differ(net(seen(batch)), net(seen(times(batch, depth, translation))))


@pytest.mark.parametrize("kind", [Input.rays, Input.depth, Input.poses])
def test_each_kind_of_input_changes_the_prediction(kind):
    batch = toy_batch(num_views=3)
    net = network()

    assert differ(net(seen(batch, IMAGES)), net(seen(batch, IMAGES | {kind})))


def test_scale_alone_says_nothing():
    batch = toy_batch(num_views=3)
    net = network()

    assert_same(net(seen(batch, IMAGES)), net(seen(batch, IMAGES | {Input.scale})), tolerance=0)


@pytest.mark.parametrize("kind", [Input.rays, Input.depth, Input.poses])
def test_a_view_may_lack_what_others_have(kind):
    batch = toy_batch(num_views=3)
    net = network()

    predictions = net(visible_views(batch, [EVERYTHING, EVERYTHING - {kind}, EVERYTHING]))

    assert all(view["pts3d"].isfinite().all() for view in predictions)
    assert differ(predictions, net(seen(batch)))


def test_a_view_without_depth_and_flag_leaves_the_depth_of_the_others_metric():
    batch = toy_batch(num_views=2)
    net = network()
    kinds = [IMAGES | {Input.depth, Input.scale}, IMAGES]

    assert differ(net(visible_views(batch, kinds)), net(visible_views(times(batch, 2, 1), kinds)))


def test_depth_of_a_view_that_does_not_say_metres_makes_all_of_it_proportions():
    batch = toy_batch(num_views=2)
    net = network()
    kinds = [IMAGES | {Input.depth, Input.scale}, IMAGES | {Input.depth}]

    assert_same(net(visible_views(batch, kinds)), net(visible_views(times(batch, 2, 1), kinds)))


def test_the_pose_of_view_0_does_not_change_the_unit_of_translations():
    batch = toy_batch(1, num_views=2)
    net = network()
    poses = IMAGES | {Input.poses}
    # Where an unknown pose is embedded as the identity is, all that could change is the unit.
    with torch.no_grad():
        identity = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
        net.geometric_encoder.unknown[2] = net.geometric_encoder.pose(identity)

    both, only_view_1 = (net(visible_views(batch, [first, poses])) for first in (poses, IMAGES))

    assert_same(both, only_view_1)


def test_both_quaternions_of_a_rotation_are_one_input():
    batch = toy_batch(num_views=2)
    turned = [view | {"camera_pose_quats": -view["camera_pose_quats"]} for view in batch]
    net = network()

    assert_same(net(seen(batch)), net(seen(turned)), tolerance=0)


@pytest.mark.parametrize("key", ["depth_along_ray", "camera_pose_trans"])
def test_nothing_to_divide_by_is_no_scale_and_no_nan(key):
    batch = toy_batch(num_views=2)
    for view in batch:
        view[key] = torch.zeros_like(view[key])
    net = network()

    with_scale, without = net(seen(batch)), net(seen(batch, PROPORTIONS))

    assert all(view["pts3d"].isfinite().all() for view in with_scale)
    assert differ(with_scale, without)  # the other of the two still has a scale


def test_pixels_without_depth_do_not_count_in_the_mean():
    """Mean depth of 2 where half of the pixels have 2 and the others none, so the logarithms are 0 = log(2 / 2)."""
    from train.models.compact.geometric_encoder import _relative_depth

    depth = torch.zeros(1, 4, 4, 1)
    depth[:, :2] = 2
    view = {"img": torch.zeros(1, 3, 4, 4), "depth_along_ray": depth, "is_metric_scale": torch.tensor([True])}

    values, given, size = _relative_depth([view])

    assert torch.equal(values[..., 0], torch.zeros(1, 1, 4, 4))
    assert values[..., 1].sum() == 8
    assert given.tolist() == [1]
    assert torch.allclose(size, torch.tensor([[0.6931, 1.0]]), atol=1e-4)  # log 2


def test_relative_translations_keep_direction_and_order():
    """Lengths 0, 3 and 9 have the mean 6 without view 0: 0.5 and 1.5, so log 1.5 and log 2.5."""
    from train.models.compact.geometric_encoder import _relative_poses

    def view(x):
        pose = {
            "camera_pose_quats": torch.tensor([[0.0, 0.0, 0.0, 1.0]]),
            "camera_pose_trans": torch.tensor([[x, 0.0, 0.0]]),
        }
        return {"img": torch.zeros(1, 3, 4, 4)} | pose

    values, _, size = _relative_poses([view(0.0), view(3.0), view(-9.0)])

    assert torch.allclose(values[0, :, 4], torch.tensor([0.0, 0.4055, -0.9163]), atol=1e-4)
    assert torch.equal(size, torch.zeros(1, 2))


def test_cameras_in_one_place_have_no_size_even_if_they_are_metric():
    from train.models.compact.geometric_encoder import _relative_poses

    pose = {"camera_pose_quats": torch.tensor([[0.0, 0.0, 0.0, 1.0]]), "camera_pose_trans": torch.zeros(1, 3)}
    view = {"img": torch.zeros(1, 3, 4, 4), "is_metric_scale": torch.tensor([True])} | pose

    _, _, size = _relative_poses([view, view])

    assert torch.equal(size, torch.zeros(1, 2))  # not 1 m, whose logarithm is 0 and whose second number is 1
