"""What is measured: names, units, and which way is better; `train.metrics.sample_metrics` computes it.

It needs no torch, so that an option which names a metric can be checked before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means."""

    unit: str
    """Such as %, deg or m; empty for a ratio."""
    higher_is_better: bool
    text: str
    """One line; docs/evaluation.md has the formula."""

    @property
    def worst(self) -> float:
        """What a prediction gets that holds no number (NaN or infinity) where one is needed."""
        return 0.0 if self.higher_is_better else float("inf")


METRICS: Mapping[str, Metric] = {
    "points_abs_rel": Metric("", False, "relative error of points, without scale"),
    "points_inliers_103": Metric("%", True, "points whose distance is right to 3 %, without scale"),
    "depth_abs_rel": Metric("", False, "relative error of z-depth, without scale"),
    "depth_inliers_103": Metric("%", True, "pixels whose z-depth is right to 3 %, without scale"),
    "ray_error_deg": Metric("deg", False, "angle between true and predicted rays"),
    "pose_auc_5": Metric("%", True, "pairs of views whose relative pose is right to 1, 2, 3, 4, 5 degrees, averaged"),
    "ate_rmse": Metric("", False, "places of the cameras after alignment, root mean square, without scale"),
    "rotation_error_deg": Metric("deg", False, "angle of the cameras' rotations against view 0"),
    "translation_error": Metric("", False, "distance of the cameras' places, without scale"),
    "scale_abs_rel": Metric("", False, "relative error of the size of the scene"),
    "metric_depth_abs_rel": Metric("", False, "relative error of z-depth in metres"),
    "metric_points_abs_rel": Metric("", False, "relative error of points in metres"),
    "metric_translation_error_m": Metric("m", False, "distance of the cameras' places in metres"),
}
"""Every metric of a sample by its name. "Without scale": after dividing by the mean distance of the sample's points."""
