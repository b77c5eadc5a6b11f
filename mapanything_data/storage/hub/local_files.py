"""Files of items on this disk: hashed for a batch, compared with it, deleted when the hub has them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mapanything_data.errors import DataError
from mapanything_data.storage.hub.batch import FULL, Batch, StagedFile, is_metadata
from mapanything_data.storage.hub.items import Item, OutputTree, Stamp, hash_file
from mapanything_data.storage.hub.limits import MAX_FILE_BYTES
from mapanything_data.storage.hub_options import HubOptions


def stage_files(root: Path, item: Item, hub: HubOptions) -> list[StagedFile]:
    """The files of an item with their hashes.

    Raises:
        DataError: The hub cannot take one of them.
        OSError: One of them cannot be read, or is being written.
    """
    files = []
    for path, stamp in item.files.items():
        if stamp.size > MAX_FILE_BYTES:
            found = f"is larger than the {MAX_FILE_BYTES / 1e9:.0f} GB that the hub takes"
            raise DataError(f"{item.key}/{path}", found, remedy="split it")
        try:
            f"{item.key}/{path}".encode()
        except UnicodeEncodeError as error:
            where = f"{item.key}/{path}".encode(errors="replace").decode()
            raise DataError(where, "has a name that is no UTF-8", remedy="rename it") from error
        sha256, git_sha1, size = hash_file(root / item.key / path)
        files.append(StagedFile(path, size, stamp.mtime_ns, sha256, git_sha1, is_metadata(path, hub)))
    return files


def has_changed(path: Path, file: StagedFile, *, by_content: bool = False) -> bool:
    """Whether a file is no longer what a batch says of it, or is gone.

    Args:
        path: Where it lies.
        file: What the batch says.
        by_content: Whether its content is compared even where size and time of change are the same.
    """
    try:
        status = path.stat()
        if not by_content and Stamp(status.st_size, status.st_mtime_ns) == file.stamp:
            return False
        return status.st_size != file.size or hash_file(path)[0] != file.sha256
    except OSError:
        return True


def delete_confirmed(tree: OutputTree, batch: Batch) -> int:
    """Delete the files of a confirmed batch which some repository takes and which are still the same.

    The file that makes an item a finished one stays, so that its producer does not make it again.

    Returns:
        How many were deleted.
    """
    deleted = 0
    for key, files in batch.current:
        folder = tree.root / key
        for file in files:
            taken = file.metadata or FULL in batch.deliveries
            if taken and file.path != tree.marker and not has_changed(folder / file.path, file, by_content=True):
                (folder / file.path).unlink()
                deleted += 1
        for parent in sorted({parent for file in files for parent in Path(file.path).parents}, reverse=True):
            with suppress(OSError):  # it holds something else, or is gone
                (folder / parent).rmdir()
    return deleted
