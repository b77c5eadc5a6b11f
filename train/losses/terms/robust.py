"""How errors are measured: lengths, log space, and a loss that large errors do not rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Rho: TypeAlias = Callable[[Tensor], Tensor]
"""From error vectors [..., D] to losses [...]."""

_SHORTEST = 1e-12  # below it a length is taken for 0: its reciprocal must stay finite


def robust(error: Tensor, alpha: float, c: float) -> Tensor:
    """The general robust loss of error vectors: like the square below `c`, like the power `alpha` far above it.

    rho(e) = (2 - alpha) / alpha * ((|e|^2 / ((2 - alpha) c^2) + 1)^(alpha / 2) - 1), by J. Barron, "A General and
    Adaptive Robust Loss Function", CVPR 2019, equation 1.

    Args:
        error: [..., D].
        alpha: Above 0 and below 2.
        c: Above 0, in the unit of the error.

    Returns:
        [...], 0 or more.
    """
    square = error.square().sum(-1) / ((2 - alpha) * c * c)
    # Written with expm1 and log1p, since 1 + square is 1 in float32 for errors below 2e-5.
    return (2 - alpha) / alpha * torch.expm1(alpha / 2 * torch.log1p(square))


def log_space(vector: Tensor) -> Tensor:
    """f(x) = x / |x| * log(1 + |x|) of vectors [..., D], so that what is far away does not rule; f'(0) is 1."""
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    is_short = length < _SHORTEST
    length = torch.where(is_short, 1.0, length)
    return vector * torch.where(is_short, 1.0, torch.log1p(length) / length)
