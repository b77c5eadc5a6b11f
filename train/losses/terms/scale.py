"""The error of the scene's size in metres."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.terms.comparison import Comparison
from train.losses.terms.robust import Rho, log_space


def scale(c: Comparison, rho: Rho) -> Tensor:
    """rho(f(s z_pred) - f(z_true)), z the mean distances of valid points: how large the scene is in metres.

    s is the predicted metric scale. z_pred is in units of the model and without gradient, so that only s learns.

    Returns:
        [B]; 0 for samples that are not in metres, or have no valid pixel.
    """
    predicted = c.metres_per_unit * (c.prediction.size / c.metres_per_unit).detach()
    error = log_space(predicted[:, None]) - log_space(c.truth.size[:, None])
    return torch.where(c.is_metric & c.has_size, rho(error), 0.0)
