"""Each term against an independent derivation, and against its own finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from loss_cases import TERMS, assemble, mixed_batch, only, take, wrong_factors
from loss_reference import reference_terms
from toy_views import as_double, toy_batch

from train.losses.overall import OverallLoss
from train.views.prediction import truth_as_prediction

OPTIONS = [{}, {"relative_poses": True}, {"confidence_weight": None}, {"dropped_percent": 30.0, "gradient_scales": 2}]


@pytest.fixture(scope="module", params=[0.1, 0.6], ids=["small errors", "large errors"])
def case(request):
    """Samples of all kinds in float64, with predictions that are wrong everywhere."""
    batch = as_double(mixed_batch())
    for view in batch:  # float32 left them 1e-7 longer or shorter than 1, which a rotation matrix knows nothing of
        view["camera_pose_quats"] /= view["camera_pose_quats"].norm(dim=-1, keepdim=True)
    return batch, assemble(wrong_factors(batch, noise=request.param))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_terms_agree_with_a_derivation_pixel_by_pixel(case, options):
    batch, predictions = case

    terms = OverallLoss(**options)(batch, predictions).terms

    names = {"relative_poses": "relative", "dropped_percent": "percent", "gradient_scales": "scales"}
    arguments = {names.get(key, key): value for key, value in options.items()}
    for row in range(3):
        views, predicted = ([as_arrays(view) for view in take(side, row)] for side in (batch, predictions))
        expected = reference_terms(views, predicted, **arguments)
        assert {name: values[row].item() for name, values in terms.items()} == pytest.approx(expected, rel=1e-9)


def as_arrays(view):
    return {key: value.numpy() for key, value in view.items()}


def test_the_loss_is_the_sum_of_weight_times_term(case):
    loss = OverallLoss()
    weights = [1, 1, 1, 1, 1, 1, 1, 3, 3, 0.3]

    values = loss(*case)

    expected = sum(weight * values.terms[term] for weight, term in zip(weights, TERMS, strict=True))
    assert torch.allclose(values.per_sample, expected)
    assert [term.requires_grad for term in values.terms.values()] == [False] * len(TERMS)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_truth_as_prediction_leaves_nothing_but_the_least_angle_of_the_normals(views):
    batch = toy_batch(2, num_views=views, height=48, width=64)
    size = torch.stack([view["pts3d"].norm(dim=-1) for view in batch]).mean((0, 2, 3))[:, None]

    values = OverallLoss(relative_poses=True)(batch, [truth_as_prediction(view, size) for view in batch])

    # Angles count as 1 degree at least, below 3 degrees as their square over 6 degrees; over the longer side; weight 3.
    # 3 * radians(1 / 6) / 64 = 1.364e-4 for a view, 2.7e-4 for two.
    floor = views * 3 * math.radians(1 / 6) / 64
    assert values.per_sample.tolist() == pytest.approx([floor, floor], abs=5e-6)
    others = {name: value.abs().max().item() for name, value in values.terms.items() if name != "normals"}
    assert others == pytest.approx(dict.fromkeys(others, 0.0), abs=1e-6)


INPUTS = {
    "world_points": ("rays", "depth", "quats", "trans", "scale", "conf"),
    "camera_points": ("rays", "depth", "quats", "trans", "scale"),
    "depth": ("rays", "depth", "quats", "trans", "scale"),
    "rays": ("rays",),
    "rotation": ("quats",),
    "translation": ("depth", "quats", "trans", "scale"),
    "scale": ("scale",),  # the only one that it teaches: see test_only_the_metric_scale_learns_from_the_scale
    "normals": ("rays", "depth", "scale"),
    "gradients": ("rays", "depth", "quats", "trans", "scale"),
    "mask": ("mask_logits",),
}


@pytest.mark.parametrize(
    ("term", "relative"), [*((term, False) for term in TERMS), ("rotation", True), ("translation", True)]
)
def test_gradients_are_those_of_finite_differences(term, relative):
    batch = as_double(mixed_batch(num_views=2, height=6, width=9))
    factors = wrong_factors(batch)
    free = [(view, name) for name in INPUTS[term] for view in range(2) if (view, name) != (1, "scale")]
    inputs = [factors[view][name].clone().requires_grad_() for view, name in free]
    loss = only(term, relative_poses=relative)

    def per_sample(*values):
        moved = [dict(each) for each in factors]
        for (view, name), value in zip(free, values, strict=True):
            for each in moved if name == "scale" else [moved[view]]:
                each[name] = value
        return loss(batch, assemble(moved)).per_sample

    assert torch.autograd.gradcheck(per_sample, inputs, fast_mode=True)
