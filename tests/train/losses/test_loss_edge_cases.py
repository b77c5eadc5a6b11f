"""Losses and gradients are finite numbers, whatever a batch lacks and however wrong a prediction is."""

from __future__ import annotations

import math

import pytest
import torch
from loss_cases import FACTORS, TERMS, assemble, gradients_of, mixed_batch, only, wrong_factors
from toy_views import toy_batch

from train.losses.overall import OverallLoss


def without_depth(batch, but=0):
    """No valid pixel in any view, but a few in view 0."""
    for view in batch:
        view["valid_mask"][:] = False
        for key in ("depthmap", "depth_along_ray", "pts3d", "pts3d_cam"):
            view[key][:, :, but:] = 0
    batch[0]["valid_mask"][:, 0, :but] = True
    return batch


def far(batch, factor):
    for view in batch:
        for key in ("depthmap", "depth_along_ray", "pts3d", "pts3d_cam", "camera_pose_trans"):
            view[key] *= factor
    return batch


def in_one_place(batch):
    for view in batch:
        view["camera_pose_trans"][:] = 0
    return batch


BATCHES = {
    "no valid pixel": lambda: without_depth(mixed_batch()),
    "one valid pixel": lambda: without_depth(mixed_batch(), but=1),
    "one view": lambda: mixed_batch(num_views=1),
    "2 % valid": lambda: mixed_batch(holes=0.98),
    "no metric scale": lambda: toy_batch(2, metric=False),
    "cameras in one place": lambda: in_one_place(mixed_batch()),
    "10 km away": lambda: far(mixed_batch(), 1e3),
    "micrometres": lambda: far(mixed_batch(), 1e-7),
    "one pixel": lambda: mixed_batch(height=1, width=1, holes=0.0),
    "one row": lambda: mixed_batch(height=1, width=30),
}


def plain(factors):
    return factors


def collapsed(factors):
    """All points where the camera is, and all cameras in one place."""
    return [each | {"depth": each["depth"] * 0, "trans": each["trans"] * 0} for each in factors]


def flat(factors):
    """One ray for all pixels, so that no square of pixels has an area."""
    return [each | {"rays": each["rays"] * 0 + torch.tensor([0.0, 0.0, 1.0])} for each in factors]


def tiny(factors):
    return [each | {"depth": each["depth"] * 1e-8, "trans": each["trans"] * 1e-8} for each in factors]


def huge(factors):
    return [each | {"depth": each["depth"] * 1e4, "trans": each["trans"] * 1e4} for each in factors]


def of_the_least_scale(factors):
    return [each | {"scale": each["scale"] * 0 + 1e-8} for each in factors]


def far_outliers(factors):
    for each in factors:
        each["depth"][:, ::3, ::3] = 1e7
    return factors


PREDICTIONS = [plain, collapsed, flat, tiny, huge, of_the_least_scale, far_outliers]


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("kind", BATCHES)
def test_losses_and_gradients_are_finite(kind, prediction):
    batch = BATCHES[kind]()

    assert_finite(OverallLoss(relative_poses=True), batch, prediction(wrong_factors(batch)))


@pytest.mark.parametrize("kind", BATCHES)
def test_losses_and_gradients_of_the_truth_are_finite(kind):
    batch = BATCHES[kind]()

    assert_finite(OverallLoss(confidence_weight=None), batch, wrong_factors(batch, noise=0.0))


def assert_finite(loss, batch, factors):
    values, gradients = gradients_of(loss, batch, factors)
    assert values.isfinite().all()
    for each in gradients:
        assert all(each[name].isfinite().all() for name in FACTORS if each[name] is not None)


def test_without_a_valid_pixel_what_needs_no_depth_still_counts():
    batch = without_depth(mixed_batch())

    terms = OverallLoss()(batch, assemble(wrong_factors(batch))).terms

    counting = {name for name in TERMS if terms[name][0] != 0}
    assert counting == {"rays", "rotation", "mask"}


@pytest.mark.parametrize("prediction", [collapsed, flat])
def test_a_prediction_without_surfaces_is_as_wrong_as_one_at_right_angles(prediction):
    batch = toy_batch(1, num_views=1, height=14, width=18)

    normals = only("normals")(batch, assemble(prediction(wrong_factors(batch)))).per_sample.item()

    # Above 3 degrees an angle counts less 1.5 degrees; over the longer side.
    assert normals == pytest.approx(math.radians(90 - 1.5) / 18, rel=1e-5)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1e30])
def test_what_is_predicted_where_nothing_is_known_does_not_matter(nonsense):
    batch = mixed_batch()
    factors = wrong_factors(batch)
    spoilt = [each | {"depth": each["depth"].clone(), "conf": each["conf"].clone()} for each in factors]
    for view, each in zip(batch, spoilt, strict=True):
        each["depth"][~view["valid_mask"]] = nonsense
        each["conf"][~view["valid_mask"]] = nonsense

    values, _ = gradients_of(OverallLoss(), batch, factors)
    predictions = [
        {k: v.detach().requires_grad_(v.is_floating_point()) for k, v in p.items()} for p in assemble(spoilt)
    ]
    spoilt_values = OverallLoss()(batch, predictions).per_sample
    spoilt_values.sum().backward()

    assert torch.equal(spoilt_values.detach(), values)
    gradients = [value.grad for each in predictions for value in each.values() if value.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("term", TERMS)
def test_half_precision_is_made_float32_before_anything_is_computed(term):
    batch = mixed_batch()
    predictions = assemble(wrong_factors(batch))
    half = [{k: v.bfloat16() if v.is_floating_point() else v for k, v in view.items()} for view in predictions]
    rounded = [{k: v.float() if v.is_floating_point() else v for k, v in view.items()} for view in half]
    loss = only(term, relative_poses=True)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = loss(batch, half).per_sample

    assert values.dtype == torch.float32
    assert torch.equal(values, loss(batch, rounded).per_sample)
