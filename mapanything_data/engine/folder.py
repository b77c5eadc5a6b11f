"""Where the engine keeps its records, below the output of the work."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mapanything_data.engine.journal import ShardJournal


def records_folder(output: Path, work_name: str) -> Path:
    """Where the records of all runs of a work are kept."""
    return output / ".mapanything" / work_name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Records of one run: `{output}/.mapanything/{work name}/runs/{run id}/`."""

    stage: Path
    path: Path

    @classmethod
    def create(cls, output: Path, work_name: str) -> RunFolder:
        """Make the folder of a new run, which is the current one from then on; its name sorts by time."""
        stage = records_folder(output, work_name)
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.{time.time_ns() % 10**9:09d}-{os.getpid()}"
        folder = cls(stage, stage / "runs" / name)
        folder.journal.mkdir(parents=True)
        announcement = stage / f".current-{name}"
        announcement.write_text(name, encoding="utf-8")
        announcement.replace(stage / "current")
        return folder

    @property
    def journal(self) -> Path:
        """The folder of the shards' journals."""
        return self.path / "journal"

    def save(self, record: Mapping[str, str]) -> None:
        """Write text files, such as the resolved configuration, beside the journal."""
        for name, text in record.items():
            (self.path / name).write_text(text, encoding="utf-8")

    def request_stop(self) -> None:
        """Ask all workers, on this machine or another, to stop after the item in flight."""
        (self.path / "stop").touch()

    def stop_requested(self) -> bool:
        """Whether workers were asked to stop, or belong to a run that died and was followed by another."""
        return (self.path / "stop").exists() or (self.stage / "current").read_text(encoding="utf-8") != self.path.name

    def stuck(self, journal: ShardJournal) -> Path:
        """Where the stack of a worker that had to be ended is kept."""
        return self.path / f"{journal.name}.stack.txt"


def journals_of_all_runs(stage: Path) -> Iterator[Path]:
    """The journal files of every run of a stage, oldest run first."""
    runs: Iterable[Path] = sorted((stage / "runs").glob("*")) if stage.is_dir() else ()
    for run in runs:
        yield from sorted((run / "journal").glob("*.jsonl"))
