"""What a loss is to the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mapanything_data.datasets.views import ViewDict

if TYPE_CHECKING:
    from torch import Tensor

    from train.views.prediction import Prediction


@dataclass(frozen=True, slots=True)
class LossValues:
    """The loss of each sample of a batch.

    Samples stand apart, never mixed, so that it does not matter how a batch is spread over ranks: the loss of a step is
    the mean over all its samples.
    """

    per_sample: Tensor
    """[B] float32, with a graph."""
    terms: dict[str, Tensor]
    """Each term [B] before its weight, without a graph."""


@runtime_checkable
class Loss(Protocol):
    """A component of the group `loss`."""

    @property
    def term_names(self) -> tuple[str, ...]:
        """The keys of `LossValues.terms`, the same for all batches."""
        ...

    def __call__(self, views: Sequence[ViewDict], predictions: Sequence[Prediction]) -> LossValues:
        """Compare the predictions of V views with the truth."""
        ...
