"""The files of a run: its checkpoints, and the batches that broke it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import remove_unfinished
from train.checkpoints.file import read_checkpoint, write_checkpoint
from train.checkpoints.keep import kept_name, write_last
from train.checkpoints.random_state import random_states, resume_random_states
from train.checkpoints.state import capture, model_state, restore
from train.distributed.ranks import Ranks
from train.training.ema import MovingAverage
from train.training.progress import Progress
from train.training.resume import changed_options
from train.training.step import Batch, NotFiniteError

FORMAT_VERSION = 1


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
        """Write the weights that are evaluated, without what only training needs, under a name."""
        with self._average.applied() if self._average else nullcontext():
            state = {"model": model_state(self._network), **self._description(progress)}
            if self._ranks.is_main:
                write_checkpoint(self._folder / name, state)

    def restore(self, path: Path) -> tuple[Progress, list[str]]:
        """Go on from a checkpoint.

        Returns:
            How far it is, and what the user should know.

        Raises:
            DataError: It lacks what a run goes on from, or is of another model.
            ConfigError: The model, the loss or the data set had other options.
        """
        state = read_checkpoint(path, verify=False)  # `checkpoint_to_resume` has done so
        if state.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise DataError(
                path,
                f"has format_version {state['format_version']}",
                expected=f"{FORMAT_VERSION}",
                remedy="go on with the version of this program that wrote it, or start from its weights with "
                "model.pretrained and another output_dir",
            )
        remarks = changed_options(path, json.loads(state["config"]), self._config) if "config" in state else []
        averages = self._average.state_dict() if self._average else None
        progress = Progress(
            **restore(state, self._network, self._optimiser, ema=averages, scaler=self._scaler, where=path)
        )
        if path.absolute().parent != self._folder:
            progress.best = None  # its checkpoint is not here
        if averages is not None and state["ema"] is None:
            remarks.append("the checkpoint has no moving average: it starts from the weights")
        told = resume_random_states(state["random"], self._ranks.rank, self._ranks.world_size, self._seed())
        return progress, [*remarks, *filter(None, [told])]

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


def _instances(batches: Sequence[Batch]) -> list[str]:
    return [name for _, batch in batches if batch for name in batch[0]["instance"]]
