"""The metrics of each sample of a batch: formulas in docs/evaluation.md, names in `train.metrics.names`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from train.metrics.names import METRICS
from train.metrics.poses import aligned_rmse, angle_deg, pair_errors_deg, rotation_angle_deg
from train.views.prediction import Prediction, rotation_matrix

INLIER_RATIO = 1.03
AUC_DEGREES = 5


def sample_metrics(views: Sequence[Mapping[str, Any]], predictions: Sequence[Prediction]) -> dict[str, Tensor]:
    """Measure a batch.

    Args:
        views: V views with the truth (docs/datasets.md), B samples each.
        predictions: What a model said of them, on the same device.

    Returns:
        [B] float64 for each name of `METRICS`, on that device. NaN where a metric has no meaning for a sample: none of
        its pixels has depth, it has one view only, or its truth is not metric. A prediction that holds NaN or infinity
        where a number is needed gets the worst value, so that it is never left out of a mean.
    """
    truth = _in_first_view(views, "camera_pose_quats", "camera_pose_trans")
    said = _in_first_view(predictions, "cam_quats", "cam_trans")
    masks = [view["valid_mask"] & (_length(points) > 0) for view, points in zip(views, truth.points, strict=True)]
    size, said_size = _mean_distance(truth, masks), _mean_distance(said, masks)
    scaled_truth, scaled = truth.divided_by(size), said.divided_by(said_size)
    values = {
        **_of_pixels(scaled_truth, scaled, masks),
        **_of_poses(scaled_truth, scaled),
        **_of_pairs(truth, said),
        **_in_metres(truth, said, masks),
        "scale_abs_rel": (said_size - size).abs() / size,
        "ray_error_deg": _over_views(
            (
                angle_deg(prediction["ray_directions"].double(), view["ray_directions_cam"].double())
                for view, prediction in zip(views, predictions, strict=True)
            ),
            [torch.ones_like(mask) for mask in masks],
        ),
    }
    meaningful = _meaningful(views, has_depth=~size.isnan())
    return {name: _settle(values[name], meaningful[name], metric.worst) for name, metric in METRICS.items()}


@dataclass(frozen=True, slots=True)
class _Geometry:
    """V views in the frame of view 0, float64."""

    points: list[Tensor]  # [B, H, W, 3] each
    z_depth: list[Tensor]  # [B, H, W] each
    rotations: Tensor  # [B, V, 3, 3]
    places: Tensor  # [B, V, 3]

    def divided_by(self, size: Tensor) -> _Geometry:
        """In units of `size` [B]."""
        unit = size[:, None, None]
        return _Geometry(
            [points / unit[..., None] for points in self.points],
            [depth / unit for depth in self.z_depth],
            self.rotations,
            self.places / unit,
        )


def _in_first_view(views: Sequence[Mapping[str, Any]], quats: str, places: str) -> _Geometry:
    quaternions = torch.stack([view[quats].double() for view in views], 1)
    rotations = rotation_matrix(torch.nn.functional.normalize(quaternions, dim=-1))
    where = torch.stack([view[places].double() for view in views], 1)
    back, origin = rotations[:, :1].mT, where[:, :1]
    return _Geometry(
        [(view["pts3d"].double() - origin[:, None]) @ back.mT for view in views],
        [view["pts3d_cam"][..., 2].double() for view in views],
        back @ rotations,
        (where - origin) @ back[:, 0].mT,
    )


def _of_pixels(truth: _Geometry, said: _Geometry, masks: list[Tensor]) -> dict[str, Tensor]:
    true_distance = [_length(points) for points in truth.points]
    distance = [_length(points) for points in said.points]
    return {
        "points_abs_rel": _over_views(map(_relative_error, said.points, truth.points), masks),
        "points_inliers_103": _over_views(map(_inliers, distance, true_distance), masks),
        "depth_abs_rel": _over_views(map(_relative_error, said.z_depth, truth.z_depth), masks),
        "depth_inliers_103": _over_views(map(_inliers, said.z_depth, truth.z_depth), masks),
    }


def _of_poses(truth: _Geometry, said: _Geometry) -> dict[str, Tensor]:
    """View 0 makes the frame and is never wrong, so it is not among the poses that are averaged."""
    return {
        "ate_rmse": aligned_rmse(said.places, truth.places),
        "rotation_error_deg": rotation_angle_deg(said.rotations, truth.rotations)[:, 1:].mean(1),
        "translation_error": _length(said.places - truth.places)[:, 1:].mean(1),
    }


def _of_pairs(truth: _Geometry, said: _Geometry) -> dict[str, Tensor]:
    errors = pair_errors_deg(said.rotations, said.places, truth.rotations, truth.places)
    steps = torch.arange(1, AUC_DEGREES + 1, device=errors.device)
    return {"pose_auc_5": 100 * (errors[..., None] < steps).double().mean((1, 2))}


def _in_metres(truth: _Geometry, said: _Geometry, masks: list[Tensor]) -> dict[str, Tensor]:
    return {
        "metric_points_abs_rel": _over_views(map(_relative_error, said.points, truth.points), masks),
        "metric_depth_abs_rel": _over_views(map(_relative_error, said.z_depth, truth.z_depth), masks),
        "metric_translation_error_m": _length(said.places - truth.places)[:, 1:].mean(1),
    }


def _meaningful(views: Sequence[Mapping[str, Any]], has_depth: Tensor) -> dict[str, Tensor]:
    """For each metric which samples [B] it has a meaning for."""
    always = torch.ones_like(has_depth)
    has_pairs = always & (len(views) > 1)
    is_metric = torch.as_tensor(views[0]["is_metric_scale"], device=has_depth.device).bool()
    return dict.fromkeys(METRICS, has_depth) | {
        "ray_error_deg": always,
        "pose_auc_5": has_pairs,
        "rotation_error_deg": has_pairs,
        "ate_rmse": has_pairs & has_depth,
        "translation_error": has_pairs & has_depth,
        "scale_abs_rel": is_metric & has_depth,
        "metric_depth_abs_rel": is_metric & has_depth,
        "metric_points_abs_rel": is_metric & has_depth,
        "metric_translation_error_m": is_metric & has_pairs,
    }


def _settle(values: Tensor, meaningful: Tensor, worst: float) -> Tensor:
    return torch.where(meaningful, torch.where(values.isfinite(), values, worst), torch.nan)


def _mean_distance(geometry: _Geometry, masks: list[Tensor]) -> Tensor:
    """Mean distance [B] of a sample's points from view 0; NaN without points."""
    sums, counts = _sums(map(_length, geometry.points), masks)
    return sums.sum(0) / counts.sum(0)


def _over_views(maps: Iterable[Tensor], masks: list[Tensor]) -> Tensor:
    """Mean [B] over the views of the mean over the pixels [B, H, W] of a view; views without a pixel do not count."""
    sums, counts = _sums(maps, masks)
    seen = counts > 0
    return torch.where(seen, sums / counts, 0.0).sum(0) / seen.sum(0)


def _sums(maps: Iterable[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """For each view and sample the sum over the pixels that count, and their number: [V, B] both."""
    sums = [torch.where(mask, values, 0.0).sum((1, 2)) for values, mask in zip(maps, masks, strict=True)]
    return torch.stack(sums), torch.stack([mask.sum((1, 2)) for mask in masks])


def _relative_error(said: Tensor, true: Tensor) -> Tensor:
    if said.ndim > 3:
        return _length(said - true) / _length(true)
    return (said - true).abs() / true


def _inliers(said: Tensor, true: Tensor) -> Tensor:
    """100 % where the larger is less than `INLIER_RATIO` times the smaller, never where what is said is 0 or below."""
    return 100 * ((said < INLIER_RATIO * true) & (true < INLIER_RATIO * said)).double()


def _length(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return length
