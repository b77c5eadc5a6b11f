"""A training from its configuration to its last checkpoint, as each rank goes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from mapanything_data.datasets.protocol import ViewDataset
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.provenance import plain, run_record
from train.distributed.ranks import Ranks
from train.distributed.wrap import blocks, gathered, wrap
from train.evaluation.evaluation import Evaluation
from train.evaluation.measure import measure
from train.models.pretrained import load_pretrained
from train.sampling.eval_batches import eval_batches
from train.sampling.loader import TrainLoader, test_loader
from train.sampling.sampler import BudgetBatchSampler
from train.settings.finetune import FinetuneConfig
from train.settings.train_params import TrainParams
from train.training.ema import MovingAverage
from train.training.parameter_groups import ParameterGroup, freeze_parameters, group_parameters
from train.training.precision import autocast, require_precision
from train.training.progress import Progress
from train.training.resume import checkpoint_to_resume
from train.training.run_files import RunFiles
from train.training.run_log import RunLog
from train.training.step import TrainingStep
from train.training.trainer import Trainer
from train.views.inputs import named_inputs


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
    # All ranks go by what rank 0 finds: it replaces files while others may still look.
    checkpoint, damaged = ranks.broadcast(checkpoint_to_resume(folder, params.resume) if ranks.is_main else (None, []))
    samples, test_samples = config.dataset.train_dataset(), config.dataset.test_dataset()
    sampler = BudgetBatchSampler(
        samples,
        images_per_rank=params.max_num_of_imgs_per_gpu,
        seed=params.seed,
        resolutions=[(width, height) for width, height in params.resolutions],
        rank=ranks.rank,
        world_size=ranks.world_size,
        limit_batches=params.limit_train_batches,
    )

    torch.manual_seed(params.seed)
    network: nn.Module = config.model.build()
    origin = load_pretrained(network, config.model)
    network.to(ranks.device).train()
    freeze_parameters(network, params)
    if params.compile:
        _compile(network)
    wrapped = wrap(network, ranks, config.distributed.strategy)
    groups = group_parameters(network, params)
    average = MovingAverage(network, params.ema_decay) if params.ema_decay else None
    step = TrainingStep(
        network=wrapped,
        loss=config.loss,
        groups=groups,
        params=params,
        inputs=config.model.geometric_inputs,
        average=average,
        resolution=(config.dataset.resolution[0], config.dataset.resolution[1]),
        data_norm_type=config.dataset.data_norm_type,
        ranks=ranks,
    )
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
    if ranks.is_main:  # not before: a run that is refused leaves the folder as it is
        for name, text in run_record(config).items():
            write_atomic(folder / name, text)
    loader = TrainLoader(samples, sampler, num_workers=config.machine["loader_workers"], device=ranks.device)
    log = RunLog(folder if ranks.is_main else None, step=progress.step, evaluations=progress.evaluated)
    with log, loader:
        log.say(samples.summary())
        log.say(test_samples.summary())
        log.say(_describe_model(network, groups, ranks))
        log.say(str(origin) if origin else "weights: random")
        for error in damaged:
            log.say(f"passed over a damaged checkpoint\n{error}")
        if checkpoint:
            log.say(f"going on from {checkpoint}, step {progress.step}")
        for remark in remarks:
            log.say(f"  {remark}")
        trainer = Trainer(
            params=params,
            step=step,
            loader=loader,
            evaluate=_evaluator(config, network, average, test_samples, ranks),
            files=files,
            log=log,
            ranks=ranks,
            stop_requested=stop_requested,
            progress=progress,
        )
        finished = trainer.run()
        best = "" if progress.best is None else f", best {params.best_metric} {progress.best:.4g}"
        log.say(
            f"finished: {progress.epoch} epochs, {progress.step} steps{best}; checkpoints and logs in {folder}"
            if finished
            else f"stopped at step {progress.step}; the same command, with train_params.resume=auto, goes on from there"
        )
    return finished


def _compile(network: nn.Module) -> None:
    """Compile each block of the network by itself, in place, so that names stay.

    The whole network would be compiled anew for each set of geometric inputs and each number of views, minutes each
    time, and dynamo gives up after eight. A block sees tokens only; all that are alike share what is compiled.
    """
    for block in blocks(network) or [network]:
        block.compile(dynamic=True)


def _evaluator(
    config: FinetuneConfig,
    network: nn.Module,
    average: MovingAverage | None,
    samples: ViewDataset,
    ranks: Ranks,
) -> Callable[[], Evaluation]:
    """What measures the network on the test samples, each time it is called."""
    params: TrainParams = config.train_params
    inputs = named_inputs("train_params.eval_inputs", params.eval_inputs)
    batches = eval_batches(
        samples, params.max_num_of_imgs_per_gpu, ranks.rank, ranks.world_size, params.limit_eval_samples
    )

    def evaluate() -> Evaluation:
        reader = test_loader(samples, batches, num_workers=config.machine["loader_workers"], device=ranks.device)
        with reader, average.applied() if average else nullcontext(), gathered(network):
            return measure(
                network,
                reader,
                inputs=inputs,
                device=ranks.device,
                autocast=autocast(params.amp, ranks.device),
                gather=ranks.gather,
                loss=config.loss,
                pictures=params.num_pictures,
            )

    return evaluate


def _describe_model(network: nn.Module, groups: Sequence[ParameterGroup], ranks: Ranks) -> str:
    """Parameters by part, those that are trained and those that are frozen, and where it is computed."""
    trained = {id(parameter) for group in groups for parameter in group.parameters}
    lines = []
    for name, part in network.named_children():
        sizes = [(id(parameter) in trained, parameter.numel()) for parameter in part.parameters()]
        total, frozen = sum(size for _, size in sizes), sum(size for kept, size in sizes if not kept)
        if total:
            lines.append(f"  {name}: {_millions(total)}" + (f", {_millions(frozen)} of them frozen" if frozen else ""))
    total = sum(parameter.numel() for parameter in network.parameters())
    where = torch.cuda.get_device_name(ranks.device) if ranks.device.type == "cuda" else "CPU"
    return "\n".join([f"model: {_millions(total)} parameters, on {ranks.world_size} x {where}", *lines])


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g} M" if count >= 1e5 else str(count)
