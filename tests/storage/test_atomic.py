"""A file is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mapanything_data.storage.atomic import atomic_folder, open_atomic, remove_unfinished, write_atomic


def test_text_is_written_as_utf8(tmp_path):
    write_atomic(tmp_path / "Zürich.txt", "grüezi")

    assert (tmp_path / "Zürich.txt").read_bytes() == "grüezi".encode()


def test_an_error_while_writing_keeps_the_old_content_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "table.json"
    write_atomic(path, "old")

    with pytest.raises(RuntimeError), open_atomic(path) as file:
        file.write(b"new, but")
        raise RuntimeError

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_content_and_its_leftover_can_be_removed(tmp_path):
    path = tmp_path / "table.json"
    write_atomic(path, "old")
    program = f"""
import time
from pathlib import Path
from mapanything_data.storage.atomic import open_atomic
with open_atomic(Path({str(path)!r})) as file:
    file.write(b"new, but")
    file.flush()
    time.sleep(60)
"""
    writer = subprocess.Popen([sys.executable, "-c", program])
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()

    assert path.read_text() == "old"
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_with_all_its_files(tmp_path):
    with atomic_folder(tmp_path / "episode") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "episode").exists()

    assert (tmp_path / "episode" / "a.txt").read_text() == "a"


def test_a_folder_that_fails_does_not_appear(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "episode") as folder:
        (folder / "a.txt").write_text("a")
        raise RuntimeError

    assert list(tmp_path.iterdir()) == []


def test_a_folder_never_replaces_one_that_holds_something(tmp_path):
    (tmp_path / "episode").mkdir()
    (tmp_path / "episode" / "precious.txt").write_text("precious")

    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "episode") as folder:
        (folder / "a.txt").write_text("a")

    assert [path.name for path in (tmp_path / "episode").iterdir()] == ["precious.txt"]
    assert len(list(tmp_path.iterdir())) == 1
