"""What only a real Slurm can show: preemption, cancelling, stopping the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from planted_work import PlantedWork

from mapanything_data.engine import RunOptions, run
from mapanything_data.engine.executors.submitit import SubmititExecutor
from mapanything_data.errors import UserError

pytestmark = pytest.mark.slurm
ONCE = RunOptions(retries=0)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())]))
    return PlantedWork.below(tmp_path, count=4)


def executor():
    return SubmititExecutor(jobs=2, cores=1, time_min=20, poll_s=0.5)


def test_a_preempted_job_is_requeued_and_its_item_keeps_its_attempt(work):
    work.plant("preempt", 1)

    summary = run(work, executor(), ONCE)

    assert (summary.done, summary.exit_code) == (4, 0)
    assert {entry.item: entry.attempts for entry in summary.entries}["item_001"] == 1
    assert work.pop_runs() == ["item_000", "item_001", "item_001", "item_002", "item_003"]


def test_a_cancelled_job_stops_the_run_and_is_not_submitted_again(work):
    work.plant("cancel", 2)

    with pytest.raises(UserError, match="was cancelled"):
        run(work, executor(), ONCE)

    assert work.pop_runs().count("item_002") == 1


def test_stopping_the_driver_cancels_its_jobs_and_the_next_run_goes_on(work, tmp_path):
    work.plant("hang", 0, 1, 2, 3)
    script = tmp_path / "program.py"
    script.write_text(f"""
from pathlib import Path
from planted_work import PlantedWork
from mapanything_data.engine import RunOptions, run
from mapanything_data.engine.executors.submitit import SubmititExecutor
run(PlantedWork.below(Path({str(tmp_path)!r}), 4), SubmititExecutor(jobs=2, cores=1, poll_s=0.5), RunOptions())
""")
    driver = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE)
    runs = work.calls / "runs"
    deadline = time.monotonic() + 60
    while not runs.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=60)

    assert subprocess.run(["squeue", "--noheader"], capture_output=True, text=True).stdout == ""
    work.uproot()
    work.pop_runs()
    assert run(work, executor(), ONCE).done == 4
