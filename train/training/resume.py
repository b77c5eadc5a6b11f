"""Whether, and from where, a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapanything_data.errors import ConfigError, DataError
from train.checkpoints.file import read_checkpoint
from train.checkpoints.keep import resumable

_DECISIVE_GROUPS = ("model", "loss", "dataset")
"""Groups whose options a run cannot change on its way,"""
_HARMLESS = {"root", "depth_root", "pretrained", "strict", "gradient_checkpointing", "on_broken_sample"}
"""but for these, which say where things are and how they are computed."""


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
        if Path(resume).absolute().parent != folder and any(folder.glob("checkpoint-*.pth")):
            raise ConfigError(
                "output_dir",
                f"{folder} holds a run of its own",
                expected=f"an empty folder, to go on from {resume}",
                remedy="give another output_dir, or train_params.resume=auto to go on with that run",
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


def changed_options(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What the user should know of options that differ from those of a checkpoint.

    Args:
        path: The checkpoint.
        saved: The configuration that it was written with, as plain values.
        given: That of this run.

    Raises:
        ConfigError: The model, the loss or the data set had other options.
    """
    changed = _differences(saved, given)
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


def _differences(saved: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    told: dict[str, str] = {}
    for key in sorted({*saved, *given}):
        before, now = saved.get(key), given.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            told |= _differences(before, now, f"{prefix}{key}.")
        elif before != now:
            told[f"{prefix}{key}"] = f"{prefix}{key}={before}, now {now}"
    return told
