"""The configuration of a whole training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True, slots=True)
class FinetuneConfig:
    """Configuration of the finetune app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The samples to train and to test on."""
    model: Any = "???"
    """The model to train."""
    loss: Any = "???"
    """What is made small."""
    train_params: Any = "???"
    """How it is trained."""
    distributed: Any = "???"
    """The processes that train together."""
    output_dir: str = "???"
    """Folder of the run: checkpoints, logs, pictures. Each run of a sweep has a numbered one in it."""
