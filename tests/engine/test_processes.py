"""What `processes` gives each worker: its GPU, its cores, one setup."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from planted_work import PlantedItem, PlantedWork

from mapanything_data.engine import RunOptions, run
from mapanything_data.engine.executors.processes import ProcessesExecutor


@dataclass
class EnvironmentWork(PlantedWork):
    """Each item writes down what its process sees."""

    def run(self, item: PlantedItem, report) -> dict[str, float]:
        seen = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
        (self.output / item.key).write_text(json.dumps({"pid": os.getpid(), **seen}))
        return {}


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return EnvironmentWork.below(tmp_path, count=24)


def seen_by_workers(work, executor) -> dict[int, dict]:
    run(work, executor, RunOptions())
    seen = [json.loads(Path(work.output / item.key).read_text()) for item in work.items()]
    return {entry["pid"]: entry for entry in seen}


def test_each_worker_sees_one_gpu(work):
    seen = seen_by_workers(work, ProcessesExecutor(workers=3, gpus=2))

    assert sorted(entry["CUDA_VISIBLE_DEVICES"] for entry in seen.values()) == ["0", "0", "1"]


def test_gpus_come_from_those_that_this_process_may_use(work, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")

    seen = seen_by_workers(work, ProcessesExecutor(workers=2, gpus=2))

    assert sorted(entry["CUDA_VISIBLE_DEVICES"] for entry in seen.values()) == ["5", "7"]


def test_without_gpus_the_environment_stays_as_it_is(work):
    seen = seen_by_workers(work, ProcessesExecutor(workers=2))

    assert {entry["CUDA_VISIBLE_DEVICES"] for entry in seen.values()} == {None}


def test_workers_share_the_cores(work):
    seen = seen_by_workers(work, ProcessesExecutor(workers=2))

    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {entry["OMP_NUM_THREADS"] for entry in seen.values()} == {str(share)}


def test_setup_runs_once_in_each_worker(work):
    seen = seen_by_workers(work, ProcessesExecutor(workers=2))

    assert {path.name for path in work.calls.glob("setup-*")} == {f"setup-{pid}" for pid in seen}
