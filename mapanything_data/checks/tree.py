"""Checks of `dataset=tree`: links that lead nowhere, folders without anything. Nothing is opened or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mapanything_data.checks.finding import Finding, Severity
from mapanything_data.checks.protocol import Progress
from mapanything_data.storage.tree import Folder, TreeDataset, read_tree

_SHOWN = 12
"""Folders that the listing shows of each folder."""
_FINDINGS = 100
_KINDS_SHOWN = 4


class Checks:
    """The checks of one tree, which is listed once."""

    def __init__(self, dataset: TreeDataset) -> None:
        self._dataset = dataset
        self._listed: Folder | None = None

    def item_names(self) -> list[str]:
        """None: a tree has no parts that need checking one by one.

        Raises:
            DataError: The root cannot be listed.
        """
        self._tree()
        return []

    def files(self, item: str) -> list[Path]:
        """There are no items."""
        raise ValueError(f"a tree has no item {item}")

    def check_item(self, item: str, progress: Progress) -> list[Finding]:  # noqa: ARG002 - the protocol has it
        """There are no items."""
        raise ValueError(f"a tree has no item {item}")

    def check_whole(self) -> list[Finding]:
        """Broken links, folders that cannot be read, empty folders."""
        found = [finding for folder in self._tree().walk() for finding in _check_folder(folder)]
        return found[:_FINDINGS] + (_tell_rest(found[_FINDINGS:]) if len(found) > _FINDINGS else [])

    def describe(self) -> str:
        """Folders with their files, sizes, kinds of files, and where links lead."""
        rows = list(_rows(self._tree(), str(self._dataset.folder)))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            f"{name.ljust(widths[0])}  {files.rjust(widths[1])}  {size.rjust(widths[2])}  {kinds}".rstrip()
            for name, files, size, kinds in rows
        ]
        return "\n".join(lines)

    def _tree(self) -> Folder:
        if self._listed is None:
            self._listed = read_tree(self._dataset)
        return self._listed


def _check_folder(folder: Folder) -> Iterator[Finding]:
    name = folder.name or "."
    for link, target in folder.broken.items():
        found = f"leads to {target}, which does not exist"
        yield Finding(Severity.fail, "link", link, found, "mount the target, or correct the link")
    if folder.is_unreadable:
        yield Finding(Severity.fail, "unreadable", name, folder.problem, "mend the rights or the disk")
    if folder.empty:
        yield Finding(Severity.warn, "empty", name, "is an empty folder", "fill it, or remove it")


def _tell_rest(rest: list[Finding]) -> list[Finding]:
    severity = Severity.fail if any(finding.severity is Severity.fail for finding in rest) else Severity.warn
    found = f"{len(rest)} more empty folders and broken links, such as {rest[0].item}"
    return [Finding(severity, "more", ".", found, "mend the first ones and look again")]


def _rows(folder: Folder, root: str, level: int = 0) -> Iterator[tuple[str, str, str, str]]:
    name = folder.name.rpartition("/")[2] if folder.name else root
    arrow = f" -> {folder.target} (exists)" if folder.target else ""
    label = f"{'  ' * level}{name}/{arrow}"
    if folder.problem:
        yield label, "", "", folder.problem
    else:
        more = "more than " if folder.more else ""
        yield label, f"{more}{folder.files:,} files", _size(folder.size), _kinds(folder)
    for link, target in list(folder.broken.items())[:_SHOWN]:
        yield f"{'  ' * (level + 1)}{link.rpartition('/')[2]} -> {target} (does not exist)", "", "", ""
    for inner in folder.folders[:_SHOWN]:
        yield from _rows(inner, root, level + 1)
    if len(folder.folders) > _SHOWN:
        yield f"{'  ' * (level + 1)}... and {len(folder.folders) - _SHOWN} more folders", "", "", ""


def _kinds(folder: Folder) -> str:
    most = folder.kinds.most_common(_KINDS_SHOWN)
    rest = folder.files - sum(count for _, count in most)
    told = [f"{count:,} {suffix.removeprefix('.') or 'without suffix'}" for suffix, count in most]
    return ", ".join([*told, f"{rest:,} others"] if rest else told)


def _size(size: int) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
