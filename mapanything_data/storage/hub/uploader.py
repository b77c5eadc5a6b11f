"""Takes finished items to the hub, batch by batch: nothing is lost and nothing is sent twice, whenever it is killed.

A batch is written down before anything is sent, and an attempt before it is made. After an attempt whose end is not
known, the hub is asked what it has; and each commit names the commit that it follows, so that one which arrives late
cannot be applied beside its repetition.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

from mapanything_data.errors import DataError, UserError
from mapanything_data.storage.hub.batch import (
    FULL,
    METADATA,
    Batch,
    Delivery,
    StagedFile,
    Upload,
    batch_name,
    destinations,
    taken_by,
)
from mapanything_data.storage.hub.batches_on_disk import SENT, BatchesOnDisk
from mapanything_data.storage.hub.budget import CommitBudget
from mapanything_data.storage.hub.client import (
    BatchRefusedError,
    HeadMovedError,
    HubClient,
    RepoMissingError,
    TransientError,
)
from mapanything_data.storage.hub.items import Item, OutputTree, Stamp, find_items
from mapanything_data.storage.hub.local_files import delete_confirmed, has_changed, stage_files
from mapanything_data.storage.hub.progress import Target, UploadSummary
from mapanything_data.storage.hub.shards import ItemChangedError, pack
from mapanything_data.storage.hub_options import HubOptions, Layout

LOOK_EVERY_S = 5.0
"""The tree is looked through this often while it grows, and less often where that takes long."""
_STAGED_AHEAD = 2
"""So many batches are listed and hashed before a repository needs them."""
_AT_ONCE = 0.0


class Uploader:
    """Uploads one output tree; one at a time may, which its caller sees to by a lock.

    Args:
        tree: The output tree.
        hub: Where to and how.
        say: Receives a line for each event that people want to see.
        clock: Seconds since 1970.

    Raises:
        UserError: The hub's client is not installed, or the state on the disk cannot be read.
    """

    def __init__(
        self,
        tree: OutputTree,
        hub: HubOptions,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tree = tree
        self.root = tree.root
        self.hub = hub
        self.summary = UploadSummary()
        self._say = say
        self._clock = clock
        self._client = HubClient(hub)
        repos = {FULL: hub.full_repo, METADATA: hub.metadata_repo}
        self.targets = [Target(name, repo) for name, repo in repos.items() if repo]
        self.batches = BatchesOnDisk(tree.root, on_confirmed=self._count_files)
        for target in self.targets:
            target.budget = CommitBudget(hub.commits_per_hour, self.batches.sent_to(target.repo))
        lost = self.batches.reopen_for(destinations(hub))
        if lost:
            self._fail(
                f"{len(lost)} batches cannot go to a repository that was added later: their files were deleted after "
                "the upload"
            )
        self._waiting: dict[str, Item] = {}
        self._refused: dict[str, dict[str, Stamp]] = {}
        self._look_at = _AT_ONCE
        self._last_batch_at = clock()

    def run(self, finished: Callable[[], bool], stop: threading.Event | None = None) -> UploadSummary:
        """Upload until nothing more will come and nothing more can be done.

        Args:
            finished: Whether nobody writes to the tree any more.
            stop: Set to leave at once; the next run goes on.
        """
        stop = stop or threading.Event()
        last_look = False
        while not stop.is_set():
            if not last_look and finished():
                last_look, self._look_at = True, _AT_ONCE
            delay = self.step(self._clock(), no_more_to_come=last_look)
            if self._look_at == _AT_ONCE:
                continue
            if delay is None and last_look:
                break
            stop.wait(LOOK_EVERY_S if delay is None else min(delay, LOOK_EVERY_S))
        self.summary.waiting = len(self.batches.open)
        return self.summary

    def step(self, now: float, *, no_more_to_come: bool = False) -> float | None:
        """Do what is due: look for finished items, make batches, take one step for each repository.

        Args:
            now: Seconds since 1970.
            no_more_to_come: Whether nobody writes to the tree any more: what waits goes up without waiting longer, and
                a repository that was given up stays so.

        Returns:
            Seconds until something is due again; None where nothing is under way.
        """
        if now >= self._look_at:
            self._look(now)
        self._stage(now, at_once=no_more_to_come)
        for target in self.targets:
            if target.gave_up and not no_more_to_come and now >= target.ready_at:
                self.summary.failures = [text for text in self.summary.failures if text != target.gave_up]
                target.gave_up, target.failures = "", 0
            batch = self._next_for(target)
            if batch is not None and now >= target.ready_at:
                self._attempt(batch, target, now)
        self._land()
        due = [max(target.ready_at - self._clock(), 0.0) for target in self.targets if self._next_for(target)]
        return min(due, default=None)

    def _next_for(self, target: Target) -> Batch | None:
        return next(self._pending(target), None)

    def _pending(self, target: Target) -> Iterator[Batch]:
        if not target.gave_up:
            for batch in self.batches.open.values():
                if not batch.deliveries[target.name].confirmed and batch.name not in target.skipped:
                    yield batch

    def _more_is_wanted(self) -> bool:
        """Whether a repository would soon have nothing to do."""
        active = [target for target in self.targets if not target.gave_up]
        return any(len(list(islice(self._pending(target), _STAGED_AHEAD))) < _STAGED_AHEAD for target in active)

    def _look(self, now: float) -> None:
        started = time.monotonic()
        waiting = {}
        for item in find_items(self.tree):
            if not self.batches.knows(item) and self._refused.get(item.key) != item.files:
                waiting[item.key] = item
        self._waiting = waiting
        self._look_at = now + max(LOOK_EVERY_S, 20 * (time.monotonic() - started))

    def _stage(self, now: float, *, at_once: bool) -> None:
        due = at_once or now - self._last_batch_at >= 60 * self.hub.interval_minutes
        while self._waiting and self._more_is_wanted() and (due or len(self._waiting) >= self.hub.batch_size):
            keys = list(self._waiting)[: self.hub.batch_size]
            staged = {}
            for key in keys:
                files = self._hash(self._waiting.pop(key))
                if files is not None:
                    staged[key] = files
            if staged:
                self._enqueue(staged)
            self._last_batch_at = now

    def _hash(self, item: Item) -> list[StagedFile] | None:
        """The files of an item with their hashes; None where it cannot go up as it is."""
        try:
            return stage_files(self.root, item, self.hub)
        except DataError as error:
            self._refused[item.key] = item.files
            self._fail(f"{error.where} {error.found}; its item is left out")
        except OSError as error:  # it is being written again, or was taken away: the next look tells
            self.batches.note("unreadable", item=item.key, reason=str(error))
            if isinstance(error, PermissionError):
                self._refused[item.key] = item.files
                self._fail(f"{item.key}: cannot be read ({error.strerror}); left out")
        return None

    def _enqueue(self, items: dict[str, list[StagedFile]]) -> None:
        name = batch_name(self.batches.next_number, items)
        deliveries = {target: Delivery(to) for target, to in destinations(self.hub).items()}
        batch = Batch(name, self.hub.layout.value, items, deliveries=deliveries)
        self.batches.stage(batch)
        size = sum(file.size for files in items.values() for file in files)
        files = sum(len(each) for each in items.values())
        self.batches.note("staged", batch=name, items=len(items), files=files, bytes=size)
        self._say(f"staged    {name}: {len(items)} items, {files} files, {size / 1e6:.1f} MB")

    def _attempt(self, batch: Batch, target: Target, now: float) -> None:
        """One try at bringing a batch to a repository."""
        try:
            delivered = self._deliver(batch, target, now)
        except HeadMovedError as moved:
            target.head = None
            self._put_off(batch, target, TransientError(f"somebody else has committed: {moved}", 0.0))
        except TransientError as failure:
            target.head = None
            self._put_off(batch, target, failure)
        except RepoMissingError as missing:
            target.head = None
            if not self.hub.create_repo:
                remedy = "correct the name, give a token that may see it, or hub.create_repo=true"
                self._give_up(batch, target, DataError(target.repo, f"is not there ({missing})", remedy=remedy))
            elif target.is_made:
                self._put_off(batch, target, TransientError(str(missing)))
            else:
                self._create(batch, target)
        except BatchRefusedError as refusal:
            target.head = None
            if self._changed_items(batch):  # while it was sent; the next step takes them out
                self._put_off(batch, target, TransientError(str(refusal)))
            else:
                self._give_up(batch, target, refusal)
        except UserError as refusal:
            target.head = None
            self._give_up(batch, target, refusal)
        else:
            if delivered:
                target.failures = 0

    def _create(self, batch: Batch, target: Target) -> None:
        self.batches.note("create", repo=target.repo)
        try:
            self._client.create(target.repo)
            target.is_made = True
        except (TransientError, RepoMissingError) as failure:
            self._put_off(batch, target, TransientError(str(failure), getattr(failure, "retry_after", None)))
        except UserError as refusal:
            self._give_up(batch, target, refusal)

    def _deliver(self, batch: Batch, target: Target, now: float) -> bool:
        """Whether the repository has the batch now; a commit that is not within the budget yet is put off."""
        self._make_ready(batch)
        delivery = batch.deliveries[target.name]
        prefix = f"{self.hub.path_prefix}/" if self.hub.path_prefix else ""
        uploads = [
            (f"{prefix}{upload.path}", upload)
            for upload in taken_by(target.name, batch.uploads(self.root, self.batches.packed(batch)))
        ]
        if target.head is None:
            target.ask_head(self._client)
        missing = uploads
        if delivery.attempts or not self.hub.skip_hub_check:
            missing = self._not_on_hub(target, uploads)
            self.summary.already_there[target.repo] += len(uploads) - len(missing)
        if missing:
            wait = target.budget.wait(now)
            if wait:
                self.batches.note("budget", repo=target.repo, batch=batch.name, seconds=round(wait))
                self._say(
                    f"waits     {target.repo}: {self.hub.commits_per_hour} commits in an hour; {wait:.0f} s to go"
                )
                target.ready_at = now + wait
                return False
            self._commit(batch, target, missing)
        delivery.confirmed = True
        self.batches.save(batch)
        target.limits.add(path for path, _ in uploads)
        for warning in target.limits.warnings(sharded=self.hub.layout is Layout.shards):
            self.batches.note("warning", repo=target.repo, text=warning)
            self._say(f"warning   {target.repo}: {warning}")
        self.batches.note("confirmed", repo=target.repo, batch=batch.name, commit=delivery.commit, sent=len(missing))
        self._say(
            f"confirmed {batch.name} in {target.repo}: {len(missing)} files sent, {len(uploads) - len(missing)} there"
        )
        return True

    def _commit(self, batch: Batch, target: Target, missing: list[tuple[str, Upload]]) -> None:
        delivery = batch.deliveries[target.name]
        delivery.attempts += 1
        self.batches.save(batch)
        sent_at = self._clock()
        self.batches.note(SENT, repo=target.repo, batch=batch.name, attempt=delivery.attempts, files=len(missing))
        target.budget.spend(sent_at)
        message = f"Add {len(batch.items) - len(batch.superseded)} items (batch {batch.name})"
        parent = None if target.is_blind else target.head
        target.head = self._client.commit(target.repo, missing, message, parent)
        left_out = self._not_on_hub(target, missing)
        if left_out and not target.is_blind:
            path = left_out[0][0]
            raise TransientError(
                f"{len(left_out)} files are not on the hub as they were sent, such as {path}; "
                "does a .gitignore of the repository name them?"
            )
        delivery.commit = target.head or ""
        self.summary.commits[target.repo] += 1
        self.summary.sent_bytes[target.repo] += sum(upload.size for _, upload in missing)

    def _not_on_hub(self, target: Target, uploads: list[tuple[str, Upload]]) -> list[tuple[str, Upload]]:
        knew = target.is_blind
        missing = target.not_on_hub(self._client, uploads)
        if target.is_blind and not knew:
            self.batches.note("blind", repo=target.repo)
            self._say(
                f"warning   {target.repo}: its server does not tell what it holds: what it accepts counts as there"
            )
        return missing

    def _make_ready(self, batch: Batch) -> None:
        """Take a batch off: leave out items that have changed since, pack shards."""
        self.batches.take_off(batch)
        if batch.layout == Layout.tree.value:
            changed = self._changed_items(batch)
            if changed:
                self._supersede(batch, changed)
            return
        while batch.shards is None:
            try:
                shards = pack(batch, self.root, self.batches.packed(batch), self.tree.shard_folder)
            except ItemChangedError as change:
                self._supersede(batch, [change.key])
            except OSError as error:
                shutil.rmtree(self.batches.packed(batch), ignore_errors=True)
                raise DataError(
                    self.batches.packed(batch),
                    f"shards cannot be packed ({error.strerror or error})",
                    remedy="make room on the disk, or use hub.layout=tree",
                ) from error
            else:
                batch.shards = shards
                self.batches.save(batch)

    def _changed_items(self, batch: Batch) -> list[str]:
        return [
            key for key, files in batch.current if any(has_changed(self.root / key / file.path, file) for file in files)
        ]

    def _supersede(self, batch: Batch, keys: list[str]) -> None:
        self.batches.supersede(batch, keys)
        self.batches.note("superseded", batch=batch.name, items=keys)
        self._look_at = _AT_ONCE

    def _put_off(self, batch: Batch, target: Target, failure: TransientError) -> None:
        target.failures += 1
        if target.failures > self.hub.max_retries:
            remedy = "run the same command again when the hub answers"
            self._give_up(batch, target, DataError(target.repo, f"still fails: {failure}", remedy=remedy))
            return
        wait = min(self.hub.backoff_s * 2.0 ** (target.failures - 1), self.hub.max_backoff_s)
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - many uploaders must not come back at the same moment
        if failure.retry_after is not None:
            wait = failure.retry_after + random.uniform(0.0, min(1.0, self.hub.backoff_s))  # noqa: S311
        self.summary.retries += 1
        target.ready_at = self._clock() + wait
        self.batches.note(
            "retry",
            repo=target.repo,
            batch=batch.name,
            failures=target.failures,
            seconds=round(wait, 1),
            reason=str(failure),
        )
        self._say(f"retry     {target.repo} in {wait:.1f} s: {failure}")

    def _give_up(self, batch: Batch, target: Target, reason: UserError) -> None:
        """Leave a batch that the repository does not take, or all batches where the reason lies elsewhere."""
        if isinstance(reason, BatchRefusedError):
            target.skipped.add(batch.name)
        else:
            target.gave_up = str(reason)
            target.ready_at = self._clock() + max(60 * self.hub.interval_minutes, 60.0)  # matters while the tree grows
        self.batches.note("failed", repo=target.repo, batch=batch.name, reason=str(reason))
        self._fail(str(reason))

    def _fail(self, text: str) -> None:
        if text not in self.summary.failures:
            self.summary.failures.append(text)
        self._say(f"failed    {text}")

    def _land(self) -> None:
        for batch in [batch for batch in self.batches.open.values() if batch.confirmed]:
            if self.hub.delete_after_upload:
                self._delete_local(batch)
            self.summary.items += len(batch.items) - len(batch.superseded)
            self.batches.land(batch)

    def _delete_local(self, batch: Batch) -> None:
        batch.cleaned = True
        self.batches.save(batch)
        self.batches.note("deleted", batch=batch.name, files=delete_confirmed(self.tree, batch))

    def _count_files(self, batch: Batch) -> None:
        for target in self.targets:
            uploads = taken_by(target.name, batch.uploads(self.root, self.root))
            target.limits.add(upload.path for upload in uploads)
