"""How a run of uploads is doing: by repository, and altogether."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mapanything_data.storage.hub.batch import Upload
from mapanything_data.storage.hub.budget import CommitBudget
from mapanything_data.storage.hub.client import HubClient, RepoMissingError
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
        is_made: Whether this run has made it, or was told that it is there.
        is_blind: Whether its server does not tell what it holds, as some that take commits only.
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
    is_made: bool = False
    is_blind: bool = False

    def ask_head(self, client: HubClient) -> None:
        """Ask which commit the branch is at: None where it has none.

        A server that has made the repository and does not find it takes commits, but tells nothing.

        Raises:
            RepoMissingError: There is no such repository or branch, as far as we know.
        """
        try:
            self.head = client.head(self.repo)
        except RepoMissingError:
            if not self.is_made:
                raise
            self.is_blind = True

    def not_on_hub(self, client: HubClient, uploads: list[tuple[str, Upload]]) -> list[tuple[str, Upload]]:
        """The files that the hub has not, or has with another content; all of them where it does not tell.

        Raises:
            RepoMissingError: As of `ask_head`.
        """
        if self.is_blind:
            return uploads
        try:
            there = client.look_up(self.repo, [path for path, _ in uploads], self.head)
        except RepoMissingError:
            if self.head is None and not self.is_made:
                raise
            self.is_blind = True  # a branch with a commit is there, so what is missing is the look-up
            return uploads
        return [(path, upload) for path, upload in uploads if path not in there or not there[path].holds(upload)]


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
