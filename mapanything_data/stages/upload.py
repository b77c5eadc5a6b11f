"""The upload stage: takes the finished episodes of an output tree to the Hugging Face hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapanything_data.engine.lock import run_lock
from mapanything_data.engine.run import StoppedBySignal, signals_raise
from mapanything_data.engine.shard import stop_if_disk_refuses
from mapanything_data.errors import ConfigError, DataError, UserError, require
from mapanything_data.stages.execute import folder_of, require_choice, say
from mapanything_data.storage.droid.layout import QUALITY, DroidDataset
from mapanything_data.storage.hub import BatchesOnDisk, OutputTree, Uploader, UploadSummary, find_items, upload_folder
from mapanything_data.storage.hub.batch import FULL, destinations, is_metadata
from mapanything_data.storage.hub_options import HubOptions

STOP_FILE = "stop"
_LEAVE_WITHIN_S = 5.0


@dataclass(kw_only=True, slots=True)
class UploadConfig:
    """Configuration of the upload app."""

    machine: Any = "???"
    """The machine profile."""
    dataset: Any = "???"
    """The data set whose finished episodes go up."""
    hub: Any = "???"
    """The repositories, and how uploads treat them."""
    watch: bool = False
    """Whether to go on while episodes are still being made, until Ctrl-C or until a file named `stop` appears in
    .mapanything/upload of the data set."""
    dry_run: bool = False
    """Whether to print what would go where, and neither send nor change anything."""


def upload(config: UploadConfig) -> int:
    """Upload: takes finished episodes to the Hugging Face hub, so that none is lost and none is sent twice.

    What has gone up is known from a queue on the disk beside the data, so an upload that was interrupted, killed even,
    goes on when the same command is given again. The token comes from HF_TOKEN or `hf auth login`.

    Examples:
        python -m mapanything_data.upload dataset.root=data/droid hub.full_repo=me/droid-full dry_run=true
        python -m mapanything_data.upload dataset.root=data/droid hub.metadata_repo=me/droid-meta watch=true
    """
    require_choice("dataset", config.dataset, DroidDataset)
    root = folder_of(config.dataset)
    require_repository(config.hub)
    if not root.is_dir():
        raise DataError(root, "is no folder", remedy="give dataset.root the folder that the episodes were written to")
    if config.dry_run:
        return _tell_what_would_go(root, config.hub)
    stop_file = upload_folder(root) / STOP_FILE
    stop_file.unlink(missing_ok=True)
    try:
        with signals_raise():
            summary = run_uploader(root, config.hub, lambda: not config.watch or stop_file.exists())
    except StoppedBySignal as stopped:
        say(f"upload: stopped by {stopped}; the same command goes on from here")
        raise SystemExit(stopped.exit_code) from None
    finally:
        stop_file.unlink(missing_ok=True)
    _tell(summary, config.hub)
    return summary.exit_code


def run_uploader(
    root: Path, hub: HubOptions, finished: Callable[[], bool], stop: threading.Event | None = None
) -> UploadSummary:
    """Upload an output tree of DROID, beside those who still write to it.

    It may run in a thread or process of its own; nothing has to tell it of episodes, it finds those that are finished.

    Args:
        root: The output tree.
        hub: Where to and how.
        finished: Whether nobody writes to the tree any more, such as the `is_set` of an event; then the rest goes up at
            once and the call ends.
        stop: Set to leave before that; the next run goes on.

    Raises:
        OutputBusyError: Another process uploads this tree.
        UserError: The hub's client is not installed, or the state on the disk cannot be read or written.
        ConfigError: No repository is given.
    """
    require_repository(hub)
    folder = upload_folder(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with run_lock(folder):
            return Uploader(_tree(root), hub, say).run(finished, stop)
    except OSError as failure:
        stop_if_disk_refuses(failure, folder)
        where, found = failure.filename or folder, f"the upload cannot go on ({failure.strerror or failure})"
        raise DataError(where, found, remedy="mend that, then run the same command again: it goes on") from failure


@contextmanager
def uploading(root: Path, hub: HubOptions) -> Iterator[UploadBeside]:
    """Upload an output tree in a thread while the block writes to it; at its end, wait until the rest has gone up.

    When the block ends with an error the uploader is left at once: what it was doing is on the disk.

    Args:
        root: The output tree.
        hub: Where to and how.

    Yields:
        What came of it, once the block has ended.

    Raises:
        UserError: The hub's client is not installed.
        Exception: A fault of the uploader itself; it must not look like success.
        SystemExit: Ctrl-C or SIGTERM stopped it while it waited; the code is what a shell expects.
    """
    require("huggingface_hub")
    beside, finished, stop = UploadBeside(), threading.Event(), threading.Event()

    def work() -> None:
        try:
            beside.summary = run_uploader(root, hub, finished.is_set, stop)
        except UserError as error:
            beside.error = error
            say(f"upload: failed\n  {error}")  # at once: the other work may go on for days
        except Exception as error:  # noqa: BLE001 - raised where the thread ends
            beside.error = error

    thread = threading.Thread(target=work, name="upload", daemon=True)
    thread.start()
    try:
        yield beside
        finished.set()
        with signals_raise():
            while thread.is_alive():  # a join without a time limit would hold up Ctrl-C
                thread.join(0.5)
    except StoppedBySignal as stopped:
        stop.set()
        thread.join(_LEAVE_WITHIN_S)
        say(f"upload: stopped by {stopped}; what is made is there, and the same command goes on uploading")
        raise SystemExit(stopped.exit_code) from None
    finally:
        stop.set()
        thread.join(_LEAVE_WITHIN_S)
    if beside.summary:
        _tell(beside.summary, hub)
    if beside.error and not isinstance(beside.error, UserError):
        raise beside.error


@dataclass(slots=True)
class UploadBeside:
    """What came of an upload that ran beside other work.

    Attributes:
        summary: What was uploaded; None where it could not run to its end.
        error: Why it could not, as far as that is known: what is a defect of the program is told where it happens.
    """

    summary: UploadSummary | None = None
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        """1 where something could not be uploaded."""
        return self.summary.exit_code if self.summary else 1


def require_repository(hub: HubOptions) -> None:
    """Make sure that there is a repository to upload to.

    Raises:
        ConfigError: There is none.
    """
    if not destinations(hub):
        remedy = "give hub.full_repo=NAME/REPOSITORY, hub.metadata_repo=NAME/REPOSITORY or both"
        raise ConfigError("hub.full_repo", "names no repository, and hub.metadata_repo neither", remedy=remedy)


def shard_folder(key: str) -> str:
    """The folder of an episode's shard: its lab and date, whether it was a success or not."""
    lab, _outcome, date, *_ = [*key.split("/"), "", "", ""]
    return f"{lab}/{date}" if date else lab


