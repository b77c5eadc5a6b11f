"""The loss of MapAnything: a weighted sum of terms (docs/losses.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from mapanything_data.config import component
from mapanything_data.datasets.views import ViewDict
from mapanything_data.errors import require_option
from train.losses.protocol import LossValues

if TYPE_CHECKING:
    from train.views.prediction import Prediction


@dataclass(kw_only=True, slots=True)
class Weights:
    """What each term counts for; a term of weight 0 is not computed."""

    world_points: float = 1.0
    """Points in the frame of view 0, weighted by confidence."""
    camera_points: float = 1.0
    """Points in the camera."""
    depth: float = 1.0
    """Depth along the rays."""
    rays: float = 1.0
    """Ray directions, which say the intrinsics."""
    rotation: float = 1.0
    """Rotations of the cameras."""
    translation: float = 1.0
    """Places of the cameras."""
    scale: float = 1.0
    """The size of the scene in metres; samples in metres only."""
    normals: float = 3.0
    """Normals of surfaces; synthetic samples only."""
    gradients: float = 3.0
    """Steps of log-depth between neighbours; synthetic samples only."""
    mask: float = 0.3
    """Where depth means something; samples only whose mask says anything."""

    def __post_init__(self) -> None:
        """Refuse what would reward errors, or train nothing."""
        for term in fields(self):
            weight = getattr(self, term.name)
            require_option(f"loss.weights.{term.name}", weight, 0 <= weight < float("inf"), "0 or more")
        some = any(getattr(self, term.name) > 0 for term in fields(self))
        require_option("loss.weights", "all 0", some, "a weight above 0 for one term at least")


@component("loss", "overall_loss")
@dataclass(kw_only=True, slots=True)
class OverallLoss:
    """The weighted sum of what is wrong with points, depth, rays, poses, scale, surfaces and mask."""

    weights: Weights = field(default_factory=Weights)
    """What each term counts for, such as weights.mask=0."""
    relative_poses: bool = False
    """Whether rotation and translation of each view are compared in the frames of all other views too."""
    confidence_weight: float | None = 0.2
    """What the logarithm of confidence counts for in world_points, so that doubt has a price; null trains without
    confidence, and the worst pixels of world_points are left out as those of camera_points are."""
    dropped_percent: float = 5.0
    """Percent of the valid pixels of a view, those with the largest errors, that camera_points and depth leave out
    where the sample is not synthetic."""
    robust_alpha: float = 0.5
    """Shape of the robust loss: the lower, the less do large errors count; above 0 and below 2."""
    robust_c: float = 0.05
    """Error above which the robust loss grows slower than the square."""
    gradient_scales: int = 4
    """Scales of the gradients: every pixel, every 2nd, every 4th and so on."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        alpha, c, weight = self.robust_alpha, self.robust_c, self.confidence_weight
        require_option("loss.robust_alpha", alpha, 0 < alpha < 2, "above 0 and below 2")
        require_option("loss.robust_c", c, c > 0, "above 0")
        require_option("loss.confidence_weight", weight, weight is None or weight > 0, "above 0, or null")
        require_option("loss.dropped_percent", self.dropped_percent, 0 <= self.dropped_percent < 100, "0 to below 100")
        require_option("loss.gradient_scales", self.gradient_scales, self.gradient_scales >= 1, "1 or more")

    @property
    def term_names(self) -> tuple[str, ...]:
        """The terms that have a weight."""
        return tuple(term.name for term in fields(Weights) if getattr(self.weights, term.name) > 0)

    def __call__(self, views: Sequence[ViewDict], predictions: Sequence[Prediction]) -> LossValues:
        """Compare the predictions of V views with the truth; see `train.losses.protocol.Loss`.

        A term is NaN or infinite only where a prediction is, at a pixel that the term looks at.
        """
        from train.losses.terms.weighted_sum import weighted_sum

        return weighted_sum(self, views, predictions)
