"""A small OPV2V root with exact depth, and copies of it to damage."""

from __future__ import annotations

import shutil

import pytest
from opv2v_data import write_root

FRAMES = (68, 70, 72)


@pytest.fixture(scope="session")
def sound_root(tmp_path_factory):
    """Splits train and validate, one scene each, agents 962 and 1007, frames 68, 70, 72. Not to be changed."""
    return write_root(tmp_path_factory.mktemp("sound") / "opv2v", splits=("train", "validate"), frames=FRAMES)


@pytest.fixture
def root(sound_root, tmp_path):
    """A copy that a test may damage."""
    for name in ("opv2v", "opv2v_depth"):
        shutil.copytree(sound_root.with_name(name), tmp_path / name)
    return tmp_path / "opv2v"


@pytest.fixture(autouse=True)
def listings_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
