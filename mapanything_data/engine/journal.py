"""What happened to each item, one JSON line an item; and which item is in flight.

Every shard of every run appends to a file of its own, so no two processes ever write to the same one:

    {output}/.mapanything/{work}/runs/{run id}/journal/00003.jsonl      one line for each item that ended
                                                      /00003.inflight   the item that is being worked on
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

Outcome = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """How an item ended.

    Attributes:
        item: The item's key.
        outcome: `done` or `failed`.
        seconds: Wall-clock time of the last attempt.
        attempts: How often it was tried in this run.
        host: Name of the machine.
        ended: Unix time, seconds.
        error: What went wrong, for people; empty when done.
        traceback: Where an unexpected error came from; empty for expected ones.
        stats: Numbers that the work returned.
    """

    item: str
    outcome: Outcome
    seconds: float
    attempts: int
    host: str = field(default_factory=socket.gethostname)
    ended: float = field(default_factory=time.time)
    error: str = ""
    traceback: str = ""
    stats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InFlight:
    """The item that a shard is working on: `started` in Unix seconds, `fraction` finished from 0 to 1."""

    item: str
    attempt: int
    started: float
    fraction: float = 0.0


class ShardJournal:
    """The journal of one shard of one run; the only writer of its files.

    Opened again after its process died, it knows which items ended and which one was in flight.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{shard:05d}"
        self._path = folder / f"{self.name}.jsonl"
        inflight_path = folder / f"{self.name}.inflight"
        self.ended = {entry.item: entry for entry in read_entries([self._path])}
        self.inflight = read_inflight(inflight_path)
        if self.inflight and self.inflight.item in self.ended:
            self.inflight = None
        # Kept open and overwritten: a file made and removed for every item can cost a millisecond on a busy disk.
        self._inflight_file = os.open(inflight_path, os.O_WRONLY | os.O_CREAT, 0o644)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if _ends_mid_line(self._path):
            os.write(self._file, b"\n")  # a killed writer's last line must not swallow the next one

    def __enter__(self) -> ShardJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)
        os.close(self._inflight_file)

    def start(self, inflight: InFlight) -> None:
        """Note that an item is being worked on, or how far it is."""
        text = json.dumps(asdict(inflight)).encode()
        os.pwrite(self._inflight_file, text, 0)
        os.ftruncate(self._inflight_file, len(text))

    def release(self) -> None:
        """Note that no item is in flight: an abandoned one has not used up an attempt."""
        os.ftruncate(self._inflight_file, 0)

    def end(self, entry: Entry) -> None:
        """Append how an item ended."""
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self.ended[entry.item] = entry


def read_entries(paths: Iterable[Path], *, only: Outcome | None = None) -> Iterator[Entry]:
    """Entries of journal files in their order; missing files and lines that a kill cut short are passed over."""
    for path in paths:
        yield from read_entries_from(path, 0, only=only)[0]


def read_entries_from(path: Path, offset: int, *, only: Outcome | None = None) -> tuple[list[Entry], int]:
    """Entries of a journal file from a byte offset on, and the offset to go on from when more has been written."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            text = file.read()
    except FileNotFoundError:
        return [], offset
    whole = text[: text.rfind(b"\n") + 1]
    wanted = f'"outcome": "{only}"'.encode() if only else b""
    entries = (_parse(line) for line in whole.splitlines() if wanted in line)
    return [entry for entry in entries if entry], offset + len(whole)


def _parse(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None


def read_inflight(path: Path) -> InFlight | None:
    """The item in flight according to an `.inflight` file, or None."""
    try:
        return InFlight(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # none, or read while it was being overwritten
        return None


def _ends_mid_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"
