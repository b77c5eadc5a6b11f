"""One run at a time on one output.

A run holds an exclusive lock; each of its workers holds a shared one. So a second run is refused, and a run that starts
after the first was killed waits for workers that have not noticed yet. Locks vanish with their process.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mapanything_data.errors import UserError

ORPHAN_WAIT_S = 60.0


class OutputBusyError(UserError):
    """Another run writes to the same output."""


@contextmanager
def run_lock(stage: Path) -> Iterator[None]:
    """Hold `stage` for a run.

    Raises:
        OutputBusyError: Another run, or workers that outlived theirs, write to it.
    """
    path = stage / "lock"
    with path.open("a+", encoding="utf-8") as file:
        if not _try_lock(file.fileno(), fcntl.LOCK_EX):
            raise OutputBusyError(
                stage.parent.parent,
                f"another run of {stage.name} is writing here ({_describe_holder(path)})",
                remedy="wait until it ends or stop it, or choose another output folder",
            )
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}))
        file.flush()
        yield


@contextmanager
def worker_lock(stage: Path) -> Iterator[None]:
    """Show that a worker is at work on `stage`."""
    with (stage / "workers.lock").open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def wait_for_orphans(stage: Path) -> None:
    """Wait until workers of a run that was killed have noticed and stopped.

    Raises:
        OutputBusyError: They go on working.
    """
    with (stage / "workers.lock").open("a", encoding="utf-8") as file:
        deadline = time.monotonic() + ORPHAN_WAIT_S
        told = False
        while not _try_lock(file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise OutputBusyError(
                    stage.parent.parent,
                    f"workers of an earlier run of {stage.name} are still writing here",
                    remedy="stop them (on a cluster: cancel the run's jobs), then run the same command again",
                )
            if not told:
                print(f"{stage.name}: waiting for workers of an earlier run to stop", file=sys.stderr)  # noqa: T201
                told = True
            time.sleep(0.2)


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError):
        return "just started"
