"""What the network is shown, what is counted, and that nothing else changes."""

from __future__ import annotations

import random
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from tiny_model import TinyNetwork, batch_of
from toy_views import toy_sample

from mapanything_data.datasets.samples import BrokenSample, ViewBatch, collate_views
from train.evaluation.measure import measure
from train.losses.protocol import LossValues
from train.metrics.names import METRICS
from train.metrics.sample_metrics import sample_metrics
from train.views.inputs import KEYS, Input

CPU = torch.device("cpu")
IMAGES = frozenset({Input.images})


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TinyNetwork()


def run(network, batches, inputs=IMAGES, gather=lambda entries: [entries], autocast=None, **options):
    return measure(
        network,
        batches,
        inputs=inputs,
        device=CPU,
        autocast=autocast or nullcontext(),
        gather=gather,
        **options,
    )


def in_shares(network, shares, **options):
    """The evaluation of one rank among several: first what each would gather, then all of it for the last."""
    gathered = []
    for share in shares:
        mine = []
        run(network, share, gather=lambda entries, mine=mine: mine.append(entries) or [entries], **options)
        gathered.append(mine)
    calls = iter(zip(*gathered, strict=True))
    return run(network, shares[-1], gather=lambda entries: list(next(calls)), **options)


def same_rows(one, other):
    assert [(row.dataset, row.idx, row.label, row.num_views) for row in one.rows] == [
        (row.dataset, row.idx, row.label, row.num_views) for row in other.rows
    ]
    for row, twin in zip(one.rows, other.rows, strict=True):
        np.testing.assert_array_equal(list(row.metrics.values()), list(twin.metrics.values()))


# What the network is shown


@pytest.mark.parametrize("inputs", [IMAGES, IMAGES | {Input.depth, Input.scale}, frozenset(Input)])
def test_the_network_sees_the_named_inputs_and_nothing_else(network, inputs):
    found = run(network, [batch_of(0, 1)], inputs=inputs)

    allowed = {key for kind in inputs for key in KEYS[kind]}
    assert network.seen == [[allowed, allowed]]
    assert found.inputs == inputs


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), "noise"])
def test_truth_does_not_reach_predictions_from_images(network, poison):
    clean, poisoned = batch_of(0, 1, num_views=3), batch_of(0, 1, num_views=3)
    generator = torch.Generator().manual_seed(1)
    for view in poisoned:
        for key, value in view.items():
            if key != "img" and isinstance(value, torch.Tensor) and value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                view[key] = noise if poison == "noise" else torch.full_like(value, poison)
            if key in ("valid_mask", "non_ambiguous_mask"):
                view[key] = torch.rand(value.shape, generator=generator) < 0.5
    run(network, [clean])
    run(network, [poisoned])

    one, other = network.said
    for view, twin in zip(one, other, strict=True):
        for key, value in view.items():
            assert torch.equal(value, twin[key]), key


def test_with_depth_among_the_inputs_truth_does_reach_them(network):
    """Else the test before could not fail."""
    run(network, [batch_of(0)], inputs=IMAGES | {Input.depth})
    run(network, [batch_of(0, holes=0.5)], inputs=IMAGES | {Input.depth})

    one, other = network.said
    assert not torch.equal(one[0]["pts3d"], other[0]["pts3d"])


def test_each_forward_pass_is_within_the_context_and_nothing_else_is(network):
    depth = []

    class Context:
        def __enter__(self):
            depth.append("in")

        def __exit__(self, *_):
            depth.append("out")

    network.register_forward_hook(lambda *_: depth.append("forward"))
    run(network, [batch_of(0), batch_of(1)], autocast=Context())

    assert depth == ["in", "forward", "out"] * 2


def test_a_real_autocast_context_serves_for_all_batches(network):
    network.layer.register_forward_hook(lambda _module, _inputs, output: dtypes.append(output.dtype))
    dtypes = []
    run(network, [batch_of(0), batch_of(1)], autocast=torch.autocast("cpu", torch.bfloat16))

    assert dtypes == [torch.bfloat16] * 4


# What is counted


def test_there_is_a_row_for_each_sample_with_its_metrics(network):
    batch = batch_of(3, 4, num_views=3)
    found = run(network, [batch])

    assert [(row.dataset, row.idx, row.label, row.instance, row.num_views) for row in found.rows] == [
        ("toy", 3, "toy/3", "3/0", 3),
        ("toy", 4, "toy/4", "4/0", 3),
    ]
    expected = sample_metrics(batch, network.said[0])
    for number, row in enumerate(found.rows):
        assert row.metrics == {name: expected[name][number].item() for name in METRICS}


