"""Bad recordings and bad disks: what can be had is captured, what is lost is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from captures import FRAMES, SEGMENT_FRAMES, command, contents, numbers, run_capture

from mapanything_data.engine import Retry
from mapanything_data.errors import ConfigError, DataError
from mapanything_data.sim.clip import write_clip
from mapanything_data.sources.video import Doubtful
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.segments import list_segments


def test_a_broken_recording_fails_alone_and_can_be_mended(clip, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    paths = [str(broken), str(clip)]

    assert run_capture(paths, tmp_path / "out", segment_frames=100) == 1
    assert "broken.mp4: the file is empty" in capsys.readouterr().out
    assert [segment.name for segment in list_segments(tmp_path / "out")] == ["segment_01"]

    write_clip(broken, frames=4, width=64, height=48)
    assert run_capture(paths, tmp_path / "out", segment_frames=100, retry=Retry.failed) == 0
    assert [len(segment.read_frames()) for segment in list_segments(tmp_path / "out")] == [4, FRAMES]


def test_a_corrupt_frame_in_the_middle_is_told_and_the_rest_is_captured(tmp_path, capsys):
    path = tmp_path / "damaged.mkv"
    write_clip(path, frames=30, width=192, height=128, codec="mjpeg", pixel_format="yuvj420p")
    spoil_packet(path, 12)

    assert run_capture(path, tmp_path / "out", segment_frames=100) == 0

    (segment,) = list_segments(tmp_path / "out")
    assert [(row.source_frame, row.captured) for row in segment.read_damage()] == [(12, False)]
    assert numbers(segment) == [n for n in range(30) if n != 12]
    assert [row.frame for row in segment.read_frames()] == [*range(29)]  # numbered without a gap
    assert "lost frames 1" in capsys.readouterr().out


def test_pictures_predicted_from_a_damaged_one_are_captured_and_marked(tmp_path):
    path = damaged_group(tmp_path)

    assert run_capture(path, tmp_path / "out", segment_frames=100) == 0

    (segment,) = list_segments(tmp_path / "out")
    rows = segment.read_frames()
    assert [row.source_frame for row in rows] == [n for n in range(30) if n != 12]
    assert [row.source_frame for row in rows if row.doubt] == [*range(13, 20)]  # up to the next keyframe, 20
    assert {row.doubt for row in rows if row.doubt} == {
        "it may be predicted from picture 12, which is damaged or missing"
    }


def test_pictures_predicted_from_a_damaged_one_can_be_dropped(tmp_path):
    path = damaged_group(tmp_path)

    run_capture(path, tmp_path / "out", segment_frames=100, doubtful=Doubtful.drop)

    (segment,) = list_segments(tmp_path / "out")
    assert numbers(segment) == [*range(12), *range(20, 30)]
    assert [row.captured for row in segment.read_damage()] == [False] * 8


def test_doubts_are_the_same_after_a_kill(tmp_path):
    path = damaged_group(tmp_path)
    run_capture(path, tmp_path / "whole", segment_frames=100)
    run_capture(path, tmp_path / "cut", segment_frames=100)
    (segment,) = list_segments(tmp_path / "cut")
    segment.frames_file.unlink()
    for frame in (13, 14, 25):
        segment.picture(frame).unlink()

    run_capture(path, tmp_path / "cut", segment_frames=100)

    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def damaged_group(folder: Path) -> Path:
    """30 pictures with a keyframe at every tenth, of which picture 12 is overwritten with zeros."""
    path = folder / "damaged.mkv"
    write_clip(path, frames=30, width=192, height=128, options={"g": "10", "bf": "0"})
    spoil_packet(path, 12)
    return path


def test_a_loss_is_the_same_after_a_kill(tmp_path):
    path = tmp_path / "damaged.mkv"
    write_clip(path, frames=30, width=192, height=128, codec="mjpeg", pixel_format="yuvj420p")
    spoil_packet(path, 3)
    run_capture(path, tmp_path / "whole", segment_frames=100)
    run_capture(path, tmp_path / "cut", segment_frames=100)
    (segment,) = list_segments(tmp_path / "cut")
    segment.frames_file.unlink()  # as a kill before the end leaves it
    for frame in (5, 6, 20):
        segment.picture(frame).unlink()

    run_capture(path, tmp_path / "cut", segment_frames=100)

    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def spoil_packet(path: Path, number: int) -> None:
    """Overwrite the picture data of one packet, leaving the container sound."""
    import av

    with av.open(str(path)) as container:
        packet = next(p for at, p in enumerate(container.demux(video=0)) if at == number)
        data = bytes(packet)
    whole = path.read_bytes()
    assert whole.count(data) == 1
    path.write_bytes(whole.replace(data, b"\x00" * len(data)))


def test_a_full_disk_stops_the_capture_which_goes_on_when_there_is_room(clip, small_disk, undisturbed):
    arguments = command(
        f"source.path={clip}", f"dataset.root={small_disk}/drive", f"dataset.segment_frames={SEGMENT_FRAMES}"
    )

    full = subprocess.run(arguments, capture_output=True, text=True)

    assert full.returncode == 2
    assert "cannot write, because no space is left" in full.stderr
    assert "run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    written = list((small_disk / "drive").rglob("0*.png"))
    assert written
    assert all(decode_png(path) is not None for path in written)  # whole or not at all
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    again = subprocess.run(arguments, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert contents(small_disk / "drive") == undisturbed


def test_a_time_range_without_frames_is_refused(clip, tmp_path):
    with pytest.raises(DataError, match="selects no frame of 1 recordings"):
        run_capture(clip, tmp_path / "out", start=99.0)


def test_a_read_only_target_is_refused(clip, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    done = subprocess.run(
        command(f"source.path={clip}", f"dataset.root={small_disk}/drive"), capture_output=True, text=True
    )

    assert done.returncode == 2
    assert f"error: {small_disk}/drive: cannot write, because it is read-only" in done.stderr


@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("missing", "nothing there has this name"),
        ("empty file", "the file is empty"),
        ("text", "notes.mp4"),
        ("folder without videos", "holds no videos"),
    ],
)
def test_what_is_no_video_is_refused_in_words(tmp_path, make, told):
    path = tmp_path / "notes.mp4"
    if make == "empty file":
        path.touch()
    if make == "text":
        path.write_text("bring milk\n" * 100)
    if make == "folder without videos":
        path.mkdir()

    done = subprocess.run(
        command(f"source.path={path}", f"dataset.root={tmp_path}/out"), capture_output=True, text=True
    )

    assert done.returncode in (1, 2)
    assert told in done.stdout + done.stderr
    assert "remedy:" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_source_that_covers_its_own_output_is_refused(clip, tmp_path):
    (tmp_path / "rides" / "out").mkdir(parents=True)
    write_clip(tmp_path / "rides" / "out" / "a.mp4", frames=3, width=64, height=48)

    with pytest.raises(ConfigError, match="covers the data set itself"):
        run_capture(tmp_path / "rides" / "**" / "*.mp4", tmp_path / "rides" / "out")
