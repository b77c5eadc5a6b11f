"""Shards: many small files in a few tar files, each with an index for reading one member without the rest.

{folder}/{batch}-00.tar           plain tar; the same files give the same bytes
        /{batch}-00.jsonl         a line for each member: member, offset, size, sha256
        /{batch}-00.depth.tar     what the repository of metadata does not receive, with its index
"""

from __future__ import annotations

import errno
import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from mapanything_data.errors import DataError
from mapanything_data.storage.atomic import open_atomic
from mapanything_data.storage.hub.batch import Batch, StagedFile
from mapanything_data.storage.hub.items import hash_file
from mapanything_data.storage.tables import read_jsonl, write_jsonl

SHARD_BYTES = 20 * 10**9
"""A shard that would grow beyond it is followed by another: the hub advises files below 20 GB."""


class ItemChangedError(Exception):
    """A file is no longer what its batch says."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a shard.

    Attributes:
        member: Its path in the tree.
        offset: Where its content begins in the tar file, bytes.
        size: In bytes.
        sha256: Of its content.
    """

    member: str
    offset: int
    size: int
    sha256: str


def read_shard_index(path: Path) -> dict[str, Member]:
    """Read the index of a shard, a .jsonl file; the members by their paths.

    Raises:
        DataError: It cannot be read or is none.
    """
    try:
        members = [Member(**row) for row in read_jsonl(path)]
    except TypeError as error:
        raise DataError(path, f"is no index of a shard ({error})", remedy="download it again") from error
    return {member.member: member for member in members}


def read_shard_member(shard: Path | IO[bytes], member: Member) -> bytes:
    """Read one file out of a shard without the rest.

    Args:
        shard: The tar file, or it opened for reading, as by `HfFileSystem`, which then fetches these bytes only.
        member: From its index.

    Raises:
        DataError: The content is not what the index says.
    """
    if isinstance(shard, Path):
        with shard.open("rb") as file:
            return read_shard_member(file, member)
    shard.seek(member.offset)
    content = shard.read(member.size)
    if hashlib.sha256(content).hexdigest() != member.sha256:
        where = f"{getattr(shard, 'name', 'shard')}:{member.member}"
        raise DataError(where, "is not what the index says", remedy="download the shard and its index again")
    return content


def pack(batch: Batch, root: Path, folder: Path, shard_folder: Callable[[str], str]) -> list[dict[str, Any]]:
    """Pack what has not changed of a batch.

    Args:
        batch: The batch.
        root: The output tree.
        folder: Where the shards are written.
        shard_folder: The folder in the repository of an item's shard, from its key.

    Returns:
        The files that were written, as `Batch.shards` lists them.

    Raises:
        ItemChangedError: A file is no longer what the batch says, or is gone.
    """
    shards = []
    for place, files, metadata in _split(batch, shard_folder):
        tar = folder / place
        tar.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(tar) as file:
            _write_tar(file, root, files)
        index = tar.with_suffix(".jsonl")
        write_jsonl(index, _index(tar, files))
        for path in (tar, index):
            sha256, git_sha1, size = hash_file(path)
            name = path.relative_to(folder).as_posix()
            shards.append({"path": name, "size": size, "sha256": sha256, "git_sha1": git_sha1, "metadata": metadata})
    return shards


def _split(
    batch: Batch, shard_folder: Callable[[str], str]
) -> Iterator[tuple[str, list[tuple[str, StagedFile]], bool]]:
    """The name of each shard in the repository, its files by item, and whether they are metadata."""
    groups: dict[tuple[str, bool], list[list[tuple[str, StagedFile]]]] = {}
    sizes: dict[tuple[str, bool], int] = {}
    for key, files in sorted(batch.current):
        for file in files:
            group = shard_folder(key), file.metadata
            parts = groups.setdefault(group, [[]])
            if parts[-1] and sizes[group] + file.size > SHARD_BYTES:
                parts.append([])
            sizes[group] = file.size + (sizes[group] if parts[-1] else 0)
            parts[-1].append((key, file))
    for (place, metadata), parts in sorted(groups.items()):
        for number, part in enumerate(parts):
            ending = "tar" if metadata else "depth.tar"
            yield f"shards/{place}/{batch.name}-{number:02d}.{ending}", part, metadata


def _write_tar(target: IO[bytes], root: Path, files: list[tuple[str, StagedFile]]) -> None:
    """Times, owners and rights are left out, so that the same files give the same bytes on every machine."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for key, file in files:
            info = tarfile.TarInfo(f"{key}/{file.path}")
            info.size = file.size
            try:
                with (root / key / file.path).open("rb") as content:
                    hashing = _HashingReader(content)
                    tar.addfile(info, cast("IO[bytes]", hashing))
            except OSError as error:
                # tarfile tells without an errno that a file is shorter than it was.
                if error.errno in (None, errno.ENOENT, errno.ENOTDIR):
                    raise ItemChangedError(key) from error
                raise
            if hashing.sha256.hexdigest() != file.sha256:
                raise ItemChangedError(key)


def _index(tar: Path, files: list[tuple[str, StagedFile]]) -> list[dict[str, Any]]:
    with tarfile.open(tar) as reader:
        offsets = [member.offset_data for member in reader]
    return [
        asdict(Member(f"{key}/{file.path}", offset, file.size, file.sha256))
        for (key, file), offset in zip(files, offsets, strict=True)
    ]


class _HashingReader:
    """Hashes what tarfile reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.sha256.update(content)
        return content
