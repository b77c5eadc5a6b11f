"""model=compact keeps the contract: what it says, of what, and of what not."""

from __future__ import annotations

import math
import pickle
from copy import deepcopy

import pytest
import torch
from compact_networks import EVERYTHING, FACTORS, IMAGES, assert_same, differ, network, score, seen
from torch import nn
from toy_views import toy_batch

from mapanything_data.errors import ConfigError
from train.models.compact import Compact, EncoderOptions, HeadsOptions, Size, TrunkOptions
from train.models.compact.heads import bounded_exp
from train.models.protocol import Model
from train.views.inputs import Input, visible_views
from train.views.prediction import SMALLEST_SCALE


def test_an_untrained_network_looks_straight_ahead_at_depth_1_from_where_view_0_is():
    predictions = Compact(size=Size.tiny).build()(seen(toy_batch(num_views=3)))

    assert len(predictions) == 3
    for view in predictions:
        assert torch.equal(view["ray_directions"], torch.tensor([0.0, 0.0, 1.0]).expand(2, 28, 42, 3))
        assert torch.equal(view["depth_along_ray"], torch.ones(2, 28, 42, 1))
        assert torch.equal(view["cam_quats"], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(2, 4))
        assert torch.equal(view["cam_trans"], torch.zeros(2, 3))
        assert torch.equal(view["metric_scaling_factor"], torch.ones(2, 1))
        assert torch.equal(view["conf"], torch.full((2, 28, 42), 2.0))  # 1 + exp(0)


def test_whatever_the_parameters_are_predictions_are_of_their_kinds():
    predictions = network()(seen(toy_batch(num_views=3)))

    for view in predictions:
        assert all(view[key].dtype == torch.float32 for key in FACTORS)
        assert torch.allclose(view["ray_directions"].norm(dim=-1), torch.tensor(1.0))
        assert torch.allclose(view["cam_quats"].norm(dim=-1), torch.tensor(1.0))
        assert (view["depth_along_ray"] > 0).all()
        assert (view["conf"] >= 1).all()
        assert torch.equal(view["metric_scaling_factor"], predictions[0]["metric_scaling_factor"])
    assert torch.equal(predictions[0]["cam_trans"], torch.zeros(2, 3))
    assert torch.equal(predictions[0]["cam_quats"], torch.tensor([[0.0, 0.0, 0.0, 1.0]]).expand(2, 4))
    assert (predictions[1]["cam_trans"].abs() > 0.01).any()


@pytest.mark.parametrize(("height", "width"), [(7, 7), (42, 56), (56, 42), (21, 70)])
def test_pictures_may_have_any_size_made_of_whole_patches(height, width):
    (view,) = network()(seen(toy_batch(1, num_views=1, height=height, width=width)))

    assert view["pts3d"].shape == (1, height, width, 3)


def test_patches_that_look_alike_differ_by_their_places():
    features = network().encoder(torch.zeros(1, 3, 28, 42))[0]

    assert features.shape == (24, 32)
    distances = torch.cdist(features, features) + torch.eye(24)
    assert distances.min() > 0.1


def test_a_size_that_is_not_made_of_whole_patches_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"dataset.resolution: pictures of 40x30 .* 7x7") as told:
        network()(seen(toy_batch(1, num_views=1, height=30, width=40)))

    assert "dataset.resolution=[42, 28]" in told.value.remedy


def test_pictures_that_are_normalised_otherwise_are_refused():
    views = seen(toy_batch(num_views=1))
    views[0]["data_norm_type"] = ["dinov2", "identity"]

    with pytest.raises(ConfigError, match=r"dataset.data_norm_type: identity"):
        network()(views)


@pytest.mark.parametrize("kinds", [IMAGES, EVERYTHING], ids=["images", "everything"])
def test_the_order_of_views_other_than_view_0_does_not_matter(kinds):
    batch = toy_batch(num_views=4)
    order = [0, 3, 1, 2]
    net = network(agent_embedding=True)

    predictions = net(seen(batch, kinds))
    reordered = net(seen([batch[number] for number in order], kinds))

    assert_same([predictions[number] for number in order], reordered)
    assert differ(predictions[1:], reordered[1:])


def test_view_0_is_told_from_the_others():
    batch = toy_batch(num_views=2)
    net = network()

    predictions = net(seen(batch, IMAGES))
    exchanged = net(seen(batch[::-1], IMAGES))

    assert not torch.allclose(predictions[0]["depth_along_ray"], exchanged[1]["depth_along_ray"], atol=1e-3)


@pytest.mark.parametrize("kinds", [IMAGES, EVERYTHING], ids=["images", "everything"])
def test_a_prediction_depends_on_its_own_sample_only(kinds):
    net = network(agent_embedding=True)

    alone = net(seen(toy_batch(1, num_views=3, seed=4), kinds))
    among_others = net(seen(toy_batch(3, num_views=3, seed=3), kinds))

    second = [{key: value[1:2] for key, value in view.items()} for view in among_others]
    assert_same(alone, second)


def test_each_view_depends_on_the_pictures_of_the_others():
    batch = toy_batch(num_views=3)
    net = network()
    before = net(seen(batch, IMAGES))
    batch[2]["img"] = -batch[2]["img"]

    after = net(seen(batch, IMAGES))

    assert differ(before[:1], after[:1])


