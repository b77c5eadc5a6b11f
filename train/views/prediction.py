"""What a model says of a view: the keys of a prediction, and how the factors make up the points."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

Prediction: TypeAlias = "dict[str, Tensor]"
"""A view's prediction, float32 unless said otherwise; B samples of H x W pixels, frames with OpenCV axes.

ray_directions               [B, H, W, 3], unit length, in the camera
depth_along_ray              [B, H, W, 1], metres from the camera, above 0
cam_quats                    [B, 4] (x, y, z, w), unit length: rotation of camera points into the frame of view 0
cam_trans                    [B, 3], metres: the camera's place in the frame of view 0
metric_scaling_factor        [B, 1], metres for one unit of the model, the same in all views, at least 1e-8
pts3d_cam                    [B, H, W, 3], metres, in the camera
pts3d                        [B, H, W, 3], metres, in the frame of view 0
conf                         [B, H, W], confidence, at least 1
non_ambiguous_mask_logits    [B, H, W], above 0 where depth means something, below it in the sky
non_ambiguous_mask           [B, H, W] bool, logits above 0
"""

SMALLEST_SCALE = 1e-8


def assemble_prediction(
    *,
    rays: Tensor,
    depth: Tensor,
    quats: Tensor,
    trans: Tensor,
    scale: Tensor,
    conf: Tensor,
    mask_logits: Tensor,
) -> Prediction:
    """Make a prediction of its factors: points = scale * (R(q) (ray * depth) + t).

    Args:
        rays: [B, H, W, 3], unit length.
        depth: [B, H, W, 1], along the rays, in units of the model.
        quats: [B, 4] (x, y, z, w), unit length.
        trans: [B, 3], in units of the model.
        scale: [B, 1], metres for a unit of the model.
        conf: [B, H, W].
        mask_logits: [B, H, W].
    """
    scale = scale.clamp(min=SMALLEST_SCALE)
    metres = scale[:, None, None]
    in_camera = rays * depth
    rotation = rotation_matrix(quats)
    points = torch.einsum("bij,bhwj->bhwi", rotation, in_camera) + trans[:, None, None]
    return {
        "ray_directions": rays,
        "depth_along_ray": metres * depth,
        "cam_quats": quats,
        "cam_trans": scale * trans,
        "metric_scaling_factor": scale,
        "pts3d_cam": metres * in_camera,
        "pts3d": metres * points,
        "conf": conf,
        "non_ambiguous_mask_logits": mask_logits,
        "non_ambiguous_mask": mask_logits > 0,
    }


def rotation_matrix(quats: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of unit quaternions [..., 4] (x, y, z, w)."""
    x, y, z, w = quats.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def truth_as_prediction(view: dict[str, Tensor], scale: Tensor) -> Prediction:
    """The prediction of a model that knows a view's truth (docs/datasets.md), for tests and for oracles.

    Args:
        view: One view of a batch.
        scale: [B, 1], the metric scale that such a model would say.
    """
    return assemble_prediction(
        rays=view["ray_directions_cam"],
        depth=view["depth_along_ray"] / scale[:, None, None],
        quats=view["camera_pose_quats"],
        trans=view["camera_pose_trans"] / scale,
        scale=scale,
        conf=torch.ones_like(view["valid_mask"], dtype=torch.float32),
        mask_logits=torch.where(view["non_ambiguous_mask"], 30.0, -30.0),
    )
