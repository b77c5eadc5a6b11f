"""Finished items of an output tree: folders that hold the file which their producer writes last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a changed file without reading it.

    Attributes:
        size: In bytes.
        mtime_ns: Time of the last change, nanoseconds.
    """

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Item:
    """What goes up together, such as an episode.

    Attributes:
        key: Its folder relative to the root, with slashes.
        files: The stamp of each file, by its path relative to the item's folder.
    """

    key: str
    files: dict[str, Stamp]


@dataclass(frozen=True, slots=True)
class OutputTree:
    """A tree that somebody writes items into.

    Attributes:
        root: Its folder.
        marker: Name of the file that is written last into an item's folder.
        shard_folder: The folder of an item's shard, from its key.
    """

    root: Path
    marker: str
    shard_folder: Callable[[str], str]


def find_items(tree: OutputTree) -> Iterator[Item]:
    """The finished items in the order of their keys, each with all files in and below its folder.

    Files and folders whose names begin with a dot, as unfinished ones do, are left out, and what disappears meanwhile.
    """
    root, marker = tree.root, tree.marker
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if marker in names:
            folders.clear()
            item = _read_item(root, Path(folder))
            if marker in item.files:
                yield item


def hash_file(path: Path) -> tuple[str, str, int]:
    """SHA-256 of a file, the id that git gives it (SHA-1 of its size and content), and its size in bytes.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        read = 0
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            git.update(chunk)
            read += len(chunk)
    if read != size:
        raise OSError(f"{path} changed while it was read")
    return sha256.hexdigest(), git.hexdigest(), size


def _read_item(root: Path, folder: Path) -> Item:
    files = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue
            files[path.relative_to(folder).as_posix()] = Stamp(status.st_size, status.st_mtime_ns)
    return Item(folder.relative_to(root).as_posix(), files)
