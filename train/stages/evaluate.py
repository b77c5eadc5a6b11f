"""The evaluate stage: measures a model on the test samples of a data set of views."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapanything_data.config.registry import component_name
from mapanything_data.datasets.protocol import ViewDatasets
from mapanything_data.engine.bar import TerminalBar
from mapanything_data.errors import ConfigError, DataError, require, require_option
from mapanything_data.stages.execute import absolute_path, require_choice, say
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.provenance import plain, run_record
from train.distributed.launch import launch
from train.models.protocol import Model
from train.settings.distributed import Strategy
from train.settings.train_params import Amp

if TYPE_CHECKING:
    from mapanything_data.datasets.samples import ViewBatch
    from train.distributed.ranks import Ranks
    from train.evaluation.evaluation import Evaluation
    from train.models.pretrained import Provenance


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Configuration of the evaluate app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The samples; those of its test split are measured."""
    model: Any = "???"
    """The model, with its weights in model.pretrained."""
    distributed: Any = "???"
    """The processes that share the samples; each holds the whole model."""
    inputs: list[str] = field(default_factory=lambda: ["images"])
    """What the model sees: of images, agents, rays, depth, poses, scale. All but images and agents is truth."""
    max_num_of_imgs_per_gpu: int = 8
    """Views of a batch of one rank, at most; a sample that has more is a batch of its own."""
    amp: Amp = Amp.bf16
    """Precision of matrix products: none (float32), bf16, or fp16 (GPUs only)."""
    limit: int | None = None
    """Samples at most, spread evenly over the test split; null for all."""
    pictures: int = 4
    """Samples of which pictures are written."""
    seed: int = 0
    """Start of the random weights of a model without pretrained ones."""
    output_dir: str = "${machine.root_experiments_dir}/evaluations/${now:%Y-%m-%d_%H-%M-%S}"
    """Folder for the results, which must not hold others. Each run of a sweep has a numbered one in it."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        images = self.max_num_of_imgs_per_gpu
        require_option("max_num_of_imgs_per_gpu", images, images >= 1, "1 or more")
        require_option("limit", self.limit, self.limit is None or self.limit >= 1, "1 or more, or null")
        for name in ("pictures", "seed"):
            require_option(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")


def evaluate(config: EvaluateConfig) -> int:
    """Evaluate: measure a model on test samples.

    The model sees images only, unless inputs names more; the result says what it saw. Writes results.json, results.tsv,
    samples.tsv and pictures of samples to output_dir.

    Examples:
        python -m train.evaluate dataset.root=data/town model.pretrained=runs/first/checkpoint-best.pth
        python -m train.evaluate model=mapanything dataset=opv2v_coop_ft 'inputs=[images,rays,poses]' limit=100
        python -m train.evaluate -m dataset=opv2v_coop_ft dataset.num_views=4,8,16 output_dir=results/views
    """
    require("torch", "cv2", "isal")
    require_choice("dataset", config.dataset, ViewDatasets)
    require_choice("model", config.model, Model)
    ddp = config.distributed.strategy is Strategy.ddp
    require_option("distributed.strategy", config.distributed.strategy.value, ddp, "ddp: each rank holds the model")
    folder = absolute_path("output_dir", config.output_dir)
    if (folder / "results.json").exists():
        remedy = "give another folder, or move the results away"
        raise ConfigError("output_dir", f"{folder} holds results already", expected="a new folder", remedy=remedy)
    return launch(evaluate_rank, config, config.distributed)


def evaluate_rank(config: EvaluateConfig) -> int:
    """What each rank does."""
    from train.distributed.ranks import join_ranks

    with join_ranks(config.distributed) as ranks:
        run_evaluation(config, ranks)
    return 0


def run_evaluation(config: EvaluateConfig, ranks: Ranks) -> Evaluation:
    """Measure the model with all ranks; rank 0 writes the results and prints the table.

    Returns:
        What was found, the same on all ranks.

    Raises:
        UserError: The options, the weights or the data do not allow it.
    """
    import torch

    from train.evaluation.measure import measure
    from train.models.pretrained import load_pretrained
    from train.sampling.eval_batches import eval_batches
    from train.sampling.loader import test_loader
    from train.training.precision import autocast, require_precision
    from train.views.inputs import named_inputs

    inputs = named_inputs("inputs", config.inputs)
    require_precision("amp", config.amp, ranks.device)
    samples = config.dataset.test_dataset()
    requests = eval_batches(samples, config.max_num_of_imgs_per_gpu, ranks.rank, ranks.world_size, config.limit)
    torch.manual_seed(config.seed)
    network = config.model.build()
    weights = load_pretrained(network, config.model)
    record = run_record(config)
    folder = absolute_path("output_dir", config.output_dir)
    if ranks.is_main:
        folder.mkdir(parents=True, exist_ok=True)  # before the work: what cannot be written is said at once
        write_atomic(folder / "config.yaml", record["config.yaml"])
    workers = min(config.machine["loader_workers"], len(requests))
    with test_loader(samples, requests, num_workers=workers, device=ranks.device) as batches:
        evaluation = measure(
            network.to(ranks.device),
            _with_bar(batches, len(requests)) if ranks.is_main else batches,
            inputs=inputs,
            device=ranks.device,
            autocast=autocast(config.amp, ranks.device),
            gather=ranks.gather,
            pictures=config.pictures,
        )
    if ranks.is_main:
        about = _about(config, weights, samples.summary(), json.loads(record["provenance.json"]), ranks)
        _tell(folder, evaluation, about)
    if not evaluation.rows:
        raise DataError("dataset", "all samples are broken", remedy=f"{folder / 'results.json'} names them")
    return evaluation


def _with_bar(batches: Iterable[ViewBatch], total: int) -> Iterator[ViewBatch]:
    """The batches, with a progress bar where someone looks at it."""
    started, bar = time.monotonic(), TerminalBar()
    for done, batch in enumerate(batches):
        bar.draw("evaluate", done=done, total=total, unit="batches", seconds=time.monotonic() - started)
        yield batch
    bar.clear()


def _about(
    config: EvaluateConfig, weights: Provenance | None, summary: str, run: dict[str, Any], ranks: Ranks
) -> dict[str, Any]:
    import torch

    on_gpu = ranks.device.type == "cuda"
    return {
        "model": {"name": component_name(config.model), **plain(config.model)},
        "weights": None if weights is None else {"source": weights.source, "sha256": weights.sha256},
        "dataset": {"name": component_name(config.dataset), **plain(config.dataset), "summary": summary},
        "precision": config.amp.value,
        "device": torch.cuda.get_device_name(ranks.device) if on_gpu else "cpu",
        "ranks": ranks.world_size,
        "run": run,
    }


def _tell(folder: Path, evaluation: Evaluation, about: dict[str, Any]) -> None:
    from train.evaluation.result import RESULTS, results_table, write_results

    write_results(folder, evaluation, about)
    weights = about["weights"]
    say(results_table(evaluation))
    say(f"weights: {weights['source'] if weights else 'none loaded, since model.pretrained is null'}")
    say(f"results: {folder / RESULTS}")
