"""Computes the terms that have a weight, and adds them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from mapanything_data.datasets.views import ViewDict
from train.losses.overall import OverallLoss
from train.losses.protocol import LossValues
from train.losses.terms.comparison import compare
from train.losses.terms.mask import mask
from train.losses.terms.pixels import camera_points, depth, rays, world_points
from train.losses.terms.poses import rotation, translation
from train.losses.terms.robust import robust
from train.losses.terms.scale import scale
from train.losses.terms.surfaces import gradients, normals
from train.views.prediction import Prediction


def weighted_sum(loss: OverallLoss, views: Sequence[ViewDict], predictions: Sequence[Prediction]) -> LossValues:
    """The terms of `loss` whose weight is not 0, and their weighted sum."""
    # Autocast would round the rotations of poses to bfloat16.
    with torch.autocast(views[0]["valid_mask"].device.type, enabled=False):
        c = compare(views, predictions)
        rho = partial(robust, alpha=loss.robust_alpha, c=loss.robust_c)
        dropped = loss.dropped_percent
        terms: dict[str, Callable[[], Tensor]] = {
            "world_points": lambda: world_points(c, rho, loss.confidence_weight, dropped),
            "camera_points": lambda: camera_points(c, rho, dropped),
            "depth": lambda: depth(c, rho, dropped),
            "rays": lambda: rays(c, rho),
            "rotation": lambda: rotation(c, rho, relative=loss.relative_poses),
            "translation": lambda: translation(c, rho, relative=loss.relative_poses),
            "scale": lambda: scale(c, rho),
            "normals": lambda: normals(c),
            "gradients": lambda: gradients(c, loss.gradient_scales),
            "mask": lambda: mask(c),
        }
        values = {name: terms[name]() for name in loss.term_names}
        total = torch.stack([getattr(loss.weights, name) * value for name, value in values.items()]).sum(0)
        return LossValues(total, {name: value.detach() for name, value in values.items()})
