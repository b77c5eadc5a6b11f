"""Generated episodes of DROID: the arm's kinematics, the files' layout, pictures with exact depth."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import av
import h5py
import numpy as np
import pytest

from mapanything_data.geometry import invert, pixel_grid, project, transform_points, unproject
from mapanything_data.sim.droid import (
    USER,
    draw_view,
    exact_depth,
    intrinsics_of,
    write_calibrations,
    write_episode,
    write_intrinsics_json,
    write_recordings,
)
from mapanything_data.storage.droid import find_episodes, read_intrinsics, read_metadata, read_trajectory

REAL = Path(__file__).parents[2].parent / "shared/data/droid"

# a (m), d (m), alpha of each joint in Craig's convention, and the flange, as Franka Robotics publishes them.
PANDA = [
    (0, 0.333, 0),
    (0, 0, -90),
    (0, 0.316, 90),
    (0.0825, 0, 90),
    (-0.0825, 0.384, -90),
    (0, 0, 90),
    (0.088, 0, 90),
]


def flange_by_hand(angles):
    """Where the flange is, metres, with plain loops: from the flange back to the base, one joint after the other."""
    point = [0.0, 0.0, 0.107]
    for (a, d, degrees), theta in zip(reversed(PANDA), reversed(list(angles)), strict=True):
        # Rx(alpha) Tx(a) Rz(theta) Tz(d)
        x, y, z = point[0], point[1], point[2] + d
        x, y = math.cos(theta) * x - math.sin(theta) * y, math.sin(theta) * x + math.cos(theta) * y
        x += a
        alpha = math.radians(degrees)
        point = [x, math.cos(alpha) * y - math.sin(alpha) * z, math.sin(alpha) * y + math.cos(alpha) * z]
    return point


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    return write_episode(tmp_path_factory.mktemp("droid"), steps=24, seed=3)


def test_the_arm_stretched_out_is_as_high_as_its_links_are_long():
    # All angles 0: 333 + 316 + 384 mm up, then 88 mm ahead and 107 mm down to the flange.
    assert np.allclose(flange_by_hand([0] * 7), [0.088, 0, 0.333 + 0.316 + 0.384 - 0.107])


def test_positions_of_a_generated_episode_follow_from_its_joints(episode):
    trajectory = read_trajectory(episode.files.trajectory)

    by_hand = [flange_by_hand(angles) for angles in trajectory.joint_positions]
    assert np.abs(trajectory.cartesian_position[:, :3] - by_hand).max() < 1e-9


@pytest.mark.skipif(not REAL.is_dir(), reason="the real episode is not there")
def test_positions_of_the_real_episode_follow_from_its_joints_within_a_tenth_of_a_millimetre():
    trajectory = read_trajectory(find_episodes(REAL).episodes[0].trajectory)

    by_hand = [flange_by_hand(angles) for angles in trajectory.joint_positions]
    assert np.abs(trajectory.cartesian_position[:, :3] - by_hand).max() < 1e-4


@pytest.mark.skipif(not REAL.is_dir(), reason="the real episode is not there")
def test_the_layout_is_that_of_the_real_file(episode):
    def layout(path):
        found = {}
        with h5py.File(path) as file:
            cameras = {name: str(number) for number, name in enumerate(file["observation/camera_type"])}

            def visit(name, item):
                if isinstance(item, h5py.Dataset):
                    for serial, number in cameras.items():
                        name = name.replace(serial, number)
                    found[name] = (item.shape[1:], item.dtype, item.chunks)

            file.visititems(visit)
            return {name: item for name, item in found.items() if "extrinsics" not in name or name[31] in "012"}, {
                *file.attrs
            }

    arrays, attributes = layout(episode.files.trajectory)
    real_arrays, real_attributes = layout(find_episodes(REAL).episodes[0].trajectory)
    assert set(real_arrays) - set(arrays) == set()
    assert {name: arrays[name] for name in real_arrays} == real_arrays
    assert real_attributes - attributes == {"fixed_tasks", "new_tasks"}


def test_the_person_is_in_the_recordings_but_in_nothing_that_is_read(episode):
    assert USER in episode.files.metadata.read_text()
    assert USER not in json.dumps(read_metadata(episode.files))


def test_it_is_found_where_it_was_written_and_the_same_seed_makes_it_again(episode, tmp_path):
    root = episode.files.folder.parents[3]
    assert list(find_episodes(root).episodes) == [episode.files]

    again = write_episode(tmp_path, steps=24, seed=3)
    one, other = (read_trajectory(which.files.trajectory) for which in (episode, again))
    assert np.array_equal(one.cartesian_position, other.cartesian_position)
    assert np.array_equal(one.state_times, other.state_times)


def test_clocks_are_those_that_were_measured(tmp_path):
    clocks = write_episode(tmp_path, steps=200).clocks

    captures = np.stack(list(clocks.captures.values()))
    skew = clocks.states - captures
    assert 1 / np.diff(clocks.states).mean() == pytest.approx(14.1, rel=0.01)
    assert 0.045 <= skew.min() <= skew.max() <= 0.070
    assert 0.005 < np.ptp(captures, axis=0).max() <= 0.018
    assert (np.diff(captures) > 0).all()


# Pictures


def test_what_one_eye_sees_the_other_sees_at_the_depth_that_is_told(episode):
    for rig in episode.cameras:
        left, right = (draw_view(episode, rig.serial, 12, eye) for eye in ("left", "right"))
        points = unproject(rig.camera, pixel_grid(rig.camera), left.depth)
        pixels, _ = project(rig.camera, points - [rig.baseline, 0, 0])
        rows, columns = pixels[..., 1].round().astype(int), pixels[..., 0].round().astype(int)
        inside = (columns >= 0) & (columns < rig.camera.width)
        seen = right.depth[rows[inside], columns[inside]]
        visible = np.abs(seen - left.depth[inside]) < 0.02 * left.depth[inside]  # the rest is hidden from one eye
        colours = np.abs(right.image[rows[inside], columns[inside]].astype(int) - left.image[inside]).mean(axis=-1)

        assert visible.mean() > 0.85
        assert np.median(colours[visible]) < 6
        assert np.abs(right.image.astype(int) - left.image).mean() > 8  # the same picture twice would not do


def test_points_of_the_table_are_at_the_tables_height(episode):
    for rig in episode.cameras:
        time = episode.clocks.captures[rig.serial][12]
        T_world_camera = rig.T_world_eye(episode.motion.T_world_flange(time))
        points = unproject(rig.camera, pixel_grid(rig.camera), exact_depth(episode, rig.serial, 12))
        heights = transform_points(T_world_camera, points)[..., 2]

        assert (np.abs(heights - 0.07) < 1e-5).mean() > 0.15
        assert (heights > -0.8001).all()  # nothing is below the room's floor


def test_the_pads_stand_in_the_picture_where_their_inner_faces_are(episode):
    # At half of its way open a pad's inner face is 21.25 mm from the middle, its colour behind it.
    step, red = 0, np.array([235, 60, 50])
    for rig in episode.cameras[1:]:
        time = episode.clocks.captures[rig.serial][step]
        T_camera_world = invert(rig.T_world_eye(np.eye(4)))
        T_world_flange = episode.motion.T_world_flange(time)
        # The gripper is mounted a quarter turn about z: its x is the flange's y. Open: x = 42.5 + 4 mm to the middle.
        middle = T_world_flange @ [0, 0.0425 + 0.004, 0.0693 + 0.0435 + 0.0255, 1]
        (column, row), _ = project(rig.camera, (T_camera_world @ middle)[:3])
        view = draw_view(episode, rig.serial, step)
        colour = view.image[round(row), round(column)].astype(float)

        assert colour.argmax() == red.argmax()
        assert colour[0] > 2 * colour[2]


def test_recordings_show_what_is_drawn(episode, tmp_path):
    write_recordings(episode, serials=[episode.cameras[1].serial], missing_frames=1)
    serial = episode.cameras[1].serial
    files = episode.files.camera(serial)

    with av.open(str(files.mp4)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(files.stereo_mp4)) as container:
        stereo = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert len(frames) == len(episode) - 1
    assert np.abs(frames[7].astype(int) - draw_view(episode, serial, 7).image).mean() < 4
    both = np.hstack([draw_view(episode, serial, 0, eye).image for eye in ("left", "right")])
    assert np.abs(stereo.astype(int) - both).mean() < 4
    assert episode.files.camera(episode.cameras[0].serial).mp4 is None


def test_calibrations_are_written_beside(episode, tmp_path):
    write_calibrations(tmp_path / "calibrations", episode.cameras)
    write_intrinsics_json(tmp_path / "all.json", episode.cameras)

    for rig in episode.cameras:
        text = (tmp_path / "calibrations" / f"SN{rig.serial}.conf").read_text()
        focal = float(text.partition("[LEFT_CAM_HD]\nfx=")[2].partition("\n")[0])
        assert focal == pytest.approx(rig.camera.fx * 1280 / rig.camera.width, abs=1e-3)
        assert f"Baseline={1e3 * rig.baseline:.4f}" in text
        (tmp_path / "one.json").write_text(json.dumps(json.loads((tmp_path / "all.json").read_text())[rig.serial]))
        assert read_intrinsics(tmp_path / "one.json") == intrinsics_of(rig)


def test_a_camera_has_the_same_intrinsics_in_every_episode_so_one_file_holds_for_all(tmp_path):
    command = [sys.executable, "scripts/draw_droid.py", str(tmp_path / "drawn"), "2", "--steps", "3"]
    drawn = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)

    known = json.loads((tmp_path / "drawn/intrinsics.json").read_text())
    for seed in (0, 1):
        for rig in write_episode(tmp_path / str(seed), seed=seed, steps=2).cameras:
            told = known[rig.serial]
            assert [told[key] for key in ("fx", "fy", "cx", "cy")] == [
                getattr(rig.camera, key) for key in ("fx", "fy", "cx", "cy")
            ]
    assert drawn.stdout.splitlines()[-1].startswith(f"intrinsics.json={tmp_path / 'drawn/intrinsics.json'}")
