"""What a run says of itself, also after it was killed and went on."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from mapanything_data.errors import DataError
from train.training.run_log import RunLog


def rows(folder):
    return [json.loads(line) for line in (folder / "log.txt").read_text().splitlines()]


def train(step, **values):
    return {"kind": "train", "epoch": step / 10, "step": step, **values}


def test_rows_are_json_lines_and_scalars(tmp_path):
    with RunLog(tmp_path) as log:
        log.note(train(1, loss=0.5))
        log.note(train(2, loss=math.nan))

    assert rows(tmp_path) == [train(1, loss=0.5), train(2, loss=None)]
    assert scalars(tmp_path)[:1] == [(1, 0.5)]


def test_what_is_said_stands_in_the_console_log_with_its_time(tmp_path, capsys):
    with RunLog(tmp_path) as log:
        log.say("first\n  second")

    assert capsys.readouterr().out == "first\n  second\n"
    lines = (tmp_path / "console.log").read_text().splitlines()
    assert [line[20:] for line in lines] == ["first", "  second"]
    assert lines[0][4] == "-"


def test_a_run_that_goes_on_drops_what_comes_after_its_checkpoint(tmp_path):
    with RunLog(tmp_path) as log:
        for step in (1, 2, 3, 4):
            log.note(train(step, loss=float(step)))
        log.note({"kind": "test", "epoch": 1, "step": 2, "points_abs_rel": 0.5})
        log.note({"kind": "test", "epoch": 2, "step": 4, "points_abs_rel": 0.4})
    with (tmp_path / "log.txt").open("a") as file:
        file.write('{"kind": "train", "st')  # what a kill leaves

    with RunLog(tmp_path, step=2, evaluations=1) as log:
        log.note(train(3, loss=33.0))

    assert [(row["kind"], row["step"]) for row in rows(tmp_path)] == [
        ("train", 1),
        ("train", 2),
        ("test", 2),
        ("train", 3),
    ]
    assert rows(tmp_path)[-1]["loss"] == 33.0
    assert scalars(tmp_path) == [(1, 1.0), (2, 2.0), (3, 33.0)]


@pytest.mark.parametrize("name", ["console.log", "log.txt"])
def test_a_full_disk_is_told_by_the_file_that_it_refuses(tmp_path, name):
    def write():
        with RunLog(tmp_path) as log, Path("/dev/full").open("a") as full:
            for file in (log._console, log._rows):
                if file.name == str(tmp_path / name):
                    os.dup2(full.fileno(), file.fileno())
            log.say("first")
            log.note(train(1, loss=0.5))

    with pytest.raises(DataError, match=rf"{name}: cannot be written: no space left on device") as told:
        write()
    assert "goes on from its last checkpoint" in told.value.remedy


def test_a_full_disk_is_told_by_the_picture_that_it_refuses(tmp_path):
    (tmp_path / "pictures").write_text("where a folder should be")

    with RunLog(tmp_path) as log, pytest.raises(DataError, match=r"sample0\.png: cannot be written: file exists"):
        log.picture("epoch_0001_sample0", np.zeros((4, 6, 3), np.uint8), 1)


def test_pictures_are_kept_as_files(tmp_path):
    with RunLog(tmp_path) as log:
        log.picture("epoch_0001_sample0", np.zeros((4, 6, 3), np.uint8), 1)

    assert (tmp_path / "pictures" / "epoch_0001_sample0.png").exists()


def test_other_ranks_keep_still(capsys):
    with RunLog(None) as log:
        log.say("x")
        log.note(train(1))
        log.progress("x", done=1, total=2, unit="steps", seconds=1.0)

    assert capsys.readouterr() == ("", "")


def scalars(folder):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("train/loss")]
