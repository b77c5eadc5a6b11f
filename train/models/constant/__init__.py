"""`model=constant`: one depth everywhere, whatever the pictures show; the baseline that others must beat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mapanything_data.config import component
from mapanything_data.errors import require, require_option
from train.settings.geometric_inputs import GeometricInputs

if TYPE_CHECKING:
    from torch import nn


@component("model", "constant")
@dataclass(kw_only=True, slots=True)
class Constant:
    """Says one depth everywhere and puts all cameras into one place: the baseline that others must beat."""

    depth_m: float = 20.0
    """Depth along every ray, metres."""
    horizontal_fov_deg: float = 90.0
    """Horizontal field of view of all cameras, degrees."""
    pretrained: str | None = None
    """Must be null, since it has nothing to load."""
    strict: bool = True
    """Without a meaning here, since it has nothing to load."""
    geometric_inputs: GeometricInputs = field(default_factory=lambda: GeometricInputs(overall=0))
    """Without a meaning here, since it looks at nothing."""

    def __post_init__(self) -> None:
        """Refuse what is no camera, no depth, and weights."""
        require_option("model.depth_m", self.depth_m, self.depth_m > 0, "metres above 0")
        fov = self.horizontal_fov_deg
        require_option("model.horizontal_fov_deg", fov, 0 < fov < 180, "degrees between 0 and 180")
        require_option("model.pretrained", self.pretrained, self.pretrained is None, "null: there is nothing to load")

    def build(self) -> nn.Module:
        """The network, which has no parameters.

        Raises:
            MissingDependencyError: torch is not installed.
        """
        require("torch")
        import math

        from train.models.constant.network import ConstantNetwork

        return ConstantNetwork(self.depth_m, math.radians(self.horizontal_fov_deg))
