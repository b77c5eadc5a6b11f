"""How many cores this process may use."""

from __future__ import annotations

import os


def allowed_cores() -> int:
    """Cores that the scheduler grants this process, which on shared machines are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def cores_per_worker(workers: int) -> int:
    """A fair share of the allowed cores for each of `workers` processes, at least 1."""
    return max(1, allowed_cores() // workers)
