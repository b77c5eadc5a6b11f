"""The check as a user meets it: verdict, file, exit code, and only what changed is read again."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from opv2v_data import write_root
from segments_data import picture, write_dataset

from mapanything_data.engine import Retry
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.stages.check import CheckConfig, check
from mapanything_data.storage.opv2v import OPV2V
from mapanything_data.storage.png import encode_png
from mapanything_data.storage.segments import SegmentsDataset
from mapanything_data.storage.tables import read_csv


def run_check(root, output=None, executor=None, **options) -> int:
    return check(
        CheckConfig(
            machine={},
            dataset=SegmentsDataset(root=str(root)),
            executor=executor or InlineExecutor(),
            output=str(output or root),
            **options,
        )
    )


@pytest.fixture
def root(tmp_path):
    write_dataset(tmp_path / "drive", segments=3)
    return tmp_path / "drive"


def test_a_sound_data_set_is_ok(root, capsys):
    assert run_check(root) == 0

    assert "verdict OK: nothing found" in capsys.readouterr().out
    assert json.loads((root / "check.json").read_text())["verdict"] == "OK"


def test_a_warning_leaves_with_3(root, capsys):
    (root / "segment_01" / "raw" / "000003.png").write_bytes(encode_png(picture(102)))  # the same as frame 2

    assert run_check(root) == 3

    report = json.loads((root / "check.json").read_text())
    assert (report["verdict"], report["counts"]) == ("WARN", {"WARN": 1})
    assert report["findings"][0]["item"] == "segment_01"
    assert read_csv(root / "check.tsv") == [{name: str(value) for name, value in report["findings"][0].items()}]
    assert "WARN  segment_01: frames 000002 to 000003 are identical" in capsys.readouterr().out


def test_wrong_data_leave_with_4_and_name_the_file(root, capsys):
    (root / "segment_02" / "raw" / "000003.png").write_bytes(b"no picture")

    assert run_check(root) == 4

    out = capsys.readouterr().out
    assert "FAIL  segment_02/raw/000003.png: not a PNG" in out
    assert "verdict FAIL: 1 FAIL" in out


def test_only_what_changed_is_checked_again(root, capsys):
    run_check(root)
    (root / "segment_01" / "raw" / "000003.png").write_bytes(encode_png(picture(999)))
    capsys.readouterr()

    assert run_check(root) == 0
    assert "1 done, 2 already finished of 3 items" in capsys.readouterr().out

    assert run_check(root, again=True) == 0
    assert "3 done of 3 items" in capsys.readouterr().out


def test_findings_stay_until_they_are_mended(root, capsys):
    path = root / "segment_00" / "raw" / "000000.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert run_check(root) == 4
    assert run_check(root) == 4  # nothing is read again, nothing is forgotten

    path.write_bytes(whole)
    assert run_check(root) == 0


def test_a_data_set_that_must_not_be_written_to_is_checked_into_another_folder(root, tmp_path):
    before = sorted(root.rglob("*"))

    assert run_check(root, output=tmp_path / "elsewhere") == 0

    assert sorted(root.rglob("*")) == before
    assert (tmp_path / "elsewhere" / "check.json").exists()


def test_what_a_limit_leaves_out_is_a_warning(root, capsys):
    assert run_check(root, limit=2) == 3
    assert "WARN  segment_02: has not been checked yet" in capsys.readouterr().out

    assert run_check(root) == 0


def test_an_item_that_cannot_be_checked_is_a_failure_until_it_is_tried_again(root, monkeypatch):
    monkeypatch.setattr("mapanything_data.checks.pictures.BLACK_LEVEL", "dark")  # no number: the comparison raises
    assert run_check(root) == 4
    monkeypatch.undo()

    assert run_check(root) == 4
    assert run_check(root, retry=Retry.failed) == 0


def test_processes_find_the_same(root, tmp_path):
    (root / "segment_02" / "raw" / "000003.png").unlink()

    run_check(root, output=tmp_path / "a")
    run_check(root, output=tmp_path / "b", executor=ProcessesExecutor(workers=2))

    assert (tmp_path / "a" / "check.json").read_text() == (tmp_path / "b" / "check.json").read_text()


def test_nothing_is_written_where_there_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        run_check(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"limit": 0}, {"item_timeout_s": 0.00001, "retries": 0}])
def test_what_was_found_before_a_change_says_nothing_about_the_data_after_it(root, options):
    run_check(root)
    (root / "segment_01" / "raw" / "000003.png").unlink()

    assert run_check(root, **options) != 0

    assert json.loads((root / "check.json").read_text())["verdict"] != "OK"


def test_a_damaged_record_of_findings_is_made_again(root):
    run_check(root)
    (record,) = (root / ".mapanything" / "check" / "findings").glob("segment_01.json")
    record.write_text("{}")

    assert run_check(root) == 0


def test_an_empty_folder_name_is_refused():
    with pytest.raises(ConfigError, match=r"dataset\.root: is empty"):
        run_check("")


@pytest.fixture
def opv2v_root(tmp_path):
    return write_root(tmp_path / "opv2v", scenarios=2)


def check_opv2v(root, output, **options) -> int:
    dataset = OPV2V(root=str(root))
    return check(
        CheckConfig(machine={}, dataset=dataset, executor=InlineExecutor(), output=str(output), **options),
    )


def test_a_quick_look_tells_what_is_there_and_writes_nothing(opv2v_root, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))

    assert check_opv2v(opv2v_root, opv2v_root, quick=True) == 0

    out = capsys.readouterr().out
    # 2 scenes of 2 agents with 2 frames of 4 pictures.
    assert "train       2         4         0       8         8       4          32" in out
    assert "quick look (names only, nothing was opened) OK: nothing found" in out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_quick_look_finds_missing_files_and_opens_none(opv2v_root, monkeypatch, capsys):
    (opv2v_root / "train" / "2021_08_16_22_26_01" / "1007" / "000070.pcd").unlink()
    monkeypatch.setattr("mapanything_data.checks.opv2v.checks.read_annotation", None)  # would raise if called

    assert check_opv2v(opv2v_root, opv2v_root, quick=True) == 4

    assert "FAIL  train/2021_08_16_22_26_01/1007/000070.pcd: is missing" in capsys.readouterr().out


def test_a_dataset_without_a_quick_look_says_so(root):
    with pytest.raises(ConfigError, match="dataset=segments has no quick look"):
        run_check(root, quick=True)


def test_a_full_check_shows_the_same_table(opv2v_root, tmp_path, capsys):
    assert check_opv2v(opv2v_root, tmp_path / "out") == 0

    assert "train       2         4" in capsys.readouterr().out


def test_files_beside_the_root_count_for_what_has_changed(opv2v_root, tmp_path, capsys):
    check_opv2v(opv2v_root, tmp_path / "out")
    depth = tmp_path / "opv2v_depth" / "train" / "2021_08_16_22_26_01" / "962" / "000068_camera0_depth.npy"
    np.save(depth, np.zeros((60, 80), np.float32))
    capsys.readouterr()

    assert check_opv2v(opv2v_root, tmp_path / "out") == 4

    out = capsys.readouterr().out
    assert "1 done, 1 already finished of 2 items" in out
    assert "FAIL  train/2021_08_16_22_26_01/962/000068_camera0.png: its depth map is 0 everywhere" in out


def test_processes_check_scenarios_alike(opv2v_root, tmp_path):
    (opv2v_root / "train" / "2021_08_16_22_26_01" / "962" / "000068.yaml").write_text("{")

    check_opv2v(opv2v_root, tmp_path / "a")
    dataset = OPV2V(root=str(opv2v_root))
    executor = ProcessesExecutor(workers=2)
    check(CheckConfig(machine={}, dataset=dataset, executor=executor, output=str(tmp_path / "b")))

    assert (tmp_path / "a" / "check.json").read_text() == (tmp_path / "b" / "check.json").read_text()


@pytest.mark.parametrize(("app", "what"), [("check", "checks"), ("report", "report")])
def test_a_dataset_that_is_for_training_only_is_refused_with_those_that_will_do(app, what):
    done = subprocess.run(
        [sys.executable, "-m", f"mapanything_data.{app}", "dataset=opv2v_ft", "dataset.root=/nowhere"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert f"dataset=opv2v_ft: has no {what}" in done.stderr
    assert "dataset=opv2v or dataset=segments" in done.stderr
