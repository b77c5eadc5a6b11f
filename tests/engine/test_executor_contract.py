"""What every executor must do; the same tests for each of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from planted_work import PlantedWork

from mapanything_data.engine import Retry, RunOptions, run
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.engine.executors.ray import RayExecutor
from mapanything_data.engine.executors.submitit import Cluster, SubmititExecutor
from mapanything_data.errors import UserError

ISOLATED = {
    "processes": lambda: ProcessesExecutor(workers=2),
    "submitit-local": lambda: SubmititExecutor(cluster=Cluster.local, jobs=2),
    "submitit-slurm": lambda: SubmititExecutor(cluster=Cluster.slurm, jobs=2, cores=1, poll_s=0.5),
    "ray": lambda: RayExecutor(workers=2),
}
IN_THIS_PROCESS = {"inline": InlineExecutor, "submitit-debug": lambda: SubmititExecutor(cluster=Cluster.debug)}
MARKS = {"submitit-slurm": pytest.mark.slurm, "ray": pytest.mark.ray}


def executors(*kinds):
    names = {name: make for kind in kinds for name, make in kind.items()}
    return pytest.mark.parametrize(
        "executor", [pytest.param(make, id=name, marks=MARKS.get(name, ())) for name, make in names.items()]
    )


ONCE = RunOptions(retries=0)
AGAIN = RunOptions(retries=0, retry=Retry.failed)


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())]))
    return PlantedWork.below(tmp_path, count=7)


@executors(IN_THIS_PROCESS, ISOLATED)
def test_every_item_is_run_once_and_leaves_its_output(executor, work):
    summary = run(work, executor(), ONCE)

    assert work.outputs() == {f"item_{n:03d}": f"made from item_{n:03d}" for n in range(7)}
    assert work.pop_runs() == [f"item_{n:03d}" for n in range(7)]
    assert (summary.done, summary.exit_code, summary.stats) == (7, 0, {"bytes": 7 * 8})


@executors(IN_THIS_PROCESS, ISOLATED)
def test_failed_items_stop_no_others_then_only_they_run_again_then_nothing_does(executor, work):
    work.plant("fail", 1, 5)
    first = run(work, executor(), ONCE)
    assert (first.done, first.exit_code) == (5, 1)
    assert sorted(entry.item for entry in first.failures) == ["item_001", "item_005"]
    assert "planted failure of item_001" in str(first)
    work.pop_runs()

    work.uproot()
    second = run(work, executor(), AGAIN)
    assert work.pop_runs() == ["item_001", "item_005"]
    assert (second.done, second.finished_before, second.exit_code) == (2, 5, 0)

    third = run(work, executor(), AGAIN)
    assert work.pop_runs() == []
    assert (third.done, third.finished_before, third.exit_code) == (0, 7, 0)


@executors(IN_THIS_PROCESS, ISOLATED)
def test_another_executor_and_shard_count_repeat_nothing(executor, work):
    work.plant("fail", 2)
    run(work, executor(), ONCE)
    work.uproot()
    work.pop_runs()

    run(work, ProcessesExecutor(workers=1, shards=3), AGAIN)

    assert work.pop_runs() == ["item_002"]


@executors(ISOLATED)
def test_a_worker_that_is_killed_costs_its_item_an_attempt_and_the_run_goes_on(executor, work):
    work.plant("die", 3)

    summary = run(work, executor(), RunOptions(retries=1))

    assert summary.done == 6
    (failure,) = summary.failures
    assert (failure.item, failure.attempts) == ("item_003", 2)
    assert "died" in failure.error
    assert work.pop_runs().count("item_003") == 2


@executors(IN_THIS_PROCESS, ISOLATED)
def test_an_item_over_its_time_fails_and_the_others_do_not(executor, work):
    work.plant("hang", 4)

    summary = run(work, executor(), RunOptions(retries=0, item_timeout_s=1.0))

    assert summary.done == 6
    assert [(entry.item, entry.error) for entry in summary.failures] == [("item_004", "not finished within 1 s")]


@executors(ISOLATED)
def test_an_item_stuck_in_native_code_is_ended_with_its_worker(executor, work, monkeypatch):
    work.plant("stuck", 4)

    summary = run(work, executor(), RunOptions(retries=0, item_timeout_s=0.5))

    assert summary.done == 6
    assert [entry.item for entry in summary.failures] == ["item_004"]
    assert "0.5 s" in summary.failures[0].error


@executors(ISOLATED)
def test_workers_that_die_before_any_item_end_the_run_with_a_reason(executor, work):
    (work.plants / "setup").touch()

    with pytest.raises(UserError, match="die before they begin an item"):
        run(work, executor(), ONCE)


@executors(IN_THIS_PROCESS, ISOLATED)
def test_a_run_stops_after_max_failures(executor, work):
    work.plant("fail", *range(7))

    summary = run(work, executor(), RunOptions(retries=0, max_failures=2))

    assert 2 <= len(summary.failures) <= 3  # the other worker may be just ending one
    assert summary.not_run == 7 - len(summary.failures)
