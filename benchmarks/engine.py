"""What the engine costs: per empty item, and per item that is already finished.

The baseline is the script that people write instead: a loop that skips files which exist and appends a line to a log.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mapanything_data.engine import RunOptions, run
from mapanything_data.engine.executors.inline import InlineExecutor

EMPTY_ITEMS = 10_000
FINISHED_ITEMS = 100_000


@dataclass(frozen=True)
class Number:
    key: str


@dataclass
class EmptyWork:
    """Items that leave nothing behind; those below `finished` count as finished when their file exists."""

    output: Path
    count: int
    name: str = "empty"

    def items(self):
        return [Number(f"item_{number:06d}") for number in range(self.count)]

    def done(self, item):
        return (self.output / item.key).exists()

    def setup(self):
        """Nothing to prepare."""

    def run(self, item, report):  # noqa: ARG002 - an empty item uses neither
        return {}


def plain_loop(folder: Path, count: int) -> float:
    start = time.perf_counter()
    with (folder / "log.jsonl").open("a") as log:
        for number in range(count):
            name = f"item_{number:06d}"
            if not (folder / name).exists():
                log.write(json.dumps({"item": name, "outcome": "done", "time": time.time()}) + "\n")
                log.flush()
    return time.perf_counter() - start


def engine(folder: Path, count: int) -> float:
    start = time.perf_counter()
    run(EmptyWork(folder, count), InlineExecutor(), RunOptions())
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baseline, ours = plain_loop(folder, EMPTY_ITEMS), engine(folder, EMPTY_ITEMS)
        print(f"engine: {EMPTY_ITEMS} empty items, inline")
        print(
            f"  {1e3 * ours / EMPTY_ITEMS:.3f} ms an item (limit 1 ms), {ours / baseline:.1f} x a plain loop with a log"
        )
        for number in range(FINISHED_ITEMS):
            (folder / f"item_{number:06d}").touch()
        baseline, ours = plain_loop(folder, FINISHED_ITEMS), engine(folder, FINISHED_ITEMS)
        print(f"engine: deciding that {FINISHED_ITEMS} finished items are finished")
        print(f"  {ours:.2f} s (limit 5 s), {ours / baseline:.1f} x a plain loop")


if __name__ == "__main__":
    main()
