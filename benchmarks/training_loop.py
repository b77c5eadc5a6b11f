"""What the trainer costs beside the model: its steps against a bare loop, and the wait for data.

    python benchmarks/training_loop.py

Goals: at least 95 % of the speed of a bare forward, backward and step on batches that lie in memory; less than 5 % of
the time spent waiting with two workers that read a drawn town. The model is compact, size tiny. Rounds of both loops
take turns and the best of each counts, in CPU seconds: other programs can only add.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mapanything_data.datasets.samples import ViewBatch, collate_views
from mapanything_data.datasets.views import make_view
from mapanything_data.scene import Camera, Pose
from train.distributed.ranks import Ranks
from train.losses.overall import OverallLoss
from train.models.compact import Compact, Size
from train.sampling.plan import GlobalBatch
from train.settings.geometric_inputs import GeometricInputs
from train.settings.train_params import TrainParams
from train.training.parameter_groups import group_parameters
from train.training.progress import Progress
from train.training.run_log import RunLog
from train.training.step import TrainingStep
from train.training.trainer import Trainer
from train.views.inputs import Input, visible_views

WIDTH, HEIGHT, VIEWS, SAMPLES = 112, 84, 4, 2
STEPS, ROUNDS = 12, 5
ALONE = Ranks(0, 1, 0, torch.device("cpu"))
PARAMS = TrainParams(amp="none", epochs=1, eval_freq=0, save_freq=1e9, log_freq=4, max_num_of_imgs_per_gpu=8)


def main() -> None:
    torch.set_num_threads(1)
    batches = [make_batch(seed) for seed in range(STEPS)]
    print(f"steps of {SAMPLES} samples with {VIEWS} views of {WIDTH}x{HEIGHT}, one thread, best of {ROUNDS} rounds")
    with tempfile.TemporaryDirectory() as name:
        bare, ours = best(bare_loop(batches), trainer_loop(batches, Path(name)))
        print(f"  {1e3 * bare / STEPS:6.1f} ms a bare step")
        print(f"  {1e3 * ours / STEPS:6.1f} ms a step of the trainer: {bare / ours:.1%} of the speed (goal 95 %)")
        waiting, speed = data_wait(Path(name))
    print(f"  {waiting:6.1%} of the time waiting for data of a town, 2 workers (goal 5 %), {speed:.1f} images/s")


def make_batch(seed: int) -> ViewBatch:
    rng = np.random.default_rng(seed)
    camera = Camera.from_fov(WIDTH, HEIGHT, np.deg2rad(100))
    samples = []
    for number in range(SAMPLES):
        views = []
        for view in range(VIEWS):
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            depth = rng.uniform(2, 50, (HEIGHT, WIDTH)).astype(np.float32)
            pose = Pose.from_quaternion([0, 0.3 * view, 0, 1], [0.5 * view, 0, 0])
            made = make_view(image, depth, camera, pose, data_norm_type="dinov2", depth_is_dense=True)
            flags = {"is_metric_scale": True, "is_synthetic": True, "agent": 0, "idx": seed * SAMPLES + number}
            views.append(made | flags)
        samples.append(views)
    return collate_views(samples)


def make_network() -> tuple[nn.Module, OverallLoss]:
    torch.manual_seed(0)
    return Compact(size=Size.tiny).build().train(), OverallLoss()


def bare_loop(batches: list[ViewBatch]) -> Callable[[], None]:
    network, loss = make_network()
    parameters = list(network.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-5, betas=(0.9, 0.95), fused=True)
    images = [frozenset({Input.images})] * VIEWS

    def run() -> None:
        for batch in batches:
            predictions = network(visible_views(batch, images))
            torch.autograd.backward(loss(batch, predictions).per_sample.mean())
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            optimiser.zero_grad()

    return run


class InMemory:
    """A loader whose batches are there already."""

    waited_s = 0.0

    def __init__(self, batches: list[ViewBatch]) -> None:
        plan = GlobalBatch(VIEWS, (WIDTH, HEIGHT), np.arange(SAMPLES), np.zeros(SAMPLES, np.int64), 1)
        self._pairs = [(plan, batch) for batch in batches]

    def plan(self, _epoch: int) -> list[GlobalBatch]:
        return [plan for plan, _ in self._pairs]

    def epoch(self, _epoch: int, start: int = 0) -> Iterator[tuple[GlobalBatch, ViewBatch]]:
        yield from self._pairs[start:]


class NoFiles:
    """Checkpoints that cost nothing: how long a disk takes is not the loop's."""

    def save_last(self, _progress: Progress) -> None: ...
    def save_weights(self, _name: str, _progress: Progress) -> None: ...


def trainer_loop(batches: list[ViewBatch], folder: Path) -> Callable[[], None]:
    network, loss = make_network()
    step = TrainingStep(
        network=network,
        loss=loss,
        groups=group_parameters(network, PARAMS),
        params=PARAMS,
        inputs=GeometricInputs(overall=0.0),
        average=None,
        resolution=(WIDTH, HEIGHT),
        data_norm_type="dinov2",
        ranks=ALONE,
    )

    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), RunLog(folder) as log:
            Trainer(
                params=PARAMS,
                step=step,
                loader=InMemory(batches),
                evaluate=None,
                files=NoFiles(),
                log=log,
                ranks=ALONE,
                stop_requested=lambda: False,
                progress=Progress(),
            ).run()

    return run


def best(*actions: Callable[[], None]) -> list[float]:
    seconds = [float("inf")] * len(actions)
    for _ in range(ROUNDS):
        for number, action in enumerate(actions):
            began = time.process_time()
            action()
            seconds[number] = min(seconds[number], time.process_time() - began)
    return seconds


def data_wait(folder: Path) -> tuple[float, float]:
    """Share of the time that a training on a town waits, without its first steps, in which workers start."""
    town = ["source.train=2", "source.validate=1", "source.test=0", "source.frames=8", "source.max_agents=3"]
    small = ["source.width=224", "source.height=168", "source.lidar_channels=2", "source.lidar_steps=4"]
    run("mapanything_data.collect", "dataset=opv2v", f"dataset.root={folder}/town", *town, *small)
    data = ["dataset=opv2v_ft", f"dataset.root={folder}/town", "dataset.depth_is_dense=true"]
    model = ["model=compact", "model.size=tiny", f"dataset.resolution=[{WIDTH},{HEIGHT}]", "machine.loader_workers=2"]
    params = [
        "amp=none",
        "epochs=2",
        "limit_train_batches=12",
        "eval_freq=0",
        "max_num_of_imgs_per_gpu=8",
        "log_freq=1",
    ]
    options = [f"train_params.{param}" for param in params]
    run("train.finetune", *data, *model, *options, f"output_dir={folder}/run")
    rows = [json.loads(line) for line in (folder / "run" / "log.txt").read_text().splitlines()]
    seconds = np.array([8 / row["images_per_s"] for row in rows[3:]])
    waiting = np.array([row["waiting"] for row in rows[3:]])
    return float((seconds * waiting).sum() / seconds.sum()), 8 / float(seconds.mean())


def run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
