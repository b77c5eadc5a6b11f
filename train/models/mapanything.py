"""MapAnything as its authors' package builds it, for finetuning of their weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mapanything_data.config import component
from mapanything_data.errors import MissingDependencyError
from train.settings.geometric_inputs import GeometricInputs

if TYPE_CHECKING:
    from torch import nn

INSTALL = "pip install git+https://github.com/facebookresearch/map-anything.git"
"""The package is not on the Python index."""


@dataclass(kw_only=True, slots=True)
class NetworkPart:
    """How one part of the network trains."""

    gradient_checkpointing: bool = False
    """Whether backward computes activations again instead of keeping them: less memory, about a third more time."""


@component("model", "mapanything")
@dataclass(kw_only=True, slots=True)
class MapAnything:
    """MapAnything by its authors (docs/mapanything.md), which needs their package."""

    pretrained: str | None = "???"
    """Weights to start from: a file, a folder with model.safetensors, or a name on the Hugging Face hub such as
    facebook/map-anything; what exists as a path is a path. null starts from random weights."""
    strict: bool = True
    """Whether weights that lack a parameter, or hold one that the network does not have, are refused."""
    architecture: str = "auto"
    """Sizes of the network: v1.1, v1, or the path of a config.json; auto takes the config.json beside the pretrained
    weights, and v1.1 where there is none."""
    encoder: NetworkPart = field(default_factory=NetworkPart)
    """The image encoder, DINOv2."""
    trunk: NetworkPart = field(default_factory=NetworkPart)
    """The transformer over all views (info_sharing in the package's words)."""
    heads: NetworkPart = field(default_factory=NetworkPart)
    """The dense prediction head (pred_head in the package's words)."""
    geometric_inputs: GeometricInputs = field(default_factory=GeometricInputs)
    """What the network sees in training beside images."""

    def build(self) -> nn.Module:
        """The network with random weights, whose parameters have the names of the package.

        Raises:
            MissingDependencyError: The package is missing or cannot be imported.
            DataError: The config.json cannot be read, or describes what this adapter does not know.
        """
        from train.models.mapanything_network.architecture import find_architecture

        architecture = find_architecture(self.architecture, self.pretrained)
        architecture.checkpoint_gradients(
            encoder=self.encoder.gradient_checkpointing,
            trunk=self.trunk.gradient_checkpointing,
            heads=self.heads.gradient_checkpointing,
        )
        try:
            from train.models.mapanything_network.network import build_network
        except (ImportError, RuntimeError) as error:  # torchvision without its operators is a RuntimeError
            missing = isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == "mapanything"
            found = "which is not installed" if missing else f"which cannot be imported: {error}"
            found = f"needs the package mapanything, {found}"
            raise MissingDependencyError(
                "model=mapanything", found, remedy=f"{INSTALL} (docs/mapanything.md says more), or take model=compact"
            ) from error
        return build_network(architecture)
