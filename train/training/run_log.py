"""What a run says of itself: on the terminal, in console.log, log.txt and TensorBoard; by rank 0 alone."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapanything_data.engine.bar import TerminalBar
from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import write_atomic
from mapanything_data.storage.png import encode_png
from mapanything_data.storage.tables import read_jsonl

CONSOLE, ROWS, BOARD = "console.log", "log.txt", "tensorboard"


class RunLog:
    """The records of a run; without a folder, as in ranks above 0, it keeps still.

    Args:
        folder: Where the files are; None keeps none.
        step: Steps that a checkpoint holds from which the run goes on. What an earlier run noted after it is dropped,
            since those steps are made again.
        evaluations: Likewise, epochs of the last evaluation that the checkpoint knows of.

    All methods raise DataError where the disk refuses.
    """

    def __init__(self, folder: Path | None, *, step: int = 0, evaluations: int = 0) -> None:
        self._folder = folder
        self._bar = TerminalBar()
        if folder is None:
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        with _written(folder / ROWS):
            _drop_rows(folder / ROWS, step, evaluations)
            self._rows = (folder / ROWS).open("a", encoding="utf-8")
        with _written(folder / CONSOLE):
            self._console = (folder / CONSOLE).open("a", encoding="utf-8")
        with _written(folder / BOARD):
            self._board = SummaryWriter(str(folder / BOARD), purge_step=step + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder:
            self._bar.clear()
            # What the disk refused before, it refuses again here, and that would hide the error that tells of it.
            for name, file in ((CONSOLE, self._console), (ROWS, self._rows), (BOARD, self._board)):
                with suppress(DataError) if error else nullcontext(), _written(self._folder / name):
                    file.close()

    def say(self, text: str) -> None:
        """A line for people."""
        if self._folder is None:
            return
        self._bar.clear()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        with _written(self._folder / CONSOLE):
            self._console.write("".join(f"{time.strftime('%F %T')} {line}\n" for line in text.splitlines()))
            self._console.flush()

    def note(self, row: Mapping[str, Any]) -> None:
        """A row of log.txt, with `kind`, `epoch` and `step`; its numbers go to TensorBoard, too. NaN becomes null."""
        if self._folder is None:
            return
        with _written(self._folder / ROWS):
            self._rows.write(json.dumps({key: _finite(value) for key, value in row.items()}) + "\n")
            self._rows.flush()
        with _written(self._folder / BOARD):
            for key, value in row.items():
                if isinstance(value, int | float) and key not in ("step", "epoch"):
                    self._board.add_scalar(f"{row['kind']}/{key}", value, row["step"])

    def progress(self, name: str, *, done: int, total: int, unit: str, seconds: float, before: int = 0) -> None:
        """Draw the progress bar, where someone looks at it."""
        if self._folder is not None:
            self._bar.draw(name, done=done, total=total, unit=unit, seconds=seconds, before=before)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """A picture [H, W, 3] uint8 RGB."""
        if self._folder is None:
            return
        path = self._folder / "pictures" / f"{name}.png"
        with _written(path):
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, encode_png(image))
        with _written(self._folder / BOARD):
            self._board.add_image(name.rpartition("_")[2], image, step, dataformats="HWC")


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            path,
            f"cannot be written: {(error.strerror or str(error)).lower()}",
            expected="a folder that can be written to, on a disk with room",
            remedy="make room on its disk, then start again: the run goes on from its last checkpoint",
        ) from error


def _drop_rows(path: Path, step: int, evaluations: int) -> None:
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):  # a kill tore the last line
        write_atomic(path, text[: text.rfind("\n") + 1])
    kept = [
        row
        for row in read_jsonl(path)
        if (row["step"] <= step if row["kind"] == "train" else row["epoch"] <= evaluations)
    ]
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
