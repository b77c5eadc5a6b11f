"""What holds for every batch: samples stand apart, sizes cancel, bad pixels are left out."""

from __future__ import annotations

import pytest
import torch
from loss_cases import FACTORS, TERMS, assemble, gradients_of, join, mixed_batch, only, take, wrong_factors
from toy_views import as_double, toy_batch

from train.losses.overall import OverallLoss
from train.losses.protocol import Loss


def double_case(**options):
    batch = as_double(mixed_batch(**options))
    return batch, wrong_factors(batch)


def per_sample(loss, batch, factors):
    return loss(batch, assemble(factors)).per_sample


def test_it_is_a_loss():
    assert isinstance(OverallLoss(), Loss)


@pytest.mark.parametrize("split", [(1, 1, 1), (2, 1), (1, 2)])
def test_samples_have_the_loss_that_they_have_alone(split):
    batch = mixed_batch()
    factors = wrong_factors(batch)
    loss = OverallLoss(relative_poses=True)

    together = loss(batch, assemble(factors))
    rows = torch.arange(3).split(list(split))
    alone = [loss(take(batch, part), assemble(take(factors, part))) for part in rows]

    assert torch.allclose(torch.cat([part.per_sample for part in alone]), together.per_sample, rtol=1e-6)
    for name, values in together.terms.items():
        assert torch.allclose(torch.cat([part.terms[name] for part in alone]), values, rtol=1e-6)


def test_gradients_of_a_step_do_not_depend_on_how_its_samples_are_spread_over_ranks():
    batch, factors = double_case()
    _, whole = gradients_of(OverallLoss(), batch, factors)

    for rows in (torch.tensor([0]), torch.tensor([1, 2])):
        _, part = gradients_of(OverallLoss(), take(batch, rows), take(factors, rows))
        for view, rank in zip(whole, part, strict=True):
            for name in FACTORS:
                assert torch.allclose(view[name][rows], rank[name], rtol=1e-9)


def test_a_batch_without_samples_has_no_losses():
    batch, factors = double_case()

    values = OverallLoss(relative_poses=True)(take(batch, []), assemble(take(factors, [])))

    assert values.per_sample.shape == (0,)
    assert {tuple(value.shape) for value in values.terms.values()} == {(0,)}


def scaled_points(predictions, factor):
    keys = ("pts3d", "pts3d_cam", "depth_along_ray", "cam_trans", "metric_scaling_factor")
    return [{key: value * factor if key in keys else value for key, value in view.items()} for view in predictions]


def test_a_prediction_of_another_size_has_another_scale_and_is_right_as_before():
    batch, factors = double_case()
    predictions = assemble(factors)

    before, after = (OverallLoss()(batch, side).terms for side in (predictions, scaled_points(predictions, 1.7)))

    changed = [name for name in TERMS if not torch.allclose(before[name], after[name], rtol=1e-9)]
    assert changed == ["scale"]


def test_units_of_the_model_do_not_matter():
    batch, factors = double_case()
    other = [
        each | {"scale": each["scale"] / 50, "depth": each["depth"] * 50, "trans": each["trans"] * 50}
        for each in factors
    ]

    assert torch.allclose(per_sample(OverallLoss(), batch, factors), per_sample(OverallLoss(), batch, other))


def test_only_the_metric_scale_learns_from_the_scale():
    batch, factors = double_case()

    values, gradients = gradients_of(only("scale"), batch, factors)

    assert (values > 0).tolist() == [True, True, False]  # the third sample is not in metres
    assert (gradients[0]["scale"][:, 0] != 0).tolist() == [True, True, False]
    assert all(view[name] is None for view in gradients for name in ("depth", "rays", "quats", "trans"))


def test_the_metric_scale_learns_from_nothing_else():
    batch, factors = double_case()

    _, gradients = gradients_of(only(*(term for term in TERMS if term != "scale")), batch, factors)

    assert gradients[0]["scale"].abs().max() < 1e-12


@pytest.mark.parametrize("relative", [False, True])
def test_a_quaternion_and_its_negative_are_one_rotation(relative):
    batch, factors = double_case()
    flipped = [each | {"quats": each["quats"] * (-1) ** view} for view, each in enumerate(factors)]
    loss = only("rotation", relative_poses=relative)

    assert torch.allclose(per_sample(loss, batch, factors), per_sample(loss, batch, flipped))


def test_relative_poses_do_not_mind_where_the_rig_stands():
    batch, factors = double_case()
    away = [each | {"trans": each["trans"] + torch.tensor([0.5, 0.0, -2.0]).double()} for each in factors]
    points = assemble(factors)  # kept, so that the size is too

    def change(relative):
        loss = only("translation", relative_poses=relative)
        moved = [each | {"pts3d": point["pts3d"]} for each, point in zip(assemble(away), points, strict=True)]
        return loss(batch, moved).per_sample - loss(batch, points).per_sample

    # A pose counts in three frames, those of view 0 and of the two others, and only the first one notices.
    assert torch.allclose(change(relative=True), change(relative=False) / 3)


