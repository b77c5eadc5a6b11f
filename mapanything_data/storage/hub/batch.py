"""A batch: items that go up together, with what each repository has confirmed of them.

Its list of files never changes. What a repository has confirmed, and which items have changed on the disk since, does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mapanything_data.errors import DataError
from mapanything_data.storage.hub.items import Stamp
from mapanything_data.storage.hub_options import HubOptions

VERSION = 1
FULL, METADATA = "full", "metadata"


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file of an item as it was when its batch was made.

    Attributes:
        path: Relative to the item's folder, with slashes.
        size: In bytes.
        mtime_ns: Time of the last change, nanoseconds.
        sha256: Of its content, in hexadecimal.
        git_sha1: The id of its content in git, which the hub names for small files.
        metadata: Whether the repository of metadata receives it too.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    git_sha1: str
    metadata: bool

    @property
    def stamp(self) -> Stamp:
        """What tells whether it has changed."""
        return Stamp(self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it is sent: one of an item, or a shard.

    Attributes:
        path: In the repository, below its prefix.
        local: Where it lies.
        size: In bytes.
        sha256: Of its content.
        git_sha1: The id of its content in git.
        metadata: Whether the repository of metadata receives it too.
    """

    path: str
    local: Path
    size: int
    sha256: str
    git_sha1: str
    metadata: bool


@dataclass(slots=True)
class Delivery:
    """How far a batch has come in one repository.

    Attributes:
        to: Repository, branch and folder.
        confirmed: Whether the hub has named the right hash for every file.
        attempts: Commits that were sent, whatever came of them; written down before each.
        commit: The last commit that was confirmed; empty where all was there already.
    """

    to: str
    confirmed: bool = False
    attempts: int = 0
    commit: str = ""


@dataclass(slots=True)
class Batch:
    """Items that go up together.

    Attributes:
        name: A number that grows, and a hash of the content.
        layout: `tree` or `shards`.
        items: The files of each item, by its key.
        superseded: Items that have changed on the disk since; they go up with a later batch.
        shards: The tar files and indexes that were packed, in a batch of shards; None before that.
        deliveries: How far it has come, by target.
        cleaned: Whether its local files were deleted.
    """

    name: str
    layout: str
    items: dict[str, list[StagedFile]]
    superseded: list[str] = field(default_factory=list)
    shards: list[dict[str, Any]] | None = None
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    cleaned: bool = False

    @property
    def number(self) -> int:
        """Grows from batch to batch of a root."""
        return int(self.name.partition("-")[0])

    @property
    def confirmed(self) -> bool:
        """Whether every repository has it."""
        return all(delivery.confirmed for delivery in self.deliveries.values())

    @property
    def current(self) -> Iterator[tuple[str, list[StagedFile]]]:
        """The items that have not changed since."""
        gone = set(self.superseded)
        return ((key, files) for key, files in self.items.items() if key not in gone)

    def uploads(self, root: Path, packed: Path) -> list[Upload]:
        """What is to be sent, in the order of paths: files below `root`, or shards below `packed`."""
        if self.shards is not None:
            return [Upload(local=packed / each["path"], **each) for each in self.shards]
        return [
            Upload(f"{key}/{file.path}", root / key / file.path, file.size, file.sha256, file.git_sha1, file.metadata)
            for key, files in self.current
            for file in files
        ]

    def to_dict(self) -> dict[str, Any]:
        """As it is written."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, where: Path, value: Any) -> Batch:
        """As it was written.

        Raises:
            DataError: It is of another version, or was damaged.
        """
        if isinstance(value, dict) and value.get("version") != VERSION:
            raise DataError(
                where,
                f"is a batch of version {value.get('version')!r}",
                expected=f"version {VERSION}",
                remedy="go on with the version of mapanything-data that made it",
            )
        try:
            fields = {key: each for key, each in value.items() if key != "version"}
            fields["items"] = {key: [StagedFile(**each) for each in files] for key, files in fields["items"].items()}
            fields["deliveries"] = {name: Delivery(**each) for name, each in fields["deliveries"].items()}
            return cls(**fields)
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(
                where,
                f"is no batch ({error!r})",
                remedy="delete it: what was in it and is not on the hub goes up again",
            ) from error


def destinations(hub: HubOptions) -> dict[str, str]:
    """The repository, branch and folder of each target that is configured, as one text."""
    repos = {FULL: hub.full_repo, METADATA: hub.metadata_repo}
    return {name: f"{repo}@{hub.revision}:{hub.path_prefix}" for name, repo in repos.items() if repo}


def taken_by(target: str, uploads: Iterable[Upload]) -> list[Upload]:
    """Those of the files that a target receives."""
    return [upload for upload in uploads if target == FULL or upload.metadata]


def is_metadata(path: str, hub: HubOptions) -> bool:
    """Whether the repository of metadata receives a file, by its path relative to its item."""
    return not any(fnmatchcase(path, pattern) for pattern in hub.metadata_excludes)


def batch_name(number: int, items: dict[str, list[StagedFile]]) -> str:
    """A name that no other batch has, on another machine neither: the shards are called by it."""
    digest = hashlib.sha256()
    for key in sorted(items):
        for file in items[key]:
            digest.update(f"{key}/{file.path}\0{file.sha256}\n".encode())
    return f"{number:06d}-{digest.hexdigest()[:12]}"
