"""A sound OPV2V root, written once and copied for every test that spoils it."""

from __future__ import annotations

import shutil

import pytest
from opv2v_data import write_root
from opv2v_spoiling import AGENTS, FRAMES, edit_points


@pytest.fixture(scope="session")
def sound_root(tmp_path_factory):
    root = write_root(tmp_path_factory.mktemp("sound") / "opv2v", frames=FRAMES)
    for agent in AGENTS:
        for frame in FRAMES:
            edit_points(root, agent, frame, lambda points: points[::3])  # quick to read, and enough for every box
    return root


@pytest.fixture
def opv2v_root(sound_root, tmp_path):
    """Without depth maps, which have tests of their own."""
    shutil.copytree(sound_root, tmp_path / "opv2v")
    return tmp_path / "opv2v"


@pytest.fixture
def root_with_depth(sound_root, opv2v_root):
    shutil.copytree(sound_root.with_name("opv2v_depth"), opv2v_root.with_name("opv2v_depth"))
    return opv2v_root
