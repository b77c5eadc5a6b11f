"""The recipe without depth on a real episode of DROID, held against forward kinematics and figures of the recording."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from droid_runs import run_command, run_tracks
from fake_svo import stand_in_environment, write_svo

from mapanything_data.checks.droid import Checks
from mapanything_data.storage.contact_tracks import load_tracks
from mapanything_data.storage.depth_video import DepthVideoReader
from mapanything_data.storage.droid import DroidDataset, find_episodes

RAW = Path(__file__).parents[2].parent / "shared/data/droid"
EPISODE = "AUTOLab/success/2023-08-12/2023-08-12-16h-26m-07s"
pytestmark = pytest.mark.skipif(not RAW.is_dir(), reason="no real episode beside the checkout")

LENS = {"fx": 523.0, "fy": 523.0, "cx": 639.5, "cy": 359.5, "width": 1280, "height": 720}  # of a ZED at 1280x720
SERIALS = ["18026681", "22008760", "24400334"]
POINTS = 480


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp("intrinsics") / "intrinsics.json"
    path.write_text(json.dumps(dict.fromkeys(SERIALS, LENS)))
    return path


def make(root, book, **options):
    assert run_tracks(RAW, root, book=book, num_points_per_finger=POINTS, **options) == 0
    return root / EPISODE


def flange_of(joints: np.ndarray) -> np.ndarray:
    """Forward kinematics of a Franka arm from its published modified Denavit-Hartenberg parameters, [4, 4]."""
    T = np.eye(4)
    a = [0, 0, 0, 0.0825, -0.0825, 0, 0.088]
    d = [0.333, 0, 0.316, 0, 0.384, 0, 0]
    alpha = [0, -np.pi / 2, np.pi / 2, np.pi / 2, -np.pi / 2, np.pi / 2, np.pi / 2]
    for theta, length, offset, twist in zip(joints, a, d, alpha, strict=True):
        ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(twist), np.sin(twist)
        T = T @ np.array(
            [
                [ct, -st, 0, length],
                [st * ca, ct * ca, -sa, -offset * sa],
                [st * sa, ct * sa, ca, offset * ca],
                [0, 0, 0, 1],
            ]
        )
    T[:3, 3] += 0.107 * T[:3, 2]
    return T


def test_the_flange_is_where_forward_kinematics_puts_it(book, tmp_path):
    arrays = load_tracks(make(tmp_path, book, align="state") / "tracks.npz")
    with h5py.File(next(RAW.rglob("trajectory.h5"))) as file:
        joints = file["observation/robot_state/joint_positions"][:]

    expected = np.stack([flange_of(row) for row in joints])
    assert arrays["flange_poses"].shape == (226, 4, 4)
    assert np.linalg.norm(arrays["flange_poses"][:, :3, 3] - expected[:, :3, 3], axis=-1).max() < 1e-4
    assert np.abs(arrays["flange_poses"][:, :3, :3] - expected[:, :3, :3]).max() < 1e-4


def test_quality_has_the_figures_of_the_recording(book, tmp_path):
    quality = json.loads((make(tmp_path, book) / "quality.json").read_text())

    assert quality["num_frames"] == 226
    assert quality["fps"] == pytest.approx(14.09, abs=0.01)
    assert quality["cameras_with_2d_tracks"] == SERIALS
    assert len(quality["stale_serials"]) == 4
    assert quality["alignment"]["pose_to_image_skew_mm_median"] == pytest.approx(5.7, abs=0.05)
    assert quality["alignment"]["pose_to_image_skew_mm_p95"] == pytest.approx(11, abs=0.5)
    for serial, kind, baseline in zip(SERIALS, ["wrist", "external", "external"], [63, 121.5, 121.5], strict=True):
        camera = quality["cameras"][serial]
        assert camera["kind"] == kind
        assert camera["calibration"]["baseline_mm"] == pytest.approx(baseline, abs=0.5)
    assert quality["motion"]["disabled_share"] == pytest.approx(24 / 226)


def test_pads_stay_in_the_picture_of_the_wrist_camera_and_open_with_the_gripper(book, tmp_path):
    arrays = load_tracks(make(tmp_path, book) / "tracks.npz")
    pixels, opening = arrays["tracks_2d_18026681"], 1 - arrays["gripper_positions"]
    left, right = pixels[:, :POINTS].mean(axis=1), pixels[:, POINTS:].mean(axis=1)
    apart = np.linalg.norm(left - right, axis=-1)

    assert arrays["in_image_18026681"].all()
    # The camera sits behind the fingers and looks along them: pads part as the gripper opens, and nothing else moves
    # them.
    order = np.argsort(opening)
    assert np.corrcoef(apart, opening)[0, 1] > 0.99
    assert (np.diff(apart[order]) > -1e-3).all()


def test_the_check_finds_nothing_and_the_compact_episode_is_small(book, tmp_path):
    folder = make(tmp_path, book, format="compact")

    checks = Checks(DroidDataset(root=str(tmp_path), recordings=str(RAW)))
    assert [checks.check_item(item, lambda _: None) for item in checks.item_names()] == [[]]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 100_000


def test_the_full_recipe_adds_depth_that_a_stand_in_of_the_sdk_computes(tmp_path):
    raw, made = tmp_path / "raw", tmp_path / "made"
    shutil.copytree(RAW, raw)
    (episode,) = find_episodes(raw).episodes
    depth_mm = np.full((225, 36, 64), 1500, np.uint16) + np.arange(225, dtype=np.uint16)[:, None, None]
    for serial in SERIALS:
        write_svo(episode.folder / "recordings" / "SVO" / f"{serial}.svo", depth_mm=depth_mm)

    done = run_command(
        *[sys.executable, "-m", "mapanything_data.tracks", "experiment=droid_full", "machine=fixture"],
        *[f"dataset.recordings={raw}", f"dataset.root={made}", "labeler.num_points_per_finger=8"],
        *["intrinsics.providers=[sdk]", "labeler.occlusion_m=0.02", "executor.workers=1"],
        **stand_in_environment(),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    quality = json.loads((made / EPISODE / "quality.json").read_text())
    assert quality["steps"] == ["intrinsics", "depth", "tracks"]
    arrays = load_tracks(made / EPISODE / "tracks.npz")
    for serial in SERIALS:
        told = quality["cameras"][serial]
        assert told["intrinsics"] == {"provider": "sdk", "model": "rectified", "approximate": False}
        assert (told["depth"]["frames"], told["depth"]["steps"]) == (225, 226)
        assert arrays[f"occluded_{serial}"].shape == (226, 16)
        with DepthVideoReader(made / EPISODE / "recordings" / serial / "depth.mkv") as video:
            assert (video.raw(100) == 1600).all()
