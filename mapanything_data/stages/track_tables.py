"""Tables beside the tree of episodes: seconds of every step, and what failed for which reason."""

from __future__ import annotations

from pathlib import Path

from mapanything_data.engine.folder import journals_of_all_runs, records_folder
from mapanything_data.engine.journal import Entry, read_entries
from mapanything_data.storage.tables import write_csv

TIMINGS, FAILED = "timings.csv", "failed.csv"
_STEPS = ("read_s", "intrinsics_s", "frames_s", "tracks_s", "quality_s")


def write_tables(root: Path, work_name: str) -> None:
    """Write timings.csv and failed.csv into the root of a tree from the journals of all runs.

    Args:
        root: The tree.
        work_name: The stage that made it.
    """
    last: dict[str, Entry] = {}
    finished: list[Entry] = []
    for entry in read_entries(journals_of_all_runs(records_folder(root, work_name))):
        last[entry.item] = entry
        if entry.outcome == "done":
            finished.append(entry)
    timings = [
        {
            "episode": entry.item,
            "host": entry.host,
            "frames": int(entry.stats.get("frames", 0)),
            "seconds": round(entry.seconds, 6),
            **{step: round(entry.stats[step], 6) if step in entry.stats else "" for step in _STEPS},
        }
        for entry in finished
    ]
    failed = [
        {"episode": entry.item, "host": entry.host, "attempts": entry.attempts, "reason": " ".join(entry.error.split())}
        for entry in last.values()
        if entry.outcome == "failed"
    ]
    write_csv(root / TIMINGS, ["episode", "host", "frames", "seconds", *_STEPS], timings)
    write_csv(root / FAILED, ["episode", "host", "attempts", "reason"], failed)
