"""A work whose items do what a test plants: succeed, fail, hang, kill their worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PlantedItem:
    key: str


@dataclass
class PlantedWork:
    """Writes one file for each item. A file `{plants}/{key}` with a text that `_spoil` knows spoils the item."""

    output: Path
    plants: Path
    calls: Path
    count: int
    name: str = "planted"

    @classmethod
    def below(cls, folder: Path, count: int) -> PlantedWork:
        work = cls(folder / "output", folder / "plants", folder / "calls", count)
        for path in (work.output, work.plants, work.calls):
            path.mkdir(exist_ok=True)
        return work

    def items(self) -> list[PlantedItem]:
        return [PlantedItem(f"item_{number:03d}") for number in range(self.count)]

    def done(self, item: PlantedItem) -> bool:
        return (self.output / item.key).exists()

    def setup(self) -> None:
        (self.calls / f"setup-{os.getpid()}").touch()
        if (self.plants / "setup").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self, item: PlantedItem, report) -> dict[str, float]:
        with (self.calls / "runs").open("a") as calls:
            calls.write(f"{item.key}\n")
        plant = self.plants / item.key
        if plant.exists():
            _spoil(plant.read_text(), item.key)
        report(0.5)
        temporary = self.output / f".{item.key}-{os.getpid()}"
        temporary.write_text(f"made from {item.key}")
        temporary.rename(self.output / item.key)
        return {"bytes": len(item.key)}

    def plant(self, text: str, *numbers: int) -> None:
        for number in numbers:
            (self.plants / f"item_{number:03d}").write_text(text)

    def uproot(self) -> None:
        for plant in self.plants.iterdir():
            plant.unlink()

    def pop_runs(self) -> list[str]:
        """Keys of the items that ran since the last call, one for each attempt."""
        calls = self.calls / "runs"
        keys = calls.read_text().split() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return sorted(keys)

    def outputs(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.output.iterdir()) if path.is_file()}


def _spoil(how: str, key: str) -> None:
    if how == "fail":
        raise RuntimeError(f"planted failure of {key}")
    if how == "hang":
        time.sleep(60)
    if how == "stuck":  # native code that no Python signal handler interrupts
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(60)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "preempt" and "SLURM_RESTART_COUNT" not in os.environ:
        _signal_own_job("--signal=USR2")
    if how == "cancel":
        _signal_own_job()


def _signal_own_job(*options: str) -> None:
    """Do to this job what an operator or a preempting partition would do, and wait for the consequence."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    subprocess.run(["scancel", *options, job], check=True)
    time.sleep(60)
