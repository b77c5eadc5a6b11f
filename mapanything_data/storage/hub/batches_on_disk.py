"""The queue of uploads: a file for each batch, in the folder of its state, and a journal for people.

{root}/.mapanything/upload/staged/{batch}.json      listed and hashed, nothing sent
                          /inflight/{batch}.json    a commit may have been sent
                          /confirmed/{batch}.json   every repository has it
                          /shards/{batch}/...       tar files while their batch is in flight
                          /journal.jsonl            commits, retries, waits
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapanything_data.storage.atomic import remove_unfinished
from mapanything_data.storage.hub.batch import Batch, Delivery
from mapanything_data.storage.hub.items import Item, Stamp
from mapanything_data.storage.tables import append_jsonl, cut_torn_line, read_json, read_jsonl, write_json

STAGED, INFLIGHT, CONFIRMED = "staged", "inflight", "confirmed"
SENT = "sent"
"""The journal's word for a commit that is about to be sent."""


def upload_folder(root: Path) -> Path:
    """Where uploads of an output tree keep their state."""
    return root / ".mapanything" / "upload"


class BatchesOnDisk:
    """All batches of an output tree. Each change is on the disk before the call returns.

    Args:
        root: The output tree.
        writable: Whether the folders are made and what a kill left is tidied up.
        on_confirmed: Receives each confirmed batch, with its files, when it is read.

    Raises:
        DataError: A batch or the journal cannot be read.
    """

    def __init__(
        self, root: Path, *, writable: bool = True, on_confirmed: Callable[[Batch], None] = lambda _: None
    ) -> None:
        self.folder = upload_folder(root)
        self.open: dict[str, Batch] = {}
        """Batches that are not confirmed, the oldest first."""
        self.confirmed: dict[str, Batch] = {}
        """Batches that are, without their lists of files, which would fill the memory."""
        self.next_number = 1
        """What the next batch's name begins with."""
        self._known: dict[str, tuple[int, dict[str, Stamp]]] = {}
        if writable:
            self._tidy()
        paths = [path for state in (STAGED, INFLIGHT, CONFIRMED) for path in (self.folder / state).glob("*.json")]
        for path in sorted(paths, key=lambda path: path.name):
            batch = Batch.from_dict(path, read_json(path))
            self._add(batch, confirmed=path.parent.name == CONFIRMED)
            if batch.name in self.confirmed:
                on_confirmed(batch)
        if writable:
            for folder in (self.folder / "shards").glob("*"):
                if folder.name not in self.open:
                    shutil.rmtree(folder, ignore_errors=True)

    def knows(self, item: Item) -> bool:
        """Whether the newest batch with this item lists each of its files as it is now; deleted files do not count."""
        _, known = self._known.get(item.key, (0, {}))
        return all(known.get(path) == stamp for path, stamp in item.files.items())

    def stage(self, batch: Batch) -> None:
        """Take a new batch into the queue."""
        write_json(self.folder / STAGED / f"{batch.name}.json", batch.to_dict())
        self._add(batch, confirmed=False)

    def save(self, batch: Batch) -> None:
        """Write what has changed about a batch in flight."""
        write_json(self.folder / INFLIGHT / f"{batch.name}.json", batch.to_dict())

    def take_off(self, batch: Batch) -> None:
        """Move a staged batch to those in flight; no matter if it is there already."""
        staged = self.folder / STAGED / f"{batch.name}.json"
        if staged.exists():
            staged.rename(self.folder / INFLIGHT / staged.name)

    def land(self, batch: Batch) -> None:
        """Move a batch to the confirmed ones."""
        name = f"{batch.name}.json"
        (self.folder / INFLIGHT / name).rename(self.folder / CONFIRMED / name)
        shutil.rmtree(self.packed(batch), ignore_errors=True)
        del self.open[batch.name]
        self.confirmed[batch.name] = _without_files(batch)

    def supersede(self, batch: Batch, keys: list[str]) -> None:
        """Note items of a batch in flight that have changed since; the next look finds them again."""
        batch.superseded += keys
        self.save(batch)
        for key in keys:
            if self._known.get(key, (0, {}))[0] == batch.number:
                del self._known[key]

    def owed_to(self, target: str, to: str) -> tuple[list[Batch], list[str]]:
        """What a repository has not confirmed; nothing is changed.

        Args:
            target: Its name, full or metadata.
            to: Repository, branch and folder.

        Returns:
            Batches that go up to it, the oldest first, and the names of those that cannot, since their local files were
            deleted after an upload to another one.
        """
        owed = {name: batch for name, batch in self.open.items() if not _has(batch, target, to)}
        lost = []
        for name, known in sorted(self.confirmed.items()):
            if known.cleaned and not _has(known, target, to):
                lost.append(name)
            elif not _has(known, target, to):
                owed[name] = self._read_confirmed(name)
        return [batch for _, batch in sorted(owed.items())], lost

    def reopen_for(self, wanted: dict[str, str]) -> list[str]:
        """Bring the batches in line with the repositories that are configured now.

        What such a repository has not confirmed goes up to it; those that are no longer configured are not waited for.

        Args:
            wanted: Repository, branch and folder by target.

        Returns:
            Names of batches that ought to go up again and cannot: their local files were deleted after the upload.
        """
        lost = []
        for name, known in sorted(self.confirmed.items()):
            if all(_has(known, target, to) for target, to in wanted.items()):
                continue
            if known.cleaned:
                lost.append(name)
                continue
            batch = self._read_confirmed(name)
            (self.folder / CONFIRMED / f"{name}.json").rename(self.folder / INFLIGHT / f"{name}.json")
            batch.shards = None  # they were deleted; packing the same files again gives the same bytes
            del self.confirmed[name]
            self.open[name] = batch
        self.open = dict(sorted(self.open.items()))
        for batch in self.open.values():
            self._align(batch, wanted)
        return lost

    def _read_confirmed(self, name: str) -> Batch:
        path = self.folder / CONFIRMED / f"{name}.json"
        return Batch.from_dict(path, read_json(path))

    def _align(self, batch: Batch, wanted: dict[str, str]) -> None:
        deliveries = {}
        for target, to in wanted.items():
            before = batch.deliveries.get(target)
            deliveries[target] = before if before and before.to == to else Delivery(to)
        if deliveries != batch.deliveries:
            batch.deliveries = deliveries
            self.take_off(batch)
            self.save(batch)

    def packed(self, batch: Batch) -> Path:
        """Where the shards of a batch are packed."""
        return self.folder / "shards" / batch.name

    def note(self, event: str, **facts: Any) -> None:
        """Write a line of the journal."""
        now = time.time()
        utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        append_jsonl(self.folder / "journal.jsonl", {"utc": utc, "time": round(now, 3), "event": event, **facts})

    def sent_to(self, repo: str) -> list[float]:
        """When commits were sent to a repository, seconds since 1970."""
        path = self.folder / "journal.jsonl"
        rows = read_jsonl(path) if path.exists() else []
        return [float(row["time"]) for row in rows if row.get("event") == SENT and row.get("repo") == repo]

    def _tidy(self) -> None:
        for state in (STAGED, INFLIGHT, CONFIRMED):
            (self.folder / state).mkdir(parents=True, exist_ok=True)
            remove_unfinished(self.folder / state)
        if (self.folder / "journal.jsonl").exists():
            cut_torn_line(self.folder / "journal.jsonl")

    def _add(self, batch: Batch, *, confirmed: bool) -> None:
        for key, files in batch.items.items():
            if key in batch.superseded:
                self._known.pop(key, None)
            else:
                self._known[key] = batch.number, {file.path: file.stamp for file in files}
        if confirmed:
            self.confirmed[batch.name] = _without_files(batch)
        else:
            self.open[batch.name] = batch
        self.next_number = max(self.next_number, batch.number + 1)


def _has(batch: Batch, target: str, to: str) -> bool:
    """Whether a repository has confirmed a batch."""
    delivery = batch.deliveries.get(target)
    return delivery is not None and delivery.to == to and delivery.confirmed


def _without_files(batch: Batch) -> Batch:
    return replace(batch, items={}, superseded=[], shards=None)
