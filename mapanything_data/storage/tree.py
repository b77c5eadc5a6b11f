"""Any folder of data, seen as names, sizes and links: what is there, and where do links lead?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from mapanything_data.config import component
from mapanything_data.errors import DataError, require_option


@component("dataset", "tree")
@dataclass(kw_only=True, slots=True)
class TreeDataset:
    """Any folder of data: files and sizes by folder, and where links lead."""

    root: str = "???"
    """The folder to look at."""
    max_depth: int = 4
    """Levels of folders that are listed one by one; what lies deeper is counted with the folder above it."""
    max_files: int = 1_000_000
    """Files after which counting below one entry of the root stops with "more than"."""

    def __post_init__(self) -> None:
        """Refuse numbers without meaning."""
        for name in ("max_depth", "max_files"):
            value = getattr(self, name)
            require_option(f"dataset.{name}", value, value >= 1, "1 or more")

    @property
    def folder(self) -> Path:
        """`root` as a path."""
        return Path(self.root).expanduser().absolute()


@dataclass(slots=True)
class Folder:
    """A folder with everything below it.

    Attributes:
        name: Relative to the root, with slashes; empty for the root.
        target: Where it leads when it is a link, as the link says it; empty for an ordinary folder.
        problem: Why it was not listed, for people; empty where it was.
        is_unreadable: Whether the system refused to list it; otherwise a problem is that it is listed elsewhere.
        files: Files in it and below it.
        size: Their bytes.
        kinds: How many files end in what, such as `.png`.
        more: True when counting stopped before all files were seen.
        folders: Those in it that are listed one by one.
        broken: Where links to nowhere lead, by their names; those in it and in deeper folders that are not listed.
        empty: True when nothing at all lies in it.
    """

    name: str
    target: str = ""
    problem: str = ""
    is_unreadable: bool = False
    files: int = 0
    size: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    more: bool = False
    folders: list[Folder] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    empty: bool = False

    def walk(self) -> Iterator[Folder]:
        """The folder and all listed ones below it, each before those in it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()


def read_tree(dataset: TreeDataset) -> Folder:
    """List a tree. Links to folders are followed, each real folder is entered once, and nothing is written.

    Raises:
        DataError: The root is missing, no folder, or may not be read.
    """
    root = dataset.folder
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise DataError(
            root, f"cannot be listed ({error.strerror})", expected="a folder", remedy="correct dataset.root"
        ) from error
    return _Walk(dataset).folder(root)


_MOST_BROKEN = 100


class _Walk:
    """Goes through a tree once, without recursion below the listed levels."""

    def __init__(self, dataset: TreeDataset) -> None:
        self._root, self._max_depth, self._max_files = dataset.folder, dataset.max_depth, dataset.max_files
        self._entered = set[tuple[int, int]]()
        self._left = dataset.max_files

    def folder(self, path: Path, name: str = "", depth: int = 0) -> Folder:
        """One listed folder with everything below it."""
        folder = Folder(name, target=str(path.readlink()) if path.is_symlink() else "")
        if not self._enter(path, folder):
            return folder
        inner_folders = []
        for entry in self._entries(path, folder):
            if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - millions of names
                self._note_broken(folder, entry.path)
            elif _is_folder(entry):
                inner_folders.append(entry.path)
            else:
                self._count(folder, entry)
        folder.empty = not (inner_folders or folder.files or folder.broken or folder.problem or folder.more)
        if depth >= self._max_depth:
            self._count_below(folder, inner_folders)
            return folder
        for inner in sorted(inner_folders):
            if depth == 0:
                self._left = self._max_files
            listed = self.folder(Path(inner), self._name(inner), depth + 1)
            folder.folders.append(listed)
            folder.files += listed.files
            folder.size += listed.size
            folder.kinds += listed.kinds
            folder.more |= listed.more
        return folder

    def _count_below(self, folder: Folder, pending: list[str]) -> None:
        while pending and not folder.more:
            path = Path(pending.pop())
            if not self._enter(path, Folder("")):
                continue
            for entry in self._entries(path, folder):
                if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
                    self._note_broken(folder, entry.path)
                elif _is_folder(entry):
                    pending.append(entry.path)
                else:
                    self._count(folder, entry)

    def _entries(self, path: Path, folder: Folder) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if self._left <= 0:
                        folder.more = True
                        return
                    yield entry
        except OSError as error:
            folder.problem, folder.is_unreadable = f"cannot be listed ({error.strerror})", True

    def _enter(self, path: Path, folder: Folder) -> bool:
        """False where a folder cannot be read or was entered before, through another link or from inside itself."""
        try:
            facts = path.stat()
        except OSError as error:
            folder.problem, folder.is_unreadable = f"cannot be read ({error.strerror})", True
            return False
        identity = facts.st_dev, facts.st_ino
        if identity in self._entered:
            folder.problem = "listed already under another name"
            return False
        self._entered.add(identity)
        return True

    def _count(self, folder: Folder, entry: os.DirEntry[str]) -> None:
        self._left -= 1
        folder.files += 1
        folder.kinds[PurePath(entry.name).suffix.lower()] += 1
        try:
            folder.size += entry.stat().st_size
        except OSError:  # gone since it was listed
            return

    def _note_broken(self, folder: Folder, path: str) -> None:
        if len(folder.broken) < _MOST_BROKEN:
            folder.broken[self._name(path)] = str(Path(path).readlink())

    def _name(self, path: str) -> str:
        return Path(os.path.relpath(path, self._root)).as_posix()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
