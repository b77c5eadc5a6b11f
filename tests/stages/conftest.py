"""A clip, its undisturbed capture, and a disk that is easily filled."""

from __future__ import annotations

import subprocess

import pytest
from captures import FPS, FRAMES, contents, run_capture

from mapanything_data.sim.clip import write_clip


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


@pytest.fixture
def small_disk(tmp_path):
    mount = tmp_path / "small disk"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)
