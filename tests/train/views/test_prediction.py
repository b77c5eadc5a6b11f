"""How factors make up points."""

from __future__ import annotations

import torch
from toy_views import toy_batch

from train.views.prediction import rotation_matrix, truth_as_prediction


def test_the_factors_of_the_truth_make_the_points_of_the_truth():
    for view in toy_batch(num_views=3):
        told = truth_as_prediction(view, torch.tensor([[2.0], [0.5]]))
        torch.testing.assert_close(told["pts3d"], view["pts3d"], atol=2e-5, rtol=0)
        torch.testing.assert_close(told["pts3d_cam"], view["pts3d_cam"], atol=2e-5, rtol=0)
        torch.testing.assert_close(told["cam_trans"], view["camera_pose_trans"])


def test_a_quarter_turn_about_the_vertical():
    half = 0.5**0.5

    # y points down: a turn by +90 degrees about it takes z (forward) to x (right)
    turned = rotation_matrix(torch.tensor([0.0, half, 0.0, half])) @ torch.tensor([0.0, 0.0, 1.0])

    torch.testing.assert_close(turned, torch.tensor([1.0, 0.0, 0.0]))


def test_rotations_are_those_of_the_poses():
    view = toy_batch(4)[1]

    torch.testing.assert_close(
        rotation_matrix(view["camera_pose_quats"]), view["camera_pose"][:, :3, :3], atol=1e-6, rtol=0
    )
