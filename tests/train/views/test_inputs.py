"""What a model is allowed to see, and how that is drawn in training."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from toy_views import toy_batch

from mapanything_data.errors import ConfigError
from train.settings.geometric_inputs import GeometricInputs
from train.views.inputs import KEYS, Input, draw_inputs, named_inputs, thin_depth, visible_views

IMAGES = frozenset({Input.images})
ALL = frozenset(Input)


def test_images_only_means_images_only():
    for view in visible_views(toy_batch(num_views=3), [IMAGES] * 3):
        assert set(view) == {"img", "data_norm_type"}


def test_each_kind_shows_its_keys_and_no_other():
    batch = toy_batch()
    for kind in Input:
        first, second = visible_views(batch, [IMAGES | {kind}, IMAGES])
        assert set(first) == {*KEYS[Input.images], *KEYS[kind]}
        assert set(second) == set(KEYS[Input.images])


def test_nothing_shows_points_masks_or_z_depth():
    shown = {key for view in visible_views(toy_batch(), [ALL] * 2) for key in view}

    assert not shown & {"pts3d", "pts3d_cam", "depthmap", "valid_mask", "non_ambiguous_mask", "camera_pose"}


def test_the_batch_stays_as_it_is_when_a_model_writes_into_its_views():
    batch = toy_batch()
    shown = visible_views(batch, [ALL] * 2)
    shown[0]["img"] = torch.zeros(1)

    assert batch[0]["img"].shape == (2, 3, 28, 42)


def test_a_step_draws_the_same_wherever_it_is_made():
    options = GeometricInputs()

    assert [draw_inputs(options, 4, 0, step) for step in range(20)] == [
        draw_inputs(options, 4, 0, step) for step in range(20)
    ]


def test_the_kinds_of_a_step_do_not_depend_on_its_number_of_views():
    options = GeometricInputs(view_dropout=0.0)

    for step in range(50):
        assert draw_inputs(options, 2, 7, step)[0] == draw_inputs(options, 9, 7, step)[0]


def test_the_shares_are_those_of_the_options():
    options = GeometricInputs(overall=0.8, rays=0.5, depth=0.25, poses=1.0, scale=0.0, view_dropout=0.1)

    counts = Counter(kind for step in range(4000) for view in draw_inputs(options, 2, 0, step) for kind in view)
    share = {kind: counts[kind] / 8000 for kind in Input}

    assert share[Input.images] == share[Input.agents] == 1
    assert share[Input.rays] == pytest.approx(0.8 * 0.5 * 0.9, abs=0.02)
    assert share[Input.depth] == pytest.approx(0.8 * 0.25 * 0.9, abs=0.02)
    assert share[Input.poses] == pytest.approx(0.8 * 0.9, abs=0.02)
    assert share[Input.scale] == 0


def test_chances_of_zero_give_images_only():
    options = GeometricInputs(overall=0.0)

    assert {kind for step in range(100) for view in draw_inputs(options, 3, 0, step) for kind in view} == {
        Input.images,
        Input.agents,
    }


def test_depth_is_thinned_out_for_each_sample_by_itself():
    options = GeometricInputs(sparse_depth=1.0, sparse_depth_kept=0.1)
    both, second = toy_batch(2, seed=5), toy_batch(1, seed=6)
    seen_both = visible_views(both, [ALL] * 2)
    seen_second = visible_views(second, [ALL] * 2)

    thin_depth(options, seen_both, both, seed=0, step=3)
    thin_depth(options, seen_second, second, seed=0, step=3)

    depth, full = seen_both[0]["depth_along_ray"], both[0]["depth_along_ray"]
    assert torch.equal(depth[1:], seen_second[0]["depth_along_ray"])  # sample 6 in another batch, on another rank
    assert torch.equal(depth[depth > 0], full[depth > 0])
    assert (depth > 0).float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert (full > 0).all()


def test_thinning_is_drawn_by_its_chance():
    batch = toy_batch(1)
    options = GeometricInputs(sparse_depth=0.3)
    thinned = 0
    for step in range(300):
        shown = visible_views(batch, [ALL] * 2)
        thin_depth(options, shown, batch, seed=0, step=step)
        thinned += not torch.equal(shown[0]["depth_along_ray"], batch[0]["depth_along_ray"])

    assert thinned / 300 == pytest.approx(0.3, abs=0.08)


def test_what_is_no_chance_is_refused():
    with pytest.raises(ConfigError, match=r"model.geometric_inputs.depth: 1.5"):
        GeometricInputs(depth=1.5)


def test_inputs_are_named_in_options():
    assert named_inputs("inputs", ["images"]) == {Input.images}
    assert named_inputs("inputs", ["depth", "images", "depth"]) == {Input.images, Input.depth}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["images", "ray"], "inputs: ray: there is no such input; did you mean rays?"),
        (["rays", "poses"], r"inputs: \[rays, poses\]\n  expected: images, and what else"),
        ([], r"inputs: \[\]\n  expected: images"),
    ],
)
def test_other_names_and_no_images_are_refused(names, told):
    with pytest.raises(ConfigError, match=told):
        named_inputs("inputs", names)
