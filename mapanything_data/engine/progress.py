"""A bar with rate and time left, drawn from the journal: so a run on a cluster is watched like one at home."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

from mapanything_data.engine.bar import bar_line
from mapanything_data.engine.journal import Entry, read_entries_from, read_inflight

REDRAW_S = 0.2
LINE_EVERY_S = 15.0
"""Where the output is a file, a line now and then replaces the bar."""


class JournalTail:
    """Follows all journal files of a run; each call of `read` picks up what came since."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._offsets: dict[Path, int] = {}
        self.ended = 0
        self.failed = 0
        self.in_flight = 0.0

    def read(self) -> None:
        """Update the counts of items that ended and failed, and the sum of the fractions in flight."""
        for path in self._journal.glob("*.jsonl"):
            entries, self._offsets[path] = read_entries_from(path, self._offsets.get(path, 0))
            self._count(entries)
        running = (read_inflight(path) for path in self._journal.glob("*.inflight"))
        self.in_flight = sum(item.fraction for item in running if item)

    def _count(self, entries: list[Entry]) -> None:
        self.ended += len(entries)
        self.failed += sum(entry.outcome == "failed" for entry in entries)


class Progress:
    """Watches a run in a thread of its own and draws the bar."""

    def __init__(self, name: str, total: int, journal: Path, stream: TextIO | None = None) -> None:
        self._name = name
        self._total = total
        self._tail = JournalTail(journal)
        self._stream = stream or sys.stderr
        self._started = time.monotonic()
        self._last_line = self._started
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if self._stream.isatty():
            self._draw("\r", "\x1b[K\n")

    def _watch(self) -> None:
        while not self._ending.wait(REDRAW_S):
            self._tail.read()
            if self._stream.isatty():
                self._draw("\r", "\x1b[K")
            elif time.monotonic() - self._last_line >= LINE_EVERY_S:
                self._last_line = time.monotonic()
                self._draw("", "\n")
        self._tail.read()

    def _draw(self, before: str, after: str) -> None:
        self._stream.write(before + self.line() + after)
        self._stream.flush()

    def line(self) -> str:
        """The bar as text."""
        seconds = time.monotonic() - self._started
        done = self._tail.ended + self._tail.in_flight
        bar = bar_line(self._name, done=done, total=self._total, unit="items", seconds=seconds)
        return bar + (f"  failed {self._tail.failed}" if self._tail.failed else "")
