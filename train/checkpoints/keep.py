"""Which checkpoints a run keeps, under which names, and which of them it goes on from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from train.checkpoints.file import read_checkpoint, write_checkpoint

LAST = "checkpoint-last.pth"
PREVIOUS = "checkpoint-previous.pth"
BEST = "checkpoint-best.pth"
FINAL = "checkpoint-final.pth"


def kept_name(epoch: int) -> str:
    """The name of a checkpoint that stays, after so many epochs."""
    return f"checkpoint-{epoch}.pth"


def write_last(folder: Path, state: dict[str, Any]) -> None:
    """Write checkpoint-last.pth; the one before becomes checkpoint-previous.pth.

    Raises:
        DataError: The disk refuses; what was there stays.
    """
    write_checkpoint(folder / LAST, state, predecessor=folder / PREVIOUS)


def resumable(folder: Path) -> tuple[Path | None, list[DataError]]:
    """The newest checkpoint of a run that can be read, and what is wrong with newer ones.

    They are tried in this order: last, previous, then those that stay, from the latest epoch down. None where the
    folder holds no checkpoint at all, or only damaged ones, which the list then names.
    """
    damaged = []
    for path in [folder / LAST, folder / PREVIOUS, *_kept(folder)]:
        if path.exists():
            try:
                read_checkpoint(path)
            except DataError as error:
                damaged.append(error)
            else:
                return path, damaged
    return None, damaged


def _kept(folder: Path) -> list[Path]:
    epochs = [
        int(match[1]) for path in folder.glob("*.pth") if (match := re.fullmatch(r"checkpoint-(\d+)\.pth", path.name))
    ]
    return [folder / kept_name(epoch) for epoch in sorted(epochs, reverse=True)]
