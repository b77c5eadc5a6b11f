"""The component group `hub`: which repositories of the Hugging Face hub receive what, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from mapanything_data.config import component
from mapanything_data.errors import require_option


class Layout(str, Enum):
    """How files lie in a repository."""

    tree = "tree"
    """as they lie on the disk"""
    shards = "shards"
    """in tar files by lab and date, each with an index"""


class RepoType(str, Enum):
    """What the hub calls a repository."""

    dataset = "dataset"
    """a data set"""
    model = "model"
    """a model"""


@component("hub", "default")
@dataclass(kw_only=True, slots=True)
class HubOptions:
    """The repositories that uploads go to; the token comes from HF_TOKEN or `hf auth login`, never from here."""

    full_repo: str = ""
    """Repository that receives every file, such as me/droid-full; empty stands for none."""
    metadata_repo: str = ""
    """Repository that receives every file but those of `metadata_excludes`; empty stands for none."""
    metadata_excludes: list[str] = field(default_factory=lambda: ["*depth.mkv", "*depth_meta.json", "*/images/*"])
    """Patterns of files that `metadata_repo` does not receive: * stands for anything, slashes included."""
    repo_type: RepoType = RepoType.dataset
    """What a repository is: `dataset` or `model`."""
    revision: str = "main"
    """Branch that is committed to."""
    path_prefix: str = ""
    """Folder in the repositories that everything goes below; empty stands for their root."""
    create_repo: bool = True
    """Whether a repository or branch that does not exist is made."""
    private: bool = True
    """Whether a repository that is made is private."""
    layout: Layout = Layout.tree
    """`tree` keeps files as they are, `shards` packs them in tar files by lab and date, each with an index."""
    batch_size: int = 50
    """Finished items that wait before they go up together, as one commit to each repository."""
    interval_minutes: float = 10.0
    """Minutes after which fewer items than that go up too."""
    commits_per_hour: int = 90
    """Commits sent to each repository within any hour; the hub refuses more than 128."""
    skip_hub_check: bool = False
    """Whether the question which files the hub has already is left out before the first attempt at a batch."""
    max_retries: int = 8
    """How often the same step is tried again when the hub fails, before the repository is given up for this run."""
    backoff_s: float = 2.0
    """Seconds before the first of these attempts; they double each time, unless the hub names its own."""
    max_backoff_s: float = 300.0
    """Seconds that this doubling ends at."""
    request_timeout_s: float = 120.0
    """Seconds without a byte from the hub after which a request counts as lost."""
    token_file: str = ""
    """File that holds the token; empty takes HF_TOKEN or what `hf auth login` stored."""
    delete_after_upload: bool = False
    """Whether local files are deleted once the hub has confirmed their sha256 in every repository that takes them; the
    file that marks an item as finished stays."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        self.path_prefix = self.path_prefix.strip("/")
        for name in ("full_repo", "metadata_repo"):
            repo = getattr(self, name)
            parts = repo.split("/")
            _require(name, repo, not repo or (len(parts) == 2 and all(parts)), "such as me/droid-full, or empty")
        same = self.full_repo and self.full_repo == self.metadata_repo
        _require("metadata_repo", self.metadata_repo, not same, "another repository than hub.full_repo")
        _require("batch_size", self.batch_size, 1 <= self.batch_size <= 2000, "a count from 1 to 2000")
        _require("interval_minutes", self.interval_minutes, 0 <= self.interval_minutes < 1e5, "minutes from 0")
        _require("commits_per_hour", self.commits_per_hour, 1 <= self.commits_per_hour <= 128, "a count from 1 to 128")
        _require("max_retries", self.max_retries, self.max_retries >= 0, "0 or more")
        _require("backoff_s", self.backoff_s, 0 < self.backoff_s < 1e5, "seconds above 0")
        _require(
            "max_backoff_s", self.max_backoff_s, self.backoff_s <= self.max_backoff_s < 1e6, "hub.backoff_s or more"
        )
        _require("request_timeout_s", self.request_timeout_s, 0 < self.request_timeout_s < 1e5, "seconds above 0")
        plain = all(part and part[0] != "." for part in self.path_prefix.split("/")) or not self.path_prefix
        _require("path_prefix", self.path_prefix, plain, "folders whose names begin with no dot")
        _require("revision", self.revision, bool(self.revision.strip()), "the name of a branch, such as main")

    def token(self) -> str | None:
        """The token in `token_file`; None where the hub's client shall find one itself.

        Raises:
            ConfigError: The file cannot be read or is empty.
        """
        if not self.token_file:
            return None
        try:
            token = Path(self.token_file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            token = ""
        _require("token_file", self.token_file, bool(token), "a file that can be read and holds a token")
        return token


def _require(name: str, value: Any, sound: bool, expected: str) -> None:
    require_option(f"hub.{name}", value, sound, expected)
