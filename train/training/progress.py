"""How far a run is: what a checkpoint keeps so that the next process goes on exactly there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    epoch: int = 0
    """Epochs that are done."""
    step_in_epoch: int = 0
    """Steps of the optimiser that are done of the epoch after them."""
    step: int = 0
    """Steps that are done of the run."""
    plan: str = ""
    """Fingerprint of the epoch's batches; with other batches a place in the middle means nothing."""
    evaluated: int = 0
    """Epochs that were done at the last evaluation."""
    best: float | None = None
    """The best value of `best_metric` so far; None where this run has no checkpoint-best.pth."""
    best_metric: str = ""
    """The metric that it is of."""
    window: dict[str, float] = field(default_factory=dict)
    """Sums since the last line of the log."""

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)
