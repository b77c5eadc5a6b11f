"""What happens inside a worker: set up once, then item after item, each with attempts, time-out and journal line."""

from __future__ import annotations

import errno
import faulthandler
import hashlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from mapanything_data.engine.folder import RunFolder
from mapanything_data.engine.journal import Entry, InFlight, ShardJournal, read_entries
from mapanything_data.engine.lock import worker_lock
from mapanything_data.engine.options import RunOptions
from mapanything_data.engine.work import AnyWork, Item, Stats
from mapanything_data.errors import DataError, UserError

REPORT_INTERVAL_S = 0.5
STUCK_GRACE_S = 5.0
"""How long after its time-out an item may go on before its worker is ended from below."""

_MAKE_ROOM = "make room or choose another place, then run the same command again: it goes on where it stopped"
_DISK_REFUSES = {
    errno.ENOSPC: ("no space is left", _MAKE_ROOM),
    errno.EDQUOT: ("the quota is used up", _MAKE_ROOM),
    errno.EROFS: (
        "it is read-only",
        "choose another place: output=FOLDER, or dataset.root=FOLDER where data are written",
    ),
}


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the items; which part depends on the items' keys and the number of shards only."""

    index: int
    items: tuple[Any, ...]


def partition(items: Sequence[Item], count: int) -> list[Shard]:
    """Split items into at most `count` shards by a hash of their keys; shards that stay empty are left out."""
    parts: dict[int, list[Item]] = {}
    for item in items:
        digest = hashlib.blake2b(item.key.encode(), digest_size=8).digest()
        parts.setdefault(int.from_bytes(digest, "big") % count, []).append(item)
    return [Shard(index, tuple(part)) for index, part in sorted(parts.items())]


class ItemTimeoutError(BaseException):
    """An item took longer than `item_timeout_s`. No `Exception`, so that a work's own error handling lets it pass."""


@dataclass(slots=True)
class ShardTask:
    """Runs shards in whatever process it is unpickled in; called again with a shard, it goes on where it stopped.

    Attributes:
        work: The work to do.
        options: Attempts, time-out, failures.
        folder: Records of this run.
        isolated: Whether the process may be ended to get rid of an item that is stuck in native code.
    """

    work: AnyWork
    options: RunOptions
    folder: RunFolder
    isolated: bool = False
    _ready: bool = field(default=False, init=False)

    def __call__(self, shard: Shard) -> None:
        """Run the items of `shard` that have not ended in this run.

        Raises:
            UserError: The machine, not an item, is at fault (setup failed, disk full); the run should stop.
        """
        try:
            with worker_lock(self.folder.stage), ShardJournal(self.folder.journal, shard.index) as journal:
                self._run_items(shard.items, journal)
        except OSError as failure:  # the journal itself could not be written
            stop_if_disk_refuses(failure, self.work.output)
            raise

    def _run_items(self, items: Sequence[Item], journal: ShardJournal) -> None:
        for item in items:
            if item.key in journal.ended:
                continue
            if self.folder.stop_requested():
                break
            self._set_up()
            if self._run_item(item, journal).outcome == "failed":
                self._stop_at_max_failures()

    def _stop_at_max_failures(self) -> None:
        if self.options.max_failures > 0:
            failed = read_entries(self.folder.journal.glob("*.jsonl"), only="failed")
            if sum(1 for _ in failed) >= self.options.max_failures:
                self.folder.request_stop()

    def _set_up(self) -> None:
        if not self._ready:
            self.work.setup()
            self._ready = True

    def _run_item(self, item: Item, journal: ShardJournal) -> Entry:
        lost = journal.inflight if journal.inflight and journal.inflight.item == item.key else None
        attempts = lost.attempt if lost else 0
        entry = _worker_died(lost, self.options) if lost else None
        while attempts <= self.options.retries:
            attempts += 1
            entry = self._attempt(item, attempts, journal)
            if entry.outcome == "done":
                break
        assert entry is not None  # at least one attempt, here or in the worker that died
        journal.end(entry)
        journal.release()
        return entry

    def _attempt(self, item: Item, attempt: int, journal: ShardJournal) -> Entry:
        started = InFlight(item=item.key, attempt=attempt, started=time.time())
        journal.start(started)
        clock = time.perf_counter()
        error = trace = ""
        stats: Stats = {}
        try:
            with _time_limit(self.options.item_timeout_s, self.folder.stuck(journal), isolated=self.isolated):
                stats = self.work.run(item, _reporter(started, journal))
            stats = {name: float(value) for name, value in stats.items()}
        except (UserError, ItemTimeoutError) as failure:
            error = str(failure)
        except OSError as failure:
            stop_if_disk_refuses(failure, self.work.output)
            error, trace = f"{type(failure).__name__}: {failure}", traceback.format_exc()
        except Exception as failure:  # noqa: BLE001 - one item's failure, whatever it is, must not stop the others
            error, trace = f"{type(failure).__name__}: {failure}", traceback.format_exc()
        except BaseException:
            journal.release()
            raise
        return Entry(
            item=item.key,
            outcome="failed" if error else "done",
            seconds=round(time.perf_counter() - clock, 6),
            attempts=attempt,
            error=error,
            traceback=trace,
            stats=stats,
        )


def _worker_died(lost: InFlight, options: RunOptions) -> Entry:
    seconds = time.time() - lost.started
    error = "the worker process died while it worked on this item (killed, out of memory, or a crash in native code)"
    if options.item_timeout_s is not None and seconds >= options.item_timeout_s:
        error = f"not finished within {options.item_timeout_s:g} s, and its worker had to be ended"
    return Entry(item=lost.item, outcome="failed", seconds=round(seconds, 6), attempts=lost.attempt, error=error)


def stop_if_disk_refuses(failure: OSError, output: Path) -> None:
    """Turn an error that every further write would meet as well into one that stops the run.

    Raises:
        DataError: The disk that holds `output` is full or read-only.
    """
    if failure.errno in _DISK_REFUSES:
        reason, remedy = _DISK_REFUSES[failure.errno]
        raise DataError(
            failure.filename or output,
            f"cannot write, because {reason}",
            remedy=remedy,
        ) from failure


def _reporter(started: InFlight, journal: ShardJournal) -> Callable[[float], None]:
    next_write = time.monotonic() + REPORT_INTERVAL_S

    def report(fraction: float) -> None:
        nonlocal next_write
        now = time.monotonic()
        if now >= next_write:
            next_write = now + REPORT_INTERVAL_S
            journal.start(replace(started, fraction=min(max(fraction, 0.0), 1.0)))

    return report


@contextmanager
def _time_limit(seconds: float | None, stuck: Path, *, isolated: bool) -> Iterator[None]:
    """Raise `ItemTimeoutError` in the block after `seconds`.

    An alarm reaches Python code only. Where the process is a worker of its own, a second clock, which native code
    cannot hold up, ends the process a little later and leaves the stack in the file `stuck`.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        raise ItemTimeoutError(f"not finished within {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    file = os.open(stuck, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) if isolated else None
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if file is not None:
        faulthandler.dump_traceback_later(seconds + STUCK_GRACE_S, exit=True, file=file)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if file is not None:
            faulthandler.cancel_dump_traceback_later()
            os.close(file)
            stuck.unlink(missing_ok=True)
