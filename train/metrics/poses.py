"""How far poses of cameras are from the truth: angles, relative poses of pairs, aligned trajectories."""

from __future__ import annotations

import torch
from torch import Tensor

SHORTEST_BASELINE_M = 1e-3
"""Two cameras that are nearer to each other, as at two times of a car that stands, have no direction between them."""


def angle_deg(one: Tensor, other: Tensor) -> Tensor:
    """Angles between vectors [..., 3] of any length, degrees; exact for small ones too, where a cosine is not."""
    sine = torch.linalg.vector_norm(torch.linalg.cross(one, other), dim=-1)
    return torch.rad2deg(torch.atan2(sine, (one * other).sum(-1)))


def rotation_angle_deg(one: Tensor, other: Tensor) -> Tensor:
    """Angles of the rotations between rotation matrices [..., 3, 3], degrees."""
    turn = one.mT @ other
    axis = torch.stack(
        [
            turn[..., 2, 1] - turn[..., 1, 2],
            turn[..., 0, 2] - turn[..., 2, 0],
            turn[..., 1, 0] - turn[..., 0, 1],
        ],
        dim=-1,
    )
    cosine = turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1  # twice it, as the axis is twice the sine long
    return torch.rad2deg(torch.atan2(torch.linalg.vector_norm(axis, dim=-1), cosine))


def pair_errors_deg(rotations: Tensor, places: Tensor, true_rotations: Tensor, true_places: Tensor) -> Tensor:
    """Errors of the relative poses of all pairs of views.

    The error of a pair is the larger one of two angles: that between the rotations from one camera to the other, and
    that between the directions from one camera to the other. The direction counts as wholly wrong where none was
    predicted, and is left out where the truth has none.

    Args:
        rotations: [B, V, 3, 3], predicted, of the cameras in one frame.
        places: [B, V, 3], predicted, in any unit.
        true_rotations: [B, V, 3, 3].
        true_places: [B, V, 3], metres.

    Returns:
        [B, V (V - 1) / 2], degrees.
    """
    turns, steps = _relative(rotations, places)
    true_turns, true_steps = _relative(true_rotations, true_places)
    direction = angle_deg(steps, true_steps)
    direction = torch.where((steps == 0).all(-1), 180.0, direction)
    stands = torch.linalg.vector_norm(true_steps, dim=-1) < SHORTEST_BASELINE_M
    turned = rotation_angle_deg(turns, true_turns)
    return torch.where(stands, turned, torch.maximum(turned, direction))


def aligned_rmse(places: Tensor, true_places: Tensor) -> Tensor:
    """Root mean square distance of the cameras from the truth, after the rotation and shift that make it smallest.

    The rotation is that of Kabsch (1976): no scale, no reflection.

    Args:
        places: [B, V, 3], predicted.
        true_places: [B, V, 3], in the same unit.

    Returns:
        [B]; NaN where not all is finite.
    """
    finite = (places.isfinite() & true_places.isfinite()).all(-1).all(-1)
    # One sample that is not finite would otherwise make the decomposition refuse the whole batch.
    places, true_places = (torch.where(finite[:, None, None], points, 0.0) for points in (places, true_places))
    centred, true_centred = (points - points.mean(1, keepdim=True) for points in (places, true_places))
    left, _, right = torch.linalg.svd(centred.mT @ true_centred)
    handedness = torch.ones_like(left[..., 0])
    handedness[..., 2] = torch.linalg.det(left @ right)
    aligned = centred @ (left * handedness[..., None, :]) @ right
    distance = torch.linalg.vector_norm(aligned - true_centred, dim=-1)
    return torch.where(finite, distance.square().mean(1).sqrt(), torch.nan)


def _relative(rotations: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Of all pairs of views, the second camera in the first one: rotations [B, P, 3, 3] and places [B, P, 3]."""
    count = places.shape[1]
    one, other = torch.triu_indices(count, count, offset=1, device=places.device)
    back = rotations[:, one].mT
    step = places[:, other] - places[:, one]
    return back @ rotations[:, other], (back @ step[..., None])[..., 0]