@pytest.mark.parametrize("num_views", [1, 3])
@pytest.mark.parametrize("kinds", [IMAGES, EVERYTHING, frozenset({Input.images, Input.depth})])
def test_every_parameter_has_a_gradient_whatever_is_visible(num_views, kinds):
    net = network(agent_embedding=True)

    score(net(seen(toy_batch(num_views=num_views), kinds))).backward()

    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_every_parameter_matters_when_everything_is_visible_to_some():
    net = network(agent_embedding=True, max_agents=2)
    nothing, poses = frozenset(IMAGES), frozenset({*IMAGES, Input.poses, Input.scale})
    views = visible_views(toy_batch(num_views=4), [EVERYTHING, EVERYTHING, nothing, poses])

    score(net(views)).backward()

    silent = [name for name, parameter in net.named_parameters() if parameter.grad.abs().max() == 0]
    assert silent == []


def test_no_sample_gives_no_prediction_and_zero_gradients():
    net = network(agent_embedding=True)
    views = [{key: value[:0] for key, value in view.items()} for view in seen(toy_batch(num_views=2))]

    predictions = net(views)
    score(predictions).backward()

    assert predictions[1]["pts3d"].shape == (0, 28, 42, 3)
    assert all(parameter.grad.abs().sum() == 0 for parameter in net.parameters())


def test_agents_matter_when_the_model_has_a_place_for_them():
    batch = toy_batch(num_views=2)
    other = [view | {"agent": view["agent"] + number} for number, view in enumerate(batch)]
    with_place, without = network(agent_embedding=True), network()

    assert differ(with_place(seen(batch)), with_place(seen(other)))
    assert not differ(without(seen(batch)), without(seen(other)))


def test_agents_beyond_the_last_share_its_embedding():
    batch = toy_batch(num_views=2)
    last, beyond = ([view | {"agent": torch.full((2,), agent)} for view in batch] for agent in (3, 40))
    net = network(agent_embedding=True, max_agents=4)

    assert_same(net(seen(last)), net(seen(beyond)))


def test_bf16_gives_finite_float32_predictions_and_gradients():
    net = network()
    batch = toy_batch(num_views=2)
    exact = net(seen(batch))

    with torch.autocast("cpu", torch.bfloat16):
        predictions = net(seen(batch))
    score(predictions).backward()

    for view, same in zip(predictions, exact, strict=True):
        assert all(view[key].dtype == torch.float32 and view[key].isfinite().all() for key in FACTORS)
        # bfloat16 rounds to 0.4 %; some layers deep that is a few per cent.
        assert (view["depth_along_ray"] / same["depth_along_ray"]).log().abs().max() < 0.1
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_exponentials_never_overflow_and_stay_above_the_smallest_scale():
    largest = torch.finfo(torch.float32).max

    values = bounded_exp(torch.tensor([-largest, -1e4, 0.0, 0.1, 1e4, largest]))

    assert values.isfinite().all()
    assert values[0] == pytest.approx(math.exp(-10), rel=1e-4)
    assert values[0] > SMALLEST_SCALE
    assert values[2] == 1
    assert values[3] == pytest.approx(math.exp(0.1), rel=1e-4)
    assert values[5] ** 2 < largest  # scale times depth


@pytest.mark.parametrize(
    ("size", "millions"), [(Size.tiny, 1.08), (Size.small, 23.4), (Size.base, 92.3), (Size.large, 318.5)]
)
def test_sizes_have_the_numbers_of_parameters_that_the_documentation_says(size, millions):
    with torch.device("meta"):
        net = Compact(size=size).build()

    assert sum(parameter.numel() for parameter in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)
    assert [name for name, _ in net.named_children()] == ["encoder", "geometric_encoder", "trunk", "heads"]


def test_single_numbers_override_the_size():
    options = Compact(size=Size.base, encoder=EncoderOptions(patch_size=8), trunk=TrunkOptions(layers=3))

    shape = options.shape()

    assert (shape.patch_size, shape.layers, shape.width, shape.num_heads) == (8, 3, 768, 12)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"trunk": TrunkOptions(width=100, num_heads=3)}, "model.trunk.width"),
        ({"trunk": TrunkOptions(width=6, num_heads=2)}, "model.trunk.width"),
        ({"trunk": TrunkOptions(layers=1)}, "model.trunk.layers"),
        ({"trunk": TrunkOptions(num_heads=0)}, "model.trunk.num_heads"),
        ({"heads": HeadsOptions(width=9)}, "model.heads.width"),
        ({"encoder": EncoderOptions(patch_size=0)}, "model.encoder.patch_size"),
        ({"max_agents": 0}, "model.max_agents"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused_by_name(options, key):
    with pytest.raises(ConfigError) as told:
        Compact(size=Size.tiny, **options)

    assert told.value.where == key


def test_options_and_networks_cross_process_borders_and_can_be_copied():
    options = Compact(size=Size.tiny, agent_embedding=True)
    net = network()
    views = seen(toy_batch(num_views=1))

    assert isinstance(options, Model)
    assert pickle.loads(pickle.dumps(options)) == options
    assert_same(net(views), pickle.loads(pickle.dumps(net))(views), tolerance=0)
    assert_same(net(views), deepcopy(net)(views), tolerance=0)


def test_the_network_compiles_as_one_graph():
    net = network(agent_embedding=True)
    views = seen(toy_batch(num_views=2))

    compiled = torch.compile(net, backend="eager", fullgraph=True)

    assert_same(net(views), compiled(views))


def test_a_hundred_steps_on_one_batch_learn_its_points():
    torch.manual_seed(0)
    batch = toy_batch(num_views=2, height=28, width=42)
    net = Compact(size=Size.tiny).build()
    views = seen(batch, IMAGES)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    errors = []
    for _ in range(100):
        predictions = net(views)
        error = sum(
            (view["pts3d"] - truth["pts3d"]).abs().mean() for view, truth in zip(predictions, batch, strict=True)
        )
        optimiser.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        errors.append(error.item())

    assert errors[-1] < 0.2 * errors[0]
