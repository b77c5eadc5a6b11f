"""A limit of commits in any hour; what was sent is read from the journal, so that a restart cannot exceed it."""

from __future__ import annotations

from collections import deque

HOUR_S = 3600.0


class CommitBudget:
    """Commits to one repository within an hour that moves along.

    Args:
        per_hour: The most that are sent within any hour.
        sent: When commits were sent before, seconds since 1970.
    """

    def __init__(self, per_hour: int, sent: list[float]) -> None:
        self.per_hour = per_hour
        self._sent = deque(sorted(sent))

    def wait(self, now: float) -> float:
        """Seconds until the next commit may be sent."""
        # A clock that was set back must not make us wait for longer than an hour.
        while self._sent and not now - HOUR_S < self._sent[0]:
            self._sent.popleft()
        if len(self._sent) < self.per_hour:
            return 0.0
        return min(max(self._sent[-self.per_hour] + HOUR_S - now, 0.0), HOUR_S)

    def spend(self, now: float) -> None:
        """Count a commit, whatever comes of it."""
        self._sent.append(now)
