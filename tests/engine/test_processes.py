"""What `processes` gives each worker: its GPU, its cores, one setup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from planted_work import PlantedItem, PlantedWork

from mapanything_data.engine import RunOptions, run
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.engine.gpus import allowed_gpus


@dataclass
class EnvironmentWork(PlantedWork):
    """Each item writes down what its process sees."""

    def run(self, item: PlantedItem, report) -> dict[str, float]:
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
        seen = {name: os.environ.get(name) for name in names}
        (self.output / item.key).write_text(json.dumps({"pid": os.getpid(), **seen}))
        return {}


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OPENCV_FOR_THREADS_NUM", raising=False)
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


def test_gpus_are_found_and_each_gets_its_number_of_workers(work, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")

    seen = seen_by_workers(work, ProcessesExecutor(workers=7, gpus=-1, workers_per_gpu=2))

    assert sorted(entry["CUDA_VISIBLE_DEVICES"] for entry in seen.values()) == ["GPU-aa"] * 2 + ["GPU-bb"] * 2


def test_where_no_gpu_is_found_the_number_of_workers_decides(work, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    seen = seen_by_workers(work, ProcessesExecutor(workers=2, gpus=-1, workers_per_gpu=3))

    assert [entry["CUDA_VISIBLE_DEVICES"] for entry in seen.values()] == ["", ""]


def test_the_driver_tells_which_gpus_there_are(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    found = subprocess.run(
        [sys.executable, "-c", "from mapanything_data.engine.gpus import allowed_gpus; print(allowed_gpus())"],
        env={name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"},
        capture_output=True, text=True,
    )  # fmt: skip

    assert found.stdout == "['0', '1', '2']\n"


@pytest.mark.parametrize(("visible", "gpus"), [("2,0", ["2", "0"]), ("-1", []), ("", []), ("1,-1,3", ["1"])])
def test_cuda_visible_devices_ends_at_the_first_name_that_is_none(visible, gpus):
    assert allowed_gpus({"CUDA_VISIBLE_DEVICES": visible}) == gpus


def test_workers_share_the_cores(work):
    seen = seen_by_workers(work, ProcessesExecutor(workers=2))

    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {entry["OMP_NUM_THREADS"] for entry in seen.values()} == {str(share)}
    assert {entry["OPENCV_FOR_THREADS_NUM"] for entry in seen.values()} == {str(share)}


def test_setup_runs_once_in_each_worker(work):
    seen = seen_by_workers(work, ProcessesExecutor(workers=2))

    assert {path.name for path in work.calls.glob("setup-*")} == {f"setup-{pid}" for pid in seen}
