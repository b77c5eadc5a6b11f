"""What a model is to the trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from train.settings.geometric_inputs import GeometricInputs

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class Model(Protocol):
    """A component of the group `model`: options that build a network.

    The network is a `torch.nn.Module` whose call takes a list over views of mappings with the keys that
    `train.views.inputs.visible_views` lets through, and returns a list over views of mappings as
    `train.views.prediction.Prediction` describes. All views of a call have one batch size, height and width; view 0
    gives the frame. What it makes of a kind of input that a view lacks is its own affair; a prediction must not depend
    on anything but the inputs of its sample.
    """

    pretrained: str | None
    """Weights to start from; null starts from random ones."""
    strict: bool
    """Whether weights that lack a parameter, or hold one that the network does not have, are refused."""
    geometric_inputs: GeometricInputs
    """What the network sees in training beside images."""

    def build(self) -> nn.Module:
        """The network with random weights; `train.models.pretrained` loads others into it."""
        ...
