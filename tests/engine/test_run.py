"""Choosing items, attempts, records and locks, as any executor does them; shown with `inline`."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from planted_work import PlantedItem, PlantedWork

from mapanything_data.engine import Retry, RunOptions, run
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.lock import OutputBusyError
from mapanything_data.engine.shard import partition
from mapanything_data.errors import ConfigError, DataError

ONCE = RunOptions(retries=0)


@pytest.fixture
def work(tmp_path):
    return PlantedWork.below(tmp_path, count=5)


def test_a_failed_item_waits_until_it_is_asked_for(work):
    work.plant("fail", 2)
    run(work, InlineExecutor(), ONCE)
    work.uproot()
    work.pop_runs()

    summary = run(work, InlineExecutor(), ONCE)

    assert work.pop_runs() == []
    assert summary.failed_before == ["item_002"]
    assert summary.exit_code == 1
    assert "retry=failed" in str(summary)


def test_an_item_is_tried_again_within_the_run_as_often_as_asked(work):
    work.plant("fail", 2)

    summary = run(work, InlineExecutor(), RunOptions(retries=2))

    assert work.pop_runs().count("item_002") == 3
    assert summary.failures[0].attempts == 3


def test_the_limit_counts_unfinished_items_only(work):
    run(work, InlineExecutor(), RunOptions(limit=2))
    assert work.pop_runs() == ["item_000", "item_001"]

    summary = run(work, InlineExecutor(), RunOptions(limit=2))

    assert work.pop_runs() == ["item_002", "item_003"]
    assert (summary.finished_before, summary.not_run) == (2, 1)


def test_failures_keep_their_traceback_in_the_journal_and_out_of_the_summary(work):
    work.plant("fail", 0)

    summary = run(work, InlineExecutor(), ONCE)

    (journal,) = (summary.records / "journal").glob("*.jsonl")
    failed = json.loads(journal.read_text().splitlines()[0])
    assert "in _spoil" in failed["traceback"]
    assert "Traceback" not in str(summary)


def test_the_record_is_saved_with_the_run(work):
    summary = run(work, InlineExecutor(), ONCE, {"config.yaml": "seed: 0\n"})

    assert (summary.records / "config.yaml").read_text() == "seed: 0\n"


def test_two_items_of_one_name_are_refused_before_any_runs(work):
    work.items = lambda: [PlantedItem("twin"), PlantedItem("twin")]

    with pytest.raises(DataError, match="twin"):
        run(work, InlineExecutor(), ONCE)
    assert work.pop_runs() == []


def test_a_second_run_on_the_same_output_is_refused_and_says_who_holds_it(work):
    held = multiprocessing.get_context("spawn").Event()
    other = multiprocessing.get_context("spawn").Process(target=_hold, args=(work, held))
    other.start()
    try:
        assert held.wait(20)
        with pytest.raises(OutputBusyError, match=f"process {other.pid} "):
            run(work, InlineExecutor(), ONCE)
    finally:
        other.kill()
        other.join()
    assert run(work, InlineExecutor(), ONCE).done == 5  # the lock vanished with its process


def _hold(work, held):
    from mapanything_data.engine.folder import records_folder
    from mapanything_data.engine.lock import run_lock

    stage = records_folder(work.output, work.name)
    stage.mkdir(parents=True)
    with run_lock(stage):
        held.set()
        time.sleep(60)


def test_numbers_that_are_no_numbers_fail_their_item_alone(work):
    work.run = lambda item, report: {"frames": "many"} if item.key == "item_001" else {"frames": np.int64(2)}

    summary = run(work, InlineExecutor(), ONCE)

    assert [entry.item for entry in summary.failures] == ["item_001"]
    assert summary.stats == {"frames": 8}


def test_a_work_that_catches_every_exception_is_timed_out_all_the_same(work):
    def stubborn(item, report):
        with contextlib.suppress(Exception):
            time.sleep(30)
        return {}

    work.run = stubborn

    summary = run(work, InlineExecutor(), RunOptions(retries=0, item_timeout_s=0.2, limit=1))

    assert summary.failures[0].error == "not finished within 0.2 s"


def test_a_full_disk_stops_the_run_and_blames_no_item(work, monkeypatch):
    def full(item, report):
        raise OSError(28, "No space left on device", str(work.output / item.key))

    work.run = full

    with pytest.raises(DataError, match="no space is left"):
        run(work, InlineExecutor(), ONCE)
    del work.run
    assert run(work, InlineExecutor(), ONCE).done == 5


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("executor", ["inline.InlineExecutor()", "processes.ProcessesExecutor(workers=2)"])
def test_a_signal_ends_the_run_quickly_and_the_next_run_does_the_rest(work, signal_name, executor):
    import signal

    work.plant("hang", 3)
    program = f"""
import sys
from pathlib import Path
from planted_work import PlantedWork
from mapanything_data.engine import RunOptions, run
from mapanything_data.engine.run import StoppedBySignal
from mapanything_data.engine.executors import inline, processes

if __name__ == "__main__":
    try:
        run(PlantedWork.below(Path({str(work.output.parent)!r}), 5), {executor}, RunOptions(retries=0))
    except StoppedBySignal as stop:
        print(stop.summary)
        sys.exit(stop.exit_code)
"""
    script = work.output.parent / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])}
    process = subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)
    runs = work.calls / "runs"
    deadline = time.monotonic() + 30
    while not (runs.exists() and "item_003" in runs.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(getattr(signal, signal_name))
    out, _ = process.communicate(timeout=20)

    assert process.returncode == 128 + getattr(signal, signal_name)
    assert "planted:" in out
    finished = set(work.outputs())
    assert "item_003" not in finished
    assert not [name for name in finished if name.startswith(".")]
    work.uproot()
    work.pop_runs()
    assert run(work, InlineExecutor(), ONCE).exit_code == 0  # nothing counts as failed
    assert set(work.pop_runs()) == {f"item_{n:03d}" for n in range(5)} - finished


def test_shards_depend_on_names_and_their_number_alone():
    items = [PlantedItem(f"episode/{n}") for n in range(100)]

    once = partition(items, 8)
    again = partition(items[::-1], 8)

    assert {s.index: {i.key for i in s.items} for s in once} == {s.index: {i.key for i in s.items} for s in again}
    assert sorted(i.key for s in once for i in s.items) == sorted(i.key for i in items)
    assert max(len(s.items) for s in once) < 30  # about evenly


@pytest.mark.parametrize("wrong", [{"limit": -2}, {"retries": -1}, {"item_timeout_s": 0.0}, {"max_failures": 0}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RunOptions(**wrong)


def test_retry_failed_leaves_new_items_alone(work):
    work.plant("fail", 1)
    run(work, InlineExecutor(), RunOptions(retries=0, limit=2))
    work.uproot()
    work.pop_runs()

    run(work, InlineExecutor(), RunOptions(retries=0, retry=Retry.failed))

    assert work.pop_runs() == ["item_001"]


def test_a_worker_of_a_run_that_was_followed_by_another_stops_before_its_next_item(work):
    from mapanything_data.engine.folder import RunFolder
    from mapanything_data.engine.shard import Shard, ShardTask

    old = RunFolder.create(work.output, work.name)
    RunFolder.create(work.output, work.name)

    ShardTask(work=work, options=ONCE, folder=old)(Shard(0, tuple(work.items())))

    assert work.pop_runs() == []
