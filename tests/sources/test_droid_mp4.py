"""Pictures of DROID's MP4 recordings, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from droid_clips import episode_at, write_mp4

from mapanything_data.errors import DataError
from mapanything_data.scene import Camera, Distortion
from mapanything_data.sources.droid_mp4 import DroidMp4Source
from mapanything_data.storage.droid import CameraIntrinsics

WIDTH, HEIGHT = 128, 72
LEFT = Camera(1280, 720, 700.0, 700.0, 639.5, 359.5)


def grey(level):
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def intrinsics(model="rectified", left=LEFT):
    return CameraIntrinsics(serial="11", provider="json", origin="a.json", model=model, left=left)


@pytest.fixture
def episode(tmp_path):
    """Seven frames that grow brighter by 30 a step."""
    episode = episode_at(tmp_path / "episode")
    write_mp4(episode.folder / "recordings/MP4/11.mp4", [grey(20 + 30 * step) for step in range(7)])
    return episode


def test_frame_i_belongs_to_step_i(episode):
    source = DroidMp4Source()
    source.setup()

    with source.open_recording(episode, "11", None) as recording:
        frames = list(recording.frames())

    # The caller has more steps than that, or fewer, and learns it from frame_count before anything is decoded.
    assert recording.frame_count == 7
    assert [frame.step for frame in frames] == list(range(7))
    assert [round(float(frame.image.mean()) / 30 - 20 / 30) for frame in frames] == list(range(7))
    assert all(frame.depth is None for frame in frames)
    assert (source.gives_depth, recording.depth_method) == (False, "")


def test_rectified_intrinsics_are_scaled_to_the_pictures(episode):
    with DroidMp4Source().open_recording(episode, "11", intrinsics()) as recording:
        # A tenth of the size; the outer edge stays: 0.1 * (639.5 + 0.5) - 0.5 = 63.5.
        assert recording.camera == Camera(128, 72, 70.0, 70.0, 63.5, 35.5)


@pytest.mark.parametrize(
    "known",
    [
        None,
        intrinsics("raw", Camera(1280, 720, 700.0, 700.0, 639.5, 359.5, Distortion(k1=-0.17))),
        intrinsics(left=Camera(672, 504, 400.0, 400.0, 335.5, 251.5)),
    ],
    ids=["unknown", "raw", "of another shape"],
)
def test_intrinsics_that_do_not_fit_rectified_pictures_give_no_camera(episode, known):
    with DroidMp4Source().open_recording(episode, "11", known) as recording:
        assert recording.camera is None


def test_a_camera_without_mp4_is_told_with_what_there_is(episode):
    write_mp4(episode.folder / "recordings/MP4/22-stereo.mp4", [grey(9)])

    with pytest.raises(DataError, match=r"has no recordings/MP4/22.mp4, only 22-stereo.mp4") as raised:
        DroidMp4Source().open_recording(episode, "22", None).__enter__()
    assert raised.value.remedy == "use source=droid_stereo"
    with pytest.raises(DataError, match=r"has no recordings/MP4/33.mp4"):
        DroidMp4Source().open_recording(episode, "33", None).__enter__()


def test_a_recording_that_was_cut_off_is_refused_by_name(episode):
    path = episode.camera("11").mp4
    path.write_bytes(path.read_bytes()[:500])  # the index stands at the end of an MP4

    with pytest.raises(DataError, match=r"11.mp4: cannot be read as a video"):
        DroidMp4Source().open_recording(episode, "11", None).__enter__()


def test_a_folder_with_the_characters_of_patterns_is_found(tmp_path):
    episode = episode_at(tmp_path / "Fri_Jul__7_[1]*:42")
    write_mp4(episode.folder / "recordings/MP4/11.mp4", [grey(80)])

    with DroidMp4Source().open_recording(episode, "11", None) as recording:
        assert recording.frame_count == 1
