"""Depth from DROID's stereo recordings, of scenes whose depth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from droid_clips import episode_at, write_mp4

from mapanything_data.errors import ConfigError, DataError
from mapanything_data.scene import Camera, Distortion
from mapanything_data.sources.droid_stereo import DroidStereoSource
from mapanything_data.storage.droid import CameraIntrinsics

WIDTH, HEIGHT, FOCAL, BASELINE = 640, 360, 350.0, 0.12
LEFT = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, 319.5, 179.5)
KNOWN = CameraIntrinsics(
    serial="11", provider="json", origin="a.json", model="rectified", left=LEFT, right=LEFT, baseline=BASELINE
)
WALL, BOX = 2.1, 0.84  # 350 * 0.12 = 42 pixel metres: disparities of 20 and 50 pixels
IN_BOX = (slice(100, 260), slice(250, 420))  # rows and columns of the left picture


@cache
def textured_pair(offset=0.0, slant=0.0):
    """Left and right picture of a textured wall with a box before it, and the depth of the left one.

    The texture is a function of the column in the left picture, so each eye's picture is drawn exactly: the right one
    shows at column u what the left one shows at u + disparity.
    """
    rng = np.random.default_rng(5)
    waves = rng.uniform(0.15, 1.2, (24, 2)) * rng.choice([-1, 1], (24, 2))
    phases = rng.uniform(0, 2 * np.pi, 24)

    def texture(columns, rows):
        angle = columns[..., None] * waves[:, 0] + rows[..., None] * waves[:, 1] + phases
        return np.sin(angle).sum(-1) * 22 + 128

    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    # A slanted wall has a disparity that is affine in the column: d = d0 + slant * u.
    wall = FOCAL * BASELINE / WALL + slant * columns
    depth = FOCAL * BASELINE / wall
    left = texture(columns, rows)
    # u_left = u_right + offset + d0 + slant * u_left.
    right = texture((columns + offset + FOCAL * BASELINE / WALL) / (1 - slant), rows)
    left[IN_BOX] = texture(columns + 1000, rows)[IN_BOX]
    shift = FOCAL * BASELINE / BOX + offset
    from_box = np.zeros((HEIGHT, WIDTH), bool)
    from_box[IN_BOX[0], int(250 - shift) : int(420 - shift)] = True
    right[from_box] = texture(columns + shift + 1000, rows)[from_box]
    depth[IN_BOX] = BOX
    both = np.hstack([left, right]).clip(0, 255).astype(np.uint8)
    return np.repeat(both[..., None], 3, axis=2), depth


def inside(margin):
    """Pixels that are `margin` away from the box's outline and the picture's edge, by region: wall, box."""
    box, near_box = np.zeros((2, HEIGHT, WIDTH), bool)
    near_box[100 - margin : 260 + margin, 250 - margin : 420 + margin] = True
    box[100 + margin : 260 - margin, 250 + margin : 420 - margin] = True
    wall = np.zeros((HEIGHT, WIDTH), bool)
    wall[margin:-margin, margin:-margin] = True
    return wall & ~near_box, box


def frames_of(folder, images, source=None, intrinsics=KNOWN):
    episode = episode_at(folder)
    write_mp4(episode.folder / "recordings/MP4/11-stereo.mp4", images)
    with (source or DroidStereoSource()).open_recording(episode, "11", intrinsics) as recording:
        return list(recording.frames()), recording


def assert_depth_is_near(depth, true_depth, region, tolerance=0.5, found=0.97):
    """Most of a region has depth, and it is off by less than `tolerance` pixels of disparity.

    d = f B / z, so a disparity that is off by e makes z off by z^2 e / (f B), to first order.
    """
    known = region & (depth > 0)
    assert known.sum() >= found * region.sum()
    error = np.abs(depth - true_depth)[known]
    bound = (true_depth**2 * tolerance / (FOCAL * BASELINE))[known]
    assert np.mean(error <= bound) > 0.99
    assert np.median(error / bound) < 0.4


@pytest.mark.parametrize("matching", ["three_way", "five_way", "full"])
def test_a_wall_and_a_box_are_as_far_as_they_are(tmp_path, matching):
    from mapanything_data.sources.droid_stereo import Matching

    both, true_depth = textured_pair()
    source = DroidStereoSource(matching=Matching(matching), min_depth=0.6)

    (frame,), recording = frames_of(tmp_path / "episode", [both], source)

    assert (frame.step, frame.depth.dtype, frame.depth.shape) == (0, np.float32, (HEIGHT, WIDTH))
    wall, box = inside(margin=12)
    beside = wall.copy()
    beside[:, 200:250] = False  # hidden from the right eye by the box: 30 pixels, the difference of the disparities
    beside[:, :20] = False  # and outside of its picture
    assert_depth_is_near(frame.depth, true_depth, beside)
    assert_depth_is_near(frame.depth, true_depth, box)
    assert recording.depth_method.startswith(f"sgbm {matching}, block 5, 80 disparities, not the camera's SDK")
    assert recording.camera == LEFT
    assert source.gives_depth


def test_a_slanted_wall_has_depth_between_whole_disparities(tmp_path):
    both, true_depth = textured_pair(slant=0.02)  # from 20 to 32.8 pixels

    (frame,), _ = frames_of(tmp_path / "episode", [both], DroidStereoSource(min_depth=0.6))

    wall, _ = inside(margin=12)
    wall[:, :430] = False
    assert_depth_is_near(frame.depth, true_depth, wall)
    assert len(np.unique(frame.depth[wall])) > 50  # steps of a sixteenth of a pixel, not of whole ones


def test_eyes_with_different_principal_points_see_the_same_depth(tmp_path):
    both, true_depth = textured_pair(offset=6.0)
    right = replace(LEFT, cx=LEFT.cx - 6.0)

    (frame,), _ = frames_of(tmp_path / "episode", [both], DroidStereoSource(min_depth=0.6), replace(KNOWN, right=right))

    _, box = inside(margin=12)
    assert_depth_is_near(frame.depth, true_depth, box)


def test_depth_reaches_to_the_left_edge_as_far_as_the_right_eye_sees(tmp_path):
    both, true_depth = textured_pair()

    (frame,), _ = frames_of(tmp_path / "episode", [both], DroidStereoSource(min_depth=0.4))

    edge = np.zeros((HEIGHT, WIDTH), bool)
    edge[12:-12, 26:100] = True  # 105 disparities are searched, so OpenCV alone gives nothing left of column 105
    assert_depth_is_near(frame.depth, true_depth, edge)
    rows, columns = np.nonzero(frame.depth)
    assert np.all(FOCAL * BASELINE / frame.depth[rows, columns] <= columns + 1e-3)  # or the match is out of the picture


def test_what_is_nearer_or_farther_than_asked_for_is_unknown(tmp_path):
    both, _ = textured_pair()
    _, box = inside(margin=12)

    # The box is at 0.84 m. OpenCV searches whole sixteens of disparities, so it is found and must be left out.
    (near,), _ = frames_of(tmp_path / "near", [both], DroidStereoSource(min_depth=0.85))
    (far,), _ = frames_of(tmp_path / "far", [both], DroidStereoSource(min_depth=0.6, max_depth=1.5))

    assert np.mean(near.depth[box] > 0) < 0.05
    assert near.depth[near.depth > 0].min() >= 0.85
    assert np.all((far.depth == 0) | (far.depth <= 1.5))
    assert np.mean(far.depth[box] > 0) > 0.97


def test_a_blank_wall_has_no_depth(tmp_path):
    (frame,), _ = frames_of(tmp_path / "episode", [np.full((HEIGHT, 2 * WIDTH, 3), 128, np.uint8)])

    assert np.mean(frame.depth > 0) < 0.01


def test_pictures_are_the_left_half_and_intrinsics_are_scaled_to_it(tmp_path):
    both = np.hstack([np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (60, 180)])
    twice = LEFT.resized(2 * WIDTH, 2 * HEIGHT)

    frames, recording = frames_of(tmp_path / "episode", [both] * 2, intrinsics=replace(KNOWN, left=twice, right=None))

    assert recording.frame_count == 2
    assert [frame.step for frame in frames] == [0, 1]
    assert all(abs(float(frame.image.mean()) - 60) < 3 for frame in frames)
    assert frames[0].image.shape == (HEIGHT, WIDTH, 3)
    assert recording.camera == LEFT


@pytest.mark.parametrize(
    ("intrinsics", "found"),
    [
        (None, "has no intrinsics"),
        (replace(KNOWN, model="raw"), "are of the raw lens"),
        (replace(KNOWN, left=replace(LEFT, distortion=Distortion(k1=0.1))), "are of the raw lens"),
        (replace(KNOWN, baseline=None), "the baseline between the eyes is not known"),
        (replace(KNOWN, baseline=-0.12), "the baseline between the eyes is not known"),
        (replace(KNOWN, left=replace(LEFT, height=480), right=None), "are of 640x480, its pictures of 640x360"),
        (replace(KNOWN, right=replace(LEFT, fx=360.0)), "different focal lengths, 350.0 and 360.0"),
    ],
)
def test_intrinsics_that_cannot_give_depth_are_refused_with_the_reason(tmp_path, intrinsics, found):
    with pytest.raises(DataError) as raised:
        frames_of(tmp_path / "episode", [np.zeros((HEIGHT, 2 * WIDTH, 3), np.uint8)], intrinsics=intrinsics)
    assert found in raised.value.found
    assert raised.value.where.endswith("11-stereo.mp4")


def test_a_camera_without_stereo_recording_is_told(tmp_path):
    with pytest.raises(DataError, match=r"has no recordings/MP4/11-stereo.mp4"):
        DroidStereoSource().open_recording(episode_at(tmp_path / "episode"), "11", KNOWN).__enter__()


@pytest.mark.parametrize(
    "option",
    [
        {"min_depth": 0.0},
        {"max_depth": 0.0},
        {"max_depth": 0.2, "min_depth": 0.3},
        {"block_size": 4},
        {"block_size": 13},
        {"uniqueness": 100},
        {"left_right_check": -2},
        {"speckle_size": -1},
        {"speckle_range": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(option):
    name = next(iter(option))
    with pytest.raises(ConfigError, match=f"source.{name}"):
        DroidStereoSource(**option)


@pytest.mark.parametrize("baseline", [0.06, 0.12])
def test_the_nearest_depth_is_two_and_a_half_baselines_unless_it_is_given(tmp_path, baseline):
    """Moved by 110 pixels, the wall has disparities of 130: f B / 130 = 2.69 B. The box has 160: 2.19 B."""
    both, _ = textured_pair(offset=110.0)

    (frame,), _ = frames_of(tmp_path, [both], intrinsics=replace(KNOWN, baseline=baseline))

    wall, box = inside(12)
    wall[:, :170] = False  # what the right eye does not see
    assert np.median(frame.depth[wall]) == pytest.approx(FOCAL * baseline / 130, rel=0.01)
    assert not np.isclose(frame.depth[box], FOCAL * baseline / 160, rtol=0.05).any()
