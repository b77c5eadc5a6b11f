"""The network of `model=compact`: encoder and geometric encoder, trunk, heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mapanything_data.errors import ConfigError, require_option
from train.models.compact.attention import Trunk
from train.models.compact.encoder import Dinov2Encoder, PatchEncoder, build_encoder
from train.models.compact.geometric_encoder import GeometricEncoder
from train.models.compact.heads import Heads
from train.views.prediction import Prediction

if TYPE_CHECKING:
    from train.models.compact import Compact


class CompactNetwork(nn.Module):
    """Views in, predictions out, as `train.models.protocol.Model` says."""

    def __init__(
        self, encoder: PatchEncoder | Dinov2Encoder, geometric_encoder: GeometricEncoder, trunk: Trunk, heads: Heads
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.geometric_encoder = geometric_encoder
        self.trunk = trunk
        self.heads = heads

    def forward(self, views: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """Predict V views of B samples.

        Raises:
            ConfigError: Pictures are not made of whole patches, or not normalised as DINOv2's.
        """
        images = torch.stack([view["img"] for view in views], dim=1)
        B, V, _, H, W = images.shape
        self._check_pictures(views, H, W)
        features: Tensor = self.encoder(images.flatten(0, 1)).unflatten(0, (B, V))
        levels, scale = self.trunk(features + self.geometric_encoder(views))
        patch_size = self.encoder.patch_size
        predictions: list[Prediction] = self.heads(levels, scale, (H // patch_size, W // patch_size), (H, W))
        return predictions

    def _check_pictures(self, views: Sequence[Mapping[str, Any]], H: int, W: int) -> None:
        patch_size = self.encoder.patch_size
        if H % patch_size or W % patch_size:
            sizes = [[_nearest(W, patch_size), _nearest(H, patch_size)]]
            raise ConfigError(
                "dataset.resolution",
                f"pictures of {W}x{H} are not made of whole patches of {patch_size}x{patch_size} pixels",
                expected=f"multiples of {patch_size}",
                remedy=f"set dataset.resolution={sizes[0]}, or correct train_params.resolutions",
            )
        for view in views:
            wrong = set(view.get("data_norm_type", ())) - {"dinov2"}
            if wrong:
                raise ConfigError(
                    "dataset.data_norm_type",
                    ", ".join(sorted(wrong)),
                    expected="dinov2, by which model=compact takes its pictures",
                    remedy="set dataset.data_norm_type=dinov2",
                )


def build_network(options: Compact) -> CompactNetwork:
    """The network that the options describe."""
    shape = options.shape()
    encoder = build_encoder(options.encoder.name, shape.width, shape.patch_size, options.encoder.gradient_checkpointing)
    given = options.encoder.patch_size
    require_option(
        "model.encoder.patch_size", given, given in (None, encoder.patch_size), f"{encoder.patch_size}, or null"
    )
    max_agents = options.max_agents if options.agent_embedding else 0
    return CompactNetwork(
        encoder,
        GeometricEncoder(encoder.width, encoder.patch_size, max_agents),
        Trunk(encoder.width, shape.width, shape.layers, shape.num_heads, options.trunk.gradient_checkpointing),
        Heads(shape.width, shape.head_width, options.heads.gradient_checkpointing),
    )


def _nearest(pixels: int, patch_size: int) -> int:
    return max(1, round(pixels / patch_size)) * patch_size
