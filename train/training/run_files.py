"""The files of a run: its checkpoints, and the batches that broke it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.storage.atomic import remove_unfinished
from train.checkpoints.file import read_checkpoint, write_checkpoint
from train.checkpoints.keep import kept_name, resumable, write_last
from train.checkpoints.random_state import random_states, resume_random_states
from train.checkpoints.state import capture, model_state, restore
from train.distributed.ranks import Ranks
from train.training.ema import MovingAverage
from train.training.progress import Progress
from train.training.step import Batch, NotFiniteError

FORMAT_VERSION = 1
_DECISIVE_GROUPS = ("model", "loss", "dataset")
"""Groups whose options a run cannot change on its way,"""
_HARMLESS = {"root", "depth_root", "pretrained", "strict", "gradient_checkpointing", "on_broken_sample"}
"""but for these, which say where things are and how they are computed."""


class RunFiles:
    """Checkpoints of a run. All ranks call each method; rank 0 writes.

    Args:
        folder: Where they are.
        network: As wrapped for the ranks.
        optimiser: Of its parameters.
        scaler: Of fp16.
        average: The moving average of the weights, where there is one.
        config: The configuration of the run as plain values; each checkpoint holds it.
        ranks: Who trains together.
    """

    def __init__(
        self,
        folder: Path,
        *,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        average: MovingAverage | None,
        config: Mapping[str, Any],
        ranks: Ranks,
    ) -> None:
        self._folder = folder
        self._network = network
        self._optimiser = optimiser
        self._scaler = scaler
        self._average = average
        self._config = config
        self._ranks = ranks
        if ranks.is_main:
            remove_unfinished(folder)

    def save_last(self, progress: Progress) -> None:
        """Write checkpoint-last.pth, from which a run goes on; the one before becomes checkpoint-previous.pth."""
        self._write_whole_state(progress, write_last)

    def keep(self, progress: Progress) -> None:
        """Write a checkpoint that stays, named by the epoch."""
        name = kept_name(progress.epoch)
        self._write_whole_state(progress, lambda folder, state: write_checkpoint(folder / name, state))

    def save_weights(self, name: str, progress: Progress) -> None:
        """Write the weights that are evaluated, without what only training needs, as checkpoint-{name}.pth."""
        with self._average.applied() if self._average else nullcontext():
            state = {"model": model_state(self._network), **self._description(progress)}
            if self._ranks.is_main:
                write_checkpoint(self._folder / f"checkpoint-{name}.pth", state)

    def restore(self, path: Path) -> tuple[Progress, list[str]]:
        """Go on from a checkpoint.

        Returns:
            How far it is, and what the user should know.

        Raises:
            DataError: It lacks what a run goes on from, or is of another model.
            ConfigError: The model, the loss or the data set had other options.
        """
        state = read_checkpoint(path, verify=False)  # `checkpoint_to_resume` has done so
        remarks = self._compare(path, json.loads(state["config"])) if "config" in state else []
        averages = self._average.state_dict() if self._average else None
        progress = restore(state, self._network, self._optimiser, ema=averages, scaler=self._scaler, where=path)
        if averages is not None and state["ema"] is None:
            remarks.append("the checkpoint has no moving average: it starts from the weights")
        told = resume_random_states(state["random"], self._ranks.rank, self._ranks.world_size, self._seed())
        return Progress(**progress), [*remarks, *filter(None, [told])]

    def dump(self, batches: Sequence[Batch], error: NotFiniteError, progress: Progress) -> DataError:
        """Keep the batches of a step that gave no finite number; returns the error that tells of it."""
        path = self._folder / f"not-finite-step{progress.step}-rank{self._ranks.rank}.pth"
        if error.here:
            views = [list(batch) for _, batch in batches]
            write_checkpoint(path, {"batches": views, "step": progress.step, "seed_of_inputs": self._seed()})
        told = self._ranks.gather((str(path), _instances(batches)) if error.here else None)
        files = [each for each in told if each]
        samples = ", ".join(name for _, names in files for name in names[:4])
        return DataError(
            f"step {progress.step}",
            f"{error.what} is not finite; the weights are as they were before (samples: {samples})",
            expected=f"finite numbers; what went in is in {', '.join(file for file, _ in files)}",
            remedy="look at these samples with check; if they are sound, lower train_params.lr or clip_grad, and go on "
            "from checkpoint-last.pth with the same command",
        )

    def _write_whole_state(self, progress: Progress, write: Callable[[Path, dict[str, Any]], None]) -> None:
        state = capture(
            self._network,
            self._optimiser,
            ema=self._average.state_dict() if self._average else None,
            scaler=self._scaler,
            random=self._ranks.gather(random_states()),
            progress=progress.as_dict(),
        )
        if self._ranks.is_main:
            write(self._folder, state | self._description(progress))

    def _description(self, progress: Progress) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "config": json.dumps(self._config),
            "progress": progress.as_dict(),
        }

    def _seed(self) -> int:
        seed: int = self._config["train_params"]["seed"]
        return seed

    def _compare(self, path: Path, saved: Mapping[str, Any]) -> list[str]:
        """What differs from the configuration of a checkpoint."""
        changed = _differences(saved, self._config)
        decisive = [
            text
            for key, text in changed.items()
            if key.partition(".")[0] in _DECISIVE_GROUPS and key.rpartition(".")[2] not in _HARMLESS
        ]
        if decisive:
            raise ConfigError(
                path,
                "was written with other options: " + "; ".join(decisive),
                expected="the same model, loss and data set, to go on from it",
                remedy="restore these options, or start from its weights with model.pretrained and another output_dir",
            )
        return [f"changed since: {text}" for key, text in changed.items() if key.startswith("train_params.")]


def checkpoint_to_resume(folder: Path, resume: str) -> tuple[Path | None, list[DataError]]:
    """The checkpoint that `train_params.resume` means, and damaged ones that were passed over.

    Raises:
        DataError: There are only damaged ones, or the file is damaged.
        ConfigError: The folder holds a run that must not go on, or there is no such file.
    """
    if resume not in ("auto", "never"):
        if not Path(resume).is_file():
            raise ConfigError(
                "train_params.resume", f"{resume} is not there", expected="auto, never, or a file", remedy="correct it"
            )
        read_checkpoint(Path(resume))
        return Path(resume), []
    found, damaged = resumable(folder)
    if resume == "never" and (found or damaged):
        raise ConfigError(
            "train_params.resume",
            f"never, and {folder} holds a run",
            remedy="give another output_dir, or go on with train_params.resume=auto",
        )
    if found is None and damaged:
        raise damaged[0]
    return found, damaged


def _differences(saved: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    told: dict[str, str] = {}
    for key in sorted({*saved, *given}):
        before, now = saved.get(key), given.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            told |= _differences(before, now, f"{prefix}{key}.")
        elif before != now:
            told[f"{prefix}{key}"] = f"{prefix}{key}={before}, now {now}"
    return told


def _instances(batches: Sequence[Batch]) -> list[str]:
    return [name for _, batch in batches if batch for name in batch[0]["instance"]]
