"""What came of a run: counts, numbers, failures, exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mapanything_data.engine.journal import Entry

EXIT_OK = 0
EXIT_FAILED_ITEMS = 1
_FAILURES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run.

    Attributes:
        name: The stage.
        output: Where its outputs are.
        records: The folder with the configuration and the journal of this run.
        total: Number of items of the work.
        finished_before: Items whose outputs were already complete.
        failed_before: Keys of unfinished items that failed in an earlier run and were not tried again.
        entries: How the items of this run ended.
        not_run: Unfinished items that were left for another run (limit, stop, interruption).
        seconds: Wall-clock time of the run.
    """

    name: str
    output: Path
    records: Path
    total: int
    finished_before: int
    failed_before: Sequence[str]
    entries: Sequence[Entry]
    not_run: int
    seconds: float

    @property
    def done(self) -> int:
        """Items that this run finished."""
        return sum(entry.outcome == "done" for entry in self.entries)

    @property
    def failures(self) -> list[Entry]:
        """How the items of this run that failed ended."""
        return [entry for entry in self.entries if entry.outcome == "failed"]

    @property
    def stats(self) -> dict[str, float]:
        """Numbers of all items that this run finished, added up."""
        return add_stats(self.entries)

    @property
    def exit_code(self) -> int:
        """1 while any item that was tried, now or before, has no outputs because it failed; else 0."""
        return EXIT_FAILED_ITEMS if self.failures or self.failed_before else EXIT_OK

    def __str__(self) -> str:
        counts = {
            "done": self.done,
            "already finished": self.finished_before,
            "failed": len(self.failures),
            "failed before": len(self.failed_before),
            "left to do": self.not_run,
        }
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "done")
        lines = [f"{self.name}: {told} of {self.total} items in {self.seconds:.1f} s"]
        if self.stats:
            lines.append("  numbers  " + ", ".join(f"{name} {_plain(value)}" for name, value in self.stats.items()))
        lines += _list_failures(self.failures)
        if self.failures or self.failed_before:
            lines.append("  again    add retry=failed to run the failed items again, and only those")
        lines += [f"  output   {self.output}", f"  records  {self.records}"]
        return "\n".join(lines)


def add_stats(entries: Iterable[Entry]) -> dict[str, float]:
    """Sum of the numbers that finished items returned, by name."""
    totals: Counter[str] = Counter()
    for entry in entries:
        totals.update(entry.stats if entry.outcome == "done" else {})
    return dict(totals)


def _list_failures(failures: Sequence[Entry]) -> list[str]:
    lines = []
    for entry in failures[:_FAILURES_SHOWN]:
        first, *rest = entry.error.splitlines() or [""]
        lines += [f"  failed   {entry.item}: {first}", *(f"           {line}" for line in rest)]
    if len(failures) > _FAILURES_SHOWN:
        lines.append(f"  failed   ... and {len(failures) - _FAILURES_SHOWN} more: see the journal")
    return lines


def _plain(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"