@pytest.mark.parametrize("term", ["camera_points", "depth"])
def test_the_worst_5_percent_of_a_view_count_nothing_where_depth_was_measured(term):
    key = {"camera_points": "pts3d_cam", "depth": "depth_along_ray"}[term]
    real, synthetic = (toy_batch(1, height=10, width=20, dense=dense) for dense in (False, True))
    batch = join(real, synthetic)
    predictions = assemble(wrong_factors(batch, noise=0.0))
    spoilt = [dict(view) for view in predictions]
    spoilt[1][key] = spoilt[1][key].clone()
    spoilt[1][key][:, :5, ::10] *= 1000  # 10 of 200 pixels
    one_more = [dict(view) for view in spoilt]
    one_more[1][key] = one_more[1][key].clone()
    one_more[1][key][:, 9, 0] *= 1000

    bad, worse = (only(term)(batch, side).per_sample.tolist() for side in (spoilt, one_more))

    assert bad[0] == pytest.approx(0, abs=1e-6)
    assert worse[0] > 0.01
    assert bad[1] > 0.1


def test_one_of_twenty_pixels_is_left_out_and_none_of_nineteen():
    losses = []
    for count in (19, 20):
        batch = toy_batch(1, num_views=1, height=4, width=5, dense=False)
        batch[0]["valid_mask"].view(-1)[count:] = False
        prediction = assemble(wrong_factors(batch, noise=0.0))
        prediction[0]["depth_along_ray"][0, 0, 0] *= 1000
        losses.append(only("depth")(batch, prediction).per_sample.item())

    assert losses[0] > 0.1
    assert losses[1] == pytest.approx(0, abs=1e-6)


def test_without_confidence_the_worst_points_of_the_world_are_left_out_too():
    batch = toy_batch(1, num_views=1, height=10, width=20, dense=False)
    predictions = assemble(wrong_factors(batch, noise=0.0))
    predictions[0]["pts3d"][:, 0, :10] += 5.0  # 10 of 200, which move the mean distance a little
    predictions[0]["conf"][:] = 3.0

    with_confidence, without, all_of_them = (
        only("world_points", **options)(batch, predictions).per_sample.item()
        for options in ({}, {"confidence_weight": None}, {"confidence_weight": None, "dropped_percent": 0.0})
    )

    assert without < all_of_them / 5
    assert with_confidence == pytest.approx(3 * all_of_them - 0.2 * torch.log(torch.tensor(3.0)).item(), rel=1e-5)


def test_the_best_confidence_is_its_weight_over_the_error():
    batch = as_double(toy_batch(1, num_views=1, height=4, width=5))
    (prediction,) = assemble(wrong_factors(batch))
    mean_error = only("world_points", confidence_weight=None, dropped_percent=0.0)(batch, [prediction]).per_sample
    best = 0.2 / mean_error.item()

    def loss_with(confidence):
        conf = torch.full((1, 4, 5), confidence, dtype=torch.float64)
        return only("world_points")(batch, [prediction | {"conf": conf}]).per_sample

    assert loss_with(best) < loss_with(best * 1.01)
    assert loss_with(best) < loss_with(best / 1.01)


def test_the_mask_counts_where_it_says_something():
    lidar, simulated, segmented = (toy_batch(1, dense=dense, holes=0.2) for dense in (False, True, False))
    segmented[1]["non_ambiguous_mask"][:, 0] = False  # a sky that somebody marked, in one of the views
    clear = toy_batch(1, dense=True)  # synthetic: that there is no sky is something that it says
    batch = join(lidar, simulated, segmented, clear)

    values, gradients = gradients_of(only("mask"), batch, wrong_factors(batch))

    assert (values > 0).tolist() == [False, True, True, True]
    assert (gradients[0]["mask_logits"][0] == 0).all()


def test_surfaces_are_those_of_synthetic_samples():
    batch = mixed_batch()

    values, gradients = gradients_of(only("normals", "gradients"), batch, wrong_factors(batch))

    assert (values > 0).tolist() == [True, False, False]
    assert all((view["depth"][1:] == 0).all() for view in gradients)
    assert all((view["depth"][0] != 0).any() for view in gradients)


def test_surfaces_of_synthetic_samples_among_others_are_those_that_they_have_alone():
    batch = join(toy_batch(1, dense=False), toy_batch(2, seed=7))
    factors = wrong_factors(batch)
    loss = only("normals", "gradients")

    alone = [per_sample(loss, take(batch, [row]), take(factors, [row])).item() for row in range(3)]

    assert per_sample(loss, batch, factors).tolist() == pytest.approx(alone, rel=1e-6)
    assert alone[1] != pytest.approx(alone[2], rel=1e-3)


def test_surfaces_look_at_pixels_with_valid_neighbours_only():
    batch = toy_batch(1, num_views=1, height=16, width=16)
    chequered = (torch.arange(16)[:, None] + torch.arange(16)) % 2 == 0  # no pixel has a valid one beside it
    batch[0]["valid_mask"] &= chequered
    factors = wrong_factors(batch)

    assert per_sample(only("normals"), batch, factors).item() == 0
    assert per_sample(only("gradients", gradient_scales=1), batch, factors).item() == 0
    assert per_sample(only("gradients", gradient_scales=2), batch, factors).item() > 0  # every 2nd row and column
