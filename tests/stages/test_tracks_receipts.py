"""What quality.json vouches for: what is made in several runs, anew, or after a run that was broken off."""

from __future__ import annotations

import pytest
from droid_runs import contents, draw_episodes, quality_of, run_tracks

from mapanything_data.storage.contact_tracks import load_tracks

ALL = ["intrinsics", "depth", "tracks"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return tmp_path_factory.mktemp("droid") / "raw"


@pytest.fixture(scope="module")
def episode(raw):
    return draw_episodes(raw, 1)[0]


@pytest.fixture(scope="module")
def book(raw, episode):
    return raw / "intrinsics.json"


@pytest.fixture(scope="module")
def at_once(raw, episode, book, tmp_path_factory):
    """What one run makes of everything."""
    root = tmp_path_factory.mktemp("droid") / "at_once"
    assert run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05) == 0
    return root


def test_tracks_that_were_made_before_the_intrinsics_are_made_anew_with_them(raw, episode, book, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book, steps=["tracks"])
    assert load_tracks(root / episode.files.output / "tracks.npz")["cameras_with_2d_tracks"].tolist() == []

    run_tracks(raw, root, book=book, steps=["intrinsics", "tracks"])

    serials = sorted(camera.serial for camera in episode.cameras)
    assert sorted(load_tracks(root / episode.files.output / "tracks.npz")["cameras_with_2d_tracks"]) == serials
    assert quality_of(root, episode)["steps"] == ["intrinsics", "tracks"]


def test_depth_that_comes_later_hides_points_of_the_tracks(raw, episode, book, at_once, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book, occlusion_m=0.05)
    run_tracks(raw, root, book=book, occlusion_m=0.05, steps=["depth"])
    assert quality_of(root, episode)["steps"] == ["intrinsics", "depth"]

    run_tracks(raw, root, book=book, occlusion_m=0.05, steps=ALL)

    assert quality_of(root, episode) == quality_of(at_once, episode)
    tracks = episode.files.output / "tracks.npz"
    assert (root / tracks).read_bytes() == (at_once / tracks).read_bytes()


@pytest.mark.parametrize("step", ["depth", "tracks"])
def test_a_step_that_is_made_again_leaves_what_is_known_of_the_others(step, raw, episode, book, at_once, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05)

    assert run_tracks(raw, root, book=book, steps=[step], occlusion_m=0.05, again=True) == 0
    run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05)

    assert contents(root) == contents(at_once)


def test_a_run_that_was_broken_off_knows_the_depth_that_it_made_before(raw, episode, book, at_once, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05)
    (root / episode.files.output / "quality.json").unlink()
    last = episode.cameras[-1].serial
    (root / episode.files.output / "recordings" / last / "depth.mkv").unlink()

    assert run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05) == 0

    assert contents(root) == contents(at_once)


def test_a_depth_video_whose_description_is_lost_is_made_anew(raw, episode, book, at_once, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05)
    (root / episode.files.output / "quality.json").unlink()
    (root / episode.files.output / "recordings" / episode.cameras[0].serial / "depth_meta.json").write_text("{")

    assert run_tracks(raw, root, book=book, steps=ALL, occlusion_m=0.05) == 0

    assert contents(root) == contents(at_once)


def test_intrinsics_made_anew_alone_take_the_tracks_of_the_old_ones_away(raw, episode, book, tmp_path):
    root = tmp_path / "made"
    run_tracks(raw, root, book=book)
    run_tracks(raw, root, book=book, steps=["intrinsics"], again=True)

    assert not (root / episode.files.output / "tracks.npz").exists()
    quality = quality_of(root, episode)
    assert quality["steps"] == ["intrinsics"]
    assert (quality["cameras_with_2d_tracks"], quality["motion"]) == ([], None)
