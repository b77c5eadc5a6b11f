"""A capture gives every frame once, in order, with its time, however it is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from captures import FPS, FRAMES, command, contents, numbers, run_capture

from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.engine.executors.processes import ProcessesExecutor
from mapanything_data.engine.executors.ray import RayExecutor
from mapanything_data.engine.executors.submitit import Cluster, SubmititExecutor
from mapanything_data.sim.clip import write_clip
from mapanything_data.sources.images import ImagesSource
from mapanything_data.stages.capture import CaptureConfig, capture
from mapanything_data.storage.png import decode_png
from mapanything_data.storage.segments import SegmentsDataset, list_segments

REAL_CLIP = Path(__file__).parents[2].parent / "shared" / "data" / "carnd" / "test_video.mp4"


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
