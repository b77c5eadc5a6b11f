"""`model=compact`: a small model of our own, from pictures and what else is known to rays, depth, poses and scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from mapanything_data.config import component
from mapanything_data.errors import require, require_option
from train.settings.geometric_inputs import GeometricInputs

if TYPE_CHECKING:
    from torch import nn


class Size(str, Enum):
    """Parameters with `encoder.name=patch`."""

    tiny = "tiny"
    """1.1 M; for small pictures and CPUs"""
    small = "small"
    """23 M"""
    base = "base"
    """92 M"""
    large = "large"
    """319 M"""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers behind a size."""

    patch_size: int
    width: int
    layers: int
    num_heads: int
    head_width: int


SHAPES = {
    Size.tiny: Shape(patch_size=7, width=128, layers=4, num_heads=4, head_width=32),
    Size.small: Shape(patch_size=14, width=384, layers=12, num_heads=6, head_width=64),
    Size.base: Shape(patch_size=14, width=768, layers=12, num_heads=12, head_width=128),
    Size.large: Shape(patch_size=14, width=1024, layers=24, num_heads=16, head_width=256),
}
"""What each size stands for."""


@dataclass(kw_only=True, slots=True)
class EncoderOptions:
    """What makes features of each picture alone."""

    name: str = "patch"
    """patch trains a patch embedding of its own; else a DINOv2 on the Hugging Face hub, such as facebook/dinov2-base,
    or a folder with its config.json and model.safetensors."""
    patch_size: int | None = None
    """Pixels along a side of a patch; null takes that of the size, or of the DINOv2."""
    gradient_checkpointing: bool = False
    """Whether training computes the encoder's insides twice instead of keeping them in memory."""


@dataclass(kw_only=True, slots=True)
class TrunkOptions:
    """The transformer that all views go through together; null takes the number of the size."""

    width: int | None = None
    """Length of a token."""
    layers: int | None = None
    """Layers of attention, in turns over all views and within each view."""
    num_heads: int | None = None
    """Heads of each attention; they share the width."""
    gradient_checkpointing: bool = False
    """Whether training computes the insides of each layer twice instead of keeping them in memory."""


@dataclass(kw_only=True, slots=True)
class HeadsOptions:
    """What makes predictions of tokens."""

    width: int | None = None
    """Channels of the dense head; null takes the number of the size."""
    gradient_checkpointing: bool = False
    """Whether training computes the insides of the heads twice, view by view, instead of keeping them in memory."""


@component("model", "compact")
@dataclass(kw_only=True, slots=True)
class Compact:
    """A small multi-view metric 3D model (docs/models.md)."""

    size: Size = Size.small
    """tiny, small, base or large; single numbers below override it."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """What makes features of each picture alone."""
    trunk: TrunkOptions = field(default_factory=TrunkOptions)
    """The transformer that all views go through together."""
    heads: HeadsOptions = field(default_factory=HeadsOptions)
    """What makes predictions of tokens."""
    agent_embedding: bool = False
    """Whether the model is told which views belong to one vehicle."""
    max_agents: int = 16
    """Vehicles that it tells apart then; all further ones share the last embedding."""
    pretrained: str | None = None
    """Checkpoint to start from; null starts from random weights, but for those of a DINOv2."""
    strict: bool = True
    """Whether a checkpoint must hold exactly the model's parameters; false takes what fits."""
    geometric_inputs: GeometricInputs = field(default_factory=lambda: GeometricInputs(overall=0.5))
    """What the model sees in training beside images; half of the steps are images only, since it is small and mostly
    used on images only."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        shape = self.shape()
        for key, number in (
            ("encoder.patch_size", shape.patch_size),
            ("trunk.width", shape.width),
            ("trunk.layers", shape.layers),
            ("trunk.num_heads", shape.num_heads),
            ("heads.width", shape.head_width),
            ("max_agents", self.max_agents),
        ):
            require_option(f"model.{key}", number, number >= 1, "1 or more")
        layers, width, num_heads = shape.layers, shape.width, shape.num_heads
        require_option("model.trunk.layers", layers, layers >= 2, "2 or more: one over all views, one within each")
        require_option("model.trunk.width", width, width % num_heads == 0, f"a multiple of num_heads, {num_heads}")
        require_option("model.trunk.width", width, width % 4 == 0, "a multiple of 4, for sines and cosines of x and y")
        require_option("model.heads.width", shape.head_width, shape.head_width % 2 == 0, "an even number")

    def shape(self) -> Shape:
        """The numbers of the size, with those that are given in their place."""
        of_size = SHAPES[self.size]

        def chosen(given: int | None, otherwise: int) -> int:
            return otherwise if given is None else given

        return Shape(
            patch_size=chosen(self.encoder.patch_size, of_size.patch_size),
            width=chosen(self.trunk.width, of_size.width),
            layers=chosen(self.trunk.layers, of_size.layers),
            num_heads=chosen(self.trunk.num_heads, of_size.num_heads),
            head_width=chosen(self.heads.width, of_size.head_width),
        )

    def build(self) -> nn.Module:
        """The network with random weights; a DINOv2 comes with its own.

        Raises:
            ConfigError: The DINOv2 cannot be read.
            MissingDependencyError: torch or transformers is not installed.
        """
        require("torch")
        from train.models.compact.network import build_network

        return build_network(self)
