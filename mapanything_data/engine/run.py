"""Run a work: leave out what is finished, shard the rest, let an executor map it, sum up."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from mapanything_data.engine.executor import Executor
from mapanything_data.engine.folder import RunFolder, journals_of_all_runs, records_folder
from mapanything_data.engine.journal import read_entries
from mapanything_data.engine.lock import run_lock, wait_for_orphans
from mapanything_data.engine.options import Retry, RunOptions
from mapanything_data.engine.progress import Progress
from mapanything_data.engine.shard import ShardTask, partition, stop_if_disk_refuses
from mapanything_data.engine.summary import Summary
from mapanything_data.engine.work import AnyWork, Item
from mapanything_data.errors import DataError


class StoppedBySignal(BaseException):
    """Ctrl-C or SIGTERM arrived. Items that ended are journaled, the item in flight was abandoned."""

    def __init__(self, signum: int, summary: Summary | None = None) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.summary = summary

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that the signal ended."""
        return 128 + self.signum


def run(work: AnyWork, executor: Executor, options: RunOptions, record: Mapping[str, str] | None = None) -> Summary:
    """Run the unfinished items of `work`.

    Args:
        work: What to do.
        executor: Where to do it.
        options: How many items, how often, how long.
        record: Text files to keep with the run by name, such as the resolved configuration.

    Raises:
        OutputBusyError: Another run writes to the same output.
        UserError: The machine, not an item, is at fault: the disk is full, `setup` failed.
        StoppedBySignal: Ctrl-C or SIGTERM; carries the summary of what was done until then.
    """
    try:
        return _run(work, executor, options, record or {})
    except OSError as failure:
        stop_if_disk_refuses(failure, work.output)
        if isinstance(failure, PermissionError):
            remedy = "choose a folder that you may write to"
            raise DataError(failure.filename or work.output, "may not be written", remedy=remedy) from failure
        raise


def _run(work: AnyWork, executor: Executor, options: RunOptions, record: Mapping[str, str]) -> Summary:
    clock = time.perf_counter()
    stage = records_folder(work.output, work.name)
    stage.mkdir(parents=True, exist_ok=True)
    with signals_raise(), run_lock(stage):
        folder = RunFolder.create(work.output, work.name)
        wait_for_orphans(folder.stage)
        folder.save(record)
        plan = _plan(work, options)
        try:
            _execute(work, executor, options, plan.selected, folder)
        except StoppedBySignal as stop:
            stop.summary = _sum_up(work, plan, folder, time.perf_counter() - clock)
            raise
        return _sum_up(work, plan, folder, time.perf_counter() - clock)


@dataclass(frozen=True, slots=True)
class _Plan:
    total: int
    unfinished: int
    failed_before: list[str]
    selected: list[Item]


def _plan(work: AnyWork, options: RunOptions) -> _Plan:
    items = work.items()
    _refuse_double_keys(items, work)
    unfinished = [item for item in items if not work.done(item)]
    failed_keys = _keys_that_failed(work) if unfinished else set()
    failed = [item for item in unfinished if item.key in failed_keys]
    wanted = failed if options.retry is Retry.failed else [i for i in unfinished if i.key not in failed_keys]
    selected = wanted if options.limit < 0 else wanted[: options.limit]
    chosen = {item.key for item in selected}
    return _Plan(
        total=len(items),
        unfinished=len(unfinished),
        failed_before=[item.key for item in failed if item.key not in chosen],
        selected=selected,
    )


def _refuse_double_keys(items: Sequence[Item], work: AnyWork) -> None:
    doubled = [key for key, count in Counter(item.key for item in items).items() if count > 1]
    if doubled:
        raise DataError(
            work.output,
            f"{len(doubled)} items of {work.name} share a name, such as {doubled[0]!r}",
            expected="a name of its own for each item",
            remedy="rename the inputs so that each has its own name",
        )


def _keys_that_failed(work: AnyWork) -> set[str]:
    """Keys of the items whose last attempt in any earlier run failed."""
    journals = journals_of_all_runs(records_folder(work.output, work.name))
    last_outcome = {entry.item: entry.outcome for entry in read_entries(journals)}
    return {item for item, outcome in last_outcome.items() if outcome == "failed"}


def _execute(
    work: AnyWork, executor: Executor, options: RunOptions, selected: Sequence[Item], folder: RunFolder
) -> None:
    if not selected:
        return

    shards = partition(selected, executor.shard_count(len(selected)))
    with Progress(work.name, len(selected), folder.journal):
        executor.map(ShardTask(work=work, options=options, folder=folder), shards)


def _sum_up(work: AnyWork, plan: _Plan, folder: RunFolder, seconds: float) -> Summary:
    entries = list(read_entries(sorted(folder.journal.glob("*.jsonl"))))
    return Summary(
        name=work.name,
        output=work.output,
        records=folder.path,
        total=plan.total,
        finished_before=plan.total - plan.unfinished,
        failed_before=plan.failed_before,
        entries=entries,
        not_run=plan.unfinished - len(plan.failed_before) - len(entries),
        seconds=seconds,
    )


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM unwind the block, so that every `finally` and `with` on the way cleans up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)  # a second one must not cut the clean-up short; SIGKILL still ends it
        raise StoppedBySignal(signum)

    previous = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
