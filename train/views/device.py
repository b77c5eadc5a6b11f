"""Views on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mapanything_data.datasets.views import ViewDict


def to_device(views: Sequence[ViewDict], device: torch.device) -> list[ViewDict]:
    """The views with their tensors on a device; what is no tensor stays as it is."""
    return [
        {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in view.items()
        }
        for view in views
    ]


def placeholder_views(
    num_views: int, width: int, height: int, data_norm_type: str, device: torch.device
) -> list[ViewDict]:
    """One sample of plain images, for a rank that has no sample but must take part in what all ranks do together."""
    return [
        {"img": torch.zeros(1, 3, height, width, device=device), "data_norm_type": [data_norm_type]}
        for _ in range(num_views)
    ]
