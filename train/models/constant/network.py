"""The network of `model=constant`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.views.prediction import Prediction, assemble_prediction


class ConstantNetwork(nn.Module):
    """Says a pinhole camera at the origin that sees everything at one depth.

    Args:
        depth: Along every ray, metres.
        horizontal_fov: Radians.
    """

    def __init__(self, depth: float, horizontal_fov: float) -> None:
        super().__init__()
        self.horizontal_fov = horizontal_fov
        # A buffer, so that the network has a device as others have; not persistent, since it is an option, no weight.
        self.register_buffer("depth", torch.tensor(depth), persistent=False)
        self.depth: Tensor

    def forward(self, views: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """The same for each of V views."""
        B, _, H, W = views[0]["img"].shape
        device = self.depth.device
        dense = torch.ones(B, H, W, device=device)
        return [
            assemble_prediction(
                rays=pinhole_rays(H, W, self.horizontal_fov, device).expand(B, H, W, 3),
                depth=dense[..., None],
                quats=torch.tensor([0.0, 0.0, 0.0, 1.0], device=device).expand(B, 4),
                trans=torch.zeros(B, 3, device=device),
                scale=self.depth.expand(B, 1),
                conf=dense,
                mask_logits=dense,
            )
            for _ in views
        ]


def pinhole_rays(height: int, width: int, horizontal_fov: float, device: torch.device) -> Tensor:
    """Unit rays [H, W, 3] of a camera with square pixels and its principal point in the middle of the picture.

    Args:
        height: Pixels.
        width: Pixels.
        horizontal_fov: From the left edge of the picture to the right one, radians.
        device: Where they shall be.
    """
    focal_length = width / 2 / math.tan(horizontal_fov / 2)
    y = (torch.arange(height, device=device) - (height - 1) / 2) / focal_length
    x = (torch.arange(width, device=device) - (width - 1) / 2) / focal_length
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return functional.normalize(torch.stack([columns, rows, torch.ones_like(rows)], dim=-1), dim=-1)
