"""Errors of surfaces, which only exact depth tells: normals, and steps between neighbouring pixels.

Both are computed for synthetic samples alone, and 0 for the others.
"""

from __future__ import annotations

from math import radians

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from train.losses.terms.comparison import Comparison
from train.losses.terms.robust import log_space

_LEAST_ANGLE, _MOST_ANGLE = radians(1), radians(90)
_SQUARE_BELOW = radians(3)
_SMALLEST = 1e-12  # its square is still a number in float32, which gradients divide by


def normals(c: Comparison) -> Tensor:
    """Angles between predicted and true normals: mean over the valid corners of a view, over the longer side.

    Four neighbouring pixels make a square with four corners. The normal at a corner is the cross product of the two
    sides that meet there; it counts where the three pixels are valid. Angles a are limited to 1 to 90 degrees, without
    gradient outside; then they count as a^2 / (2 b) below b = 3 degrees and as a - b / 2 above. The division by
    max(H, W) and the numbers are those that the released weights were trained with; the idea is that of R. Wang et
    al., "MoGe", 2025.

    The least value of a view is (1 degree)^2 / (2 * 3 degrees) / max(H, W), where truth is predicted.

    Returns:
        [B], summed over views.
    """
    chosen = c.is_synthetic.nonzero()[:, 0]
    valid = c.valid[chosen]
    corners_pred = _corner_normals(c.prediction.camera_points[chosen])
    corners_true = _corner_normals(c.truth.camera_points[chosen])
    total = count = torch.zeros(valid.shape[:2], device=valid.device)
    for predicted, true, counts in zip(corners_pred, corners_true, _corner_valid(valid), strict=True):
        angle = _angle(predicted, true).clamp(_LEAST_ANGLE, _MOST_ANGLE)
        error = smooth_l1_loss(angle, torch.zeros_like(angle), reduction="none", beta=_SQUARE_BELOW)
        total = total + torch.where(counts, error, 0.0).sum((2, 3))
        count = count + counts.sum((2, 3))
    mean = (total / count.clamp(min=1)).sum(1) / max(valid.shape[2:])
    return _scatter(mean, chosen, c)


def gradients(c: Comparison, scales: int) -> Tensor:
    """Differences of log-depth between neighbours, at several scales: where edges are, and how sharp.

    With e = f(Z_pred) - f(Z_true), Z the z-depth, the sum of |e(x + k, y) - e(x, y)| and |e(x, y + k) - e(x, y)| over
    the pairs of valid pixels, over the number of valid pixels, among each k-th pixel of each k-th row; k = 1, 2, 4 and
    so on. (R. Ranftl et al., "Towards Robust Monocular Depth Estimation", 2020, equation 11.)

    Returns:
        [B], summed over scales and views.
    """
    chosen = c.is_synthetic.nonzero()[:, 0]
    z_pred, z_true = c.prediction.camera_points[chosen][..., 2:], c.truth.camera_points[chosen][..., 2:]
    error, valid = (log_space(z_pred) - log_space(z_true))[..., 0], c.valid[chosen]
    total = torch.zeros(valid.shape[:2], device=valid.device)
    for step in (2**scale for scale in range(scales)):
        at, counts = error[..., ::step, ::step], valid[..., ::step, ::step]
        along_x = torch.where(counts[..., 1:] & counts[..., :-1], at.diff(dim=-1).abs(), 0.0)
        along_y = torch.where(counts[..., 1:, :] & counts[..., :-1, :], at.diff(dim=-2).abs(), 0.0)
        total = total + (along_x.sum((2, 3)) + along_y.sum((2, 3))) / counts.sum((2, 3)).clamp(min=1)
    return _scatter(total.sum(1), chosen, c)


def _corner_normals(points: Tensor) -> list[Tensor]:
    """Of points [B, V, H, W, 3] the normals at the four corners of each square, [3, B, V, H - 1, W - 1] each.

    Their length is the sine of the angle of the corner: unit sides keep far, near and tiny scenes within float32.
    """
    planes = points.movedim(-1, 0).contiguous()  # products of planes are three times as fast as those of triples
    across, down = _unit(planes.diff(dim=-1)), _unit(planes.diff(dim=-2))
    return [
        _cross(side, edge)
        for side in (down[..., :-1], down[..., 1:])
        for edge in (across[..., :-1, :], across[..., 1:, :])
    ]


def _corner_valid(valid: Tensor) -> list[Tensor]:
    """Whether the three pixels of each corner are valid, in the order of `_corner_normals`."""
    across, down = valid[..., 1:] & valid[..., :-1], valid[..., 1:, :] & valid[..., :-1, :]
    return [
        side & edge for side in (down[..., :-1], down[..., 1:]) for edge in (across[..., :-1, :], across[..., 1:, :])
    ]


def _unit(vectors: Tensor) -> Tensor:
    """Vectors [3, ...] made as long as 1; one that is shorter than 1e-12 becomes 0, without gradient."""
    length = _length(vectors)
    return vectors * torch.where(length == 0, 0.0, 1 / torch.where(length == 0, 1.0, length))


def _length(vectors: Tensor) -> Tensor:
    """Lengths of vectors [3, ...]; 0 below 1e-12, without gradient. Written out: vector_norm is slow along planes."""
    x, y, z = vectors
    square = x * x + y * y + z * z
    is_short = square < _SMALLEST**2
    return torch.where(is_short, 0.0, torch.where(is_short, 1.0, square).sqrt())


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross products of vectors [3, ...]."""
    (ax, ay, az), (bx, by, bz) = a, b
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angles [...] between vectors [3, ...], radians; 90 degrees where one of them is about 0, without gradient."""
    sine, cosine = _length(_cross(a, b)), (a * b).sum(0)
    has_none = (sine == 0) & (cosine.abs() < _SMALLEST)
    return torch.atan2(torch.where(has_none, 1.0, sine), torch.where(has_none, 0.0, cosine))


def _scatter(values: Tensor, chosen: Tensor, c: Comparison) -> Tensor:
    """The values of the chosen samples among zeros, [B]."""
    return torch.zeros(len(c.valid), dtype=values.dtype, device=values.device).index_add(0, chosen, values)
