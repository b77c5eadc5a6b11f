"""Names of what folders hold, remembered between runs for as long as the folders do not change.

A data set of 70,000 files on a network drive takes minutes to list; asking 300 folders for their time of change takes
no second. A folder that holds a link is listed anew each time: what it leads to may come, go and change its kind (a
disk that is mounted) while the folder stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from mapanything_data.storage.atomic import write_atomic

Kind = Literal["file", "folder", "unreadable"]
"""What a name stands for, links followed; a link to nowhere is unreadable."""

_VERSION = 2  # 1 remembered folders with links
_SETTLED_NS = 2_000_000_000
"""A folder that changed less than two seconds ago may change again within the tick of its clock: not remembered."""


class FolderListing:
    """Lists folders below a root, from memory where they are unchanged.

    Args:
        root: Folder below which all asked ones lie.
        memory: JSON file that keeps the listings; None reads every folder anew.
    """

    def __init__(self, root: Path, memory: Path | None) -> None:
        self._root = root
        self._memory = memory
        self._known: dict[str, tuple[int, dict[str, Kind]]] = _recall(memory) if memory else {}
        self._changed = False
        self.read = 0
        """How many folders had to be read."""

    def entries(self, folder: Path) -> Mapping[str, Kind]:
        """The names in a folder, sorted, and what each is.

        Raises:
            OSError: The folder cannot be read.
        """
        key = os.path.relpath(folder, self._root)
        changed_ns = folder.stat().st_mtime_ns
        known = self._known.get(key)
        if known is not None and known[0] == changed_ns:
            return MappingProxyType(known[1])
        entries, may_change = _read(folder)
        self.read += 1
        forgotten = self._known.pop(key, None) is not None
        if changed_ns < time.time_ns() - _SETTLED_NS and not may_change:
            self._known[key] = (changed_ns, entries)
        self._changed |= forgotten or key in self._known
        return MappingProxyType(entries)

    def remember(self) -> None:
        """Keep the listings for the next time; a memory that cannot be written is done without."""
        if self._memory is None or not self._changed:
            return
        text = json.dumps({"version": _VERSION, "folders": self._known}, separators=(",", ":"))
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._memory, text)
        except OSError:
            return
        self._changed = False


def memory_file(root: Path) -> Path:
    """Where the listings of a root are kept: below the user's cache folder, since a root may be read-only."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.blake2b(str(root.resolve()).encode(), digest_size=16).hexdigest()
    return cache / "mapanything-data" / "listings" / f"{name}.json"


def _read(folder: Path) -> tuple[dict[str, Kind], bool]:
    """What a folder holds, and whether that may change without a change of the folder."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    kinds = {entry.name: _kind(entry) for entry in entries}
    return kinds, "unreadable" in kinds.values() or any(entry.is_symlink() for entry in entries)


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else "unreadable"
    except OSError:
        return "unreadable"


def _recall(memory: Path) -> dict[str, tuple[int, dict[str, Kind]]]:
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        if kept["version"] != _VERSION:
            return {}
        return {key: (int(changed_ns), dict(entries)) for key, (changed_ns, entries) in kept["folders"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a damaged memory is no memory
        return {}
