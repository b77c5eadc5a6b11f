"""Which geometric inputs a model sees in training."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mapanything_data.errors import require_option


@dataclass(kw_only=True, slots=True)
class GeometricInputs:
    """Chances that a training step shows the model more than images, so that it learns to use what there is.

    Drawn once for each step from the seed and the step, so that all ranks see the same kinds. The defaults are those
    that the released MapAnything weights were trained with.
    """

    overall: float = 0.9
    """Chance that a step gives geometric inputs at all; 0 trains with images only."""
    rays: float = 0.5
    """Chance that it gives ray directions then, which say the intrinsics."""
    depth: float = 0.5
    """Chance that it gives depth then."""
    poses: float = 0.5
    """Chance that it gives camera poses then."""
    scale: float = 0.5
    """Chance that depth and poses come with their metric size then, not only their proportions."""
    view_dropout: float = 0.05
    """Chance that a view goes without a kind of input that the others have."""
    sparse_depth: float = 0.5
    """Chance that depth is thinned out to a few pixels."""
    sparse_depth_kept: float = 0.1
    """Share of the pixels that are left of it then."""

    def __post_init__(self) -> None:
        """Refuse what is no chance."""
        for field in fields(self):
            value = getattr(self, field.name)
            require_option(f"model.geometric_inputs.{field.name}", value, 0 <= value <= 1, "0 to 1")
