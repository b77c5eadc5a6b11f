"""A training from its configuration to its last checkpoint, as each rank goes through it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mapanything_data.storage.provenance import plain
from train.distributed.ranks import Ranks
from train.distributed.wrap import wrap
from train.evaluation.evaluate import Evaluation, evaluate
from train.models.pretrained import load_pretrained
from train.sampling.eval_batches import eval_batches
from train.sampling.loader import TrainLoader, test_loader
from train.settings.train_params import TrainParams
from train.training.ema import MovingAverage
from train.training.parameter_groups import ParameterGroup, group_parameters
from train.training.precision import autocast, require_precision
from train.training.progress import Progress
from train.training.run_files import RunFiles, checkpoint_to_resume
from train.training.run_log import RunLog
from train.training.step import TrainingStep
from train.training.trainer import Trainer
from train.views.inputs import named_inputs

if TYPE_CHECKING:
    from train.stages.finetune import FinetuneConfig


def train(config: FinetuneConfig, folder: Path, ranks: Ranks, stop_requested: Callable[[], bool]) -> bool:
    """Train, or go on with a training.

    Args:
        config: What to train, on what, and how.
        folder: Of the run; it exists.
        ranks: Who trains together.
        stop_requested: Whether this process was asked to stop.

    Returns:
        False where a rank was asked to stop before the end.

    Raises:
        UserError: The options or the data do not allow it, or the loss is not finite any more.
    """
    params: TrainParams = config.train_params
    require_precision("train_params.amp", params.amp, ranks.device)
    # All ranks go by what rank 0 finds.
    checkpoint, damaged = ranks.broadcast(checkpoint_to_resume(folder, params.resume) if ranks.is_main else (None, []))
    samples = config.dataset.train_dataset()
    torch.manual_seed(params.seed)
    network = config.model.build()
    origin = load_pretrained(network, config.model)
    network.to(ranks.device)
    if params.compile:
        network.compile()
    groups = group_parameters(network, params)
    wrapped = wrap(network, ranks, config.distributed.strategy)
    step = TrainingStep(
        network=wrapped,
        loss=config.loss,
        groups=groups,
        params=params,
        inputs=config.model.geometric_inputs,
        ranks=ranks,
        resolution=tuple(config.dataset.resolution),
    )
    average = MovingAverage(network, params.ema_decay) if params.ema_decay else None
    files = RunFiles(
        folder,
        network=wrapped,
        optimiser=step.optimiser,
        scaler=step.scaler,
        average=average,
        config=plain(config),
        ranks=ranks,
    )
    progress, remarks = files.restore(checkpoint) if checkpoint else (Progress(), [])
