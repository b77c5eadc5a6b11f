"""Recordings that are wrong: the episode fails or does without, the reason is recorded, and the others are made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from droid_runs import STEPS, draw_episodes, quality_of, run_command, run_tracks
from droid_runs import command as tracks_command
from fake_svo import stand_in_environment, write_svo

from mapanything_data.engine import Retry
from mapanything_data.errors import DataError
from mapanything_data.labelers.contact_tracks import ContactTracksLabeler
from mapanything_data.sources.droid_intrinsics import IntrinsicsOptions
from mapanything_data.sources.droid_mp4 import DroidMp4Source
from mapanything_data.stages.droid_episode import EpisodeOptions
from mapanything_data.stages.episode_frames import FrameOptions
from mapanything_data.stages.tracks import TracksWork
from mapanything_data.storage.depth_video import verify_depth_video
from mapanything_data.storage.tables import read_csv

STATE = "observation/robot_state"
STAMPS = "observation/timestamp/robot_state"


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


def spoil(path, key, change):
    """Replace a data set by what `change` makes of its values."""
    with h5py.File(path, "r+") as file:
        values = change(file[key][:])
        del file[key]
        if values is not None:
            file[key] = values


def set_at(index, value):
    def change(values):
        values = values.astype(np.result_type(values, type(value)))
        values[index] = value
        return values

    return change


TRAJECTORY_FAULTS = {
    "no h5": (lambda path: path.unlink(), "the file is missing"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "trajectory.h5"),
    "no HDF5": (lambda path: path.write_bytes(b"hello" * 1000), "trajectory.h5"),
    "NaN pose": (lambda path: spoil(path, f"{STATE}/cartesian_position", set_at((4, 2), np.nan)), "cartesian_position"),
    "quaternions": (
        lambda path: spoil(path, f"{STATE}/cartesian_position", lambda v: np.c_[v, np.zeros(len(v))]),
        "quaternion",
    ),
    "no steps": (lambda path: spoil(path, f"{STATE}/cartesian_position", lambda v: v[:0]), "cartesian_position"),
    "too closed": (lambda path: spoil(path, f"{STATE}/gripper_position", set_at(3, 1.7)), "1.7"),
    "no gripper": (lambda path: spoil(path, f"{STATE}/gripper_position", lambda _: None), "gripper_position"),
}


@pytest.mark.parametrize("fault", TRAJECTORY_FAULTS)
def test_an_episode_whose_trajectory_is_wrong_fails_and_the_other_is_made(fault, raw, tmp_path):
    broken, sound = draw_episodes(raw, 2, recordings=False)
    spoiler, said = TRAJECTORY_FAULTS[fault]
    spoiler(broken.files.trajectory)

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json") == 1

    (row,) = read_csv(tmp_path / "made" / "failed.csv")
    assert row["episode"] == broken.files.uuid
    assert said in row["reason"]
    assert "Traceback" not in row["reason"]
    assert not (tmp_path / "made" / broken.files.output / "quality.json").exists()
    assert quality_of(tmp_path / "made", sound)["steps"] == ["intrinsics", "tracks"]


def test_time_that_goes_back_fails_the_episode(raw, tmp_path):
    (broken,) = draw_episodes(raw, 1, recordings=False)
    for key in ("robot_timestamp_seconds", "read_start", "read_end"):
        spoil(broken.files.trajectory, f"{STAMPS}/{key}", lambda values: values[::-1].copy())

    assert run_tracks(raw, tmp_path / "made") == 1

    assert "time" in read_csv(tmp_path / "made" / "failed.csv")[0]["reason"]


@pytest.mark.parametrize("what", ["without extrinsics", "of an unknown type"])
def test_a_camera_that_cannot_be_used_costs_that_camera_only(what, raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    serial = episode.cameras[1].serial
    if what == "without extrinsics":
        spoil(episode.files.trajectory, f"observation/camera_extrinsics/{serial}_left", lambda _: None)
    else:
        spoil(episode.files.trajectory, f"observation/camera_type/{serial}", lambda values: values * 0 + 7)

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json") == 0

    quality = quality_of(tmp_path / "made", episode)
    assert quality["cameras"][serial]["problem"]
    assert sorted(quality["cameras_with_2d_tracks"]) == sorted({c.serial for c in episode.cameras} - {serial})


def test_a_recording_that_cannot_be_read_leaves_everything_else(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1)
    serial = episode.cameras[1].serial
    video = episode.files.folder / "recordings" / "MP4" / f"{serial}-stereo.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    steps = ["intrinsics", "depth", "tracks"]

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json", steps=steps) == 1

    quality = quality_of(tmp_path / "made", episode)
    assert quality["steps"] == ["intrinsics", "tracks"]
    assert "failed" in quality["cameras"][serial]["depth"]
    assert serial in read_csv(tmp_path / "made" / "failed.csv")[0]["reason"]
    made = {path.parent.name for path in (tmp_path / "made").rglob("depth.mkv")}
    assert made == {camera.serial for camera in episode.cameras} - {serial}

    video.write_bytes(whole)
    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json", steps=steps, retry=Retry.failed) == 0
    assert quality_of(tmp_path / "made", episode)["steps"] == steps
    assert read_csv(tmp_path / "made" / "failed.csv") == []


def test_damaged_pictures_lose_their_depth_and_are_counted(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1)
    serial = episode.cameras[1].serial
    video = episode.files.folder / "recordings" / "MP4" / f"{serial}-stereo.mp4"
    with av.open(str(video)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
        content = bytearray(video.read_bytes())
        content[last.pos + 4 : last.pos + last.size] = bytes(last.size - 4)  # its length stays
    video.write_bytes(content)
    steps = ["intrinsics", "depth", "images"]

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json", steps=steps) == 0

    told = quality_of(tmp_path / "made", episode)["cameras"][serial]
    assert told["depth"]["lost"] == told["images"]["lost"] > 0
    assert told["depth"]["frames"] == STEPS
    folder = tmp_path / "made" / episode.files.output / "recordings" / serial
    assert verify_depth_video(folder / "depth.mkv") == []
    assert len(list((folder / "images").iterdir())) == STEPS - told["images"]["lost"]


def test_recordings_that_are_missing_are_told_without_the_same_folder_for_each_camera(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json", steps=["intrinsics", "depth"]) == 1

    (failed,) = read_csv(tmp_path / "made" / "failed.csv")
    assert failed["reason"].count(str(episode.files.folder)) == 1
    assert all(f"camera {camera.serial}: has no " in failed["reason"] for camera in episode.cameras)


def test_an_episode_that_disappears_while_others_are_made_fails_alone(raw, tmp_path):
    gone, sound = draw_episodes(raw, 2, recordings=False)
    options = EpisodeOptions(
        steps=("intrinsics", "tracks"),
        source=DroidMp4Source(),
        intrinsics=IntrinsicsOptions(),
        extrinsics="",
        labeler=ContactTracksLabeler(),
        format="compact",
        frames=FrameOptions(depth_scale=0.001, scratch="", threads=1),
        again=False,
    )
    work = TracksWork(options, output=tmp_path / "made", recordings=raw)
    (tmp_path / "made").mkdir()
    items = {item.key: item for item in work.items()}
    shutil.rmtree(gone.files.folder)

    with pytest.raises(DataError, match="missing"):
        work.run(items[gone.files.uuid], lambda _: None)
    work.run(items[sound.files.uuid], lambda _: None)
    assert quality_of(tmp_path / "made", sound)["steps"] == ["intrinsics", "tracks"]


def test_metadata_that_cannot_be_read_fails_its_episode(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    episode.files.metadata.write_text("{")

    assert run_tracks(raw, tmp_path / "made") == 1
    assert "is no JSON" in read_csv(tmp_path / "made" / "failed.csv")[0]["reason"]


def test_a_disk_that_fills_up_in_the_middle_of_a_depth_video_leaves_no_part_of_one(raw, tmp_path, small_disk):
    (episode,) = draw_episodes(raw, 1)
    (small_disk / "filler").write_bytes(bytes(870_000))

    done = run_command(*tracks_command(raw, small_disk / "made", "source=droid_stereo", "steps=[intrinsics,depth]"))

    assert done.returncode == 2
    assert "no space is left" in done.stderr
    assert "Traceback" not in done.stderr
    whole = list((small_disk / "made").rglob("depth.mkv"))
    assert len(whole) < 3
    assert [verify_depth_video(path) for path in whole] == [[] for _ in whole]
    assert not list((small_disk / "made").rglob(".unfinished*"))
    (small_disk / "filler").unlink()
    done = run_command(*tracks_command(raw, small_disk / "made", "source=droid_stereo", "steps=[intrinsics,depth]"))
    assert done.returncode == 0, done.stderr
    assert len(list((small_disk / "made").rglob("depth.mkv"))) == 3
    assert json.loads((small_disk / "made" / episode.files.output / "quality.json").read_text())["num_frames"] == STEPS


def test_depth_that_a_killed_run_left_without_quality_json_is_described_as_if_it_had_been_made_now(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1)
    options = {"book": raw / "intrinsics.json", "steps": ["intrinsics", "depth", "tracks"]}
    assert run_tracks(raw, tmp_path / "made", **options) == 0
    undisturbed = quality_of(tmp_path / "made", episode)
    videos = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("depth.mkv")}
    (tmp_path / "made" / episode.files.output / "quality.json").unlink()  # written last: a kill before that

    assert run_tracks(raw, tmp_path / "made", **options) == 0

    assert quality_of(tmp_path / "made", episode) == undisturbed
    assert {path: path.stat().st_mtime_ns for path in videos} == videos  # none was made twice


@pytest.mark.parametrize("damage", ["half of the video", "no meta"])
def test_a_depth_video_that_is_not_whole_is_made_anew(damage, raw, tmp_path):
    (episode,) = draw_episodes(raw, 1)
    options = {"book": raw / "intrinsics.json", "steps": ["intrinsics", "depth"]}
    assert run_tracks(raw, tmp_path / "made", **options) == 0
    video = sorted((tmp_path / "made").rglob("depth.mkv"))[0]
    if damage == "no meta":
        video.with_name("depth_meta.json").unlink()
    else:
        video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    (tmp_path / "made" / episode.files.output / "quality.json").unlink()

    assert run_tracks(raw, tmp_path / "made", **options) == 0

    assert verify_depth_video(video) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", [[]]), ("cameras", None), ("motion", -1), ("motion", {"score": "x"}), ("tracks_2d", {"other": 1})],
)
def test_a_quality_json_that_makes_no_sense_counts_as_none(key, value, raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json") == 0
    undisturbed = quality_of(tmp_path / "made", episode)
    spoiled = json.loads(json.dumps(undisturbed))
    place = spoiled["cameras"][episode.cameras[0].serial] if key == "tracks_2d" else spoiled
    place[key] = value
    (tmp_path / "made" / episode.files.output / "quality.json").write_text(json.dumps(spoiled))

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json") == 0

    assert quality_of(tmp_path / "made", episode) == undisturbed


@pytest.mark.parametrize(
    ("more", "said"),
    [('"note": "\\ud800"', "surrogates"), (f'"note": {"[" * 400}{"]" * 400}', "nested more than 50 deep")],
)
def test_metadata_that_no_file_of_ours_can_hold_fail_their_episode(more, said, raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    text = episode.files.metadata.read_text().rstrip()
    episode.files.metadata.write_text(f"{text[:-1]}, {more}}}")

    assert run_tracks(raw, tmp_path / "made") == 1

    (row,) = read_csv(tmp_path / "made" / "failed.csv")
    assert said in row["reason"]
    assert str(episode.files.metadata) in row["reason"]
    assert not list((tmp_path / "made").rglob(".unfinished*"))


@pytest.mark.parametrize(("name", "value"), [("width", 10**30), ("baseline_m", float("nan")), ("baseline_m", 120.0)])
def test_intrinsics_with_a_number_out_of_all_reason_are_missing(name, value, raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    book, serial = json.loads((raw / "intrinsics.json").read_text()), episode.cameras[0].serial
    book[episode.files.uuid][serial][name] = value
    (raw / "intrinsics.json").write_text(json.dumps(book))

    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json") == 0

    quality = quality_of(tmp_path / "made", episode)
    assert quality["cameras_without_intrinsics"] == [serial]
    assert str(value) in quality["cameras"][serial]["intrinsics"]["tried"]["json"]


@pytest.mark.parametrize(("name", "value"), [("width", 1e300), ("baseline_m", float("nan")), ("baseline_m", -0.12)])
def test_intrinsics_that_were_damaged_where_they_lie_are_named(name, value, raw, tmp_path):
    draw_episodes(raw, 1, recordings=False)
    run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json")
    path = min((tmp_path / "made").rglob("intrinsics.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))

    assert run_tracks(raw, tmp_path / "made", steps=["tracks"], again=True) == 1

    (row,) = read_csv(tmp_path / "made" / "failed.csv")
    assert f"{path}: holds no intrinsics" in row["reason"]
    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json", retry=Retry.failed, again=True) == 0


def test_an_sdk_that_says_no_baseline_costs_that_cameras_intrinsics_only(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    wrong, *sound = (camera.serial for camera in episode.cameras)
    svos = episode.files.folder / "recordings" / "SVO"
    write_svo(svos / f"{wrong}.svo", frames=STEPS, baseline_mm=float("nan"))
    for serial in sound:
        write_svo(svos / f"{serial}.svo", frames=STEPS)

    done = run_command(*tracks_command(raw, tmp_path / "made", "intrinsics.json="), **with_stand_in())

    assert done.returncode == 0, done.stderr
    quality = quality_of(tmp_path / "made", episode)
    assert quality["cameras_with_2d_tracks"] == sound
    assert "its eyes are nan m apart" in quality["cameras"][wrong]["intrinsics"]["tried"]["sdk"]


def test_a_header_that_announces_a_thousand_million_frames_costs_that_cameras_depth_only(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1, recordings=False)
    wrong, *sound = (camera.serial for camera in episode.cameras)
    svos = episode.files.folder / "recordings" / "SVO"
    write_svo(svos / f"{wrong}.svo", frames=STEPS, announced=10**9)
    for serial in sound:
        write_svo(svos / f"{serial}.svo", frames=STEPS)

    arguments = ("source=droid_svo", "steps=[intrinsics,depth]", "intrinsics.json=")
    done = run_command(*tracks_command(raw, tmp_path / "made", *arguments), **with_stand_in())

    assert done.returncode == 1, done.stderr
    cameras = quality_of(tmp_path / "made", episode)["cameras"]
    assert "its recording has 1000000000 frames, the episode 10 steps" in cameras[wrong]["depth"]["failed"]
    assert [cameras[serial]["depth"]["frames"] for serial in sound] == [STEPS] * len(sound)
    assert not list((tmp_path / "made").rglob(".unfinished*"))


def with_stand_in():
    """The environment of a command that finds the stand-in of Stereolabs' SDK."""
    found = stand_in_environment()
    return {**found, "PYTHONPATH": os.pathsep.join([found["PYTHONPATH"], str(Path(__file__).parents[2])])}


