"""Errors of the cameras' poses, each a mean over the frames that a pose is compared in, summed over views."""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.terms.comparison import Comparison, Geometry
from train.losses.terms.robust import Rho
from train.views.prediction import rotation_matrix


def rotation(c: Comparison, rho: Rho, *, relative: bool) -> Tensor:
    """Rotations: min over s in {1, -1} of rho(q_pred - s q_true), since q and -q are one rotation.

    With `relative`, the error of view i is the mean over V errors: that of its pose in the frame of view 0, and those
    of the poses of all other views in its own frame, conj(q_i) q_j.

    Returns:
        [B], summed over views.
    """

    def error(prediction: Tensor, truth: Tensor) -> Tensor:
        return torch.minimum(rho(prediction - truth), rho(prediction + truth))

    absolute = error(c.prediction.quats, c.truth.quats)
    if not relative:
        return absolute.sum(1)
    return _with_relative(absolute, error(_relative_quats(c.prediction), _relative_quats(c.truth)))


def translation(c: Comparison, rho: Rho, *, relative: bool) -> Tensor:
    """Places of the cameras: rho(t_pred - t_true), in units of the scenes' sizes; samples with a valid pixel only.

    With `relative`, as in `rotation`, the place of view j in the frame of view i is R_i^T (t_j - t_i).

    Returns:
        [B], summed over views.
    """
    absolute = rho(c.prediction.trans - c.truth.trans)
    if relative:
        total = _with_relative(absolute, rho(_relative_trans(c.prediction) - _relative_trans(c.truth)))
    else:
        total = absolute.sum(1)
    return torch.where(c.has_size, total, 0.0)


def _with_relative(absolute: Tensor, relative: Tensor) -> Tensor:
    """Sum over views of the mean of an error [B, V] and V - 1 relative ones [B, V, V].

    The diagonal says where a camera is in its own frame, which is right in every prediction.
    """
    return (absolute.sum(1) + relative.sum((1, 2))) / absolute.shape[1]


def _relative_quats(geometry: Geometry) -> Tensor:
    """[B, V, V, 4]: at i, j the rotation of camera j into the frame of camera i, conj(q_i) q_j."""
    views = geometry.quats.shape[1]
    q_i = geometry.quats[:, :, None].expand(-1, -1, views, -1)
    q_j = q_i.transpose(1, 2)
    (v_i, w_i), (v_j, w_j) = ((q[..., :3], q[..., 3:]) for q in (q_i, q_j))
    vector = w_i * v_j - w_j * v_i - torch.linalg.cross(v_i, v_j)
    return torch.cat([vector, w_i * w_j + (v_i * v_j).sum(-1, keepdim=True)], -1)


def _relative_trans(geometry: Geometry) -> Tensor:
    """[B, V, V, 3]: at i, j the place of camera j in the frame of camera i."""
    between = geometry.trans[:, None] - geometry.trans[:, :, None]
    return torch.einsum("bikl,bijk->bijl", rotation_matrix(geometry.quats), between)
