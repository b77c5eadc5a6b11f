"""How full a repository gets, told before the hub's advice is exceeded.

Source of the numbers: https://huggingface.co/docs/hub/storage-limits
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

MAX_FILE_BYTES = 200 * 10**9
MAX_FILES = 100_000
MAX_ENTRIES = 10_000
_WARN_AT = 0.8


class RepoLimits:
    """Counts the files that were sent to a repository; a file that was sent again counts twice."""

    def __init__(self) -> None:
        self.files = 0
        self.entries: Counter[str] = Counter()
        self._told: set[str] = set()

    def add(self, paths: Iterable[str]) -> None:
        """Count files by their paths in the repository."""
        for path in paths:
            self.files += 1
            folder = path.rpartition("/")[0]
            known = folder in self.entries
            self.entries[folder] += 1
            while folder and not known:
                folder = folder.rpartition("/")[0]
                known = folder in self.entries
                self.entries[folder] += 1

    def warnings(self, *, sharded: bool) -> Iterator[str]:
        """What will soon be too much, each said once."""
        remedy = "begin another repository" if sharded else "use hub.layout=shards, or begin another repository"
        if self.files >= _WARN_AT * MAX_FILES:
            text = f"holds about {self.files:,} files, and the hub advises {MAX_FILES:,} at most; {remedy}"
            yield from self._once("", text)
        full = [(folder, count) for folder, count in self.entries.items() if count >= _WARN_AT * MAX_ENTRIES]
        for folder, count in full:
            text = (
                f"its folder {folder or '/'} holds about {count:,} entries, and the hub advises {MAX_ENTRIES:,} at most"
            )
            yield from self._once(f"{folder}/", f"{text}; {remedy}")

    def _once(self, what: str, text: str) -> Iterator[str]:
        if what not in self._told:
            self._told.add(what)
            yield text
