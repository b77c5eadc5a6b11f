"""A capture that is killed, repeated or run twice at once gives what an undisturbed one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from captures import FPS, FRAMES, SEGMENT_FRAMES, command, contents, run_capture

from mapanything_data.engine import Retry
from mapanything_data.errors import DataError
from mapanything_data.sim.clip import write_clip
from mapanything_data.storage.segments import list_segments


@pytest.mark.parametrize("kill_after", [0, 1, 7, 24, 25, 26, 50, 59])
def test_a_killed_capture_goes_on_and_gives_the_same_bytes(clip, tmp_path, undisturbed, kill_after):
    root = tmp_path / "drive"
    arguments = command(
        f"source.path={clip}", f"dataset.root={root}", f"dataset.segment_frames={SEGMENT_FRAMES}", "executor.cores=1"
    )
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(root.glob("segment_*/raw/0*.png"))) < kill_after:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in root.glob("segment_*/raw/0*.png")}

    again = subprocess.run(arguments, capture_output=True, text=True)

    assert (again.returncode, again.stderr) == (0, "")
    assert contents(root) == undisturbed
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # no finished frame is written again


def test_a_second_capture_of_the_same_does_nothing(clip, tmp_path, undisturbed, capsys):
    root = tmp_path / "drive"
    run_capture(clip, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".mapanything" not in path.parts}

    assert run_capture(clip, root) == 0

    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "0 done, 3 already finished" in capsys.readouterr().out


def test_other_settings_are_refused_and_nothing_is_touched(clip, tmp_path, undisturbed):
    root = tmp_path / "drive"
    run_capture(clip, root)

    with pytest.raises(DataError, match=r"source\.stride was 1 and is now 2"):
        run_capture(clip, root, stride=2)
    assert contents(root) == undisturbed


def test_another_recording_under_the_same_name_is_refused(clip, tmp_path, undisturbed):
    root = tmp_path / "drive"
    run_capture(clip, root)
    other = tmp_path / "drive.mp4"
    write_clip(other, frames=FRAMES, width=192, height=128, fps=FPS, seed=1)

    with pytest.raises(DataError, match="the recordings have changed"):
        run_capture(other, root)
    assert contents(root) == undisturbed


def test_the_same_recording_in_another_folder_is_the_same(clip, tmp_path, undisturbed):
    moved = tmp_path / "elsewhere" / "drive.mp4"
    moved.parent.mkdir()
    moved.write_bytes(clip.read_bytes())
    run_capture(clip, tmp_path / "drive")

    assert run_capture(moved, tmp_path / "drive") == 0
    assert contents(tmp_path / "drive") == undisturbed


def test_a_data_set_of_another_version_is_refused(clip, tmp_path):
    root = tmp_path / "drive"
    run_capture(clip, root)
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))

    with pytest.raises(DataError, match="version 99"):
        run_capture(clip, root)


def test_two_captures_at_once_never_mix(clip, tmp_path, undisturbed):
    root = tmp_path / "drive"
    arguments = command(f"source.path={clip}", f"dataset.root={root}", f"dataset.segment_frames={SEGMENT_FRAMES}")
    runs = [subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [(run.communicate()[1], run.returncode) for run in runs]

    assert contents(root) == undisturbed
    for told, code in results:
        assert code == 0 or (code == 2 and "another run of capture is writing here" in told)
    assert 0 in [code for _, code in results]


def two_recordings(folder: Path) -> list[str]:
    for number in range(2):
        write_clip(folder / f"{number}.mp4", frames=5, width=64, height=48, seed=number)
    return [str(folder / "0.mp4"), str(folder / "1.mp4")]


def test_recordings_that_are_left_out_later_are_refused_and_nothing_is_touched(tmp_path):
    first, second = two_recordings(tmp_path)
    run_capture([first, second], tmp_path / "out")
    before = contents(tmp_path / "out")

    for fewer in ([first], [second]):
        with pytest.raises(DataError, match="the recordings have changed"):
            run_capture(fewer, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_recording_can_be_added_at_the_end(tmp_path):
    first, second = two_recordings(tmp_path)
    run_capture([first], tmp_path / "out")

    assert run_capture([first, second], tmp_path / "out") == 0
    assert [segment.read_origin().source for segment in list_segments(tmp_path / "out")] == ["0.mp4", "1.mp4"]


def test_a_recording_that_breaks_after_its_capture_stays_captured(tmp_path):
    first, second = two_recordings(tmp_path)
    run_capture([first, second], tmp_path / "out")
    before = contents(tmp_path / "out")
    Path(first).write_bytes(b"")

    assert run_capture([first, second], tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before


def test_pictures_that_nobody_accounts_for_are_not_adopted(clip, tmp_path):
    foreign = tmp_path / "out" / "segment_00" / "raw" / "000000.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody else's")

    with pytest.raises(DataError, match=r"no manifest\.json"):
        run_capture(clip, tmp_path / "out")
    assert foreign.read_bytes() == b"somebody else's"


def test_settings_may_change_while_nothing_is_captured(clip, tmp_path):
    run_capture(clip, tmp_path / "out", limit=0)

    assert run_capture(clip, tmp_path / "out", stride=2) == 0


def test_an_item_that_failed_once_and_was_mended_counts_as_new_when_it_is_gone(tmp_path):
    import shutil

    broken = tmp_path / "broken.mp4"
    broken.touch()
    run_capture(broken, tmp_path / "out")
    write_clip(broken, frames=4, width=64, height=48)
    run_capture(broken, tmp_path / "out", retry=Retry.failed)
    shutil.rmtree(tmp_path / "out" / "segment_00")

    assert run_capture(broken, tmp_path / "out") == 0
    assert len(list_segments(tmp_path / "out")) == 1
