"""Errors of pixels: points, depth, rays. Each term is a mean over the pixels of a view, summed over views."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from train.losses.terms.comparison import Comparison
from train.losses.terms.robust import Rho, log_space


def world_points(c: Comparison, rho: Rho, confidence_weight: float | None, dropped_percent: float) -> Tensor:
    """Points in the frame of view 0: mean over valid pixels of C L - a log C, with L = rho(f(X_pred) - f(X_true)).

    C is the predicted confidence, a is `confidence_weight`; C L - a log C is least for C = a / L. So the term has no
    lower bound: with L towards 0 and C without limit it goes to minus infinity. (A. Kendall and Y. Gal, "What
    Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?", 2017; S. Wang et al., "DUSt3R", 2024.)

    Without a confidence weight it is the mean of L, less the worst pixels as in `camera_points`.

    Returns:
        [B], summed over views.
    """
    loss = rho(log_space(c.prediction.world_points) - log_space(c.truth.world_points))
    if confidence_weight is None:
        return _mean_without_worst(loss, c, dropped_percent)
    confidence = torch.where(c.valid, c.confidence, 1.0)
    weighed = confidence * loss - confidence_weight * torch.log(confidence)
    return _mean(weighed, c.valid)


def camera_points(c: Comparison, rho: Rho, dropped_percent: float) -> Tensor:
    """Points in the camera: mean over valid pixels of rho(f(X_pred) - f(X_true)), less the worst ones.

    On samples that are not synthetic the worst `dropped_percent` of the valid pixels of each view are left out: what
    was measured has pixels that are simply wrong.

    Returns:
        [B], summed over views.
    """
    loss = rho(log_space(c.prediction.camera_points) - log_space(c.truth.camera_points))
    return _mean_without_worst(loss, c, dropped_percent)


def depth(c: Comparison, rho: Rho, dropped_percent: float) -> Tensor:
    """Depth along the rays: mean over valid pixels of rho(f(d_pred) - f(d_true)), less the worst as in `camera_points`.

    Returns:
        [B], summed over views.
    """
    loss = rho(log_space(c.prediction.depth) - log_space(c.truth.depth))
    return _mean_without_worst(loss, c, dropped_percent)


def rays(c: Comparison, rho: Rho) -> Tensor:
    """Ray directions: mean over all pixels of rho(r_pred - r_true), since they are known without depth too.

    Returns:
        [B], summed over views.
    """
    return rho(c.prediction.rays - c.truth.rays).mean((2, 3)).sum(1)


def _mean(loss: Tensor, counted: Tensor) -> Tensor:
    """Mean of `loss` [B, V, H, W] over the counted pixels of each view, summed over views; 0 without such pixels."""
    total = torch.where(counted, loss, 0.0).sum((2, 3))
    return (total / counted.sum((2, 3)).clamp(min=1)).sum(1)


def _mean_without_worst(loss: Tensor, c: Comparison, percent: float) -> Tensor:
    """`_mean` over valid pixels, without the worst `percent`, rounded down, of each view of samples that are real."""
    height, width = c.valid.shape[2:]
    most = math.floor(height * width * percent / 100)
    if most == 0:
        return _mean(loss, c.valid)
    drops = torch.floor(c.valid.sum((2, 3)) * percent / 100)
    drops = torch.where(c.is_synthetic[:, None], 0, drops)
    # What is not valid ranks last, so the first `drops` are valid.
    errors = torch.where(c.valid, loss.detach(), -1.0).flatten(2)
    worst = errors.topk(most, dim=-1).indices
    is_kept = torch.arange(most, device=loss.device) >= drops[..., None]
    kept = torch.ones_like(errors, dtype=torch.bool).scatter(-1, worst, is_kept)
    return _mean(loss, c.valid & kept.view_as(c.valid))
