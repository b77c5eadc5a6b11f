"""A capture gives every frame once, in order, with its time, however it is run and however often it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mapanything_data.engine import Retry
from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.engine.executors.ray import RayExecutor
from mapanything_data.engine.executors.submitit import Cluster, SubmititExecutor
from mapanything_data.errors import DataError
from mapanything_data.sim.clip import read_frame_number, write_clip
from mapanything_data.sources.images import ImagesSource
from mapanything_data.sources.video import Doubtful, VideoSource
from mapanything_data.stages.capture import CaptureConfig, capture
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.segments import Segment, SegmentsDataset, list_segments

FRAMES, FPS, SEGMENT_FRAMES = 60, 20, 25
REAL_CLIP = Path(__file__).parents[2].parent / "shared" / "data" / "carnd" / "test_video.mp4"


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "drive.mp4"
    write_clip(path, frames=FRAMES, width=192, height=128, fps=FPS)
    return path


@pytest.fixture(scope="session")
def undisturbed(clip, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed") / "drive"
    run_capture(clip, root)
    return contents(root)


def run_capture(path, root, executor=None, segment_frames=SEGMENT_FRAMES, retry=Retry.none, **source) -> int:
    return capture(
        CaptureConfig(
            machine={},
            source=VideoSource(path=path if isinstance(path, list) else str(path), **source),
            dataset=SegmentsDataset(root=str(root), segment_frames=segment_frames),
            executor=executor or InlineExecutor(),
            retry=retry,
        )
    )


def contents(root: Path) -> dict[str, bytes]:
    """All files of a data set but the records of its runs."""
    files = (path for path in root.rglob("*") if path.is_file() and ".mapanything" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def numbers(segment: Segment) -> list[int]:
    """The numbers that are drawn into the pictures, in the order of the frames."""
    return [read_frame_number(decode_png(segment.picture(row.frame))) for row in segment.read_frames()]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mapanything_data.capture", *map(str, arguments)]


def test_every_frame_is_there_once_in_order_with_its_time(clip, tmp_path):
    assert run_capture(clip, tmp_path / "drive") == 0

    segments = list_segments(tmp_path / "drive")
    assert [segment.name for segment in segments] == ["segment_00", "segment_01", "segment_02"]
    assert [numbers(segment) for segment in segments] == [[*range(25)], [*range(25, 50)], [*range(50, 60)]]
    for segment in segments:
        rows = segment.read_frames()
        assert [row.source_frame for row in rows] == numbers(segment)
        assert [row.timestamp for row in rows] == pytest.approx([row.source_frame / FPS for row in rows])
        assert [row.frame for row in rows] == [*range(len(rows))]


def test_a_new_recording_begins_a_new_segment(clip, tmp_path):
    other = tmp_path / "short drive Zürich.mp4"
    write_clip(other, frames=5, width=64, height=48)

    run_capture([str(clip), str(other)], tmp_path / "out", segment_frames=100)

    first, second = list_segments(tmp_path / "out")
    assert (first.read_origin().source, len(first.read_frames())) == ("drive.mp4", FRAMES)
    assert (second.read_origin().source, numbers(second)) == ("short drive Zürich.mp4", [0, 1, 2, 3, 4])


def test_intrinsics_follow_the_picture_to_its_stored_size(clip, tmp_path):
    run_capture(clip, tmp_path / "out", resize=[96, 64], intrinsics=[180.0, 180.0, 95.5, 63.5])

    camera = list_segments(tmp_path / "out")[0].read_frames()[0].camera
    assert (camera.width, camera.height) == (96, 64)
    assert [camera.fx, camera.fy, camera.cx, camera.cy] == [90.0, 90.0, 47.5, 31.5]  # the centre stays the centre


def test_a_folder_of_images_becomes_a_segment(clip, tmp_path, undisturbed):
    run_capture(clip, tmp_path / "out", segment_frames=100)
    config = CaptureConfig(
        machine={},
        source=ImagesSource(path=str(tmp_path / "out" / "segment_00" / "raw"), fps=10.0),
        dataset=SegmentsDataset(root=str(tmp_path / "again"), segment_frames=100),
        executor=InlineExecutor(),
    )

    assert capture(config) == 0

    (segment,) = list_segments(tmp_path / "again")
    assert numbers(segment) == [*range(FRAMES)]
    assert segment.read_frames()[7].timestamp == pytest.approx(0.7)


EXECUTORS = {
    "processes": lambda: ProcessesExecutor(workers=2),
    "submitit-local": lambda: SubmititExecutor(cluster=Cluster.local, jobs=2, cores=1),
    "submitit-slurm": lambda: SubmititExecutor(cluster=Cluster.slurm, jobs=2, cores=1, poll_s=0.5),
    "ray": lambda: RayExecutor(workers=2),
}
MARKS = {"submitit-slurm": pytest.mark.slurm, "ray": pytest.mark.ray}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in EXECUTORS])
def test_every_executor_gives_the_same_bytes(clip, tmp_path, undisturbed, name):
    assert run_capture(clip, tmp_path / "drive", EXECUTORS[name]()) == 0

    assert contents(tmp_path / "drive") == undisturbed


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


@pytest.fixture
def small_disk(tmp_path):
    mount = tmp_path / "small disk"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


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


def test_two_captures_at_once_never_mix(clip, tmp_path, undisturbed):
    root = tmp_path / "drive"
    arguments = command(f"source.path={clip}", f"dataset.root={root}", f"dataset.segment_frames={SEGMENT_FRAMES}")
    runs = [subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [(run.communicate()[1], run.returncode) for run in runs]

    assert contents(root) == undisturbed
    for told, code in results:
        assert code == 0 or (code == 2 and "another run of capture is writing here" in told)
    assert 0 in [code for _, code in results]


def test_a_sweep_captures_once_for_each_value(clip, tmp_path):
    done = subprocess.run(
        [
            *command("-m", f"source.path={clip}", f"dataset.root={tmp_path}/every_${{source.stride}}"),
            "source.stride=10,20",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert {path.name: numbers(list_segments(path)[0]) for path in tmp_path.glob("every_*")} == {
        "every_10": [0, 10, 20, 30, 40, 50],
        "every_20": [0, 20, 40],
    }


def test_the_resolved_configuration_and_provenance_are_kept_with_the_run(clip, tmp_path):
    import yaml

    run_capture(clip, tmp_path / "drive")

    (run,) = (tmp_path / "drive" / ".mapanything" / "capture" / "runs").iterdir()
    assert yaml.safe_load((run / "config.yaml").read_text())["source"]["path"] == str(clip)
    assert json.loads((run / "provenance.json").read_text())["software"]["numpy"] == np.__version__


@pytest.mark.skipif(not REAL_CLIP.exists(), reason="the real recording is not here")
def test_the_real_clip_has_38_frames_of_the_right_colours(tmp_path):
    assert run_capture(REAL_CLIP, tmp_path / "real", segment_frames=1200) == 0

    (segment,) = list_segments(tmp_path / "real")
    assert len(segment.read_frames()) == 38
    first = decode_png(segment.picture(0)).astype(float)
    sky, yellow_line = first[20:60, 900:1200].mean((0, 1)), first[600:, 300:420].reshape(-1, 3)
    assert sky[2] > sky[1] > sky[0]  # blue above
    brightest = yellow_line[np.argsort(yellow_line[:, 0] - yellow_line[:, 2])[-200:]].mean(0)
    assert brightest[0] > brightest[2] + 60  # the left line is yellow: red and green, little blue
