"""Trainings that take seconds: a tiny model on the pictures of the fixture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mapanything_data.datasets.opv2v import OPV2VFinetune
from train.losses.overall import OverallLoss
from train.models.compact import Compact, Size
from train.settings.distributed import Distributed
from train.settings.finetune import FinetuneConfig
from train.settings.train_params import TrainParams

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "tests" / "fixtures" / "sample_opv2v"
TIMED = {"images_per_s", "waiting"}


@dataclass(kw_only=True)
class LossWithAHole(OverallLoss):
    """No number for one of the samples."""

    index: int

    def __call__(self, views, predictions):
        values = OverallLoss.__call__(self, views, predictions)
        hole = torch.where(views[0]["idx"] == self.index, torch.nan, 1.0)
        return replace(values, per_sample=values.per_sample * hole)


COMMAND = [
    "dataset=opv2v_ft_smoke",
    f"dataset.root={PICTURES}",
    "dataset.resolution=[28,21]",
    "dataset.num_views=2",
    "machine.loader_workers=0",
    "model=compact",
    "model.size=tiny",
    "train_params.amp=none",
    "train_params.max_num_of_imgs_per_gpu=2",
    "train_params.epochs=2",
    "train_params.lr=1e-3",
    "train_params.log_freq=1",
    "train_params.num_pictures=0",
]


def config(folder, **options):
    """The same as `COMMAND`, within this process.

    `options` are those of train_params, but for dataset, model, loss and distributed.
    """
    data = {
        "root": str(PICTURES),
        "num_views": 2,
        "resolution": [28, 21],
        "max_scenes": 1,
        "test_split": "test",
        "depth_is_dense": True,
    }
    params = {"amp": "none", "max_num_of_imgs_per_gpu": 2, "epochs": 2, "lr": 1e-3, "log_freq": 1, "num_pictures": 0}
    return FinetuneConfig(
        machine={"loader_workers": 0},
        dataset=OPV2VFinetune(**data | options.pop("dataset", {})),
        model=options.pop("model", Compact(size=Size.tiny)),
        loss=options.pop("loss", OverallLoss()),
        distributed=options.pop("distributed", Distributed()),
        train_params=TrainParams(**params | options),
        output_dir=str(folder),
    )


def command(*overrides, folder):
    return [sys.executable, "-m", "train.finetune", *COMMAND, f"output_dir={folder}", *overrides]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*overrides, folder):
    """The command in a process of its own."""
    return subprocess.run(
        command(*overrides, folder=folder), capture_output=True, text=True, env=environment(), timeout=300
    )


def rows(folder, kind="train"):
    """The rows of log.txt without what a clock decides."""
    lines = [json.loads(line) for line in (folder / "log.txt").read_text().splitlines()]
    return [
        {key: value for key, value in row.items() if key not in TIMED} for row in lines if kind in ("", row["kind"])
    ]


def numbers(row):
    """Those of a row."""
    return {key: value for key, value in row.items() if not isinstance(value, str)}


def weights(folder, name="final"):
    return torch.load(folder / f"checkpoint-{name}.pth", weights_only=True)["model"]


def same_weights(one, other):
    """Whether two mappings of tensors agree bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