def test_time_stamps_closer_than_a_millisecond_make_a_video_all_the_same(raw, tmp_path):
    (episode,) = draw_episodes(raw, 1)

    def every_400_microseconds(key, nanoseconds):
        spoil(episode.files.trajectory, f"{STAMPS}/{key}", lambda stamps: nanoseconds(np.arange(len(stamps)), stamps))

    every_400_microseconds("robot_timestamp_nanos", lambda step, _: 400_000_000 + 400_000 * step)
    every_400_microseconds("robot_timestamp_seconds", lambda step, stamps: np.full(len(step), stamps[0]))
    for key in ("read_start", "read_end"):
        every_400_microseconds(key, lambda step, stamps: stamps[0] // 1000 * 1000 + 400 + step * 2 // 5)

    steps = ["intrinsics", "depth"]
    assert run_tracks(raw, tmp_path / "made", book=raw / "intrinsics.json", steps=steps) == 0

    assert quality_of(tmp_path / "made", episode)["fps"] == pytest.approx(2500, rel=1e-3)
    assert all(verify_depth_video(path) == [] for path in (tmp_path / "made").rglob("depth.mkv"))


def test_a_read_only_folder_is_told_as_such(raw, tmp_path, small_disk):
    draw_episodes(raw, 1, recordings=False)
    made = small_disk / "made"
    assert run_tracks(raw, made) == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    done = run_command(*tracks_command(raw, made, "again=true"))

    assert done.returncode == 2
    assert f"error: {made}/.mapanything/tracks/lock: cannot write, because it is read-only" in done.stderr
    assert "choose another place" in done.stderr
