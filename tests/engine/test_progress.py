"""The bar says what the journal says."""

from __future__ import annotations

import io
import re
import time

import pytest

from mapanything_data.engine.journal import Entry, InFlight, ShardJournal, read_entries
from mapanything_data.engine.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def entry(item: str, outcome="done") -> Entry:
    return Entry(item=item, outcome=outcome, seconds=0.1, attempts=1)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


def last_line(stream: io.StringIO) -> str:
    return re.split(r"\r|\n", stream.getvalue().strip())[-1]


def test_ended_and_failed_items_of_all_shards_are_counted(folder):
    stream = Terminal()
    with Progress("label", 8, folder, stream), ShardJournal(folder, 0) as one, ShardJournal(folder, 1) as other:
        one.end(entry("a"))
        other.end(entry("b"))
        other.end(entry("c", "failed"))
        one.start(InFlight(item="d", attempt=1, started=time.time(), fraction=0.5))
        time.sleep(0.5)

    line = last_line(stream)
    assert line.startswith("label ")
    assert "3/8 items" in line
    assert "failed 1" in line
    assert " 44%" in line  # three and a half of eight


def test_rate_and_time_left_follow_from_what_ended(folder):
    stream = Terminal()
    with Progress("label", 4, folder, stream), ShardJournal(folder, 0) as journal:
        journal.end(entry("a"))
        journal.end(entry("b"))
        time.sleep(1.1)

    assert re.search(r"1\.\d/s  ETA 00:01", last_line(stream))  # two of four in a second: another second


def test_a_file_gets_no_bar(folder):
    stream = io.StringIO()
    with Progress("label", 1, folder, stream), ShardJournal(folder, 0) as journal:
        journal.end(entry("a"))
        time.sleep(0.3)

    assert stream.getvalue() == ""


def test_a_journal_that_a_kill_cut_short_is_read_and_gone_on_with(folder):
    with ShardJournal(folder, 3) as journal:
        journal.end(entry("whole"))
    path = folder / "00003.jsonl"
    path.write_bytes(path.read_bytes() + b'{"item": "cut sh')

    with ShardJournal(folder, 3) as journal:
        assert list(journal.ended) == ["whole"]
        journal.end(entry("next"))

    assert [found.item for found in read_entries([path])] == ["whole", "next"]