def test_the_shares_of_ranks_do_not_matter(network):
    def batches():
        return batch_of(0, 1), batch_of(2, 3, num_views=3), batch_of(4, 5, holes=0.5), ViewBatch([], [])

    a, b, c, empty = batches()
    one = run(network, [a, b, c], pictures=2)
    several = in_shares(network, [[c, empty], [a, b]], pictures=2)

    same_rows(one, several)
    assert one.means() == several.means()
    assert [picture.idx for picture in one.pictured] == [picture.idx for picture in several.pictured]
    for picture, twin in zip(one.pictures, several.pictures, strict=True):
        assert np.array_equal(picture, twin)


def test_a_sample_that_two_ranks_had_counts_once(network):
    same_rows(run(network, [batch_of(0, 1)]), in_shares(network, [[batch_of(0, 1)], [batch_of(0, 1)]]))


def test_broken_samples_are_listed_and_empty_batches_skipped(network):
    broken = collate_views([BrokenSample(7, "a.png: is cut short"), toy_sample(seed=1, height=14, width=14)])
    nothing = collate_views([BrokenSample(2, "b.yaml: is no YAML")])
    found = run(network, [broken, nothing, ViewBatch([], [])])

    assert [row.idx for row in found.rows] == [1]
    assert [(sample.index, sample.reason) for sample in found.broken] == [
        (2, "b.yaml: is no YAML"),
        (7, "a.png: is cut short"),
    ]
    assert len(network.seen) == 1


def test_means_leave_out_samples_that_a_metric_has_no_meaning_for(network):
    metric, other = batch_of(0), batch_of(1, metric=False)
    found = run(network, [metric, other])

    assert found.means()["scale_abs_rel"] == found.rows[0].metrics["scale_abs_rel"]
    assert (found.counts()["scale_abs_rel"], found.counts()["points_abs_rel"]) == (1, 2)
    both = [row.metrics["points_abs_rel"] for row in found.rows]
    assert found.means()["points_abs_rel"] == pytest.approx(sum(both) / 2)


def test_means_over_no_samples_are_no_number(network):
    assert np.isnan(run(network, [batch_of(0, num_views=1)]).means()["pose_auc_5"])
    assert run(network, []).means() == {}


def test_means_by_scene_and_by_view_count(network):
    found = run(network, [batch_of(0, 1, num_views=2), batch_of(2, num_views=3)])
    error = {row.idx: row.metrics["ray_error_deg"] for row in found.rows}

    by_scene, by_views = found.means("label"), found.means("num_views")

    assert {scene: means["ray_error_deg"] for scene, means in by_scene.items()} == {
        f"toy/{idx}": error[idx] for idx in (0, 1, 2)
    }
    assert by_views["2"]["ray_error_deg"] == pytest.approx((error[0] + error[1]) / 2)
    assert by_views["3"]["ray_error_deg"] == error[2]


def test_a_prediction_that_is_no_number_makes_the_mean_infinite_and_is_named(network):
    batch = batch_of(0, 1)
    batch[0]["img"][1] = float("nan")
    found = run(network, [batch])

    assert found.means()["points_abs_rel"] == float("inf")
    assert [row.idx for row in found.not_finite] == [1]


def test_a_loss_is_measured_beside_the_metrics(network):
    def loss(views, predictions):
        assert len(views) == len(predictions)
        value = torch.tensor([1.0, 3.0])
        return LossValues(per_sample=value, terms={"points": 2 * value})

    means = run(network, [batch_of(0, 1)], loss=loss).means()

    assert (means["loss"], means["loss/points"]) == (2.0, 4.0)


# Pictures


def test_pictures_are_of_the_same_samples_whatever_the_order(network):
    def pictured(order):
        return [picture.idx for picture in run(network, [batch_of(*order)], pictures=3).pictured]

    forwards = pictured(range(8))

    assert forwards == pictured(reversed(range(8)))
    assert len(set(forwards)) == 3
    assert forwards != [0, 1, 2]
    assert run(network, [batch_of(0)]).pictures == []


# What stays as it was


def test_modes_and_random_states_are_put_back(network):
    network.train()
    network.layer.eval()  # a frozen part
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002

    def batches():
        torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
        yield batch_of(0)

    run(network, batches(), pictures=1)

    assert (network.training, network.layer.training, network.drop.training) == (True, False, True)
    assert (torch.rand(1), random.random(), np.random.rand()) == expected  # noqa: NPY002


def test_modes_are_put_back_after_an_error_too(network):
    network.train()

    @contextmanager
    def failing():
        raise RuntimeError("no memory")
        yield

    with pytest.raises(RuntimeError, match="no memory"):
        run(network, [batch_of(0)], autocast=failing())
    assert network.training


def test_drop_out_is_off_and_nothing_has_a_graph(network):
    network.train()
    assert run(network, [batch_of(0)]).rows == run(network, [batch_of(0)]).rows
    assert not network.said[0][0]["pts3d"].requires_grad