def _tree(root: Path) -> OutputTree:
    return OutputTree(root, QUALITY, shard_folder)


def _tell(summary: UploadSummary, hub: HubOptions) -> None:
    for repo in filter(None, (hub.full_repo, hub.metadata_repo)):
        say(
            f"  {repo}: {summary.commits[repo]} commits, {summary.sent_bytes[repo] / 1e6:.1f} MB sent, "
            f"{summary.already_there[repo]} files were there"
        )
    waiting = f", {summary.waiting} batches wait for the next run" if summary.waiting else ""
    say(f"upload: {summary.items} items confirmed, {summary.retries} retries{waiting}")
    for failure in summary.failures:
        say(f"  failed   {failure}")


def _tell_what_would_go(root: Path, hub: HubOptions) -> int:
    batches = BatchesOnDisk(root, writable=False)
    new = {item.key: item for item in find_items(_tree(root)) if not batches.knows(item)}
    for target, to in destinations(hub).items():
        files = [
            (f"{item.key}/{path}", stamp.size)
            for item in new.values()
            for path, stamp in item.files.items()
            if target == FULL or is_metadata(path, hub)
        ]
        owed, lost = batches.owed_to(target, to)
        begun = {batch.name: [item for item in batch.current if item[0] not in new] for batch in owed}
        sizes = [size for _, size in files]
        sizes += [
            file.size
            for items in begun.values()
            for _, staged in items
            for file in staged
            if target == FULL or file.metadata
        ]
        items = len(new) + sum(map(len, begun.values()))
        say(f"{to}: {items} items, {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
        for path, size in files:
            say(f"  {path} ({size} bytes)")
        for name, listed in begun.items():
            say(f"  batch {name} of {len(listed)} items, which was made before")
        for name in lost:
            say(f"  batch {name} cannot go: its local files were deleted after an earlier upload")
    say("dry run: nothing was sent or changed")
    return 0
