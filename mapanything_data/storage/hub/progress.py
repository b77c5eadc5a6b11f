"""How a run of uploads is doing: by repository, and altogether."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mapanything_data.storage.hub.budget import CommitBudget
from mapanything_data.storage.hub.limits import RepoLimits


@dataclass(slots=True)
class Target:
    """A repository and how it is doing in this run.

    Attributes:
        name: `full` or `metadata`.
        repo: Such as me/droid-full.
        budget: Its commits in the last hour.
        limits: How full it is.
        head: The commit that its branch is at, as far as we know; None where we have to ask.
        ready_at: When the next step may be taken, seconds since 1970.
        failures: Steps that failed one after the other.
        gave_up: Why no more is tried in this run; empty while it is.
        skipped: Batches that the repository refused in this run.
    """

    name: str
    repo: str
    budget: CommitBudget = field(default_factory=lambda: CommitBudget(1, []))
    limits: RepoLimits = field(default_factory=RepoLimits)
    head: str | None = None
    ready_at: float = 0.0
    failures: int = 0
    gave_up: str = ""
    skipped: set[str] = field(default_factory=set)


@dataclass(slots=True)
class UploadSummary:
    """What a run has done.

    Attributes:
        items: Items that every repository has confirmed.
        commits: Commits by repository.
        sent_bytes: What these commits carried, by repository.
        already_there: Files that a repository had, by repository.
        retries: Steps that were tried again.
        waiting: Batches that have not reached every repository.
        failures: What could not be uploaded for good, in words.
    """

    items: int = 0
    commits: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    already_there: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    waiting: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 where something failed for good."""
        return 1 if self.failures else 0
