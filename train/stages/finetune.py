"""The finetune stage: trains a model on a data set of views."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mapanything_data.datasets.protocol import ViewDatasets
from mapanything_data.engine.folder import records_folder
from mapanything_data.engine.lock import run_lock
from mapanything_data.errors import ConfigError, require, require_option
from mapanything_data.stages.execute import absolute_path, require_choice
from train.distributed.launch import launch
from train.losses.protocol import Loss
from train.metrics.names import METRICS
from train.models.protocol import Model
from train.settings.finetune import FinetuneConfig

if TYPE_CHECKING:
    from train.distributed.ranks import Ranks


def finetune(config: FinetuneConfig) -> int:
    """Finetune: train a model on views.

    Writes checkpoint-last.pth, checkpoint-best.pth and checkpoint-final.pth, the logs console.log, log.txt (JSON lines)
    and tensorboard/, and pictures of test samples to output_dir. A run that was interrupted goes on where its last
    checkpoint was written when the same command is given again, and ends with the same weights.

    Examples:
        python -m train.finetune dataset.root=data/town dataset.depth_is_dense=true output_dir=runs/first
        python -m train.finetune experiment=opv2v_stage2 machine=local3090 model.pretrained=runs/s1/checkpoint-best.pth
        python -m train.finetune -m train_params.lr=1e-4,5e-5 dataset.root=data/town output_dir=runs/rates
    """
    require("torch", "tensorboard")
    require_choice("model", config.model, Model)
    require_choice("loss", config.loss, Loss)
    require_choice("dataset", config.dataset, ViewDatasets)
    metric = config.train_params.best_metric
    require_option("train_params.best_metric", metric, metric in METRICS, f"one of {', '.join(METRICS)}")
    workers = config.machine["loader_workers"]
    require_option("machine.loader_workers", workers, workers >= 0, "0 or more")
    _require_known_inputs(config)
    _open_folder(config)
    return launch(train_rank, config, config.distributed)


def train_rank(config: FinetuneConfig) -> int:
    """What each rank does.

    Returns:
        0, or what a shell expects of a process that a signal stopped.
    """
    from train.distributed.ranks import join_ranks

    with join_ranks(config.distributed) as ranks, _stop_on_signals() as signals:
        folder = absolute_path("output_dir", config.output_dir)
        if not ranks.is_main:
            return _train(config, folder, ranks, signals)
        records = records_folder(folder, "finetune")
        records.mkdir(parents=True, exist_ok=True)
        with run_lock(records):
            return _train(config, folder, ranks, signals)


def _train(config: FinetuneConfig, folder: Path, ranks: Ranks, signals: list[int]) -> int:
    from train.training.run import train

    finished = train(config, folder, ranks, stop_requested=lambda: bool(signals))
    if finished or not signals:
        return 0
    return 128 + signals[0]


def _open_folder(config: FinetuneConfig) -> None:
    """Make sure that the folder of the run can be written to and holds nothing else."""
    folder = absolute_path("output_dir", config.output_dir)
    records = records_folder(folder, "finetune")
    try:
        known = records.exists() or any(folder.glob("checkpoint-*.pth"))
        foreign = None if known else next(folder.glob("[!.]*"), None)
        if foreign:
            raise ConfigError(
                "output_dir",
                f"{folder} holds {foreign.name} and no training",
                expected="a new folder, or that of a training to go on with",
                remedy="give another output_dir",
            )
        records.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            "output_dir", f"{folder} cannot be written to ({reason})", remedy="give another output_dir"
        ) from error


def _require_known_inputs(config: FinetuneConfig) -> None:
    """What models see in evaluations; one that is told of agents in each step must be told there, too."""
    from train.views.inputs import named_inputs

    inputs = config.train_params.eval_inputs
    named_inputs("train_params.eval_inputs", inputs)
    told = not getattr(config.model, "agent_embedding", False) or "agents" in inputs
    require_option(
        "train_params.eval_inputs",
        inputs,
        told,
        "agents among them, since model.agent_embedding=true shows them in training",
        remedy="give train_params.eval_inputs=[images,agents]",
    )


@contextmanager
def _stop_on_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM; the trainer looks after each step. A second one ends the process at once.

    What is ignored stays so: ranks that were started together hear of Ctrl-C from the process that started them.
    """
    received: list[int] = []
    signals = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)
        for each in signals:
            signal.signal(each, signal.SIG_DFL)

    previous = {each: signal.signal(each, note) for each in signals}
    try:
        yield received
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
