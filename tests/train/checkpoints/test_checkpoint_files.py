"""A checkpoint file is whole or is refused, whatever happens to its writer or its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
import toy_ranks

from mapanything_data.errors import DataError
from mapanything_data.storage import atomic
from train.checkpoints.file import has_digest, read_checkpoint, write_checkpoint
from train.checkpoints.keep import LAST, PREVIOUS, kept_name, resumable, write_last

STATE = {"model": {"w": torch.arange(12.0).reshape(3, 4)}, "progress": {"step": 7, "name": "é", "lr": 0.1}}


@pytest.fixture
def path(tmp_path) -> Path:
    write_checkpoint(tmp_path / LAST, STATE)
    return tmp_path / LAST


def test_what_is_read_is_what_was_written(path):
    state = read_checkpoint(path)

    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert state["progress"] == STATE["progress"]
    assert [file.name for file in path.parent.iterdir()] == [LAST]


@pytest.mark.parametrize("options", [{}, {"mmap": True}, {"weights_only": False}])
def test_plain_torch_and_zip_read_it(path, options):
    state = torch.load(path, **{"weights_only": True, **options})

    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert zipfile.ZipFile(path).testzip() is None


def test_the_comment_is_the_digest_of_all_bytes_before_its_length(path):
    data = path.read_bytes()
    comment = zipfile.ZipFile(path).comment

    # 7 letters of "sha256:" and 64 digits; the two bytes before them say that there are 71.
    assert len(comment) == 71
    assert data[-73:] == (71).to_bytes(2, "little") + comment
    assert comment.decode() == "sha256:" + hashlib.sha256(data[:-73]).hexdigest()


def test_a_changed_bit_is_found_wherever_it_is(path):
    data = path.read_bytes()
    for position in {*range(0, len(data), 41), *range(len(data) - 100, len(data))}:
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        with pytest.raises(DataError):
            read_checkpoint(path)


def test_a_file_cut_anywhere_is_found(path):
    data = path.read_bytes()
    for length in {*range(0, len(data), 97), *range(len(data) - 80, len(data))}:
        path.write_bytes(data[:length])
        with pytest.raises(DataError):
            read_checkpoint(path)


def test_a_file_that_has_grown_is_found(path):
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(DataError, match="damaged"):
        read_checkpoint(path)


def test_a_changed_tensor_is_told_as_damage_and_read_only_where_nobody_asks(path):
    data = path.read_bytes()
    number = torch.tensor(11.0).numpy().tobytes()
    assert data.count(number) == 1
    path.write_bytes(data.replace(number, torch.tensor(13.0).numpy().tobytes()))

    with pytest.raises(DataError, match=r"checkpoint-last.pth: damaged.*SHA-256") as caught:
        read_checkpoint(path)
    assert PREVIOUS in caught.value.remedy
    assert read_checkpoint(path, verify=False)["model"]["w"][2, 3] == 13  # torch itself does not notice


def test_a_file_of_plain_torch_is_read_without_a_check(tmp_path):
    theirs = tmp_path / "theirs.pth"
    torch.save({"model": {"w": torch.ones(2)}}, theirs)
    old = tmp_path / "old.pth"
    torch.save({"model": {"w": torch.ones(2)}}, old, _use_new_zipfile_serialization=False)

    assert not has_digest(theirs)
    assert read_checkpoint(theirs)["model"]["w"].tolist() == [1, 1]
    assert read_checkpoint(old)["model"]["w"].tolist() == [1, 1]


def test_code_in_a_file_is_refused_and_does_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Code()}, tmp_path / "evil.pth")

    with pytest.raises(DataError, match=r"evil.pth: holds Python objects \(posix.mkdir\)"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "no checkpoint"), (b"epoch: 3\n", "no checkpoint"), (b"PK\3\4 and no more", "damaged: its end is missing")],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content, told):
    (tmp_path / "x.pth").write_bytes(content)

    with pytest.raises(DataError, match=f"x.pth: {told}"):
        read_checkpoint(tmp_path / "x.pth")


def test_a_missing_file_and_a_lone_tensor_are_told(tmp_path):
    torch.save(torch.ones(2), tmp_path / "x.pth")

    with pytest.raises(DataError, match=r"none.pth: cannot be read: no such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(DataError, match=r"x.pth: holds a Tensor"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("allowed", [0, 700, 5_000])
def test_a_full_disk_leaves_the_old_file(path, monkeypatch, allowed):
    def opens(self, *arguments, **options):
        file = opened(self, *arguments, **options)
        return _FullDisk(file, allowed) if self.name.startswith(".unfinished") else file

    opened = Path.open
    before = path.read_bytes()
    monkeypatch.setattr(atomic.Path, "open", opens)

    with pytest.raises(DataError, match=r"checkpoint-last.pth: cannot be written: no space left.*\n.*\n.*make room"):
        write_last(path.parent, {"model": {"w": torch.zeros(10_000)}})

    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [LAST]


class _FullDisk:
    """A file on a disk with room for some bytes."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.file.close()


def test_the_rest_of_a_killed_writer_goes_with_the_next_checkpoint(path):
    (path.parent / f".unfinished-1-{LAST}").write_bytes(b"half")

    write_last(path.parent, STATE)

    assert sorted(file.name for file in path.parent.iterdir()) == [LAST, PREVIOUS]


def test_the_one_before_stays(tmp_path):
    for step in (1, 2, 3):
        write_last(tmp_path, {"progress": step})

    assert read_checkpoint(tmp_path / LAST)["progress"] == 3
    assert read_checkpoint(tmp_path / PREVIOUS)["progress"] == 2
    assert resumable(tmp_path) == (tmp_path / LAST, [])


def test_damaged_checkpoints_are_named_and_the_one_before_is_taken(tmp_path):
    for name in (LAST, PREVIOUS, kept_name(10), kept_name(9)):
        write_checkpoint(tmp_path / name, STATE)
    write_checkpoint(tmp_path / "checkpoint-best.pth", STATE)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-9])

    path, damaged = resumable(tmp_path)

    assert path == tmp_path / "checkpoint-10.pth"  # 10 is later than 9, though it sorts before it
    assert [error.where for error in damaged] == [str(tmp_path / LAST), str(tmp_path / PREVIOUS)]


def test_a_folder_without_checkpoints_is_not_one_with_damaged_ones(tmp_path):
    assert resumable(tmp_path) == (None, [])

    (tmp_path / LAST).write_bytes(b"")

    path, damaged = resumable(tmp_path)
    assert path is None
    assert len(damaged) == 1


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    roots = [str(Path(toy_ranks.__file__).parent), str(Path(toy_ranks.__file__).parents[2])]
    for attempt in range(4):
        (tmp_path / "written").unlink(missing_ok=True)
        writer = subprocess.Popen(
            [sys.executable, toy_ranks.__file__, "write_for_ever", tmp_path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(roots), "OMP_NUM_THREADS": "1"},
        )
        while not (tmp_path / "written").exists():
            assert writer.poll() is None
            time.sleep(0.005)
        time.sleep(0.013 * attempt)  # writing one takes a few milliseconds: the kills fall on different moments of it
        writer.send_signal(signal.SIGKILL)
        writer.wait()

        path, damaged = resumable(tmp_path)

        assert path is not None
        assert damaged == []
        state = read_checkpoint(path)
        number = state["progress"]["number"]
        assert number >= int((tmp_path / "written").read_text() or 0)  # nothing that was reported is lost
        assert (state["model"]["w"] == number).all()
