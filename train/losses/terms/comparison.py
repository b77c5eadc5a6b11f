"""Truth and prediction of a batch side by side, each divided by its own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mapanything_data.datasets.views import ViewDict
from train.views.prediction import Prediction

_TRUTH = ("ray_directions_cam", "depth_along_ray", "pts3d_cam", "pts3d", "camera_pose_quats", "camera_pose_trans")
_PREDICTION = ("ray_directions", "depth_along_ray", "pts3d_cam", "pts3d", "cam_quats", "cam_trans")
_SMALLEST_SIZE_M = 1e-12


@dataclass(frozen=True, slots=True)
class Geometry:
    """What V views say of B samples: float32, or float64 where the input is; depth, points and places over `size`."""

    rays: Tensor
    """[B, V, H, W, 3], unit length, in the camera"""
    depth: Tensor
    """[B, V, H, W, 1], along the rays; 0 where the truth is not valid"""
    camera_points: Tensor
    """[B, V, H, W, 3], in the camera; 0 where the truth is not valid"""
    world_points: Tensor
    """[B, V, H, W, 3], in the frame of view 0; 0 where the truth is not valid"""
    quats: Tensor
    """[B, V, 4] (x, y, z, w), camera to the frame of view 0"""
    trans: Tensor
    """[B, V, 3], the cameras' places in the frame of view 0"""
    size: Tensor
    """[B], metres: mean distance of the valid points of all views from view 0; 1 where there is no such point"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the terms of a loss look at."""

    truth: Geometry
    prediction: Geometry
    metres_per_unit: Tensor
    """[B], the predicted metric scale"""
    confidence: Tensor
    """[B, V, H, W], at least 1"""
    mask_logits: Tensor
    """[B, V, H, W]"""
    valid: Tensor
    """[B, V, H, W] bool, whether the depth of a pixel is known"""
    non_ambiguous: Tensor
    """[B, V, H, W] bool, whether the depth of a pixel means anything"""
    has_size: Tensor
    """[B] bool, whether any pixel is valid"""
    is_metric: Tensor
    """[B] bool"""
    is_synthetic: Tensor
    """[B] bool"""


def compare(views: Sequence[ViewDict], predictions: Sequence[Prediction]) -> Comparison:
    """Stack V views of a batch and divide truth and prediction by their sizes.

    The predicted metric scale cancels there, so that only the term `scale` moves it.

    Args:
        views: As docs/datasets.md has them.
        predictions: As `train.views.prediction.Prediction` has them.
    """
    valid = _stack(views, "valid_mask")
    return Comparison(
        truth=_geometry(views, _TRUTH, valid),
        prediction=_geometry(predictions, _PREDICTION, valid),
        metres_per_unit=_floats(predictions, "metric_scaling_factor")[:, 0, 0],
        confidence=_floats(predictions, "conf"),
        mask_logits=_floats(predictions, "non_ambiguous_mask_logits"),
        valid=valid,
        non_ambiguous=_stack(views, "non_ambiguous_mask"),
        has_size=valid.any(-1).any(-1).any(-1),
        is_metric=views[0]["is_metric_scale"],
        is_synthetic=views[0]["is_synthetic"],
    )


def _geometry(views: Sequence[ViewDict], keys: tuple[str, ...], valid: Tensor) -> Geometry:
    rays, depth, camera_points, world_points, quats, trans = (_floats(views, key) for key in keys)
    # Zeros before anything else is computed: whatever is predicted where the truth is not known, its gradient is 0.
    depth, camera_points, world_points = (
        torch.where(valid[..., None], values, 0.0) for values in (depth, camera_points, world_points)
    )
    size = _size(world_points, valid)
    per_pixel = size[:, None, None, None, None]
    return Geometry(
        rays=rays,
        depth=depth / per_pixel,
        camera_points=camera_points / per_pixel,
        world_points=world_points / per_pixel,
        quats=quats,
        trans=trans / size[:, None, None],
        size=size,
    )


def _size(world_points: Tensor, valid: Tensor) -> Tensor:
    count = valid.sum((1, 2, 3))
    mean = torch.linalg.vector_norm(world_points, dim=-1).sum((1, 2, 3)) / count.clamp(min=1)
    return torch.where(count > 0, mean.clamp(min=_SMALLEST_SIZE_M), 1.0)


def _stack(views: Sequence[ViewDict], key: str) -> Tensor:
    """A key of all views, [B, V, ...]."""
    return torch.stack([view[key] for view in views], 1)


def _floats(views: Sequence[ViewDict], key: str) -> Tensor:
    """A key of all views, [B, V, ...], in float32 where it is less."""
    stacked = _stack(views, key)
    return stacked if stacked.dtype == torch.float64 else stacked.float()
