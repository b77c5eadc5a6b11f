"""What is known of a view beside its picture, as something to add to the features of its patches.

Depth and translations enter as proportions, each divided by its mean over the sample. How large they are in metres
enters apart, and only where the views say that they are metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class GeometricEncoder(nn.Module):
    """Sum of the embeddings of rays, depth, pose, scale and agent.

    Every part computes in every step, on zeros where there is nothing, so that each parameter has a gradient whatever
    the views show: processes that train together wait for all of them.
    """

    def __init__(self, width: int, patch_size: int, max_agents: int) -> None:
        super().__init__()
        self.rays = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.depth = nn.Conv2d(2, width, patch_size, stride=patch_size)
        self.pose = _perceptron(7, width)
        self.scale = _perceptron(4, width)
        self.unknown = nn.Parameter(torch.zeros(3, width))
        # About as large as the features that it is added to.
        self.agents = nn.Parameter(nn.init.normal_(torch.empty(max_agents, width), std=0.5)) if max_agents else None

    def forward(self, views: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """What to add to the features of V views: [B, V, h * w, width] float32.

        It stays in float32 under autocast: the logarithm of a distance, rounded to bfloat16, is off by up to 1 %.
        """
        device_type = views[0]["img"].device.type
        with torch.autocast(device_type, enabled=False):
            without_rays, without_depth, without_pose = self.unknown
            rays, has_rays = _gather(views, "ray_directions_cam", (*_size(views), 3))
            depth, has_depth, depth_scale = _relative_depth(views)
            pose, has_pose, pose_scale = _relative_poses(views)
            dense = _per_patch(self.rays, rays, has_rays, without_rays)
            dense = dense + _per_patch(self.depth, depth, has_depth, without_depth)
            per_view = _known(self.pose(pose), has_pose[:, None], without_pose)
            per_sample = self.scale(torch.cat([depth_scale, pose_scale], dim=-1))[:, None]
            if self.agents is not None:
                per_view = per_view + _agents(views, self.agents)
            features: Tensor = dense + (per_view + per_sample)[:, :, None]
            return features


def _relative_depth(views: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Depth over its mean as logarithm and validity [B, V, H, W, 2]; who has it [V]; its metric size [B, 2]."""
    depth, given = _gather(views, "depth_along_ray", (*_size(views), 1))
    valid = depth > 0
    counts = valid.sum(dim=(1, 2, 3, 4))
    means = depth.clamp(min=0).sum(dim=(1, 2, 3, 4)) / counts.clamp(min=1)
    relative = depth / _or_one(means)[:, None, None, None, None]
    logarithm = torch.where(valid, relative, torch.ones_like(relative)).log()
    size = _metric_size(means, _is_metric(views, given))
    return torch.cat([logarithm, valid.float()], dim=-1), given, size


def _relative_poses(views: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations and translations over their mean length [B, V, 7]; who has them [V]; their metric size [B, 2]."""
    quats, given = _gather(views, "camera_pose_quats", (4,))
    trans, _ = _gather(views, "camera_pose_trans", (3,))
    # A rotation has two quaternions; take the one with w >= 0.
    quats = torch.where(quats[..., 3:] < 0, -quats, quats)
    # View 0 is the origin. It does not count, or the mean of two views would halve when view 0's pose is given.
    others = given * (torch.arange(len(views), device=given.device) > 0)
    means = (trans.norm(dim=-1) * others).sum(dim=1) / others.sum().clamp(min=1)
    relative = trans / _or_one(means)[:, None, None]
    length = relative.norm(dim=-1, keepdim=True)
    near = relative * torch.log1p(length) / length.clamp(min=1e-6)
    return torch.cat([quats, near], dim=-1), given, _metric_size(means, _is_metric(views, others))


def _gather(views: Sequence[Mapping[str, Tensor]], key: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A key of all views [B, V, *shape] float32, zero where a view lacks it, and which views have it [V] (0 or 1)."""
    image = views[0]["img"]
    missing = torch.zeros(len(image), *shape, device=image.device)
    values = torch.stack([view[key].float() if key in view else missing for view in views], dim=1)
    return values, torch.tensor([float(key in view) for view in views], device=image.device)


def _is_metric(views: Sequence[Mapping[str, Tensor]], given: Tensor) -> Tensor:
    """Whether each sample [B] says of all views that give something that it is in metres."""
    flags, has_flag = _gather(views, "is_metric_scale", ())
    return ((flags * has_flag > 0) | (given == 0)).all(dim=1)


def _metric_size(means: Tensor, is_metric: Tensor) -> Tensor:
    """Logarithm and 1, or zeros where the size is not known: [B, 2]."""
    is_known = is_metric & (means > 0)
    return torch.stack([_or_one(means).log(), torch.ones_like(means)], dim=-1) * is_known[:, None]


def _or_one(means: Tensor) -> Tensor:
    """Means [B], and 1 in place of 0, by which nothing can be divided."""
    return torch.where(means > 0, means, torch.ones_like(means))


def _per_patch(embed: nn.Conv2d, pixels: Tensor, given: Tensor, unknown: Tensor) -> Tensor:
    """Embeddings [B, V, h * w, width] of pixels [B, V, H, W, C]."""
    B, V = pixels.shape[:2]
    patches = embed(pixels.flatten(0, 1).permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
    return _known(patches.unflatten(0, (B, V)), given[:, None, None], unknown)


def _known(embedded: Tensor, given: Tensor, unknown: Tensor) -> Tensor:
    return embedded * given + unknown * (1 - given)


def _agents(views: Sequence[Mapping[str, Tensor]], table: Tensor) -> Tensor:
    """The embedding of each view's agent [B, V, width]; zero where a view does not tell."""
    numbers, given = _gather(views, "agent", ())
    rows = numbers.long().clamp(0, len(table) - 1)
    return functional.embedding(rows, table) * given[:, None]


def _size(views: Sequence[Mapping[str, Tensor]]) -> tuple[int, int]:
    H, W = views[0]["img"].shape[-2:]
    return H, W


def _perceptron(width_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width), nn.GELU(), nn.Linear(width, width))
